"""The validator contract as the protocol and the wallet see it.

Its source is contracts/system/validators.vy, its rules are docs/protocol/staking.md. The
protocol reads two lists of it, who has stake and who has a seat, and moves the seats once per
epoch: `next_set` decides how, and nothing else does.
"""

from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct

from chain import abi, forks
from chain.activation import ChainConfig
from chain.errors import Reason, Rejected
from chain.evidence import Evidence
from chain.forks import SYSTEM_ADDRESS
from chain.machine import BlockContext, Machine, Message, TransactionContext
from chain.state import State, StateView
from chain.types import EMPTY_CODE_HASH, ZERO_ADDRESS, ZERO_HASH, Address, Hash
from chain.validators import POWER_MAX, Validator, ValidatorSet, Vote, validator_set

# "57a4e" reads "stake". Nobody's key hashes to it, and it is far from the low numbers that
# Ethereum and its descendants give to precompiles, and from the addresses of its contracts.
STAKING_ADDRESS: Final = Address(bytes.fromhex("57a4e" * 8))

MOVES_MAX: Final = 128  # seats that change in one epoch; bounds the gas of the call
ROWS_MAX: Final = 64  # validators that one `rows` call tells about
READ_GAS: Final = 30_000_000  # of one reading call; 2048 candidates need 4.5 million

_VOTE: Final = "(uint8,uint64,uint64,bytes32,uint64,uint256,uint256,uint8)"
_ROW: Final = "(address,address,uint256,uint256,uint256,uint256,uint256,uint256,bool)"
_ADDRESS_SHIFT: Final = 96
_JAILED: Final = 1 << 64
_POWER_MASK: Final = (1 << 64) - 1


class Parameters(Struct, frozen=True):
    """What the contract was made with. Amounts in wei, the rest in heights."""

    unit: int  # stake per power
    seats_max: int
    epoch_length: int  # 0: one epoch for ever
    evidence_age: int
    unbonding: int
    jail: int


class Row(Struct, frozen=True):
    """What the contract knows of a validator. Amounts in wei."""

    validator: Address
    owner: Address  # the zero address: nobody
    stake: int
    unbonding: int
    release: int  # the height from which `unbonding` can be withdrawn
    jailed_until: int  # height; 0: not jailed
    power: int  # by stake
    seat: int  # power in the newest set
    voting: bool  # has a seat in the epoch of the block it was read at


# -- the sets --------------------------------------------------------------------------------------


def read_set(
    view: StateView, machine: Machine, config: ChainConfig, current: ValidatorSet
) -> ValidatorSet:
    """The set of epoch e+1, from the state `view` of the last block of epoch e-1.

    `current` is the set of epoch e, and the answer where the ledger has no validator contract
    or one that does not answer as ours does. At other heights it is a forecast.
    """
    if not has_contract(view, config):
        return current
    try:
        return _read_next(view, machine)[1]
    except Rejected:
        return current  # another contract at our address: the set is fixed


def read_sets(
    view: StateView, machine: Machine, config: ChainConfig
) -> tuple[ValidatorSet, ValidatorSet] | None:
    """The sets of the epoch that the view's height is in, and of the one after it.

    None where the ledger has no validator contract: then all are as in genesis.
    """
    if not has_contract(view, config):
        return None
    try:
        newest, replaced = _read_seats(view, machine)
        before = newest | replaced
        return _set_of(before), _set_of(newest)
    except Rejected:
        return None


def has_contract(view: StateView, config: ChainConfig) -> bool:
    """Whether this ledger's validators are chosen by stake."""
    if not config.ledger.validators:
        return False
    account = view.account(STAKING_ADDRESS)
    return account is not None and account.code_hash != EMPTY_CODE_HASH


