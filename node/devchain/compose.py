"""A developer's chain put together: its blocks, its clock, what it remembers."""

from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path

from msgspec import Struct

from chain.crypto.secp256k1 import address_of
from chain.ledger import Ledger
from chain.machine import Machine
from node.coinbase import parse_coinbase
from node.consensus.committed import Committed
from node.devchain.aloud import Ears
from node.devchain.chain import DevChain
from node.devchain.fork.beginning import ForkPoint
from node.devchain.notes import Notes
from node.devchain.producer import Pace, Producer
from node.devchain.times import Times
from node.devchain.wishes import Wishes
from node.environment import Environment
from node.pool.mempool import Mempool
from node.settings import Settings
from node.watch.observation import Measured


class Developing(Struct, frozen=True):
    """That a ledger is a developer's, whose blocks and state may be had at will."""

    notes: Path | None = None  # the file of its snapshots; None: in memory
    fork: ForkPoint | None = None  # where it left another ledger
    forks: Path | None = None  # the folder for what other ledgers say; None: it is not kept
    ears: Ears | None = None  # who hears of calls that print, and of some that fail


def build_chain(
    developing: Developing,
    settings: Settings,
    ledger: Ledger,
    mempool: Mempool,
    machine: Machine,
    key: bytes,
    environment: Environment,
    writer: Executor,
    measured: Measured,
    on_commit: Callable[[Committed], None],
) -> DevChain:
    """The chain of a ledger that names no validators. Raises as `Producer` and `Notes`."""
    chain = settings.chain
    validator = address_of(key)
    notes = Notes(developing.notes)
    producer = Producer(
        ledger=ledger,
        mempool=mempool,
        machine=machine,
        validator=validator,
        wishes=Wishes(parse_coinbase(chain.coinbase)),
        times=Times(notes.offset),
        pace=Pace(
            automine=not chain.block_time,
            interval=chain.block_time,
            empty_blocks=chain.empty_blocks,
        ),
        clock=environment.clock,
        stopwatch=environment.stopwatch,
        writer=writer,
        measured=measured,
        on_commit=on_commit,
    )
    return DevChain(
        ledger,
        mempool,
        producer,
        notes,
        clock=environment.clock,
        random=environment.random,
        fork=developing.fork,
        forks=developing.forks,
        ears=developing.ears,
        threads=environment.threads,
    )
