"""What a client must be able to do with a ledger, and how one tells that it did.

A client - ethers, viem, web3.py, cast, ... - reports what it saw of each capability in one
shape, so that one list of expectations judges them all. Numbers may come as numbers or as
decimal text (JavaScript's BigInt); addresses in either case.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

from chain.crypto.keccak import keccak
from chain.crypto.secp256k1 import address_of

Facts = dict[str, Any]

SUPPLY: Final = 1000 * 10**18


def identity(name: str) -> tuple[str, str]:
    """A key of a name, and its address: for accounts that begin without anything."""
    key = keccak(name.encode())
    return "0x" + key.hex(), "0x" + address_of(key).hex()


def expect(capability: str, seen: dict[str, Facts], me: str, friend: str) -> None:
    """Judge what a client, sending as `me`, saw of a capability; AssertionError when it failed."""
    facts = seen[capability]
    assert "error" not in facts, facts["error"]
    EXPECTATIONS[capability](facts, me.lower(), friend.lower())


def _transfers(found: Iterable[Facts], me: str, friend: str, amounts: list[int]) -> None:
    read = [(e["from"].lower(), e["to"].lower(), int(e["value"])) for e in found]
    assert read == [(me, friend, amount) for amount in amounts]


def _deploy(facts: Facts, me: str, friend: str) -> None:
    assert int(facts["status"]) == 1
    assert len(facts["address"]) == 42
    assert len(facts["code"]) > 1000
    assert facts["name"] in ("Voucher", "Purse")  # in Solidity, in Vyper
    assert int(facts["supply"]) == SUPPLY


def _events_by_filter(facts: Facts, me: str, friend: str) -> None:
    _transfers(facts["events"], me, friend, [11, 12])


def _subscription(facts: Facts, me: str, friend: str) -> None:
    _transfers(facts["events"], me, friend, [21, 22])
    if facts["heads"] is not None:  # None: a client that can't subscribe to them
        heads = [int(number) for number in facts["heads"]]
        assert heads
        assert heads == sorted(set(heads))


def _log_query(facts: Facts, me: str, friend: str) -> None:
    _transfers(facts["events"], me, friend, [31, 32])
    assert facts["others"] == 0


def _fees(facts: Facts, me: str, friend: str) -> None:
    base, tip, price = int(facts["base"]), int(facts["tip"]), int(facts["price"])
    assert facts["type"] in (2, "eip1559", "0x2")
    assert price == min(int(facts["most"]), base + tip)
    assert int(facts["paid"]) == price * int(facts["gas"])
    assert int(facts["gas"]) == 21_000
    assert int(facts["suggested"]) >= base
    assert int(facts["history"]) == base
    assert int(facts["reward"]) == tip


def _permit(facts: Facts, me: str, friend: str) -> None:
    assert int(facts["allowance"]) == 5
    assert int(facts["nonce"]) == 1
    assert facts["again"] == "ERC2612InvalidSigner"


def _create2(facts: Facts, me: str, friend: str) -> None:
    assert facts["before"] in ("0x", None)
    assert int(facts["status"]) == 1
    assert int(facts["value"]) == 7


def _multicall(facts: Facts, me: str, friend: str) -> None:
    assert facts["succeeded"] == [True, False, True]
    assert facts["symbol"] == "VOU"
    assert facts["refusal"] == "TooMany"
    assert int(facts["number"]) == 9


def _revert_reasons(facts: Facts, me: str, friend: str) -> None:
    assert facts["words"] == "not today"
    name, *arguments = facts["custom"]
    assert [name, *map(int, arguments)] == ["TooMany", 7, 5]
    assert int(facts["panic"]) == 0x12
    assert facts["silent"] == "0x"
    assert int(facts["mined"]) == 0


def _nonces(facts: Facts, me: str, friend: str) -> None:
    assert facts["waits"], "a transaction ahead of its turn was counted"
    assert facts["replaced"], "a transaction that was replaced is in a block"
    assert [int(status) for status in facts["statuses"]] == [1, 1]
    assert facts["cheap"] == "underpriced"
    assert facts["late"] == "too low"


def _access_list(facts: Facts, me: str, friend: str) -> None:
    ((address, keys),) = facts["listed"]
    assert address.lower() == facts["target"].lower()
    assert [int(key, 16) for key in keys] == [0]
    assert facts["types"] in ([1, 2], ["eip2930", "eip1559"], ["0x1", "0x2"])
    assert [int(status) for status in facts["statuses"]] == [1, 1]


def _delegation(facts: Facts, me: str, friend: str) -> None:
    assert facts["type"] in (4, "eip7702")
    account, number = facts["ran"]
    assert (account.lower(), int(number)) == (facts["authority"].lower(), 9)
    assert facts["during"] == facts["expected"]
    assert facts["after"] in ("0x", None)


def _proof(facts: Facts, me: str, friend: str) -> None:
    assert facts["nonce"] == 1
    assert facts["code"]
    assert facts["value"] == 77
    assert facts["empty"] is None
    assert facts["absent"] is None


def _snapshots(facts: Facts, me: str, friend: str) -> None:
    assert int(facts["gained"]) == 5
    assert facts["undone"] in (True, None)  # None: the client's own method tells nothing
    assert int(facts["left"]) == 0
    assert int(facts["climbed"]) == 0


def _fork(facts: Facts, me: str, friend: str) -> None:
    assert int(facts["held"]) == SUPPLY, "what is at the source is not in the fork"
    assert int(facts["mints"]) == 1, "what happened at the source is not known in the fork"
    assert int(facts["status"]) == 1
    assert int(facts["left"]) == SUPPLY - 5
    assert int(facts["untouched"]) == SUPPLY, "the source has changed"


def _script(facts: Facts, me: str, friend: str) -> None:
    assert facts["statuses"] == [1, 1, 1, 1, 1]
    assert facts["kinds"] == ["CREATE", "CREATE2", "CALL", "CALL", "CALL"]
    assert int(facts["given"]) == 31 + 32
    assert int(facts["value"]) == 9


def _ignition(facts: Facts, me: str, friend: str) -> None:
    assert set(facts["addresses"]) == {"Shop#Voucher", "Shop#Box"}
    assert facts["statuses"] == ["SUCCESS"] * 4
    assert facts["again"], "what was deployed is deployed again"


def _forked_by_it(facts: Facts, me: str, friend: str) -> None:
    assert facts["results"] == ["Success"]


EXPECTATIONS: Final[dict[str, Callable[[Facts, str, str], None]]] = {
    "deploy": _deploy,
    "events_by_filter": _events_by_filter,
    "subscription": _subscription,
    "log_query": _log_query,
    "fees": _fees,
    "permit": _permit,
    "create2": _create2,
    "multicall": _multicall,
    "revert_reasons": _revert_reasons,
    "nonces": _nonces,
    "access_list": _access_list,
    "delegation": _delegation,
    "proof": _proof,
    "snapshots": _snapshots,
    "fork": _fork,
    "script": _script,
    "ignition": _ignition,
    "forked_by_it": _forked_by_it,
}

# What the table of docs/compatibility.md calls them, in its order.
MEANINGS: Final[dict[str, str]] = {
    "deploy": "deploy a contract, read it",
    "events_by_filter": "events by a filter",
    "subscription": "events by WebSocket subscription",
    "log_query": "events of the past",
    "fees": "base fee and tip, fee history",
    "permit": "EIP-712 permit by signature",
    "create2": "CREATE2 through the deterministic deployer",
    "multicall": "Multicall3",
    "revert_reasons": "reasons of reverts: words, custom, panic, none",
    "nonces": "nonces: ahead, replaced, too low",
    "access_list": "access lists",
    "delegation": "EIP-7702 delegation",
    "proof": "proofs, verified by the client",
    "snapshots": "snapshot and revert",
    "fork": "a fork of a ledger: `--fork-url`",
    "script": "`forge script --broadcast`",
    "ignition": "Ignition's deployments",
    "forked_by_it": "the client's own fork of the ledger",
}
