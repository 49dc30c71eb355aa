"""Headers: the rules that tie one to its parent.

Sources: Yellow Paper sections 4.3 and 4.4; EIP-2, 100, 779, 1559, 3675, 4844, 7918.
"""

from collections.abc import Sequence
from typing import Final

from chain import ethash
from chain.blocks import Header, decode_header, encode_header, header_hash, seal_hash
from chain.errors import Reason, Rejected
from chain.forks import (
    BASE_FEE_CHANGE_DENOMINATOR,
    BASE_FEE_INITIAL,
    BLOB_BASE_FEE_MIN,
    BLOB_RESERVE_EXECUTION_COST,
    EXTRA_DATA_MAX,
    GAS_LIMIT_BOUND_DIVISOR,
    GAS_LIMIT_ELASTICITY,
    GAS_LIMIT_MIN,
    GAS_PER_BLOB,
    BlobSchedule,
    DifficultyRule,
    Fork,
)
from chain.genesis import ChainConfig
from chain.types import EMPTY_OMMERS_HASH, EMPTY_ROOT, Address

__all__ = [
    "DIFFICULTY_MIN",
    "base_fee",
    "blob_base_fee",
    "check_gas_limit",
    "check_header",
    "check_seal",
    "decode_header",
    "difficulty",
    "encode_header",
    "excess_blob_gas",
    "header_hash",
    "rewards",
    "seal_hash",
]

DIFFICULTY_MIN: Final = 131_072
_DIFFICULTY_DIVISOR: Final = 2048
_BOMB_PERIOD: Final = 100_000  # blocks
_GAS_MAX: Final = 2**63 - 1
_NONCE_OF_MERGED: Final = bytes(8)
# What both sides of the DAO fork write and refuse for ten blocks (EIP-779).
_DAO_EXTRA_DATA: Final = b"dao-hard-fork"
_DAO_EXTRA_DATA_BLOCKS: Final = 10


# -- what follows from the parent ------------------------------------------------------------------


def base_fee(parent: Header, fork: Fork) -> int:
    """Fee per gas, in wei, required of the child of `parent`; 0 where the fork has none.

    Moves at most 1/8 per block. Source: EIP-1559. On a free ledger it is 0 for ever.
    """
    if not fork.base_fee or fork.free:
        return 0
    if parent.base_fee is None:
        return BASE_FEE_INITIAL
    target = parent.gas_limit // GAS_LIMIT_ELASTICITY
    fee, used = parent.base_fee, parent.gas_used
    if used == target:
        return fee
    if used > target:
        change = fee * (used - target) // target // BASE_FEE_CHANGE_DENOMINATOR
        return fee + max(change, 1)
    return fee - fee * (target - used) // target // BASE_FEE_CHANGE_DENOMINATOR


def _schedule(fork: Fork) -> BlobSchedule:
    if fork.blobs is None:
        raise Rejected(Reason.WRONG_BLOB_GAS, f"{fork.name} has no blobs")
    return fork.blobs


def blob_base_fee(excess: int, fork: Fork) -> int:
    """Fee per blob gas, in wei: about e ** (excess / update fraction). Source: EIP-4844.

    On a free ledger it is 0 for ever.
    """
    if fork.free:
        return 0
    denominator = _schedule(fork).base_fee_update_fraction
    index = 1
    output = 0
    term = BLOB_BASE_FEE_MIN * denominator
    while term > 0:
        output += term
        term = term * excess // (denominator * index)
        index += 1
    return output // denominator


def excess_blob_gas(parent: Header, fork: Fork) -> int:
    """Blob gas above target that the child of `parent` carries on. Source: EIP-4844, EIP-7918.

    `fork` is the child's.
    """
    schedule = _schedule(fork)
    excess, used = parent.excess_blob_gas or 0, parent.blob_gas_used or 0
    target = schedule.target * GAS_PER_BLOB
    if excess + used < target:
        return 0
    if fork.blob_fee_reserve:
        execution_cost = BLOB_RESERVE_EXECUTION_COST * (parent.base_fee or 0)
        if execution_cost > GAS_PER_BLOB * blob_base_fee(excess, fork):
            return excess + used * (schedule.max - schedule.target) // schedule.max
    return excess + used - target


