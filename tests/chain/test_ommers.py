"""Ommers: who may be named, and everyone who may not."""

from typing import Any

import pytest
from msgspec.structs import replace

from chain import forks
from chain.activation import config_of
from chain.blocks import Block, Header, ommers_hash
from chain.errors import Reason, Rejected
from chain.ommers import check_ommers
from chain.types import Address
from tests.chain.test_headers import child_of, parent_of

FORK = forks.BYZANTIUM
CONFIG = config_of(FORK)


def chain(length: int) -> list[Block]:
    """A chain of plain blocks, the newest first."""
    headers = [parent_of(FORK)]
    for _ in range(length - 1):
        headers.insert(0, child_of(headers[0], FORK))
    return [Block(header, ()) for header in headers]


def sibling(of: Block, ancestors: list[Block], **fields: Any) -> Header:
    """A valid header beside an ancestor."""
    parent = ancestors[ancestors.index(of) + 1].header
    return child_of(parent, FORK, **({"coinbase": Address(b"\x99" * 20)} | fields))


def naming(ancestors: list[Block], *ommers: Header) -> Block:
    """A block on top of the chain that names the ommers."""
    header = child_of(ancestors[0].header, FORK, ommers_hash=ommers_hash(ommers))
    return Block(header, (), ommers)


def refusal(block: Block, ancestors: list[Block]) -> Reason:
    with pytest.raises(Rejected) as caught:
        check_ommers(block, ancestors[:7], CONFIG)
    return caught.value.reason


@pytest.mark.parametrize("depth", range(6))
def test_siblings_of_the_last_six_ancestors_are_accepted(depth: int) -> None:
    ancestors = chain(10)
    check_ommers(naming(ancestors, sibling(ancestors[depth], ancestors)), ancestors[:7], CONFIG)


def test_a_sibling_of_the_seventh_ancestor_is_too_old() -> None:
    ancestors = chain(10)
    block = naming(ancestors, sibling(ancestors[6], ancestors))
    assert refusal(block, ancestors) == Reason.WRONG_OMMERS


def test_two_ommers_are_accepted_and_three_are_not() -> None:
    ancestors = chain(10)
    ommers = [sibling(ancestors[depth], ancestors) for depth in range(3)]
    check_ommers(naming(ancestors, *ommers[:2]), ancestors[:7], CONFIG)
    assert refusal(naming(ancestors, *ommers), ancestors) == Reason.WRONG_OMMERS


def test_an_ommer_is_named_once() -> None:
    """Neither twice in a block nor again by a later one."""
    ancestors = chain(10)
    ommer = sibling(ancestors[2], ancestors)
    assert refusal(naming(ancestors, ommer, ommer), ancestors) == Reason.WRONG_OMMERS
    named = [Block(ancestors[0].header, (), (ommer,)), *ancestors[1:]]
    assert refusal(naming(named, ommer), named) == Reason.WRONG_OMMERS


def test_an_ancestor_is_no_ommer() -> None:
    ancestors = chain(10)
    for ancestor in ancestors[:7]:
        block = naming(ancestors, ancestor.header)
        assert refusal(block, ancestors) == Reason.WRONG_OMMERS


def test_a_brother_is_no_ommer() -> None:
    """A child of the block's own parent would be rewarded for the same height."""
    ancestors = chain(10)
    brother = child_of(ancestors[0].header, FORK, coinbase=Address(b"\x99" * 20))
    assert refusal(naming(ancestors, brother), ancestors) == Reason.WRONG_OMMERS


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"difficulty": 1}, Reason.WRONG_DIFFICULTY),
        ({"gas_used": 2**40}, Reason.WRONG_GAS_USED),
        ({"extra_data": bytes(33)}, Reason.WRONG_EXTRA_DATA),
        ({"timestamp": 0}, Reason.WRONG_TIMESTAMP),
        ({"number": 5}, Reason.WRONG_NUMBER),
    ],
)
def test_an_ommer_must_be_a_valid_header(fields: dict[str, Any], reason: Reason) -> None:
    ancestors = chain(10)
    ommer = replace(sibling(ancestors[1], ancestors), **fields)
    assert refusal(naming(ancestors, ommer), ancestors) == reason


def test_the_header_must_commit_to_the_ommers() -> None:
    ancestors = chain(10)
    block = naming(ancestors, sibling(ancestors[1], ancestors))
    for other in ((), (sibling(ancestors[2], ancestors),)):
        assert refusal(replace(block, ommers=other), ancestors) == Reason.WRONG_OMMERS
