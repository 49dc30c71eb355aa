"""A node's part in consensus, put together: its key, its log, its timing, its driver."""

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from chain.crypto.secp256k1 import address_of
from chain.errors import Reason, Rejected
from chain.ledger import Ledger
from chain.machine import Machine
from chain.types import ZERO_ADDRESS, Address
from chain.validators import (
    Domain,
    Validator,
    ValidatorSet,
    Vote,
    decode_record,
    validator_set,
)
from node.coinbase import parse_coinbase
from node.consensus.committed import Committed
from node.consensus.driver import Driver, Threads
from node.consensus.epochs import Epochs
from node.consensus.log_file import LogFile
from node.consensus.outbox import Outbox
from node.consensus.pacing import Timing
from node.consensus.signer import Signer
from node.consensus.vote_log import VoteLog
from node.environment import Environment
from node.pool.mempool import Mempool
from node.settings import Settings
from node.watch.observation import Measured

_SECOND: Final = 1000


class Reports(Struct, frozen=True):
    """Who hears of what the driver does, in the event loop's thread."""

    committed: Callable[[Committed], None]
    evidence: Callable[[Vote, Vote], None]
    measured: Measured


def build_driver(
    settings: Settings,
    ledger: Ledger,
    mempool: Mempool,
    machine: Machine,
    key: bytes | None,
    votes: LogFile,
    outbox: Outbox,
    environment: Environment,
    threads: Threads,
    reports: Reports,
) -> Driver:
    """The driver of a validator, or with `key` None of an observer.

    Rejected: BAD_GENESIS for a ledger that is not merged, WRONG_CHAIN when the vote log knows
    more than the ledger of the only validator.
    """
    if not ledger.config.merged_after(ledger.total_difficulty(ledger.height)):
        raise Rejected(
            Reason.BAD_GENESIS,
            "this ledger is before the merge, and no new blocks can be built on it",
        )
    domain = Domain(ledger.config.chain_id, ledger.genesis_hash)
    me = None if key is None else address_of(key)
    members = genesis_set(ledger, me)
    signer: Signer | None = None
    late: Callable[[], Signer] | None = None
    if key is not None and me is not None:
        alone = is_quorum(members, me)
        lost = votes.read() is None
        if lost and not alone and not settings.consensus.sign_after_loss:
            late = _later(key, domain, votes)
        else:
            signer = Signer(key, domain, VoteLog(votes))
            if alone:
                _check_log(ledger, signer)
    return Driver(
        ledger=ledger,
        mempool=mempool,
        machine=machine,
        epochs=Epochs(ledger, members),
        signer=signer,
        late_signer=late,
        domain=domain,
        outbox=outbox,
        coinbase=parse_coinbase(settings.chain.coinbase) or me or ZERO_ADDRESS,
        timing=timing_of(settings, ledger),
        clock=environment.clock,
        stopwatch=environment.stopwatch,
        measured=reports.measured,
        threads=threads,
        on_commit=reports.committed,
        on_evidence=reports.evidence,
    )


def _later(key: bytes, domain: Domain, votes: LogFile) -> Callable[[], Signer]:
    return lambda: Signer(key, domain, VoteLog(votes))


def genesis_set(ledger: Ledger, me: Address | None) -> ValidatorSet:
    """The validators that the genesis names, or this node alone when it names none."""
    named = ledger.config.ledger.validators
    if not named:
        if me is None:
            raise Rejected(Reason.BAD_GENESIS, "the genesis names no validators")
        return validator_set([Validator(me, 1)])
    return validator_set([Validator(item.address, item.power) for item in named])


def is_quorum(members: ValidatorSet, address: Address) -> bool:
    """Whether this validator decides alone."""
    index = members.index_of(address)
    return index is not None and members.quorum(members.validators[index].power)


def _check_log(ledger: Ledger, signer: Signer) -> None:
    """The only validator's ledger has what it voted for: nobody else could give it back (V5)."""
    stored = ledger.record(ledger.height)
    if not stored and ledger.height:
        return  # blocks that were imported
    record = decode_record(stored) if stored else None
    epoch, view = (record.epoch, record.view) if record else (0, 0)
    if signer.floor > (epoch, view):
        raise Rejected(
            Reason.WRONG_CHAIN,
            f"the vote log has seen view {signer.floor[1]}, the ledger only view {view}: "
            "the ledger was restored from an older copy; restore both together",
        )


def timing_of(settings: Settings, ledger: Ledger) -> Timing:
    """The genesis' timing; on a developer's chain, which names no validators, the settings'."""
    rules, chain, consensus = ledger.config.ledger, settings.chain, settings.consensus
    if rules.validators:
        return Timing(
            interval_ms=rules.block_interval_ms,
            empty_blocks=rules.empty_blocks and rules.block_interval_ms > 0,
            heartbeat_ms=rules.heartbeat_ms,
            delta_ms=consensus.delta_ms,
            build_ms_max=consensus.build_ms_max,
            ascending_seconds=False,
        )
    return Timing(
        interval_ms=round(chain.block_time * _SECOND),
        empty_blocks=chain.empty_blocks and chain.block_time > 0,
        heartbeat_ms=0,
        delta_ms=consensus.delta_ms,
        build_ms_max=0,
        ascending_seconds=True,
    )
