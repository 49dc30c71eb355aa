"""A ledger without fees: libraries and the wallet, told nothing of prices, pay nothing."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from eth_account import Account
from web3 import HTTPProvider, Web3
from web3.middleware import SignAndSendRawMiddlewareBuilder

from chain.genesis import new_genesis
from chain.ledger_rules import LedgerRules
from tests.support.daemon import Daemon, running
from tests.support.javascript import run_script

# Accounts that the genesis gives nothing.
POOR = "0x" + "11" * 32
POORER = "0x" + "12" * 32
# Deploys a contract of one STOP.
INITCODE = "0x60006000526001601ff3"
TO = "0x" + "22" * 20


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    folder = tmp_path_factory.mktemp("free")
    genesis: Path = folder / "genesis.json"
    genesis.write_text(new_genesis(4711, alloc={}, rules=LedgerRules(free=True)).source)
    with running("dev", "--datadir", str(folder / "data"), "--genesis", str(genesis)) as found:
        yield found


def test_every_question_about_fees_is_answered_with_zero(daemon: Daemon) -> None:
    rpc = daemon.rpc
    hashed = rpc.call("eth_sendTransaction", {"from": dev_account(daemon), "to": TO})
    rpc.wait_for_receipt(hashed)
    for name in ("gasPrice", "maxPriorityFeePerGas", "baseFee", "blobBaseFee"):
        assert rpc.call(f"eth_{name}") == "0x0", name
    history = rpc.call("eth_feeHistory", "0x2", "latest", [0, 50, 100])
    for name in ("baseFeePerGas", "baseFeePerBlobGas"):
        assert set(history[name]) == {"0x0"}
    assert {tip for tips in history["reward"] for tip in tips} == {"0x0"}
    assert rpc.call("eth_getBlockByNumber", "latest", False)["baseFeePerGas"] == "0x0"
    assert rpc.call("eth_getTransactionReceipt", hashed)["effectiveGasPrice"] == "0x0"


def dev_account(daemon: Daemon) -> str:
    found: str = daemon.rpc.call("eth_accounts")[0]
    return found


def test_web3_sends_and_deploys_for_who_has_no_coins(daemon: Daemon) -> None:
    web3 = Web3(HTTPProvider(daemon.url))
    account = Account.from_key(POOR)
    web3.middleware_onion.inject(SignAndSendRawMiddlewareBuilder.build(account), layer=0)
    for fields in (
        {"to": TO, "value": 0},
        {"data": INITCODE},
        {"to": TO, "value": 0, "gasPrice": 0},
    ):
        hashed = web3.eth.send_transaction({"from": account.address, **fields})
        receipt = web3.eth.wait_for_transaction_receipt(hashed, 30, 0.02)
        assert (receipt["status"], receipt["effectiveGasPrice"]) == (1, 0)
    assert web3.eth.get_balance(account.address) == 0


def test_ethers_sends_and_deploys_for_who_has_no_coins(daemon: Daemon) -> None:
    asked = {"rpc": daemon.url, "key": POORER, "bytecode": INITCODE}
    seen = json.loads(run_script("free.mjs", stdin=json.dumps(asked)))
    assert seen["gasPrice"] == "0"
    assert seen["maxFeePerGas"] in (None, "0")
    assert (seen["status"], seen["paid"], seen["balance"]) == ([1, 1], ["0", "0"], "0")
