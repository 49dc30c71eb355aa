"""What tracers share: the transaction they watch, and the limits that end a trace early."""

import time
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final, Protocol

from msgspec import Struct

from chain.forks import Fork
from chain.machine import Tracer
from chain.state import State
from chain.transactions import Transaction
from chain.transition import TransactionResult
from chain.types import Address, Hash

_TICKS: Final = 256  # steps between two looks at the clock


class Place(Struct, frozen=True):
    """Where a transaction is on the chain; empty for a call that is on none."""

    block_hash: Hash | None = None
    height: int = 0
    transaction_hash: Hash | None = None
    index: int = 0
    logs_before: int = 0  # of the block's transactions before it


class Subject(Struct, frozen=True):
    """A transaction about to run on `state`, as a tracer meets it."""

    transaction: Transaction
    sender: Address
    state: State
    coinbase: Address
    fork: Fork
    place: Place = Place()


class TransactionTracer(Tracer, Protocol):
    """A tracer of one transaction, made before it runs."""

    def result(self, outcome: TransactionResult) -> Any:
        """What is answered, as JSON values; asked once, when the transaction is over."""
        ...


class Limit(StrEnum):
    TIME = "execution timeout"
    SIZE = "trace too large"


class Stopped(Exception):
    """Ends a trace, and the execution it watches, at a limit."""

    def __init__(self, limit: Limit) -> None:
        super().__init__(limit.value)
        self.limit = limit


class Budget:
    """What one request for traces may still take, of time and of bytes."""

    def __init__(
        self, seconds: float, bytes_max: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._deadline = clock() + seconds
        self._bytes = bytes_max
        self._ticks = 0

    def tick(self) -> None:
        """Count a step; `Stopped` when the time is over."""
        self._ticks += 1
        if self._ticks % _TICKS == 0:
            self.check_time()

    def check_time(self) -> None:
        if self._clock() >= self._deadline:
            raise Stopped(Limit.TIME)

    def step(self, size: int) -> None:
        """Count a step that so many bytes of the answer tell of."""
        self._bytes -= size
        if self._bytes < 0:
            raise Stopped(Limit.SIZE)
        self._ticks += 1
        if self._ticks % _TICKS == 0:
            self.check_time()

    def take(self, size: int) -> None:
        """Count bytes of the answer; `Stopped` when they are too many."""
        self._bytes -= size
        if self._bytes < 0:
            raise Stopped(Limit.SIZE)


# Makes the tracer that a request asked for, once for each transaction.
Factory = Callable[[Subject, Budget], TransactionTracer]
