"""The validator contract against a model in plain Python, by random lives of a ledger."""

from typing import Final

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from chain.staking import STAKING_ADDRESS
from chain.types import ZERO_ADDRESS
from tests.contracts.system.stake_ledger import (
    COIN,
    Reverted,
    StakeLedger,
    account,
    double_vote,
)

EPOCH: Final = 5
AGE: Final = 12
UNBONDING: Final = 17
JAIL: Final = 9
SEATS: Final = 4
NUMBERS: Final = range(1, 12)  # keys of validators and owners
numbers: Final = st.sampled_from(NUMBERS)


class Position:
    """A validator's stake in the model."""

    def __init__(self) -> None:
        self.owner = 0  # nobody
        self.stake = 0
        self.unbonding = 0
        self.release = 0
        self.jailed_until = 0

    @property
    def power(self) -> int:
        return self.stake // COIN

    @property
    def able(self) -> bool:
        return self.power > 0 and not self.jailed_until


class Model:
    """What the contract is to do: each call gives its refusal, or None and takes effect.

    Seats are told to it; which they are is `next_set`'s business, tested with chain.staking.
    """

    def __init__(self, powers: dict[int, int]) -> None:
        self.height = 1
        self.positions = {number: Position() for number in NUMBERS}
        for number, power in powers.items():
            self.positions[number].owner = number
            self.positions[number].stake = power * COIN
        self.seats = dict(powers)  # of the newest set
        self.members = [set(powers), set(powers)]  # by epoch
        self.paid = dict.fromkeys(NUMBERS, 0)
        self.burnt = 0
        self.punished: set[tuple[int, int]] = set()

    @property
    def epoch(self) -> int:
        return (self.height - 1) // EPOCH

    def able(self) -> int:
        return sum(position.able for position in self.positions.values())

    def stake(self, owner: int, validator: int, amount: int, other: int | None) -> str | None:
        position = self.positions[validator]
        if position.owner not in (0, owner):
            return "not the owner"
        if not amount:
            return "nothing staked"
        if position.stake + amount < COIN:
            return "stake below one unit"
        listed = [number for number in NUMBERS if self.positions[number].stake]
        if not position.stake and len(listed) >= 2 * SEATS:
            if other is None:
                return "no place free"
            if other not in listed:
                return "not a candidate"
            if other in self.seats:
                return "the other has a seat"
            if self.positions[other].stake >= position.stake + amount:
                return "the other has as much"
            self._unbond(other, self.positions[other].stake)
        position.owner = owner
        position.stake += amount
        return None

    def unstake(self, caller: int, validator: int, amount: int) -> str | None:
        position = self.positions[validator]
        if not position.owner:
            return "not staked"
        if caller not in (position.owner, validator):
            return "not the owner"
        if not amount:
            return "nothing to unstake"
        if amount > position.stake:
            return "more than the stake"
        left = position.stake - amount
        if 0 < left < COIN:
            return "stake below one unit"
        if position.able and not left and self.able() == 1:
            return "the last validator"
        self._unbond(validator, amount)
        return None

    def _unbond(self, validator: int, amount: int) -> None:
        position = self.positions[validator]
        position.stake -= amount
        position.unbonding += amount
        position.release = max(
            position.release,
            self.height + UNBONDING,
            (self.epoch + 2) * EPOCH + AGE + 1,
        )

    def withdraw(self, caller: int, validator: int) -> str | None:
        position = self.positions[validator]
        if caller != position.owner:
            return "not the owner"
        if not position.unbonding:
            return "nothing to withdraw"
        if self.height < position.release:
            return "still unbonding"
        if self.seats.get(validator, 0) * COIN > position.stake:
            return "still seated"
        self.paid[caller] += position.unbonding
        position.unbonding = position.release = 0
        if not position.stake:
            position.owner = 0
        return None

    def unjail(self, caller: int, validator: int) -> str | None:
        position = self.positions[validator]
        if caller != position.owner:
            return "not the owner"
        if not position.jailed_until:
            return "not jailed"
        if self.height < position.jailed_until:
            return "still jailed"
        position.jailed_until = 0
        return None

    def slash(self, reporter: int, validator: int, epoch: int) -> str | None:
        position = self.positions[validator]
        if epoch > self.epoch:
            return "not yet that epoch"
        if self.height > (epoch + 1) * EPOCH + AGE:
            return "too old"
        if validator not in self.members[epoch]:
            return "not a validator then"
        if (validator, epoch) in self.punished:
            return "punished already"
        self.punished.add((validator, epoch))
        penalty = position.stake // 10 + position.unbonding // 10
        position.stake -= position.stake // 10
        position.unbonding -= position.unbonding // 10
        position.jailed_until = max(position.jailed_until, self.height + JAIL)
        self.paid[reporter] += penalty // 10
        self.burnt += penalty - penalty // 10
        return None

    def move_seats(self, seats: dict[int, int]) -> None:
        """At an epoch's first block: the set of the epoch after it."""
        for number, position in self.positions.items():
            if seats.get(number, 0) < self.seats.get(number, 0) and position.unbonding:
                position.release = max(position.release, (self.epoch + 1) * EPOCH + AGE + 1)
        self.seats = seats
        self.members.append(set(seats))


