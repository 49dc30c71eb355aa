"""chain-wallet and the validator contract: on a node in this process, and by status."""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec import Struct

from chain.crypto.secp256k1 import address_of
from chain.genesis import GenesisAccount, dev_genesis, new_genesis
from chain.ledger_rules import GenesisValidator, LedgerRules
from chain.staking import STAKING_ADDRESS, Row
from chain.types import ZERO_ADDRESS, Address
from contracts.system import validators_alloc
from tests.contracts.system.stake_ledger import (
    COIN,
    MACHINE,
    StakeLedger,
    account,
    double_vote,
)
from tests.node.rpc.serving import ACCOUNTS, Served
from tests.wallet.fake_node import FakeNode, fake_node
from wallet.__main__ import main
from wallet.addresses import checksum_address
from wallet.outcome import Exit
from wallet.staking import status_of

FIRST, RICH, OTHER = (checksum_address(address) for address in list(ACCOUNTS)[:3])
RICH_KEY, OTHER_KEY = ("0x" + key.hex() for key in list(ACCOUNTS.values())[1:3])
NEWCOMER: Final = checksum_address(address_of(bytes(31) + b"\x77"))


class Ended(Struct):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Wallet = Callable[..., Ended]


@pytest.fixture
def wallet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Wallet:
    """Runs a command with a key folder of its own that has the keys of RICH and OTHER."""
    monkeypatch.setenv("CHAIN_WALLET_KEYSTORE", str(tmp_path / "keys"))
    monkeypatch.setenv("CHAIN_WALLET_PASSWORD", "secret")
    monkeypatch.setenv("CHAIN_WALLET_FROM", RICH)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))

    def run(*words: str) -> Ended:
        code = main(words)
        out, err = capsys.readouterr()
        return Ended(code, out, err)

    for key in (RICH_KEY, OTHER_KEY):
        assert run("import", "--private-key", key, "--light").code == Exit.OK
    return run


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A node that builds a block for each transaction; its one epoch never ends."""
    rules = LedgerRules(
        validators=(GenesisValidator(next(iter(ACCOUNTS)), 100),),
        empty_blocks=False,
        heartbeat_ms=0,
        evidence_age=2,
        unbonding=3,
    )
    alloc = {address: GenesisAccount(10_000 * COIN) for address in ACCOUNTS}
    alloc[STAKING_ADDRESS] = validators_alloc(rules, MACHINE)
    with Served(new_genesis(31337, alloc=alloc, rules=rules)) as served:
        monkeypatch.setenv("CHAIN_WALLET_RPC", f"http://127.0.0.1:{served.port}")
        yield served


def listed(wallet: Wallet) -> dict[str, dict[str, Any]]:
    ended = wallet("validators", "--json")
    assert ended.code == Exit.OK
    return {each["address"]: each for each in ended.json}


def test_stake_lives_its_life_through_a_node(wallet: Wallet, served: Served) -> None:
    """Staked, added to, taken out in two parts, collected; the coins are all accounted for."""
    ended = wallet("stake", "--validator", NEWCOMER, "2.5", "--json")
    assert (ended.code, ended.json["status"]) == (Exit.OK, "success")
    assert wallet("stake", "0.5").code == Exit.OK
    shown = listed(wallet)
    assert shown.keys() == {FIRST, NEWCOMER}
    assert shown[FIRST]["status"] == "active" and shown[FIRST]["power"] == 100
    mine = shown[NEWCOMER]
    assert (mine["owner"], mine["stake"], mine["status"]) == (RICH, "3", "waiting")
    assert (mine["power"], mine["powerByStake"], mine["voting"]) == (0, 3, False)

    assert wallet("unstake", "1").code == Exit.OK
    ended = wallet("unstake", "all")
    assert ended.code == Exit.OK
    assert f"chain-wallet withdraw --validator {NEWCOMER}" in ended.err
    ended = wallet("withdraw", "--validator", NEWCOMER)
    assert (ended.code, "still unbonding" in ended.err) == (Exit.REFUSED, True)
    for _ in range(3):
        assert wallet("send", FIRST, "1wei").code == Exit.OK
    before = wallet("balance", RICH, "--json").json["wei"]
    ended = wallet("withdraw", "--validator", NEWCOMER, "--json")
    assert ended.code == Exit.OK
    receipt = ended.json["receipt"]
    fee = int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16)
    after = wallet("balance", RICH, "--json").json["wei"]
    assert int(after) == int(before) + 3 * COIN - fee
    assert listed(wallet).keys() == {FIRST}


def test_refusals_are_told_in_the_contracts_words(wallet: Wallet, served: Served) -> None:
    for words, said in (
        (("stake", "--validator", FIRST, "1"), "not the owner"),
        (("stake", "--validator", NEWCOMER, "0.5"), "stake below one unit"),
        (("stake", "--validator", NEWCOMER, "0"), "nothing staked"),
        (("unstake", "--validator", FIRST, "1"), "not the owner"),
        (("unstake", "--validator", NEWCOMER, "1"), "not staked"),
        (("withdraw", "--validator", FIRST), "not the owner"),
        (("unjail", "--validator", FIRST), "not the owner"),
    ):
        ended = wallet(*words)
        assert (ended.code, said in ended.err) == (Exit.REFUSED, True), (words, ended.err)


def test_the_validator_must_be_named_unless_there_is_one(wallet: Wallet, served: Served) -> None:
    for words in (("stake", "5"), ("unstake", "5"), ("withdraw",), ("unjail",)):
        ended = wallet(*words)
        assert (ended.code, "--validator" in ended.err) == (Exit.USAGE, True)
    assert wallet("stake", "--validator", NEWCOMER, "1").code == Exit.OK
    assert wallet("stake", "--validator", OTHER, "1").code == Exit.OK
    ended = wallet("unstake", "1")
    assert "owns the stake of 2 validators" in ended.err
    ended = wallet("unstake", "1", "--validator", OTHER, "--from", OTHER)
    assert ended.code == Exit.OK  # the validator itself


def test_a_ledger_without_the_contract_takes_no_stake(
    wallet: Wallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No coins go to an address where nothing would ever give them back."""
    with Served(dev_genesis()) as served:
        monkeypatch.setenv("CHAIN_WALLET_RPC", f"http://127.0.0.1:{served.port}")
        for words in (
            ("validators",),
            ("stake", "--validator", NEWCOMER, "1"),
            ("unstake", "--validator", NEWCOMER, "1"),
            ("withdraw", "--validator", NEWCOMER),
        ):
            ended = wallet(*words)
            assert (ended.code, "no validator contract" in ended.err) == (Exit.REFUSED, True)
        assert served.call("eth_getBalance", "0x" + STAKING_ADDRESS.hex(), "latest") == "0x0"


