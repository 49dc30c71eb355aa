"""How the set of validators follows the stakes: `next_set`, and reading it from a ledger."""

from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from chain import abi, forks, staking
from chain.activation import config_of
from chain.commitment import commit
from chain.errors import Reason, Rejected
from chain.execution import BlockBuilder, apply_block
from chain.genesis import GenesisAccount, dev_genesis, genesis_block, genesis_delta
from chain.headers import header_hash
from chain.ledger_rules import GenesisValidator, LedgerRules
from chain.staking import MOVES_MAX, STAKING_ADDRESS, next_set
from chain.types import ZERO_HASH, Address
from chain.validators import POWER_MAX, Validator, ValidatorSet, validator_set
from chain.views import EmptyView, Overlay
from contracts.system import validators_alloc
from tests.contracts.system.stake_ledger import (
    COIN,
    MACHINE,
    StakeLedger,
    account,
    double_vote,
)

OWNER: Final = 50


def address(number: int) -> Address:
    return Address(number.to_bytes(20, "big"))


def members(powers: dict[int, int]) -> list[Validator]:
    return [Validator(address(number), power) for number, power in powers.items()]


def powers_of(validators: ValidatorSet) -> dict[int, int]:
    return {int.from_bytes(each.address, "big"): each.power for each in validators.validators}


def following(
    current: dict[int, int], wanted: dict[int, int], seats_max: int = 1024
) -> dict[int, int]:
    return powers_of(next_set(validator_set(members(current)), members(wanted), seats_max))


# -- the rule --------------------------------------------------------------------------------------


def test_what_fits_an_epoch_changes_at_once() -> None:
    assert following({1: 100, 2: 100}, {1: 100, 2: 90, 3: 50}) == {1: 100, 2: 90, 3: 50}


def test_what_goes_down_goes_first_and_the_rest_waits() -> None:
    """Of 300 power 99 may change: 60 leave, and 39 of the 100 come."""
    assert following({1: 240, 2: 60}, {1: 240, 3: 100}) == {1: 240, 3: 39}


def test_of_those_that_go_down_the_smallest_and_the_lower_address_is_first() -> None:
    """So seats become free, instead of all shrinking together."""
    assert following({1: 60, 2: 50, 3: 50, 4: 80}, {4: 80}) == {1: 60, 3: 21, 4: 80}
    assert following({1: 60, 2: 51, 3: 49, 4: 80}, {4: 80}) == {1: 60, 2: 21, 4: 80}


def test_the_smallest_stakes_wait_outside() -> None:
    current = {1: 100, 2: 100, 3: 100}
    wanted = {1: 100, 2: 100, 3: 100, 4: 99, 5: 101}
    assert following(current, wanted, 4) == {1: 100, 2: 100, 3: 100, 5: 99}
    # The seat that a larger stake is to take must be free first.
    assert following(current, wanted, 3) == {1: 100, 2: 100, 3: 1}
    assert following({1: 100, 2: 100, 3: 1}, wanted, 3) == {1: 100, 2: 100, 5: 65}


def test_when_nobody_is_wanted_nothing_changes() -> None:
    assert following({1: 100, 2: 50}, {}) == {1: 100, 2: 50}


def test_three_power_or_less_moves_by_one() -> None:
    """A third of three is one, and one is not less; but a ledger may begin with one."""
    assert following({1: 1}, {1: 1, 2: 5}) == {1: 1, 2: 1}
    assert following({1: 1, 2: 1}, {1: 1, 2: 5}) == {1: 1, 2: 2}
    assert following({1: 1, 2: 1, 3: 1}, {1: 1, 2: 1}) == {1: 1, 2: 1}
    assert following({1: 1}, {2: 1}) == {1: 1, 2: 1}
    assert following({1: 1, 2: 1}, {2: 1}) == {2: 1}
    four = dict.fromkeys((1, 2, 3, 4), 1)
    assert following(four, {**four, 5: 1}) == {**four, 5: 1}


def test_only_so_many_seats_change_at_once() -> None:
    current = dict.fromkeys(range(1, 501), 10)
    after = following(current, dict.fromkeys(range(301, 801), 10))
    assert sum(current.get(n) != after.get(n) for n in range(1, 801)) == MOVES_MAX
    assert after == dict.fromkeys(range(1 + MOVES_MAX, 501), 10)


_sets: Final = st.dictionaries(st.integers(1, 30), st.integers(1, 10**6), min_size=1, max_size=20)


@given(_sets, st.dictionaries(st.integers(1, 30), st.integers(1, 10**6)), st.integers(1, 12))
def test_a_set_changes_by_less_than_a_third_and_is_never_empty(
    current: dict[int, int], wanted: dict[int, int], seats_max: int
) -> None:
    after = following(current, wanted, seats_max)
    change = sum(abs(after.get(n, 0) - current.get(n, 0)) for n in current | after)
    total = sum(current.values())
    assert 3 * change < total or (total <= 3 and change == 1)
    assert after
    assert len(after) <= max(len(current), seats_max)
    assert after.keys() <= current.keys() | wanted.keys()


