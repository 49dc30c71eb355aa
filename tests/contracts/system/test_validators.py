"""The validator contract, case by case: every way in, every refusal, in its own words."""

from typing import Final

import pytest
from msgspec.structs import replace

from chain import abi, staking
from chain.crypto.secp256k1 import address_of
from chain.evidence import Evidence
from chain.forks import SYSTEM_ADDRESS
from chain.types import ZERO_ADDRESS, Hash
from chain.validators import Ballot, Domain, Vote, VoteKind, sign_ballot
from tests.contracts.system.stake_ledger import (
    CHAIN_ID,
    COIN,
    DOMAIN,
    GENESIS_HASH,
    Reverted,
    StakeLedger,
    account,
    double_vote,
    key,
)

OWNER: Final = 50
OTHER: Final = 51
NOTARIZE, NULLIFY, FINALIZE = VoteKind.NOTARIZE, VoteKind.NULLIFY, VoteKind.FINALIZE
ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


@pytest.fixture
def ledger() -> StakeLedger:
    """Four validators with power 100 each; epochs of 10, evidence for 100, unbonding 150."""
    ledger = StakeLedger()
    ledger.pass_blocks(1)
    return ledger


def refusal(call: object, *arguments: object) -> str:
    with pytest.raises(Reverted) as caught:
        call(*arguments)  # type: ignore[operator]
    return str(caught.value)


# -- stake -----------------------------------------------------------------------------------------


