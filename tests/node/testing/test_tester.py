"""Test suites written for web3.py's providers for eth-tester, on ours."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from eth_keys.datatypes import PrivateKey
from eth_tester.exceptions import TransactionFailed
from web3 import AsyncWeb3, Web3
from web3.exceptions import ContractCustomError, ContractLogicError, ContractPanicError

from node.testing import AsyncEthereumTesterProvider, EthereumTesterProvider, Tester
from tests.node.rpc.serving import COUNTER_INITCODE
from tests.node.testing.telling import put_together, shape, what_is_told

REASON = "08c379a0" + f"{32:064x}{5:064x}" + b"never".hex().ljust(64, "0")
PANIC = "4e487b71" + f"{0x11:064x}"
CUSTOM = "82b42900"
# Returns its caller: caller push0 mstore push1 32 push0 return, put there by codecopy.
CALLER_INITCODE = "0x60088060093d393df3" + "335f5260205ff3" + "00"


@pytest.fixture(scope="module")
def tester() -> Iterator[Tester]:
    tester = Tester()
    yield tester
    tester.ledger.close()


@pytest.fixture
def w3(tester: Tester) -> Any:
    return Web3(EthereumTesterProvider(tester))


def _deployed(w3: Any, code: str) -> Any:
    sent = w3.eth.send_transaction({"from": w3.eth.accounts[0], "data": code})
    return w3.eth.get_transaction_receipt(sent)["contractAddress"]


@pytest.mark.parametrize(
    ("data", "kind", "message"),
    [
        (REASON, ContractLogicError, "execution reverted: never"),
        (PANIC, ContractPanicError, "Panic error 0x11"),
        (CUSTOM, ContractCustomError, "execution reverted: b.*x82"),
    ],
)
def test_what_fails_raises_what_either_library_raises(
    w3: Any, data: str, kind: type[Exception], message: str
) -> None:
    """The contract reverts with what it is given."""
    contract = _deployed(w3, COUNTER_INITCODE)
    request = {"from": w3.eth.accounts[0], "to": contract, "data": "0x" + data}
    for attempt in (w3.eth.call, w3.eth.estimate_gas):
        for expected in (TransactionFailed, kind):
            with pytest.raises(expected, match=message) as caught:
                attempt(request)
            assert caught.value.data == "0x" + data  # type: ignore[attr-defined]


def test_a_halt_is_a_failed_transaction_too(w3: Any) -> None:
    with pytest.raises(TransactionFailed, match="invalid opcode"):
        w3.eth.call({"data": "0xfe"})


def test_nobody_named_is_the_first_account(w3: Any, tester: Tester) -> None:
    coinbase = w3.provider.make_request("eth_coinbase", [])
    assert coinbase["result"] == tester.get_accounts()[0]
    contract = _deployed(w3, CALLER_INITCODE)
    assert w3.eth.call({"to": contract})[12:].hex() == tester.get_accounts()[0][2:].lower()


def test_the_testing_module_counts_blocks_and_travels(w3: Any, tester: Tester) -> None:
    before = w3.eth.block_number
    moment = w3.testing.snapshot()
    w3.testing.mine(3)
    assert w3.eth.block_number == before + 3
    later = w3.eth.get_block("latest")["timestamp"] + 500
    w3.testing.timeTravel(later)
    assert w3.eth.get_block("latest")["timestamp"] == later
    for _ in range(2):  # a snapshot stays
        w3.testing.revert(moment)
        assert w3.eth.block_number == before
        w3.testing.mine()
    w3.testing.reset()
    assert w3.eth.block_number == 0


def test_the_backend_tells_the_accounts_keys(tester: Tester) -> None:
    keys = tester.backend.account_keys
    addresses = [key.public_key.to_checksum_address() for key in keys]
    assert addresses == list(tester.get_accounts())


def test_the_asynchronous_provider_has_the_same_habits(tester: Tester) -> None:
    async def asked() -> None:
        w3 = AsyncWeb3(AsyncEthereumTesterProvider(tester))
        before = await w3.eth.block_number
        await w3.provider.make_request("evm_mine", [2])  # type: ignore[arg-type]
        assert await w3.eth.block_number == before + 2
        with pytest.raises(TransactionFailed, match="invalid opcode"):
            await w3.eth.call({"data": "0xfe"})  # type: ignore[typeddict-item]

    asyncio.run(asked())


def test_it_tells_what_eth_tester_tells_in_its_words() -> None:
    """eth-tester tells it in a process of its own: titanoboa changes its VM for good."""
    told = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.node.testing.telling"],
        capture_output=True,
        text=True,
        check=True,
    )
    theirs = json.loads(told.stdout)
    tester = Tester()
    for one, other in zip(shape(what_is_told(tester)), theirs, strict=True):
        put_together(one, other)
    tester.ledger.close()


def test_a_backend_in_the_ledgers_place_gives_its_accounts() -> None:
    keys = [PrivateKey(bytes(31) + bytes((number,))) for number in (5, 6)]
    funds = {keys[0].public_key.to_canonical_address(): 50 * 10**18}
    backend = SimpleNamespace(account_keys=keys, get_balance=lambda each: funds.get(each, 7))
    provider = EthereumTesterProvider(backend)
    w3 = Web3(provider)
    assert w3.eth.accounts == [key.public_key.to_checksum_address() for key in keys]
    first, second = w3.eth.accounts
    assert w3.eth.get_balance(first) == 50 * 10**18
    w3.eth.send_transaction({"from": first, "to": second, "value": w3.to_wei(1, "ether")})
    assert w3.eth.get_balance(second) == 10**18 + 7
    provider.ethereum_tester.reset_to_genesis()
    assert w3.eth.get_balance(second) == 7
    provider.ethereum_tester.ledger.close()
    with pytest.raises(TypeError, match="takes the place of eth_tester"):
        EthereumTesterProvider(SimpleNamespace(backend=backend))
