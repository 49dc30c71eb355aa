"""Headers: their bytes, what follows from a parent, and every rule that a child can break."""

from math import exp
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from chain import codec, forks, headers
from chain.activation import ChainConfig
from chain.blocks import EMPTY_BLOOM, Header
from chain.errors import Reason, Rejected
from chain.forks import Fork
from chain.headers import check_header, decode_header, encode_header, header_hash
from chain.types import EMPTY_OMMERS_HASH, EMPTY_ROOT, ZERO_HASH, Address, Hash

CONFIG = ChainConfig(chain_id=1)
HASHES = st.binary(min_size=32, max_size=32).map(Hash)
U64 = st.integers(0, 2**64 - 1)
U256 = st.integers(0, 2**256 - 1)

# The optional fields in the order in which forks added them.
OPTIONAL: list[tuple[str, st.SearchStrategy[Any]]] = [
    ("base_fee", U256),
    ("withdrawals_root", HASHES),
    ("blob_gas_used", U64),
    ("excess_blob_gas", U64),
    ("parent_beacon_root", HASHES),
    ("requests_hash", HASHES),
]


@st.composite
def any_header(draw: st.DrawFn) -> Header:
    count = draw(st.integers(0, len(OPTIONAL)))
    return Header(
        parent_hash=draw(HASHES),
        ommers_hash=draw(HASHES),
        coinbase=Address(draw(st.binary(min_size=20, max_size=20))),
        state_root=draw(HASHES),
        transactions_root=draw(HASHES),
        receipts_root=draw(HASHES),
        logs_bloom=draw(st.binary(min_size=256, max_size=256)),
        difficulty=draw(U256),
        number=draw(U64),
        gas_limit=draw(U64),
        gas_used=draw(U64),
        timestamp=draw(U64),
        extra_data=draw(st.binary(max_size=40)),
        mix_hash=draw(HASHES),
        nonce=draw(st.binary(min_size=8, max_size=8)),
        **{name: draw(values) for name, values in OPTIONAL[:count]},
    )


def parent_of(fork: Fork, **fields: Any) -> Header:
    """A plausible block of the fork."""
    header = Header(
        parent_hash=ZERO_HASH,
        ommers_hash=EMPTY_OMMERS_HASH,
        coinbase=Address(bytes(20)),
        state_root=ZERO_HASH,
        transactions_root=EMPTY_ROOT,
        receipts_root=EMPTY_ROOT,
        logs_bloom=EMPTY_BLOOM,
        difficulty=0 if fork.merged else 2**30,
        number=1000,
        gas_limit=30_000_000,
        gas_used=15_000_000,
        timestamp=1_000_000,
        extra_data=b"",
        mix_hash=ZERO_HASH,
        nonce=bytes(8),
        base_fee=10**9 if fork.base_fee else None,
        withdrawals_root=EMPTY_ROOT if fork.withdrawals else None,
        blob_gas_used=0 if fork.blobs else None,
        excess_blob_gas=0 if fork.blobs else None,
        parent_beacon_root=ZERO_HASH if fork.beacon_root else None,
        requests_hash=ZERO_HASH if fork.requests else None,
    )
    return replace(header, **fields)


def child_of(parent: Header, fork: Fork, **fields: Any) -> Header:
    """A valid child, but for `fields`."""
    timestamp = fields.get("timestamp", parent.timestamp + 12)
    child = parent_of(
        fork,
        parent_hash=header_hash(parent),
        number=parent.number + 1,
        timestamp=timestamp,
        difficulty=headers.difficulty(
            parent.difficulty, parent.timestamp, timestamp, parent.number + 1, fork
        ),
        base_fee=headers.base_fee(parent, fork) if fork.base_fee else None,
        excess_blob_gas=headers.excess_blob_gas(parent, fork) if fork.blobs else None,
    )
    return replace(child, **fields)


def refusal(header: Header, parent: Header, fork: Fork, config: ChainConfig = CONFIG) -> Reason:
    with pytest.raises(Rejected) as caught:
        check_header(header, parent, fork, config)
    return caught.value.reason


@given(any_header())
def test_decoding_inverts_encoding(header: Header) -> None:
    """A header of any fork comes back from its bytes."""
    assert decode_header(encode_header(header)) == header


@given(any_header(), st.data())
def test_a_header_has_one_encoding(header: Header, data: st.DataObject) -> None:
    """Given a header's bytes with one byte changed, when they decode, then to those bytes."""
    raw = bytearray(encode_header(header))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        changed = decode_header(bytes(raw))
    except Rejected as rejected:
        assert rejected.reason in (Reason.BAD_RLP, Reason.BAD_BLOCK)
    else:
        assert encode_header(changed) == raw


@pytest.mark.parametrize("count", [0, 14, 22])
def test_a_header_has_fifteen_to_twenty_one_fields(count: int) -> None:
    fields = codec.decode(encode_header(parent_of(forks.OSAKA)))
    assert isinstance(fields, list)
    with pytest.raises(Rejected) as caught:
        decode_header([*fields, b"", b""][:count])
    assert caught.value.reason == Reason.BAD_BLOCK


