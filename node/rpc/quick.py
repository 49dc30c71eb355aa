"""Calls that are over before anybody would notice: run in the event loop, where they are asked.

To hand a call to a thread and back takes longer than to run most calls. How long one takes
nobody knows beforehand, so each is tried for a moment: what takes longer, or more than native
code alone, leaves nothing behind and goes to the threads (`node.rpc.heavy`) as if it had not
been tried. What was tried in vain, or was long, is paid for by not trying for a while.
"""

import threading
from collections.abc import Callable
from time import perf_counter, sleep
from typing import Final

from chain.machine import Outcome
from chain.queries import Queries
from chain.state import StateView
from chain.types import ZERO_ADDRESS
from node.devchain.aloud import ConsoleView, PrintedError
from node.machines import TieredMachine
from node.rpc.calls import capped_gas, surroundings
from node.rpc.context import Context
from node.rpc.parameters import BlockTag
from node.rpc.requests import CallRequest

_LOOK_SECONDS: Final = 0.001  # what still runs at the second look is ended
_LOOKS_MAX: Final = 50  # with nothing to see, before the watchdog sleeps
_SHORT_SECONDS: Final = 0.001  # longer calls have a tenth of the loop's time, together
_SMALL_GAS: Final = 70_000  # with so little it is others whom a call waits for: Python's threads
_PAUSES: Final = 9  # of as long as such a call took
_HEAD: Final = frozenset({"latest", "safe", "finalized"})


class Watchdog:
    """A thread that ends what another one has begun, if that does not end by itself."""

    def __init__(self, end: Callable[[], None]) -> None:
        """`end` is called from the watchdog's thread, and may come a little late."""
        self._end = end
        self._begun = 0  # how often
        self._busy = False
        self._asleep = False
        self._closed = False
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """From now on the time counts."""
        self._begun += 1
        self._busy = True
        if self._asleep or self._thread is None:
            self._rouse()

    def over(self) -> None:
        self._busy = False

    def close(self) -> None:
        self._closed = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    def _rouse(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="rpc-quick", daemon=True)
            self._thread.start()
        self._wake.set()

    def _watch(self) -> None:
        seen, in_vain = 0, 0
        while not self._closed:
            if in_vain > _LOOKS_MAX:
                self._wake.clear()
                self._asleep = True
                if not self._busy:  # what begins now sees that this sleeps
                    self._wake.wait()
                self._asleep, in_vain = False, 0
            sleep(_LOOK_SECONDS)
            if not self._busy:
                in_vain += 1
            elif self._begun == seen:
                self._end()
            seen = self._begun


class QuickCalls:
    """Calls on the head's state for one event loop. It starts by itself; `close` it once."""

    def __init__(self, machine: TieredMachine, *, watched: bool = True) -> None:
        """`machine` is for this alone. Without a watch calls take their time."""
        self._machine = machine
        self._watchdog = Watchdog(machine.nudge) if watched else None
        self._queries: Queries | None = None
        self._state: object = None  # whose head's, the queries' is
        self._forgotten = 0  # how often surroundings were, before these
        self._not_before = 0.0

    def ask(self, ctx: Context, request: CallRequest, block: BlockTag) -> Outcome | None:
        """How a call ends; None: it has to be handed to a thread."""
        to = request.to
        if to is None or not _is_plain(request):
            return None
        developer = ctx.node.developer
        if developer is not None and len(developer.producer.signatures):
            return None  # which native code does not know of
        queries = self._queries_at(ctx, block)
        start = perf_counter()
        if queries is None or start < self._not_before:
            return None
        watchdog, gas = self._watchdog, capped_gas(ctx, request)
        if watchdog is not None:
            watchdog.begin()
        try:
            outcome = queries.ask(request.sender or ZERO_ADDRESS, to, request.data or b"", gas)
        except PrintedError:  # what is printed is told of what runs elsewhere
            self._state = None
            return None
        finally:
            if watchdog is not None:
                watchdog.over()
        if watchdog is not None:
            end = perf_counter()
            if outcome is None or (
                end - start > _SHORT_SECONDS and gas - outcome.gas_left > _SMALL_GAS
            ):
                self._not_before = end + _PAUSES * (end - start)
        return outcome

    def _queries_at(self, ctx: Context, block: BlockTag) -> Queries | None:
        """Queries on the state after the head; None if `block` is another."""
        ledger = ctx.ledger
        if block not in _HEAD and block != ledger.height:
            return None
        state, forgotten = ledger.head_state, ctx.surroundings.forgotten
        if state is not self._state or forgotten != self._forgotten:
            fork, around = surroundings(ctx, ledger.head)
            view: StateView = ledger.view()
            if ledger.head_state is not state:  # a block was committed meanwhile
                return None
            developer = ctx.node.developer
            if developer is not None and developer.ears is not None:
                view = ConsoleView(view, refuses=True)
            self._queries = Queries(view, around, fork, self._machine)
            self._state, self._forgotten = state, forgotten
        return self._queries

    def close(self) -> None:
        if self._watchdog is not None:
            self._watchdog.close()


def _is_plain(request: CallRequest) -> bool:
    """Whether there are neither fees nor value, nor anything else that only transactions have."""
    return (
        request.gas_price is None
        and request.max_fee is None
        and request.max_priority_fee is None
        and not request.value
        and request.access_list is None
        and request.chain_id is None
        and request.max_blob_fee is None
        and request.blob_hashes is None
        and request.authorizations is None
    )
