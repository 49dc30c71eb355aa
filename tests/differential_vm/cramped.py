"""A native machine that has little room for anything, and is disturbed wherever it can be.

Areas and tables start with room for next to nothing, so that each opcode that needs some
finds none; few codes are kept; and before each entry somebody may have nudged. What comes
out must be the same.
"""

from random import Random
from typing import Any, Final

from chain.forks import Fork
from chain.machine import BlockContext, Message, Outcome, Tracer, TransactionContext
from chain.state import State
from contracts.vm.native import codes
from contracts.vm.native.areas import Area
from contracts.vm.native.interpreter import NativeInterpreter
from contracts.vm.native.jit.settings import JitSettings
from contracts.vm.native.objects import user_cache
from contracts.vm.native.records import ACCOUNT_SIZE, JOURNAL_RECORD, SLOT_SIZE

_CODE_BYTES: Final = 400  # of codes that are kept ready
_NUDGES: Final = 0.2  # of entries


class _Nudged:
    """A contracts.vm.native.objects.Native that is entered just after somebody has nudged."""

    def __init__(self, machine: NativeInterpreter) -> None:
        self._native: Any = machine._native
        self._machine = machine
        self.random = Random(0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._native, name)

    def enter(self, frame: int, first: int, table: int) -> int:
        if self.random.random() < _NUDGES:
            self._machine.nudge()
        left: int = self._native.enter(frame, first, table)
        return left


class Cramped:
    """A chain.machine.Machine. The same messages are disturbed in the same places."""

    def __init__(self, jit: JitSettings | None = None) -> None:
        self._machine = machine = NativeInterpreter(cache=user_cache(), jit=jit)
        self._nudged: Any = _Nudged(machine)
        machine._native = machine._session.native = machine._codes._native = self._nudged
        machine._codes._size = codes._KEPT_MAX - _CODE_BYTES

    def execute(
        self,
        message: Message,
        state: State,
        block: BlockContext,
        transaction: TransactionContext,
        fork: Fork,
        tracer: Tracer | None = None,
    ) -> Outcome:
        self._nudged.random.seed(message.gas + len(message.data))
        session = self._machine._session
        tables = session.tables
        if not state.lent_to(tables):
            tables.release()
            tables.slots, tables.accounts = Area(2 * SLOT_SIZE), Area(2 * ACCOUNT_SIZE)
            tables._forget_all()
        session.memory, session.journal = Area(32), Area(2 * JOURNAL_RECORD)
        session.logs, session.returned = Area(64), Area(8)
        session._set_areas()
        return self._machine.execute(message, state, block, transaction, fork, tracer)