@pytest.mark.parametrize("index", [0, 1, 2, 3, 4, 5, 6, 13, 14, 16, 19, 20])
def test_fields_of_fixed_size_keep_it(index: int) -> None:
    """Neither one byte less nor a list is taken for a hash, an address, a bloom or a nonce."""
    fields = codec.decode(encode_header(parent_of(forks.OSAKA)))
    assert isinstance(fields, list)
    field = fields[index]
    assert isinstance(field, bytes)
    for wrong in (field[1:], []):
        with pytest.raises(Rejected) as caught:
            decode_header([*fields[:index], wrong, *fields[index + 1 :]])
        assert caught.value.reason == Reason.BAD_BLOCK


def test_mainnets_first_header_has_the_known_hash() -> None:
    """Ethereum's genesis header, built from its published parameters."""
    genesis = Header(
        parent_hash=ZERO_HASH,
        ommers_hash=EMPTY_OMMERS_HASH,
        coinbase=Address(bytes(20)),
        state_root=Hash(
            bytes.fromhex("d7f8974fb5ac78d9ac099b9ad5018bedc2ce0a72dad1827a1709da30580f0544")
        ),
        transactions_root=EMPTY_ROOT,
        receipts_root=EMPTY_ROOT,
        logs_bloom=EMPTY_BLOOM,
        difficulty=17_179_869_184,
        number=0,
        gas_limit=5_000,
        gas_used=0,
        timestamp=0,
        extra_data=bytes.fromhex(
            "11bbe8db4e347b4e8c937c1c8370e4b5ed33adb3db69cbdb7a38e1e50b1b82fa"
        ),
        mix_hash=ZERO_HASH,
        nonce=bytes.fromhex("0000000000000042"),
    )
    assert header_hash(genesis).hex() == (
        "d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3"
    )


def test_the_first_base_fee_is_one_gwei() -> None:
    assert headers.base_fee(parent_of(forks.BERLIN), forks.LONDON) == 10**9


@pytest.mark.parametrize(
    ("used", "expected"),
    [(15_000_000, 10**9), (30_000_000, 1_125_000_000), (0, 875_000_000), (15_000_001, 10**9 + 8)],
)
def test_the_base_fee_moves_at_most_an_eighth(used: int, expected: int) -> None:
    """EIP-1559: nothing at the target, an eighth at the ends."""
    assert headers.base_fee(parent_of(forks.LONDON, gas_used=used), forks.LONDON) == expected


def test_a_small_base_fee_still_rises_by_one() -> None:
    parent = parent_of(forks.LONDON, gas_used=15_000_001, base_fee=7)
    assert headers.base_fee(parent, forks.LONDON) == 8


@given(st.integers(0, 10**9))
def test_the_blob_fee_is_the_exponential_of_the_excess(excess: int) -> None:
    """EIP-4844's integer series stays within the real exponential's neighbourhood."""
    fraction = 3_338_477
    fee = headers.blob_base_fee(excess % (50 * fraction), forks.CANCUN)
    real = exp((excess % (50 * fraction)) / fraction)
    assert real * 0.999 - 1 <= fee <= real * 1.001 + 1


@pytest.mark.parametrize(
    ("excess", "used", "base_fee", "expected"),
    [
        (0, 6, 1, 0),  # at the target
        (0, 5, 1, 0),  # below it
        (0, 9, 1, 3),  # above it
        (10, 0, 1, 4),
        (0, 9, 10**9, 3),  # execution dear: a third of what is used
        (10, 0, 10**9, 10),  # execution dear: the excess doesn't fall
        (10, 6, 10**9, 12),
    ],
)
def test_the_blob_excess_does_not_fall_while_execution_is_dearer(
    excess: int, used: int, base_fee: int, expected: int
) -> None:
    """EIP-7918 under Osaka's schedule of 6 and 9, in blobs."""
    blob = forks.GAS_PER_BLOB
    parent = parent_of(
        forks.OSAKA, excess_blob_gas=excess * blob, blob_gas_used=used * blob, base_fee=base_fee
    )
    assert headers.excess_blob_gas(parent, forks.OSAKA) == expected * blob


def test_the_first_block_with_blobs_carries_no_excess() -> None:
    assert headers.excess_blob_gas(parent_of(forks.SHANGHAI), forks.CANCUN) == 0


@pytest.mark.parametrize("fork", forks.FORKS, ids=lambda fork: fork.name)
def test_a_correct_child_is_accepted_in_every_fork(fork: Fork) -> None:
    parent = parent_of(fork)
    check_header(child_of(parent, fork), parent, fork, CONFIG)


