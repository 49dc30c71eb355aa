"""What the byzantine members of a cluster do: equivocate, vote for anything, send to some."""

from collections.abc import Sequence

from chain.types import ZERO_HASH
from chain.validators import Ballot, VoteKind
from node.consensus.core import Core, Epoch
from node.consensus.messages import Proposal
from tests.node.consensus.cluster import Cluster
from tests.node.consensus.member import Proposed
from tests.node.consensus.world import address, certificate_of, signed


def misbehave(cluster: Cluster, who: int, a: int, b: int, c: int) -> None:
    """Equivocate, vote for anything, send to some, repeat what is old."""
    members = list(cluster.members.values())
    core = members[a % len(members)].core
    rules = core.epoch
    view = max(1, core.view - (b >> 2) % 3)
    targets = [t for i, t in enumerate(cluster.members) if c >> i & 1]
    here = [p for number, p in cluster.proposals if number == rules.number]
    of_view = [p for p in here if p.view == view]
    match b % 4:
        case 0:
            if rules.validators.index_of(address(who)) is None:
                return
            if core.leader(view) != address(who):
                view = next((v for v in range(view, view + 8) if core.leader(v) == address(who)), 0)
            equivocate(cluster, who, core, view, a >> 4, b >> 6, targets)
        case 1 | 2:
            kind = (VoteKind.NOTARIZE, VoteKind.FINALIZE)[b % 4 - 1]
            for proposal in of_view[-2:]:
                ballot = Ballot(kind, rules.number, view, proposal.block_hash, proposal.parent_view)
                post(cluster, targets, who, signed(ballot, who))
        case _:
            if (b >> 4) % 4 == 0:
                replay(cluster, who, rules, a, targets)
            else:
                ballot = Ballot(VoteKind.NULLIFY, rules.number, view, ZERO_HASH, 0)
                post(cluster, targets, who, signed(ballot, who))


def post(cluster: Cluster, targets: Sequence[int], who: int, payload: object) -> None:
    for target in targets:
        cluster.send(who, target, payload)


def equivocate(
    cluster: Cluster, who: int, core: Core, view: int, pick: int, salt: int, targets: Sequence[int]
) -> None:
    """Propose on any parent, valid or not, one block to some and others to others."""
    if view <= core.base.view:
        return
    number = core.epoch.number
    parents = [p for n, p in cluster.proposals if n == number and p.view < view]
    last = cluster.seeds[number]
    ground = Proposal(0, last, 0, last, number * cluster.setting.epoch_length)
    parent = [ground, *parents][-1 - pick % min(4, len(parents) + 1)]
    salt = 2 if salt % 16 == 7 else salt % 2
    name = cluster.rules.name(view, parent.view, parent.block_hash, salt)
    made = Proposal(view, name, parent.view, parent.block_hash, parent.height + 1)
    if parent.height == core.epoch.last_height:
        made = Proposal(view, parent.block_hash, parent.view, parent.block_hash, parent.height)
    elif salt == 2:
        cluster.invalid.add(name)
    if not made.again and (number, made) not in cluster.proposals:
        cluster.proposals.append((number, made))
    ballot = Ballot(VoteKind.NOTARIZE, number, view, made.block_hash, made.parent_view)
    post(cluster, targets, who, Proposed(signed(ballot, who), made))


def replay(cluster: Cluster, who: int, rules: Epoch, pick: int, targets: Sequence[int]) -> None:
    """A certificate as good as it can be forged: all signatures that exist for a ballot."""
    if not cluster.watch.votes:
        return
    ballot = cluster.watch.votes[pick % len(cluster.watch.votes)].ballot
    signers = {v.signer[0] for v in cluster.watch.votes if v.ballot == ballot} | {who}
    epoch_of = cluster.epochs[ballot.epoch]
    among = [w for w in sorted(signers) if epoch_of.validators.index_of(address(w)) is not None]
    if among:
        post(cluster, targets, who, certificate_of(ballot, among, epoch_of.validators))
