"""Blocks on demand: built on any block and shown, never kept, and only when asked for."""

from collections.abc import Iterator
from typing import Any

import pytest

from chain.transactions import Kind, build_transaction, sign_transaction
from chain.types import Address
from tests.node.rpc.serving import ACCOUNTS, OTHER, Served

KEY = next(iter(ACCOUNTS.values()))


@pytest.fixture(scope="module")
def workshop() -> Iterator[Served]:
    with Served(rpc={"testing": True}) as workshop:
        yield workshop


def transfer(nonce: int) -> str:
    unsigned = build_transaction(
        kind=Kind.DYNAMIC_FEE,
        chain_id=31_337,
        nonce=nonce,
        gas_limit=21_000,
        max_fee=10**10,
        max_priority_fee=5,
        to=Address(bytes.fromhex(OTHER[2:])),
        value=1,
    )
    return "0x" + sign_transaction(unsigned, KEY).raw.hex()


def attributes(parent: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "timestamp": hex(int(parent["timestamp"], 16) + 1),
        "prevRandao": "0x" + "12" * 32,
        "suggestedFeeRecipient": "0x" + "fe" * 20,
        "withdrawals": [],
        "parentBeaconBlockRoot": "0x" + "34" * 32,
        **changes,
    }


def test_a_block_is_built_of_the_given_transactions_and_not_kept(workshop: Served) -> None:
    parent = workshop.call("eth_getBlockByNumber", "latest")
    raw = [transfer(0), transfer(1)]
    built = workshop.call("testing_buildBlockV1", parent["hash"], attributes(parent), raw, "0xabcd")
    payload = built["executionPayload"]
    assert payload["transactions"] == raw
    assert payload["parentHash"] == parent["hash"]
    assert (payload["gasUsed"], payload["extraData"]) == (hex(42_000), "0xabcd")
    assert built["blockValue"] == hex(2 * 21_000 * 5)
    assert workshop.call("eth_blockNumber") == parent["number"]


def test_without_transactions_it_takes_the_pools(workshop: Served) -> None:
    parent = workshop.call("eth_getBlockByNumber", "latest")
    built = workshop.call("testing_buildBlockV1", parent["hash"], attributes(parent), None)
    assert built["executionPayload"]["transactions"] == []


@pytest.mark.parametrize(
    ("changes", "raw", "extra"),
    [
        ({"timestamp": "0x0"}, [], "0x"),
        ({"timestamp": None}, [], "0x"),
        ({"prevRandao": "0x12"}, [], "0x"),
        ({"withdrawals": "x"}, [], "0x"),
        ({}, ["0x02"], "0x"),
        ({}, [transfer(7)], "0x"),
        ({}, [1], "0x"),
        ({}, [], "0x" + "00" * 33),
    ],
)
def test_a_block_that_can_not_be_is_refused(
    workshop: Served, changes: dict[str, Any], raw: list[Any], extra: str
) -> None:
    parent = workshop.call("eth_getBlockByNumber", "latest")
    wanted = attributes(parent, **changes)
    refusal = workshop.refusal("testing_buildBlockV1", parent["hash"], wanted, raw, extra)
    assert refusal.code == -32602


def test_it_is_not_there_unless_it_was_switched_on(served: Served) -> None:
    parent = served.call("eth_getBlockByNumber", "latest")
    refusal = served.refusal("testing_buildBlockV1", parent["hash"], attributes(parent), [])
    assert refusal.code == -32601
    assert refusal.message.endswith("does not exist/is not available")
