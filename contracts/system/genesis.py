"""The validator contract as a genesis holds it: already made, with the first validators seated.

The constructor and the first stakes run on the machine when the genesis is written, so that
a genesis file is plain: code, storage and balance, for every client the same.
"""

import json
from importlib.resources import files
from typing import Final

from msgspec import Struct

from chain import abi, forks
from chain.errors import Fault, Reason, Rejected
from chain.forks import SYSTEM_ADDRESS
from chain.genesis import GenesisAccount
from chain.ledger_rules import LedgerRules
from chain.machine import BlockContext, Machine, Message, TransactionContext
from chain.staking import MOVES_MAX, STAKING_ADDRESS, moves_call, stake_call
from chain.state import State
from chain.types import ZERO_ADDRESS, ZERO_HASH, Address
from chain.validators import VALIDATORS_MAX, Validator, ValidatorSet, validator_set
from chain.views import EmptyView

STAKE_UNIT: Final = 10**18  # wei of stake for one power
JAIL: Final = 10_000  # heights
_GAS: Final = 10**9  # nobody pays it; 128 seats take 15 million
_CONSTRUCTOR: Final = ("uint256",) * 6


class Artefact(Struct, frozen=True):
    """What the compiler made of the source."""

    abi: list[dict[str, object]]
    bytecode: bytes  # that makes the contract; the constructor's arguments follow it
    runtime: bytes  # without the immutables, which the constructor appends


def load_artefact() -> Artefact:
    """The committed artefact of validators.vy."""
    made = json.loads(files(__package__).joinpath("validators.json").read_text("utf-8"))
    return Artefact(
        abi=made["abi"],
        bytecode=bytes.fromhex(made["bytecode"].removeprefix("0x")),
        runtime=bytes.fromhex(made["runtime"].removeprefix("0x")),
    )


def validators_alloc(
    rules: LedgerRules,
    machine: Machine,
    *,
    unit: int = STAKE_UNIT,
    seats_max: int = VALIDATORS_MAX,
    jail: int = JAIL,
) -> GenesisAccount:
    """The account at STAKING_ADDRESS of a ledger with these rules.

    `unit` is the stake in wei that gives one power, `seats_max` the most validators of a set,
    `jail` the heights that an offender waits before it may come back. Each validator of the
    rules owns a stake of its power, which the account's balance backs. Raises BAD_GENESIS for
    what the contract does not take: no validators, more than seats, heights out of range.
    """
    first = validator_set([Validator(each.address, each.power) for each in rules.validators])
    if len(first.validators) > seats_max:
        raise Rejected(
            Reason.BAD_GENESIS, f"{len(first.validators)} validators for {seats_max} seats"
        )
    making = _Making(machine)
    making.deploy(unit, seats_max, rules.epoch_length, rules.evidence_age, rules.unbonding, jail)
    for validator in first.validators:
        making.stake(validator.address, validator.power * unit)
    making.seat(first)
    return making.account()


class _Making:
    """A state with nothing in it but the contract, at height 0."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._state = State(EmptyView())

    def deploy(self, *parameters: int) -> None:
        code = load_artefact().bytecode + abi.encode(_CONSTRUCTOR, parameters)
        self._run(SYSTEM_ADDRESS, None, code, b"", 0)

    def stake(self, validator: Address, amount: int) -> None:
        self._state.set_balance(validator, amount)
        self._call(validator, stake_call(validator), amount)

    def seat(self, validators: ValidatorSet) -> None:
        """Seat the first set; the call at the end leaves no trace of a set before it."""
        members = validators.validators
        for start in range(0, len(members), MOVES_MAX):
            part = validator_set(members[start : start + MOVES_MAX])
            self._call(SYSTEM_ADDRESS, moves_call(None, part), 0)
        self._call(SYSTEM_ADDRESS, moves_call(validators, validators), 0)

    def account(self) -> GenesisAccount:
        state = self._state
        storage = state.delta().storage.get(STAKING_ADDRESS, {})
        return GenesisAccount(
            balance=state.balance(STAKING_ADDRESS),
            nonce=1,
            code=state.code(STAKING_ADDRESS),
            storage=dict(sorted(storage.items())),
        )

    def _call(self, caller: Address, data: bytes, value: int) -> None:
        self._run(caller, STAKING_ADDRESS, self._state.code(STAKING_ADDRESS), data, value)

    def _run(
        self, caller: Address, to: Address | None, code: bytes, data: bytes, value: int
    ) -> None:
        message = Message(
            caller=caller,
            to=to,
            address=STAKING_ADDRESS,
            value=value,
            data=data,
            gas=_GAS,
            code=code,
            code_address=STAKING_ADDRESS,
        )
        state = self._state
        state.begin_transaction()
        outcome = self._machine.execute(
            message, state, _HEIGHT_ZERO, TransactionContext(caller, 0), forks.OSAKA
        )
        state.end_transaction(forks.OSAKA)
        if outcome.halt is not None:
            words = abi.decode_revert(outcome.output)
            if words is None:
                raise Fault(f"the validator contract can't be made: {outcome.halt.value}")
            raise Rejected(Reason.BAD_GENESIS, f"the validator contract: {words}")


_HEIGHT_ZERO: Final = BlockContext(
    number=0,
    timestamp=0,
    coinbase=ZERO_ADDRESS,
    gas_limit=_GAS,
    chain_id=0,
    base_fee=0,
    randomness=0,
    blob_base_fee=1,
    block_hash=lambda number: ZERO_HASH,
)
