"""Validators, blocks, votes and certificates for tests of consensus, without real keys."""

import hashlib
from collections.abc import Sequence
from typing import TypeVar

from chain.crypto.keccak import keccak
from chain.types import ZERO_HASH, Address, Hash
from chain.validators import (
    Ballot,
    Certificate,
    Validator,
    ValidatorSet,
    Vote,
    VoteKind,
    build_certificate,
    validator_set,
)
from node.consensus.core import Core, Epoch, Restored
from node.consensus.messages import (
    Base,
    BodyChecked,
    Cast,
    CertificateReceived,
    Effect,
    Proposal,
    ProposalReceived,
)

E = TypeVar("E", bound=Effect)
NOTARIZE, NULLIFY, FINALIZE = VoteKind.NOTARIZE, VoteKind.NULLIFY, VoteKind.FINALIZE
GENESIS = Hash(b"\x99" * 32)
START = Base(0, GENESIS, 0)


def address(number: int) -> Address:
    return Address(bytes((number,)) * 20)


def epoch(powers: Sequence[int], number: int = 0, last_height: int | None = None) -> Epoch:
    """An epoch of members 0, 1, ..., those of power 0 left out."""
    members = [Validator(address(who), power) for who, power in enumerate(powers) if power]
    return Epoch(number, validator_set(members), GENESIS, last_height)


FOUR = epoch([1, 1, 1, 1])


def leader(rules: Epoch, view: int) -> int:
    """The number of the member that leads `view`."""
    validators = rules.validators
    return validators.validators[validators.leader(rules.seed, view)].address[0]


def follower(view: int = 1, rules: Epoch = FOUR) -> int:
    """Somebody who does not lead `view`."""
    return next(who for who in range(4) if who != leader(rules, view))


def block(
    view: int,
    parent_view: int = 0,
    parent: Hash = GENESIS,
    salt: int = 0,
    height: int | None = None,
) -> Proposal:
    name = keccak(b"%d %d %d" % (view, parent_view, salt) + parent)
    return Proposal(view, Hash(name), parent_view, parent, view if height is None else height)


def child(view: int, parent: Proposal, salt: int = 0) -> Proposal:
    return block(view, parent.view, parent.block_hash, salt, parent.height + 1)


def again(view: int, last: Proposal, parent_view: int) -> Proposal:
    """An epoch's last block proposed once more, on its notarization in `parent_view`."""
    return Proposal(view, last.block_hash, parent_view, last.block_hash, last.height)


def ballot_for(kind: VoteKind, proposal: Proposal | None, view: int = 0, number: int = 0) -> Ballot:
    """A ballot for the proposal, or the NULLIFY of `view`."""
    if proposal is None:
        return Ballot(kind, number, view, ZERO_HASH, 0)
    return Ballot(kind, number, proposal.view, proposal.block_hash, proposal.parent_view)


def signature(ballot: Ballot, signer: Address) -> bytes:
    """65 bytes that only stand for a signature: quick, and different for every ballot."""
    text = b"%d %d %d %d" % (ballot.kind, ballot.epoch, ballot.view, ballot.parent_view)
    return hashlib.sha256(text + ballot.block_hash + signer).digest() + bytes(33)


def signed(ballot: Ballot, who: int) -> Vote:
    return Vote(ballot, address(who), signature(ballot, address(who)))


def vote(who: int, kind: VoteKind, proposal: Proposal | None, view: int = 0) -> Vote:
    """A vote as if its signature had been verified."""
    return signed(ballot_for(kind, proposal, view), who)


def certificate_of(ballot: Ballot, signers: Sequence[int], validators: ValidatorSet) -> Certificate:
    return build_certificate([signed(ballot, who) for who in signers], validators)


def certificate(
    kind: VoteKind, proposal: Proposal | None, view: int = 0, rules: Epoch = FOUR
) -> Certificate:
    """By members 0, 1 and 2."""
    ballot = ballot_for(kind, proposal, view, rules.number)
    return certificate_of(ballot, (0, 1, 2), rules.validators)


def casts(effects: Sequence[Effect]) -> list[tuple[VoteKind, int]]:
    return [(e.ballot.kind, e.ballot.view) for e in effects if isinstance(e, Cast)]


def core_of(
    who: int | None, rules: Epoch = FOUR, base: Base = START, restored: Restored | None = None
) -> Core:
    """A started core."""
    me = None if who is None else address(who)
    core = Core(rules, base, me, restored or Restored())
    core.start()
    return core


def execute(core: Core, proposal: Proposal, valid: bool = True) -> list[Effect]:
    """The effects of the end of an execution that was asked for."""
    return core.handle(BodyChecked(proposal.block_hash, valid))


def receive(core: Core, proposal: Proposal) -> list[tuple[VoteKind, int]]:
    """What is cast when a proposal comes and is valid."""
    seen = core.handle(ProposalReceived(proposal))
    return [*casts(seen), *casts(core.handle(BodyChecked(proposal.block_hash, True)))]


def hold(core: Core, *certificates: Certificate) -> list[Effect]:
    effects: list[Effect] = []
    for item in certificates:
        effects += core.handle(CertificateReceived(item))
    return effects


def skips(first: int, last: int) -> list[Certificate]:
    return [certificate(NULLIFY, None, view) for view in range(first, last + 1)]


def only(kind: type[E], effects: Sequence[Effect]) -> list[E]:
    return [effect for effect in effects if isinstance(effect, kind)]