@given(_sets, _sets, st.integers(1, 12))
def test_the_order_of_the_candidates_does_not_matter(
    current: dict[int, int], wanted: dict[int, int], seats_max: int
) -> None:
    backwards = dict(reversed(list(wanted.items())))
    assert following(current, wanted, seats_max) == following(current, backwards, seats_max)


@settings(max_examples=50)
@given(
    st.dictionaries(st.integers(1, 30), st.integers(1, 1000), min_size=1, max_size=20),
    st.dictionaries(st.integers(1, 30), st.integers(1, 1000), min_size=1, max_size=20),
    st.integers(2, 12),
)
def test_with_enough_epochs_the_set_is_what_the_stakes_ask_for(
    current: dict[int, int], wanted: dict[int, int], seats_max: int
) -> None:
    """Whatever the sets are, power moves on until it is there."""
    ranked = sorted(wanted.items(), key=lambda item: (-item[1], item[0]))
    target = dict(ranked[:seats_max])
    for _ in range(100):
        if current == target:
            break
        current = following(current, wanted, seats_max)
    assert current == target


def test_the_whole_set_keeps_within_what_sums_can_hold() -> None:
    after = following({1: POWER_MAX - 5}, {1: POWER_MAX - 5, 2: 100})
    assert after == {1: POWER_MAX - 5, 2: 5}


# -- reading a ledger ------------------------------------------------------------------------------


def test_a_ledger_without_the_contract_keeps_its_set() -> None:
    current = validator_set(members({1: 5, 2: 6}))
    rules = LedgerRules(validators=(GenesisValidator(address(1), 5),), epoch_length=3)
    config = config_of(forks.OSAKA)
    for view, given_config in (
        (EmptyView(), config),
        (EmptyView(), replace(config, ledger=rules)),
        (StakeLedger().view, config),
    ):
        assert staking.read_set(view, MACHINE, given_config, current) is current
        assert staking.read_sets(view, MACHINE, given_config) is None
        assert staking.protocol_call(view, 1, ZERO_HASH, MACHINE, given_config) is None
        assert staking.protocol_call(view, 4, ZERO_HASH, MACHINE, given_config) is None


@pytest.mark.parametrize(
    "code", [b"\xfe", b"\x00", bytes.fromhex("5b5f56"), bytes.fromhex("60206000f3")]
)
def test_a_contract_that_is_not_ours_leaves_the_set_as_it_is(code: bytes) -> None:
    """It fails, says nothing, runs until its gas is gone, or answers what is no list."""
    current = validator_set(members({1: 5, 2: 6}))
    rules = LedgerRules(validators=(GenesisValidator(address(1), 5),), epoch_length=3)
    config = replace(config_of(forks.OSAKA), ledger=rules)
    delta = genesis_delta({STAKING_ADDRESS: GenesisAccount(nonce=1, code=code)})
    view = Overlay(EmptyView(), commit(EmptyView(), delta))
    assert staking.read_set(view, MACHINE, config, current) is current
    assert staking.read_sets(view, MACHINE, config) is None
    assert staking.protocol_call(view, 4, ZERO_HASH, MACHINE, config) is None


def test_who_stakes_in_an_epoch_votes_two_epochs_later() -> None:
    ledger = StakeLedger()
    ledger.pass_blocks(1)
    ledger.stake(OWNER, 5, 60 * COIN)
    ledger.to_epoch(3)
    voting = [sets.index_of(account(5)) is not None for sets in ledger.sets[:4]]
    assert voting == [False, False, True, True]
    assert [ledger.had_seat(5, epoch) for epoch in range(4)] == voting
    ledger.unstake(OWNER, 5, 60 * COIN)
    ledger.to_epoch(5)
    assert [ledger.had_seat(5, epoch) for epoch in range(6)] == [
        False, False, True, True, True, False,
    ]  # fmt: skip


def test_both_sets_can_be_read_at_any_height() -> None:
    """A node that starts in the middle finds the sets that others have agreed on before."""
    ledger = StakeLedger()
    for height in range(1, 75):
        ledger.pass_blocks(1)
        if height == 3:
            ledger.stake(OWNER, 5, 300 * COIN)
        if height == 35:
            ledger.slash(OWNER, double_vote(2, epoch=3))
        found = staking.read_sets(ledger.view, MACHINE, ledger.config)
        assert found is not None
        assert found == (ledger.sets[ledger.epoch], ledger.sets[ledger.epoch + 1])