class LivesOfValidators(RuleBasedStateMachine):
    """The same calls to the contract and to the model."""

    @initialize(powers=st.dictionaries(numbers, st.integers(1, 40), min_size=1, max_size=SEATS))
    def begin(self, powers: dict[int, int]) -> None:
        self.ledger = StakeLedger(
            powers,
            epoch_length=EPOCH,
            evidence_age=AGE,
            unbonding=UNBONDING,
            jail=JAIL,
            seats_max=SEATS,
        )
        self.ledger.pass_blocks(1)
        self.model = Model(powers)
        self.total = sum(powers.values()) * COIN

    def agree(self, call: object, *arguments: object, model: str | None) -> None:
        found: str | None = None
        try:
            call(*arguments)  # type: ignore[operator]
        except Reverted as error:
            found = str(error)
        assert found == model

    amounts = st.one_of(
        st.integers(0, 50).map(lambda coins: coins * COIN), st.integers(0, 3 * COIN)
    )

    @rule(owner=numbers, validator=numbers, amount=amounts, other=st.none() | numbers)
    def stake(self, owner: int, validator: int, amount: int, other: int | None) -> None:
        expected = self.model.stake(owner, validator, amount, other)
        self.agree(self.ledger.stake, owner, validator, amount, other, model=expected)
        if expected is None:
            self.total += amount

    @rule(data=st.data(), validator=numbers, share=st.sampled_from((1, 2, 3)), stranger=numbers)
    def unstake(self, data: st.DataObject, validator: int, share: int, stranger: int) -> None:
        position = self.model.positions[validator]
        caller = data.draw(st.sampled_from((position.owner or stranger, stranger)))
        amount = position.stake // share // COIN * COIN if share > 1 else position.stake
        expected = self.model.unstake(caller, validator, amount)
        self.agree(self.ledger.unstake, caller, validator, amount, model=expected)

    @rule(validator=numbers)
    def withdraw(self, validator: int) -> None:
        caller = self.model.positions[validator].owner or validator
        expected = self.model.withdraw(caller, validator)
        self.agree(self.ledger.withdraw, caller, validator, model=expected)

    @rule(validator=numbers)
    def unjail(self, validator: int) -> None:
        caller = self.model.positions[validator].owner or validator
        expected = self.model.unjail(caller, validator)
        self.agree(self.ledger.unjail, caller, validator, model=expected)

    @rule(reporter=numbers, validator=numbers, back=st.integers(-1, 5))
    def slash(self, reporter: int, validator: int, back: int) -> None:
        epoch = max(self.model.epoch - back, 0)
        expected = self.model.slash(reporter, validator, epoch)
        evidence = double_vote(validator, epoch=epoch)
        self.agree(self.ledger.slash, reporter, evidence, model=expected)

    @rule(count=st.sampled_from((1, 2, EPOCH, 3 * EPOCH)))
    def pass_blocks(self, count: int) -> None:
        for _ in range(count):
            self.ledger.pass_blocks(1)
            self.model.height += 1
            if (self.model.height - 1) % EPOCH == 0:
                known = {account(number): number for number in NUMBERS}
                newest = self.ledger.sets[-1].validators
                self.model.move_seats({known[each.address]: each.power for each in newest})

    @invariant()
    def everything_is_accounted_for(self) -> None:
        ledger, model = self.ledger, self.model
        for number, row in ledger.rows(list(NUMBERS)).items():
            position = model.positions[number]
            assert row.owner == (account(position.owner) if position.owner else ZERO_ADDRESS)
            assert (row.stake, row.unbonding) == (position.stake, position.unbonding)
            assert (row.release, row.jailed_until) == (position.release, position.jailed_until)
            assert (row.power, row.seat) == (position.power, model.seats.get(number, 0))
            assert row.voting == (number in model.members[model.epoch])
            assert ledger.balance(number) == model.paid[number]
        held = sum(each.stake + each.unbonding for each in model.positions.values())
        assert ledger.state.balance(STAKING_ADDRESS) == held
        assert held + sum(model.paid.values()) + model.burnt == self.total
        assert ledger.state.balance(ZERO_ADDRESS) == model.burnt


LivesOfValidators.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestLivesOfValidators = LivesOfValidators.TestCase