def difficulty(
    parent_difficulty: int,
    parent_timestamp: int,
    timestamp: int,
    number: int,
    fork: Fork,
    parent_has_ommers: bool = False,
) -> int:
    """The difficulty of the proof-of-work block `number`, the child of the given parent.

    Sources: Yellow Paper section 4.3.4, EIP-2, EIP-100; the bomb's delays in `fork`.
    """
    if fork.merged:
        return 0
    step = parent_difficulty // _DIFFICULTY_DIVISOR
    elapsed = timestamp - parent_timestamp
    if fork.difficulty_rule is DifficultyRule.FRONTIER:
        value = parent_difficulty + (step if elapsed < 13 else -step)
    elif fork.difficulty_rule is DifficultyRule.HOMESTEAD:
        value = parent_difficulty + step * max(1 - elapsed // 10, -99)
    else:
        value = parent_difficulty + step * max((2 if parent_has_ommers else 1) - elapsed // 9, -99)
    period = max(number - fork.bomb_delay, 0) // _BOMB_PERIOD
    if period > 1:
        value += 2 ** (period - 2)
    return max(value, DIFFICULTY_MIN)


def check_gas_limit(gas_limit: int, parent: Header, fork: Fork) -> None:
    """A gas limit moves less than 1/1024 of its parent's; raises WRONG_GAS_LIMIT.

    The first block with a base fee counts from twice its parent's (EIP-1559).
    """
    before = parent.gas_limit
    if fork.base_fee and parent.base_fee is None:
        before *= GAS_LIMIT_ELASTICITY
    bound = before // GAS_LIMIT_BOUND_DIVISOR
    if abs(gas_limit - before) >= bound or not GAS_LIMIT_MIN <= gas_limit <= _GAS_MAX:
        raise Rejected(Reason.WRONG_GAS_LIMIT, f"{gas_limit} after {before}, within {bound}")


# -- the check -------------------------------------------------------------------------------------


def check_header(
    header: Header, parent: Header, fork: Fork, config: ChainConfig, *, seal: bool = False
) -> None:
    """Check everything about `header` that needs its parent only; raises `Rejected`.

    `fork` is the header's own. `seal` has the proof of work checked too (slow: the
    first one of an epoch makes a cache of 16 MB and more).
    """
    if header.number != parent.number + 1:
        raise Rejected(Reason.WRONG_NUMBER, f"{header.number} after {parent.number}")
    if header.parent_hash != header_hash(parent):
        raise Rejected(Reason.UNKNOWN_PARENT, f"0x{header.parent_hash.hex()}")
    _check_time(header, parent, config)
    _check_limit(header, parent, fork, config)
    if header.gas_used > header.gas_limit:
        raise Rejected(Reason.WRONG_GAS_USED, f"{header.gas_used} above {header.gas_limit}")
    _check_extra_data(header, config)
    _check_income(header, config)
    _check_present(header, fork)
    if fork.base_fee and header.base_fee != (expected := base_fee(parent, fork)):
        raise Rejected(Reason.WRONG_BASE_FEE, f"{header.base_fee}, must be {expected}")
    if fork.blobs is not None:
        _check_blob_gas(header, parent, fork)
    _check_difficulty(header, parent, fork)
    if fork.merged:
        if header.nonce != _NONCE_OF_MERGED:
            raise Rejected(Reason.WRONG_SEAL, "nonce is not zero")
        if header.ommers_hash != EMPTY_OMMERS_HASH:
            raise Rejected(Reason.WRONG_OMMERS, "ommers after the merge")
    elif seal:
        check_seal(header)


def check_seal(header: Header) -> None:
    """The header's proof of work is right; raises WRONG_SEAL. Source: Yellow Paper appendix J."""
    mix, result = ethash.hashimoto_light(
        header.number, seal_hash(header), int.from_bytes(header.nonce, "big")
    )
    if mix != header.mix_hash:
        raise Rejected(Reason.WRONG_SEAL, f"block {header.number}: mix hash")
    if int.from_bytes(result, "big") * header.difficulty > 2**256:
        raise Rejected(Reason.WRONG_SEAL, f"block {header.number}: not enough work")


def _check_time(header: Header, parent: Header, config: ChainConfig) -> None:
    """Seconds ascend; among several validators blocks of one second may follow each other.

    Their blocks are ordered by the record's milliseconds, of which these are the seconds.
    """
    earliest = parent.timestamp if config.ledger.validators else parent.timestamp + 1
    if header.timestamp < earliest:
        raise Rejected(Reason.WRONG_TIMESTAMP, f"{header.timestamp} after {parent.timestamp}")


def _check_limit(header: Header, parent: Header, fork: Fork, config: ChainConfig) -> None:
    """Ethereum's miners vote on the gas limit; our validators keep that of the genesis."""
    if config.ledger.validators and parent.gas_limit != header.gas_limit:
        raise Rejected(Reason.WRONG_GAS_LIMIT, f"{header.gas_limit}, must stay {parent.gas_limit}")
    check_gas_limit(header.gas_limit, parent, fork)


def _check_income(header: Header, config: ChainConfig) -> None:
    """Fees go where the genesis says, and no leader makes coins by withdrawals."""
    root = header.withdrawals_root
    if config.ledger.validators and root is not None and root != EMPTY_ROOT:
        raise Rejected(Reason.WRONG_WITHDRAWALS, "this ledger has no withdrawals")
    recipient = config.ledger.fee_recipient
    if recipient is not None and header.coinbase != recipient:
        raise Rejected(
            Reason.WRONG_COINBASE, f"0x{header.coinbase.hex()}, must be 0x{recipient.hex()}"
        )


def _check_extra_data(header: Header, config: ChainConfig) -> None:
    if len(header.extra_data) > EXTRA_DATA_MAX:
        raise Rejected(Reason.WRONG_EXTRA_DATA, f"{len(header.extra_data)} bytes")
    has_dao_mark = header.extra_data == _DAO_EXTRA_DATA
    if _in_dao_range(header.number, config.dao_fork) and not has_dao_mark:
        raise Rejected(Reason.WRONG_EXTRA_DATA, "not the DAO fork's")
    if _in_dao_range(header.number, config.dao_refused) and has_dao_mark:
        raise Rejected(Reason.WRONG_EXTRA_DATA, "the DAO fork's, which this chain refuses")


def _in_dao_range(number: int, since: int | None) -> bool:
    return since is not None and since <= number < since + _DAO_EXTRA_DATA_BLOCKS


def _check_present(header: Header, fork: Fork) -> None:
    """The header has exactly the optional fields of its fork."""
    for name, value, wanted in (
        ("base fee", header.base_fee, fork.base_fee),
        ("withdrawals root", header.withdrawals_root, fork.withdrawals),
        ("blob gas used", header.blob_gas_used, fork.blobs is not None),
        ("excess blob gas", header.excess_blob_gas, fork.blobs is not None),
        ("parent beacon root", header.parent_beacon_root, fork.beacon_root),
        ("requests hash", header.requests_hash, fork.requests),
    ):
        if (value is not None) != wanted:
            what = "missing" if wanted else "unexpected"
            raise Rejected(Reason.WRONG_HEADER_FIELDS, f"{name} {what} in {fork.name}")


def _check_blob_gas(header: Header, parent: Header, fork: Fork) -> None:
    used = header.blob_gas_used or 0
    if used % GAS_PER_BLOB or used > _schedule(fork).max * GAS_PER_BLOB:
        raise Rejected(Reason.WRONG_BLOB_GAS, f"used {used}")
    expected = excess_blob_gas(parent, fork)
    if header.excess_blob_gas != expected:
        raise Rejected(
            Reason.WRONG_BLOB_GAS, f"excess {header.excess_blob_gas}, must be {expected}"
        )


def _check_difficulty(header: Header, parent: Header, fork: Fork) -> None:
    expected = difficulty(
        parent.difficulty,
        parent.timestamp,
        header.timestamp,
        header.number,
        fork,
        parent.ommers_hash != EMPTY_OMMERS_HASH,
    )
    if header.difficulty != expected:
        raise Rejected(Reason.WRONG_DIFFICULTY, f"{header.difficulty}, must be {expected}")


# -- proof of work's rewards -----------------------------------------------------------------------


def rewards(
    header: Header, ommers: Sequence[Header], fork: Fork
) -> tuple[tuple[Address, int], ...]:
    """Who is credited how much wei for the block; nobody after the merge.

    Source: Yellow Paper section 11.3, amounts by EIP-649 and EIP-1234.
    """
    reward = fork.block_reward
    if not reward:
        return ()
    credits = [
        (ommer.coinbase, reward * (8 - (header.number - ommer.number)) // 8) for ommer in ommers
    ]
    credits.append((header.coinbase, reward + reward * len(ommers) // 32))
    return tuple(credits)