@pytest.mark.parametrize(
    "words", [("stake", "--validator", "0x12", "1"), ("stake", "x"), ("unstake", "1.0.0")]
)
def test_what_is_no_address_or_amount_is_wrong_usage(
    wallet: Wallet, served: Served, words: tuple[str, ...]
) -> None:
    assert wallet(*words).code == Exit.USAGE


# -- over epochs, on the contract alone ------------------------------------------------------------


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeNode]:
    with fake_node() as node:
        monkeypatch.setenv("CHAIN_WALLET_RPC", node.url)
        yield node


def show(node: FakeNode, ledger: StakeLedger) -> None:
    """Let the node answer calls from the ledger, at its height only."""

    def call(params: list[Any]) -> str:
        assert params[1] == hex(ledger.height)
        return "0x" + ledger.read(bytes.fromhex(params[0]["data"][2:])).hex()

    node.answers["eth_blockNumber"] = lambda params: hex(ledger.height)
    node.answers["eth_call"] = call


def test_each_validator_has_its_status(wallet: Wallet, node: FakeNode) -> None:
    ledger = StakeLedger()
    show(node, ledger)
    ledger.pass_blocks(1)
    ledger.stake(50, 5, 30 * COIN)
    ledger.slash(50, double_vote(2, epoch=0))
    ledger.unstake(3, 3, 100 * COIN)

    def statuses() -> dict[int, str]:
        shown = listed(wallet)
        names = {number: checksum_address(account(number)) for number in range(1, 6)}
        return {n: shown[name]["status"] for n, name in names.items() if name in shown}

    assert statuses() == {1: "active", 2: "jailed", 3: "leaving", 4: "active", 5: "waiting"}
    ledger.to_epoch(2)
    assert statuses() == {1: "active", 2: "jailed", 3: "leaving", 4: "active", 5: "waiting"}
    ledger.to_epoch(6)
    assert statuses() == {1: "active", 2: "jailed", 4: "active", 5: "active"}

    ended = wallet("validators")
    title, *lines = ended.out.splitlines()
    assert title.split() == ["validator", "power", "stake", "status"]
    assert [line.split()[1] for line in lines] == ["100", "100", "30", "0"]
    assert "jailed until height 41" in lines[-1]


def test_hundreds_of_validators_are_listed(wallet: Wallet, node: FakeNode) -> None:
    ledger = StakeLedger(dict.fromkeys(range(1, 151), 10), seats_max=200)
    show(node, ledger)
    ledger.pass_blocks(1)
    assert len(listed(wallet)) == 150
    assert len(node.asked("eth_call")) == 2 + 3


@pytest.mark.parametrize("answer", ["0x00", "0x" + "ff" * 64, "0xzz", None, 5])
def test_a_node_that_tells_nonsense_is_named(
    wallet: Wallet, node: FakeNode, answer: object
) -> None:
    node.answers["eth_blockNumber"] = lambda params: "0x5"
    node.answers["eth_call"] = lambda params: answer
    ended = wallet("validators", "--json")
    assert (ended.code, node.url in ended.json["error"]["message"]) == (Exit.UNREACHABLE, True)


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"stake": 5, "power": 5, "seat": 5, "voting": True}, "active"),
        ({"stake": 5, "power": 5, "seat": 5}, "waiting"),
        ({"stake": 5, "power": 5}, "waiting"),
        ({"stake": 5, "power": 5, "voting": True}, "leaving"),
        ({"seat": 5, "voting": True}, "leaving"),
        ({"seat": 5}, "leaving"),
        ({"stake": 5, "power": 5, "seat": 5, "voting": True, "jailed_until": 9}, "jailed"),
        ({"unbonding": 5, "release": 9}, "gone"),
    ],
)
def test_a_status_says_what_comes_next(changes: dict[str, Any], status: str) -> None:
    fields: dict[str, Any] = {
        "validator": Address(bytes(20)), "owner": ZERO_ADDRESS, "stake": 0, "unbonding": 0,
        "release": 0, "jailed_until": 0, "power": 0, "seat": 0, "voting": False,
    }  # fmt: skip
    assert status_of(Row(**fields | changes)) == status