def test_a_block_that_is_checked_moves_the_seats_as_the_one_that_was_built() -> None:
    """The protocol's own calls are part of running a block, with and without transactions."""
    rules = LedgerRules(
        validators=tuple(GenesisValidator(account(number), 100) for number in (1, 2, 3, 4)),
        epoch_length=3,
    )
    plain = dev_genesis()
    genesis = replace(
        plain,
        config=replace(plain.config, ledger=rules),
        alloc={**plain.alloc, STAKING_ADDRESS: validators_alloc(rules, MACHINE)},
    )
    block, delta = genesis_block(genesis)
    view = Overlay(EmptyView(), commit(EmptyView(), delta))
    parent = block.header
    first_hash = header_hash(parent)
    for height in range(1, 8):
        builder = BlockBuilder(
            view, parent, MACHINE, genesis.config, lambda number: ZERO_HASH,
            timestamp=height, coinbase=account(1), gas_limit=parent.gas_limit, randomness=ZERO_HASH,
        )  # fmt: skip
        built = builder.seal()
        checked = apply_block(
            view, built.block, parent, MACHINE, genesis.config, lambda number: ZERO_HASH
        )
        assert checked.hash == built.hash
        assert (STAKING_ADDRESS in built.changes.accounts) == (height == 1)
        view = Overlay(view, built.changes)
        parent = built.block.header
        assert view.storage(STAKING_ADDRESS, 0) == int.from_bytes(first_hash, "big")


# -- bounds ----------------------------------------------------------------------------------------


def test_the_largest_lists_are_read_within_their_gas(monkeypatch: pytest.MonkeyPatch) -> None:
    """1024 seats and as many candidates more: a quarter of the gas that reading has."""
    ledger = StakeLedger(dict.fromkeys(range(1, 1025), 10), seats_max=1024)
    ledger.pass_blocks(1)
    for number in range(2000, 3024):
        ledger.stake(OWNER, number, 10 * COIN)
    assert len(ledger.sets[0].validators) == 1024
    monkeypatch.setattr(staking, "READ_GAS", staking.READ_GAS // 4)
    other = validator_set(members({1: 1}))
    newest = staking.read_set(ledger.view, MACHINE, ledger.config, other)
    assert newest is not other
    assert len(newest.validators) == 1024 - MOVES_MAX


def test_the_most_moves_of_an_epoch_stay_within_the_gas_of_the_protocol() -> None:
    """64 seats are given up and 64 taken for the first time, the dearest of all moves."""
    ledger = StakeLedger(dict.fromkeys(range(1, 1025), 10), seats_max=1024)
    ledger.pass_blocks(1)
    for number in range(1, 65):
        ledger.unstake(number, number, 10 * COIN)
        ledger.stake(OWNER, 2000 + number, 10 * COIN)
    ledger.pass_blocks(9)
    data = staking.protocol_call(ledger.view, 11, ZERO_HASH, MACHINE, ledger.config)
    assert data is not None
    (moves,) = abi.decode_call("move_seats(uint256[])", data)
    assert len(moves) == MOVES_MAX
    ledger.pass_blocks(1)
    assert 5_000_000 < ledger.gas_used < forks.SYSTEM_CALL_GAS // 2
    assert ledger.sets[2].index_of(account(2001)) is not None


def test_a_genesis_that_the_contract_cannot_hold_is_refused() -> None:
    def reason(rules: LedgerRules, **options: int) -> Reason:
        with pytest.raises(Rejected) as caught:
            validators_alloc(rules, MACHINE, **options)
        return caught.value.reason

    two = tuple(GenesisValidator(address(number), 1) for number in (1, 2))
    for rules, options in (
        (LedgerRules(), {}),
        (LedgerRules(validators=two[:1]), {"seats_max": 1}),
        (LedgerRules(validators=(*two, GenesisValidator(address(3), 1))), {"seats_max": 2}),
        (LedgerRules(validators=two), {"seats_max": 1025}),
        (LedgerRules(validators=two), {"unit": 0}),
        (LedgerRules(validators=two, evidence_age=10, unbonding=10), {}),
        (LedgerRules(validators=two, epoch_length=2**48 + 1), {}),
        (LedgerRules(validators=(GenesisValidator(address(1), POWER_MAX + 1),)), {}),
    ):
        assert reason(rules, **options) is Reason.BAD_GENESIS


def test_the_stake_of_a_genesis_is_backed_and_owned() -> None:
    ledger = StakeLedger({1: 3, 2: 4})
    assert ledger.made.balance == 7 * COIN
    for number, power in ((1, 3), (2, 4)):
        row = ledger.row(number)
        assert (row.owner, row.stake, row.seat) == (account(number), power * COIN, power)
    words = staking.parameters_of(ledger.read(staking.PARAMETERS_CALL))
    assert (words.unit, words.seats_max, words.epoch_length) == (COIN, 8, 10)
    assert (words.evidence_age, words.unbonding, words.jail) == (100, 150, 40)


def test_everybody_with_stake_or_seat_is_listed_once() -> None:
    ledger = StakeLedger({1: 100, 2: 100})
    ledger.pass_blocks(1)
    ledger.stake(OWNER, 5, COIN)
    ledger.unstake(2, 2, 100 * COIN)
    listed = staking.addresses_of(
        ledger.read(staking.CANDIDATES_CALL), ledger.read(staking.SEATS_CALL)
    )
    assert listed == tuple(sorted(account(number) for number in (1, 2, 5)))