def next_set(current: ValidatorSet, wanted: Sequence[Validator], seats_max: int) -> ValidatorSet:
    """The set that follows `current` when the stakes ask for `wanted`.

    The largest `seats_max` are taken, of equals the lower address. Then power moves towards
    them, as much as one epoch allows: all changes together stay below a third of the present
    power, at most MOVES_MAX seats change, and somebody stays. What goes down comes first, the
    smallest change first, so that seats become free; then what goes up, the largest first.
    The change that meets the bound happens in part; the rest waits for later epochs. If
    nobody is wanted, nothing changes.

    Of three power or less nothing is below a third. Such a set can't bear a faulty power
    anyway, and moves by one, so that a ledger may begin small.
    """
    ranked = sorted(wanted, key=lambda validator: (-validator.power, validator.address))
    target = {validator.address: validator.power for validator in ranked[:seats_max]}
    if not target:
        return current
    powers = {validator.address: validator.power for validator in current.validators}
    total = current.total_power
    left, moves = max((total - 1) // 3, 1), MOVES_MAX
    for address, drop in _changes(powers, target):
        step = min(drop, left, total - 1)
        if not step or not moves:
            break
        powers[address] -= step
        left, moves, total = left - step, moves - 1, total - step
        if not powers[address]:
            del powers[address]
    for address, rise in reversed(_changes(target, powers)):
        step = min(rise, left, POWER_MAX - total)
        if not step or not moves:
            break
        if address not in powers and len(powers) >= seats_max:
            continue  # the seat it is to take is not free yet
        powers[address] = powers.get(address, 0) + step
        left, moves, total = left - step, moves - 1, total + step
    return _set_of(powers)


def _changes(higher: dict[Address, int], lower: dict[Address, int]) -> list[tuple[Address, int]]:
    """By how much `higher` exceeds `lower`, where it does; the smallest first."""
    found = [
        (address, power - lower.get(address, 0))
        for address, power in higher.items()
        if power > lower.get(address, 0)
    ]
    return sorted(found, key=lambda change: (change[1], change[0]))


def protocol_call(
    view: StateView, number: int, parent_hash: Hash, machine: Machine, config: ChainConfig
) -> bytes | None:
    """What the protocol calls the contract with before the transactions of block `number`.

    `view` is its parent's state. The first block tells the hash of genesis; the first block
    of each later epoch moves the seats. None: nothing is due.
    """
    length = config.ledger.epoch_length
    if number == 1:
        return (
            abi.encode_call("begin(bytes32)", parent_hash) if has_contract(view, config) else None
        )
    if not length or (number - 1) % length or not has_contract(view, config):
        return None
    try:
        return moves_call(*_read_next(view, machine))
    except Rejected:
        return None  # see `read_set`


def moves_call(before: ValidatorSet | None, after: ValidatorSet) -> bytes:
    """The call that turns the contract's newest set from `before` into `after`.

    At most MOVES_MAX validators may differ. None: the set before lacks all of `after`.
    """
    old: dict[Address, int] = {}
    if before is not None:
        old = {validator.address: validator.power for validator in before.validators}
    new = {validator.address: validator.power for validator in after.validators}
    gone = [_pack(address, 0) for address in sorted(old.keys() - new.keys())]
    rest = [
        _pack(address, new[address]) for address in sorted(new) if new[address] != old.get(address)
    ]
    return abi.encode_call("move_seats(uint256[])", gone + rest)


def _read_next(view: StateView, machine: Machine) -> tuple[ValidatorSet, ValidatorSet]:
    """The newest set that has seats, and the one that is to follow it."""
    newest = _set_of(_read_seats(view, machine)[0])
    (words,) = _read(view, machine, "candidates()", "uint256[]")
    able = [
        Validator(address, word & _POWER_MASK)
        for address, word in _unpack(words)
        if word & _POWER_MASK and not word & _JAILED
    ]
    limits = parameters_of(_read_raw(view, machine, PARAMETERS_CALL))
    return newest, next_set(newest, able, limits.seats_max)


def _read_seats(view: StateView, machine: Machine) -> tuple[dict[Address, int], dict[Address, int]]:
    """Powers in the newest set, and those that were different in the one before."""
    seats, replaced = _read(view, machine, "seats()", "uint256[]", "uint256[]")
    return (
        {address: word & _POWER_MASK for address, word in _unpack(seats)},
        {address: word & _POWER_MASK for address, word in _unpack(replaced)},
    )


def _read(view: StateView, machine: Machine, signature: str, *types: str) -> tuple[Any, ...]:
    return abi.decode_result(types, _read_raw(view, machine, abi.encode_call(signature)))


def _read_raw(view: StateView, machine: Machine, data: bytes) -> bytes:
    """The answer of a reading call. It depends on the state alone, so any block will do."""
    state = State(view)
    message = Message(
        caller=SYSTEM_ADDRESS,
        to=STAKING_ADDRESS,
        address=STAKING_ADDRESS,
        value=0,
        data=data,
        gas=READ_GAS,
        code=state.code(STAKING_ADDRESS),
        code_address=STAKING_ADDRESS,
        static=True,
    )
    outcome = machine.execute(
        message, state, _ANY_BLOCK, TransactionContext(SYSTEM_ADDRESS, 0), forks.OSAKA
    )
    if outcome.halt is not None:
        raise Rejected(Reason.SYSTEM_CALL_FAILED, f"reading the validators: {outcome.halt.value}")
    return outcome.output


_ANY_BLOCK: Final = BlockContext(
    number=0,
    timestamp=0,
    coinbase=ZERO_ADDRESS,
    gas_limit=READ_GAS,
    chain_id=0,
    base_fee=0,
    randomness=0,
    blob_base_fee=1,
    block_hash=lambda number: ZERO_HASH,
)


def _set_of(powers: dict[Address, int]) -> ValidatorSet:
    return validator_set([Validator(address, power) for address, power in powers.items() if power])


def _pack(address: Address, power: int) -> int:
    return int.from_bytes(address, "big") << _ADDRESS_SHIFT | power


def _unpack(words: Sequence[int]) -> list[tuple[Address, int]]:
    return [(Address((word >> _ADDRESS_SHIFT).to_bytes(20, "big")), word) for word in words]


# -- calls -----------------------------------------------------------------------------------------

CANDIDATES_CALL: Final = abi.encode_call("candidates()")
SEATS_CALL: Final = abi.encode_call("seats()")
PARAMETERS_CALL: Final = abi.encode_call("parameters()")


def stake_call(validator: Address, instead_of: Address | None = None) -> bytes:
    """Add the transaction's value to a validator's stake; the caller is or becomes its owner."""
    if instead_of is None:
        return abi.encode_call("stake(address)", validator)
    return abi.encode_call("stake(address,address)", validator, instead_of)


def unstake_call(validator: Address, amount: int) -> bytes:
    """Begin to take `amount` wei of a validator's stake out."""
    return abi.encode_call("unstake(address,uint256)", validator, amount)


def withdraw_call(validator: Address) -> bytes:
    """Pay out what has unbonded."""
    return abi.encode_call("withdraw(address)", validator)


def unjail_call(validator: Address) -> bytes:
    """Be a candidate again after the time in jail."""
    return abi.encode_call("unjail(address)", validator)


def slash_call(evidence: Evidence) -> bytes:
    """Have the validator punished that contradicted itself."""
    votes = (_vote_value(evidence.first), _vote_value(evidence.second))
    return abi.encode_call(f"slash({_VOTE},{_VOTE})", *votes)


def rows_call(validators: Sequence[Address]) -> bytes:
    """Ask for what is known of at most ROWS_MAX validators."""
    return abi.encode_call("rows(address[])", list(validators))


def _vote_value(vote: Vote) -> tuple[object, ...]:
    ballot, signature = vote.ballot, vote.signature
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    return (
        int(ballot.kind), ballot.epoch, ballot.view, ballot.block_hash, ballot.parent_view,
        r, s, signature[64],
    )  # fmt: skip


# -- answers; all raise BAD_ABI --------------------------------------------------------------------


def parameters_of(answer: bytes) -> Parameters:
    """The answer to PARAMETERS_CALL."""
    return Parameters(*abi.decode_result(("uint256",) * 6, answer))


def rows_of(answer: bytes) -> tuple[Row, ...]:
    """The answer to `rows_call`, in the order asked for."""
    (rows,) = abi.decode_result((f"{_ROW}[]",), answer)
    return tuple(Row(*row) for row in rows)


def addresses_of(candidates: bytes, seats: bytes) -> tuple[Address, ...]:
    """Everybody with stake or a seat, ascending; from the answers to the two calls so named."""
    (staked,) = abi.decode_result(("uint256[]",), candidates)
    seated, replaced = abi.decode_result(("uint256[]", "uint256[]"), seats)
    return tuple(sorted({address for address, _ in _unpack((*staked, *seated, *replaced))}))
