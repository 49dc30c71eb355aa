"""Clients of a network: whichever node they ask, they see one ledger."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from web3 import HTTPProvider, Web3

from tests.end_to_end.network import Testnet
from tests.support.contracts import solidity
from tests.support.daemon import DEV_ADDRESSES
from tests.support.token_life import (
    FRIEND,
    expect_token_life,
    live_with_ethers,
    live_with_web3,
)

TEST_PHRASE: Final = "test test test test test test test test test test test junk"
SECONDS_MAX: Final = 60
# A node of a network holds nobody's keys: `eth_accounts` is empty, all else is as elsewhere.
NO_ACCOUNTS: Final[list[str]] = []


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testnet]:
    folder = tmp_path_factory.mktemp("clients") / "net"
    with Testnet.running(folder, "--interval-ms", "100") as net:
        yield net


def socket_of(net: Testnet, place: int) -> str:
    return net[place].url.replace("http", "ws", 1)


def expect_life(seen: dict[str, Any], accounts: list[str]) -> None:
    """A token's life as on any ledger, but for the keys that this node does not hold."""
    assert seen["accounts"] == NO_ACCOUNTS
    expect_token_life(seen | {"accounts": accounts}, "Coin")


def test_tokens_live_through_different_clients_of_different_nodes(net: Testnet) -> None:
    """ethers at one node and web3.py at another each live the life of a token; then each of
    four nodes tells the same about all of it."""
    artefact = solidity("Coin.sol", "Coin")
    accounts = [Web3.to_checksum_address(DEV_ADDRESSES[0]), *[""] * 9]
    by_web3 = live_with_web3(net[2].url, socket_of(net, 2), artefact)
    expect_life(by_web3, accounts)
    by_ethers = live_with_ethers(net[1].url, socket_of(net, 1), artefact)
    expect_life(by_ethers, accounts)

    hashes = [*by_web3["transactions"], *by_ethers["transactions"]]
    for sent in hashes:
        net.receipt(sent, 0)
        for place in range(1, 4):
            net.receipt(sent, place)
    height = net.check_agreement()
    told = [history(net, place, height) for place in range(4)]
    assert told[0] == told[1] == told[2] == told[3]


def history(net: Testnet, place: int, height: int) -> Any:
    """All blocks, receipts, logs and some balances, as web3.py gives them."""
    web3 = Web3(HTTPProvider(net[place].url))
    blocks = [web3.eth.get_block(number, full_transactions=True) for number in range(height + 1)]
    filled = [block["number"] for block in blocks if block["transactions"]]
    return json.loads(
        Web3.to_json(
            {
                "blocks": blocks,
                "receipts": [web3.eth.get_block_receipts(number) for number in filled],
                "logs": web3.eth.get_logs({"fromBlock": 0, "toBlock": height}),
                "balances": [
                    web3.eth.get_balance(FRIEND, number) for number in (0, height // 2, height)
                ],
            }
        )
    )


def test_the_wallet_sends_through_one_node_and_every_node_has_the_receipt(
    net: Testnet, tmp_path: Path
) -> None:
    """From nothing but the test phrase to a final receipt."""
    environment = {name: text for name, text in os.environ.items() if "CHAIN_WALLET" not in name}
    environment |= {
        "CHAIN_WALLET_KEYSTORE": str(tmp_path / "keys"),
        "CHAIN_WALLET_PASSWORD": "correct horse",
    }

    def wallet(place: int, *words: str, stdin: str = "") -> Any:
        done = subprocess.run(
            [sys.executable, "-m", "wallet", "--json", *words, "--rpc", net[place].url],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
            env=environment,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout)

    subprocess.run(
        [sys.executable, "-m", "wallet", "--json", "import", "-", "--light"],
        input=TEST_PHRASE,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        env=environment,
        check=True,
    )
    to = "0x" + "ab" * 20
    sent = wallet(3, "send", to, "2.5")
    assert sent["status"] == "success"
    final = net[3].rpc.call("eth_getBlockByNumber", "finalized", False)
    assert int(sent["receipt"]["blockNumber"], 16) <= int(final["number"], 16)
    for place in range(4):
        net.wait(lambda place=place: wallet(place, "balance", to)["coins"] == "2.5")
        assert wallet(place, "receipt", sent["hash"])["receipt"] == sent["receipt"]