def test_stake_is_counted_in_units(ledger: StakeLedger) -> None:
    ledger.stake(OWNER, 5, 25 * COIN // 10)
    row = ledger.row(5)
    assert (row.owner, row.stake, row.power) == (account(OWNER), 25 * COIN // 10, 2)
    ledger.stake(OWNER, 5, COIN // 2)
    assert ledger.events("Staked(address,address,uint256,uint256)") == [
        (account(5), account(OWNER), COIN // 2, 3 * COIN)
    ]
    assert ledger.row(5).power == 3


def test_only_the_owner_adds_stake(ledger: StakeLedger) -> None:
    ledger.stake(OWNER, 5, COIN)
    assert refusal(ledger.stake, OTHER, 5, COIN) == "not the owner"
    assert refusal(ledger.stake, OTHER, 1, COIN) == "not the owner"


def test_stake_that_is_none_is_refused(ledger: StakeLedger) -> None:
    assert refusal(ledger.stake, OWNER, 5, 0) == "nothing staked"
    assert refusal(ledger.stake, OWNER, 5, COIN - 1) == "stake below one unit"
    call = staking.stake_call(ZERO_ADDRESS)
    assert refusal(ledger.run, account(OWNER), call, COIN) == "no validator named"


def test_power_beyond_what_sums_can_hold_is_refused(ledger: StakeLedger) -> None:
    assert refusal(ledger.stake, OWNER, 5, 2**60 * COIN) == "too much power"
    assert refusal(ledger.stake, OWNER, 5, 2**62 * COIN) == "too much power"
    ledger.stake(OWNER, 5, (2**60 - 400) * COIN)


def test_a_full_list_makes_place_for_a_larger_stake_only() -> None:
    """Twice as many candidates as seats; the one that gives way is named and gets all back."""
    ledger = StakeLedger({1: 100, 2: 100}, seats_max=2)
    ledger.pass_blocks(1)
    ledger.stake(OWNER, 5, 2 * COIN)
    ledger.stake(OWNER, 6, 3 * COIN)
    assert refusal(ledger.stake, OTHER, 7, 3 * COIN) == "no place free"
    assert refusal(ledger.stake, OTHER, 7, 3 * COIN, 6) == "the other has as much"
    assert refusal(ledger.stake, OTHER, 7, 300 * COIN, 1) == "the other has a seat"
    assert refusal(ledger.stake, OTHER, 7, 3 * COIN, 8) == "not a candidate"
    ledger.stake(OTHER, 7, 3 * COIN, 5)
    gone = ledger.row(5)
    assert (gone.stake, gone.unbonding, gone.owner) == (0, 2 * COIN, account(OWNER))
    assert ledger.row(7).stake == 3 * COIN
    ledger.pass_blocks(150)
    ledger.withdraw(OWNER, 5)
    assert ledger.balance(OWNER) == 2 * COIN


def test_unstaking_takes_effect_after_unbonding(ledger: StakeLedger) -> None:
    ledger.stake(OWNER, 5, 5 * COIN)
    ledger.unstake(OWNER, 5, 2 * COIN)
    assert ledger.events("Unstaked(address,address,uint256,uint256,uint256)") == [
        (account(5), account(OWNER), 2 * COIN, 3 * COIN, 151)
    ]
    ledger.pass_blocks(149)
    assert refusal(ledger.withdraw, OWNER, 5) == "still unbonding"
    ledger.pass_blocks(1)
    ledger.withdraw(OWNER, 5)
    assert ledger.events("Withdrawn(address,address,uint256)") == [
        (account(5), account(OWNER), 2 * COIN)
    ]
    assert ledger.balance(OWNER) == 2 * COIN
    assert refusal(ledger.withdraw, OWNER, 5) == "nothing to withdraw"


def test_a_second_unstaking_joins_the_first_and_delays_it(ledger: StakeLedger) -> None:
    ledger.stake(OWNER, 5, 5 * COIN)
    ledger.unstake(OWNER, 5, COIN)
    ledger.pass_blocks(100)
    ledger.unstake(OWNER, 5, COIN)
    row = ledger.row(5)
    assert (row.unbonding, row.release) == (2 * COIN, ledger.height + 150)


def test_what_cannot_be_unstaked_is_refused(ledger: StakeLedger) -> None:
    ledger.stake(OWNER, 5, 2 * COIN)
    assert refusal(ledger.unstake, OWNER, 6, COIN) == "not staked"
    assert refusal(ledger.unstake, OTHER, 5, COIN) == "not the owner"
    assert refusal(ledger.unstake, OWNER, 5, 0) == "nothing to unstake"
    assert refusal(ledger.unstake, OWNER, 5, 2 * COIN + 1) == "more than the stake"
    assert refusal(ledger.unstake, OWNER, 5, COIN + 1) == "stake below one unit"
    assert refusal(ledger.withdraw, OTHER, 5) == "not the owner"


def test_a_validator_sends_away_an_owner_it_did_not_choose(ledger: StakeLedger) -> None:
    """Its coins are the owner's all the same, and then the place is free."""
    ledger.stake(OTHER, 5, 2 * COIN)
    ledger.unstake(5, 5, 2 * COIN)
    assert refusal(ledger.stake, 5, 5, COIN) == "not the owner"
    ledger.pass_blocks(150)
    ledger.withdraw(OTHER, 5)
    assert ledger.balance(OTHER) == 2 * COIN
    ledger.stake(5, 5, COIN)
    assert ledger.row(5).owner == account(5)


def test_the_last_validator_cannot_leave() -> None:
    ledger = StakeLedger({1: 100, 2: 100})
    ledger.pass_blocks(1)
    ledger.unstake(2, 2, 100 * COIN)
    assert refusal(ledger.unstake, 1, 1, 100 * COIN) == "the last validator"
    ledger.unstake(1, 1, 99 * COIN)


def test_stake_stays_until_the_seat_is_given_up_and_its_votes_are_old() -> None:
    """A seat that is worth too much to go at once holds its stake longer than unbonding."""
    ledger = StakeLedger(evidence_age=20, unbonding=25)
    ledger.pass_blocks(1)
    first, last = sorted((1, 2), key=account)
    ledger.unstake(first, first, 100 * COIN)
    ledger.unstake(last, last, 100 * COIN)
    # It has its seat in epoch 1 at least, which ends at height 20.
    assert ledger.row(last).release == 20 + 20 + 1
    # Of 400 power 133 may go per epoch: 100 and 33, then 67.
    ledger.to_epoch(1)
    assert (ledger.row(first).seat, ledger.row(last).seat) == (0, 67)
    ledger.to_epoch(2)
    assert ledger.row(last).seat == 0
    assert ledger.row(last).voting
    # Epoch 2 is the last one that it votes in; it ends at height 30.
    assert ledger.row(last).release == 30 + 20 + 1
    ledger.pass_blocks(41 - ledger.height)
    ledger.withdraw(first, first)
    assert refusal(ledger.withdraw, last, last) == "still unbonding"
    ledger.pass_blocks(10)
    ledger.withdraw(last, last)
    assert ledger.balance(last) == 100 * COIN


def test_no_coins_leave_while_a_seat_is_worth_more_than_the_stake() -> None:
    """A seat waits behind smaller ones that leave, longer than a short unbonding."""
    ledger = StakeLedger({1: 60, 2: 60, 3: 3, 4: 61}, evidence_age=1, unbonding=2)
    ledger.pass_blocks(1)
    for number, power in ((1, 60), (2, 60), (4, 61)):
        ledger.unstake(number, number, power * COIN)
    ledger.pass_blocks(21)
    assert (ledger.row(4).release, ledger.row(4).seat) == (ledger.height, 61)
    assert refusal(ledger.withdraw, 4, 4) == "still seated"


def test_in_an_endless_epoch_the_stake_of_a_seat_stays() -> None:
    ledger = StakeLedger(epoch_length=0)
    ledger.pass_blocks(1)
    ledger.unstake(1, 1, COIN)
    ledger.stake(OWNER, 5, 9 * COIN)
    ledger.unstake(OWNER, 5, 9 * COIN)
    ledger.pass_blocks(1000)
    assert refusal(ledger.withdraw, 1, 1) == "still seated"
    ledger.withdraw(OWNER, 5)


# -- evidence --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kinds",
    [(NOTARIZE, NOTARIZE), (NULLIFY, FINALIZE), (FINALIZE, FINALIZE), (NOTARIZE, FINALIZE)],
)
def test_each_kind_of_contradiction_is_punished(
    ledger: StakeLedger, kinds: tuple[VoteKind, VoteKind]
) -> None:
    """A tenth is taken; of that a tenth is the reporter's, and the rest is nobody's."""
    ledger.slash(OWNER, double_vote(2, epoch=0, kinds=kinds))
    assert ledger.events("Slashed(address,address,uint256,uint256,uint256,uint256,uint256)") == [
        (account(2), account(OWNER), 0, 7, 9 * COIN, COIN, 1 + 40)
    ]
    assert ledger.balance(OWNER) == COIN
    assert ledger.state.balance(ZERO_ADDRESS) == 9 * COIN
    row = ledger.row(2)
    assert (row.stake, row.power, row.jailed_until) == (90 * COIN, 90, 41)


@pytest.mark.parametrize("swapped", [False, True])
def test_evidence_counts_in_either_order(ledger: StakeLedger, swapped: bool) -> None:
    evidence = double_vote(2, epoch=0, kinds=(NULLIFY, FINALIZE))
    if swapped:
        evidence = Evidence(evidence.second, evidence.first)
    ledger.slash(OWNER, evidence)
    assert ledger.row(2).jailed_until == 41


def test_notarize_and_nullify_are_no_contradiction(ledger: StakeLedger) -> None:
    evidence = double_vote(2, epoch=0, kinds=(NOTARIZE, NULLIFY))
    assert refusal(ledger.slash, OWNER, evidence) == "no contradiction"
    twice = double_vote(2, epoch=0, kinds=(NULLIFY, NULLIFY))
    assert refusal(ledger.slash, OWNER, twice) == "no contradiction"


def test_votes_for_one_block_are_no_contradiction(ledger: StakeLedger) -> None:
    block = Hash(b"\x33" * 32)
    votes = [sign_ballot(Ballot(kind, 0, 7, block, 6), DOMAIN, key(2)) for kind in VoteKind]
    assert refusal(ledger.slash, OWNER, Evidence(votes[0], votes[2])) == "no contradiction"
    assert refusal(ledger.slash, OWNER, Evidence(votes[0], votes[0])) == "no contradiction"


def test_an_epochs_offences_count_once(ledger: StakeLedger) -> None:
    ledger.slash(OWNER, double_vote(2, epoch=0))
    for again in (
        double_vote(2, epoch=0),
        double_vote(2, epoch=0, view=9),
        double_vote(2, epoch=0, kinds=(FINALIZE, FINALIZE)),
    ):
        assert refusal(ledger.slash, OWNER, again) == "punished already"
    ledger.slash(OWNER, double_vote(3, epoch=0))
    ledger.to_epoch(1)
    ledger.slash(OWNER, double_vote(2, epoch=1))
    assert ledger.row(2).stake == 81 * COIN


def test_in_an_endless_epoch_each_view_counts() -> None:
    ledger = StakeLedger(epoch_length=0)
    ledger.pass_blocks(1000)
    ledger.slash(OWNER, double_vote(2, epoch=0, view=7))
    assert refusal(ledger.slash, OWNER, double_vote(2, epoch=0, view=7)) == "punished already"
    ledger.slash(OWNER, double_vote(2, epoch=0, view=8))
    assert refusal(ledger.slash, OWNER, double_vote(2, epoch=1)) == "not yet that epoch"


def test_votes_of_different_views_or_epochs_or_signers_are_refused(ledger: StakeLedger) -> None:
    one, other = double_vote(2, epoch=0), double_vote(2, epoch=0, view=8)
    mixed = Evidence(one.first, other.second)
    assert refusal(ledger.slash, OWNER, mixed) == "different views"
    ledger.to_epoch(1)
    mixed = Evidence(one.first, double_vote(2, epoch=1).second)
    assert refusal(ledger.slash, OWNER, mixed) == "different views"
    mixed = Evidence(one.first, double_vote(3, epoch=0).second)
    assert refusal(ledger.slash, OWNER, mixed) == "different signers"


@pytest.mark.parametrize(
    "domain", [Domain(CHAIN_ID + 1, GENESIS_HASH), Domain(CHAIN_ID, Hash(b"\x48" * 32))]
)
def test_votes_on_another_ledger_mean_nothing(ledger: StakeLedger, domain: Domain) -> None:
    evidence = double_vote(2, epoch=0, domain=domain)
    assert refusal(ledger.slash, OWNER, evidence) in ("not a validator then", "different signers")


def altered(evidence: Evidence, signature: bytes) -> Evidence:
    return replace(evidence, second=replace(evidence.second, signature=signature))


def test_a_signature_has_one_form(ledger: StakeLedger) -> None:
    """The twin with a high s, a parity that is none, and numbers that are no signature."""
    evidence = double_vote(2, epoch=0)
    signature = evidence.second.signature
    s, parity = int.from_bytes(signature[32:64], "big"), signature[64]
    twin = signature[:32] + (ORDER - s).to_bytes(32, "big") + bytes((1 - parity,))
    for bad in (
        twin,
        signature[:64] + bytes((parity + 27,)),
        signature[:64] + b"\x02",
        bytes(65),
        bytes(32) + signature[32:],
        signature[:32] + bytes(32) + signature[64:],
        ORDER.to_bytes(32, "big") + signature[32:],
    ):
        assert refusal(ledger.slash, OWNER, altered(evidence, bad)) == "bad signature"


def test_a_vote_has_one_form(ledger: StakeLedger) -> None:
    def vote(kind: int, block: bytes, parent_view: int) -> Vote:
        # The class takes any number for a kind; a hostile signer signs anything.
        return sign_ballot(Ballot(kind, 0, 7, Hash(block), parent_view), DOMAIN, key(2))  # type: ignore[arg-type]

    final = vote(3, b"\x01" * 32, 6)
    for bad, words in (
        (vote(0, b"\x02" * 32, 6), "unknown kind of vote"),
        (vote(4, b"\x02" * 32, 6), "unknown kind of vote"),
        (vote(2, b"\x02" * 32, 0), "a nullify with a block"),
        (vote(2, bytes(32), 6), "a nullify with a block"),
    ):
        assert refusal(ledger.slash, OWNER, Evidence(final, bad)) == words
        assert refusal(ledger.slash, OWNER, Evidence(bad, final)) == words


def test_evidence_ages_by_height(ledger: StakeLedger) -> None:
    """Epoch 0 ends at height 10; its votes are punished for 100 heights more."""
    ledger.pass_blocks(110 - ledger.height)
    ledger.slash(OWNER, double_vote(2, epoch=0))
    ledger.pass_blocks(1)
    assert refusal(ledger.slash, OWNER, double_vote(3, epoch=0)) == "too old"


def test_votes_of_an_epoch_to_come_are_refused(ledger: StakeLedger) -> None:
    assert refusal(ledger.slash, OWNER, double_vote(2, epoch=1)) == "not yet that epoch"
    assert refusal(ledger.slash, OWNER, double_vote(2, epoch=2**64 - 1)) == "not yet that epoch"


def test_only_the_members_of_the_epoch_are_punished(ledger: StakeLedger) -> None:
    """Joined in epoch 2 with the seat; the votes of before were nobody's."""
    assert refusal(ledger.slash, OWNER, double_vote(9, epoch=0)) == "not a validator then"
    ledger.stake(OWNER, 5, 50 * COIN)
    ledger.to_epoch(2)
    assert refusal(ledger.slash, OTHER, double_vote(5, epoch=1)) == "not a validator then"
    ledger.slash(OTHER, double_vote(5, epoch=2))
    assert ledger.row(5).stake == 45 * COIN


def test_one_that_left_is_punished_for_what_it_did_before(ledger: StakeLedger) -> None:
    ledger.unstake(4, 4, 100 * COIN)
    ledger.to_epoch(3)
    assert not ledger.row(4).voting
    assert refusal(ledger.slash, OWNER, double_vote(4, epoch=2)) == "not a validator then"
    ledger.slash(OWNER, double_vote(4, epoch=1))
    assert (ledger.row(4).unbonding, ledger.row(4).stake) == (90 * COIN, 0)


def test_a_block_takes_only_so_much_evidence() -> None:
    ledger = StakeLedger(dict.fromkeys(range(1, 19), 10), seats_max=32)
    ledger.pass_blocks(1)
    for number in range(1, 17):
        ledger.slash(OWNER, double_vote(number, epoch=0))
    words = "too much evidence in this block"
    assert refusal(ledger.slash, OWNER, double_vote(17, epoch=0)) == words
    ledger.pass_blocks(1)
    ledger.slash(OWNER, double_vote(17, epoch=0))


def test_evidence_that_is_refused_takes_nobodys_place(ledger: StakeLedger) -> None:
    for _ in range(20):
        refusal(ledger.slash, OWNER, double_vote(9, epoch=0))
    ledger.slash(OWNER, double_vote(2, epoch=0))


def test_without_the_genesis_hash_nothing_is_punished() -> None:
    ledger = StakeLedger()
    assert refusal(ledger.slash, OWNER, double_vote(2, epoch=0)) == "before the first block"


# -- jail ------------------------------------------------------------------------------------------


def test_the_jailed_lose_their_seat_and_may_come_back(ledger: StakeLedger) -> None:
    ledger.slash(OWNER, double_vote(2, epoch=0))
    assert refusal(ledger.unjail, OTHER, 2) == "not the owner"
    assert refusal(ledger.unjail, 3, 3) == "not jailed"
    ledger.to_epoch(1)
    assert (ledger.row(2).seat, ledger.row(2).voting) == (0, True)
    ledger.to_epoch(2)
    assert not ledger.row(2).voting
    ledger.pass_blocks(40 - ledger.height)
    assert refusal(ledger.unjail, 2, 2) == "still jailed"
    ledger.pass_blocks(1)
    ledger.unjail(2, 2)
    assert ledger.events("Unjailed(address)") == [(account(2),)]
    ledger.to_epoch(5)
    assert ledger.row(2).seat == 90
    assert [ledger.had_seat(2, epoch) for epoch in range(8)] == [
        True, True, False, False, False, False, True, True,
    ]  # fmt: skip


def test_leaving_does_not_end_the_jail() -> None:
    ledger = StakeLedger(jail=400)
    ledger.pass_blocks(1)
    ledger.slash(OWNER, double_vote(2, epoch=0))
    ledger.unstake(2, 2, 90 * COIN)
    ledger.pass_blocks(160)
    ledger.withdraw(2, 2)
    ledger.stake(2, 2, 90 * COIN)
    assert refusal(ledger.unjail, 2, 2) == "still jailed"
    ledger.to_epoch(20)
    assert ledger.row(2).seat == 0


def test_when_all_are_jailed_the_set_stays_and_they_may_leave_the_jail(
    ledger: StakeLedger,
) -> None:
    for number in (1, 2, 3, 4):
        ledger.slash(OWNER, double_vote(number, epoch=0))
    ledger.to_epoch(5)
    assert [row.seat for row in ledger.rows([1, 2, 3, 4]).values()] == [100] * 4
    ledger.unjail(1, 1)
    assert refusal(ledger.unstake, 1, 1, 90 * COIN) == "the last validator"
    ledger.unstake(2, 2, 90 * COIN)


# -- the protocol's calls --------------------------------------------------------------------------


def test_only_the_protocol_moves_seats(ledger: StakeLedger) -> None:
    for call in (
        abi.encode_call("begin(bytes32)", b"\x01" * 32),
        abi.encode_call("move_seats(uint256[])", []),
    ):
        assert refusal(ledger.run, account(1), call) == "only the protocol"
    begin = abi.encode_call("begin(bytes32)", b"\x01" * 32)
    ledger.pass_blocks(1)
    assert refusal(ledger.run, SYSTEM_ADDRESS, begin) == "only in the first block"


def test_coins_sent_without_a_call_come_back(ledger: StakeLedger) -> None:
    assert refusal(ledger.run, account(OWNER), b"", COIN) == "execution reverted"
    withdraw = staking.withdraw_call(account(1))
    assert refusal(ledger.run, account(1), withdraw, COIN) == "execution reverted"


def test_the_keys_of_the_tests_sign_as_their_accounts() -> None:
    assert account(1) == address_of(key(1))