@pytest.mark.parametrize("fork", [forks.FRONTIER, forks.OSAKA], ids=lambda fork: fork.name)
@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"number": 1002}, Reason.WRONG_NUMBER),
        ({"parent_hash": ZERO_HASH}, Reason.UNKNOWN_PARENT),
        ({"timestamp": 1_000_000}, Reason.WRONG_TIMESTAMP),
        ({"gas_limit": 30_000_000 + 30_000_000 // 1024}, Reason.WRONG_GAS_LIMIT),
        ({"gas_limit": 30_000_000 - 30_000_000 // 1024}, Reason.WRONG_GAS_LIMIT),
        ({"gas_used": 30_000_001}, Reason.WRONG_GAS_USED),
        ({"extra_data": bytes(33)}, Reason.WRONG_EXTRA_DATA),
        ({"difficulty": 1}, Reason.WRONG_DIFFICULTY),
    ],
)
def test_a_child_that_breaks_a_rule_is_refused(
    fork: Fork, fields: dict[str, Any], reason: Reason
) -> None:
    parent = parent_of(fork)
    assert refusal(child_of(parent, fork, **fields), parent, fork) == reason


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"base_fee": 10**9 + 1}, Reason.WRONG_BASE_FEE),
        ({"blob_gas_used": 1}, Reason.WRONG_BLOB_GAS),
        ({"blob_gas_used": 10 * 2**17}, Reason.WRONG_BLOB_GAS),
        ({"excess_blob_gas": 2**17}, Reason.WRONG_BLOB_GAS),
        ({"nonce": b"\x01" + bytes(7)}, Reason.WRONG_SEAL),
        ({"ommers_hash": ZERO_HASH}, Reason.WRONG_OMMERS),
        ({"requests_hash": None}, Reason.WRONG_HEADER_FIELDS),
        ({"base_fee": None}, Reason.WRONG_HEADER_FIELDS),
    ],
)
def test_a_merged_child_that_breaks_a_rule_is_refused(
    fields: dict[str, Any], reason: Reason
) -> None:
    parent = parent_of(forks.OSAKA)
    assert refusal(child_of(parent, forks.OSAKA, **fields), parent, forks.OSAKA) == reason


@pytest.mark.parametrize(("name", "values"), OPTIONAL, ids=[name for name, _ in OPTIONAL])
def test_a_field_of_a_later_fork_is_refused(name: str, values: st.SearchStrategy[Any]) -> None:
    parent = parent_of(forks.BERLIN)
    header = child_of(parent, forks.BERLIN, **{name: 0 if "hash" not in name else ZERO_HASH})
    assert refusal(header, parent, forks.BERLIN) == Reason.WRONG_HEADER_FIELDS


def test_the_gas_limit_doubles_once_when_the_base_fee_begins() -> None:
    """EIP-1559: London's first block counts from twice its parent's gas limit."""
    parent = parent_of(forks.BERLIN)
    check_header(child_of(parent, forks.LONDON, gas_limit=60_000_000), parent, forks.LONDON, CONFIG)
    header = child_of(parent, forks.LONDON, gas_limit=30_000_000)
    assert refusal(header, parent, forks.LONDON) == Reason.WRONG_GAS_LIMIT


def test_no_gas_limit_below_five_thousand() -> None:
    parent = parent_of(forks.PARIS, gas_limit=5_000, gas_used=0)
    header = child_of(parent, forks.PARIS, gas_limit=4_999, gas_used=0)
    assert refusal(header, parent, forks.PARIS) == Reason.WRONG_GAS_LIMIT


@pytest.mark.parametrize(
    ("number", "marked"), [(1999, False), (2000, True), (2009, True), (2010, False)]
)
def test_the_dao_forks_first_ten_blocks_carry_its_mark(number: int, marked: bool) -> None:
    """EIP-779: on the chain that forks, blocks 2000 to 2009 must; on the other they must not."""
    fork = forks.HOMESTEAD
    parent = parent_of(fork, number=number - 1)
    plain = child_of(parent, fork)
    mark = child_of(parent, fork, extra_data=b"dao-hard-fork")
    forking, refusing = replace(CONFIG, dao_fork=2000), replace(CONFIG, dao_refused=2000)
    if marked:
        check_header(mark, parent, fork, forking)
        check_header(plain, parent, fork, refusing)
        assert refusal(plain, parent, fork, forking) == Reason.WRONG_EXTRA_DATA
        assert refusal(mark, parent, fork, refusing) == Reason.WRONG_EXTRA_DATA
    else:
        for header in (plain, mark):
            check_header(header, parent, fork, forking)
            check_header(header, parent, fork, refusing)


def test_rewards_follow_the_ommers_distance() -> None:
    """Yellow Paper 11.3: an ommer d generations back earns (8 - d) / 8, its includer 1/32 each."""
    ommers = [
        parent_of(forks.BYZANTIUM, number=999, coinbase=Address(b"\x01" * 20)),
        parent_of(forks.BYZANTIUM, number=994, coinbase=Address(b"\x02" * 20)),
    ]
    ether = 10**18
    assert headers.rewards(parent_of(forks.BYZANTIUM), ommers, forks.BYZANTIUM) == (
        (Address(b"\x01" * 20), 3 * ether * 7 // 8),
        (Address(b"\x02" * 20), 3 * ether * 2 // 8),
        (Address(bytes(20)), 3 * ether + 3 * ether * 2 // 32),
    )


def test_nobody_is_rewarded_after_the_merge() -> None:
    assert headers.rewards(parent_of(forks.PARIS), (), forks.PARIS) == ()
