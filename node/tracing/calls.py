"""The call tracer: the tree of a transaction's messages, with their logs if wanted."""

from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec import Raw

from chain.abi import decode_revert
from chain.blocks import Log
from chain.machine import Halt
from chain.state import State
from chain.transition import TransactionResult
from chain.types import Address
from node.tracing.last_step import TOLD, words_of
from node.tracing.precompile_words import words_for
from node.tracing.tracer import Budget, Subject

CREATIONS: Final = frozenset({"CREATE", "CREATE2"})
_OWNERS_CODE: Final = frozenset({"CALLCODE", "DELEGATECALL"})  # run another account's code here
_NESTED_MAX: Final = 100  # levels that the encoder is given at once
_MESSAGE_BYTES: Final = 400  # of an answer, without data

_encode: Final = msgspec.json.encode


class Message:
    """A message and the ones it sent. `to` is whose code it asked for, or what it created."""

    __slots__ = (
        "calls", "data", "gas", "gas_used", "halt", "kind", "logs", "output", "sender", "to",
        "value", "words",
    )  # fmt: skip

    def __init__(
        self, kind: str, sender: Address, to: Address, data: bytes, gas: int, value: int | None
    ) -> None:
        self.kind = kind
        self.sender = sender
        self.to = to
        self.data = data
        self.gas = gas
        self.value = value  # None: a message that can't carry any
        self.gas_used = 0
        self.output = b""
        self.halt: Halt | None = None
        self.words = ""  # of how it failed, where there is more to say than that
        self.calls: list[Message] = []
        self.logs: list[tuple[Log, int, int]] = []  # with index in the block, and calls before


class MessageTracer:
    """Builds the tree of messages while a transaction runs; `show` makes the answer of it.

    Logs need no steps: those that the state has gained since the last event are of the
    message that ran in between.
    """

    wants_steps = False

    def __init__(
        self,
        subject: Subject,
        budget: Budget,
        show: Callable[[Message, Subject], Any],
        *,
        only_top: bool = False,
        level_bytes: int = 0,
        execution_gas: bool = False,
    ) -> None:
        """`level_bytes`: what the answer takes for a message besides, per message above it.

        The first message has the transaction's gas limit and what is paid for, unless
        `execution_gas`: then what it was given and took itself, as all others.
        """
        self._subject = subject
        self._show = show
        self._state: State = subject.state
        self._budget = budget
        self._only_top = only_top
        self._level_bytes = level_bytes
        self._execution_gas = execution_gas
        self._open: list[Message] = []
        self._logs_seen = 0
        self._root: Message | None = None

    def on_step(self, pc: int, opcode: int, gas: int, cost: int, frame: object) -> None:
        """Not asked for."""

    def on_enter(
        self,
        kind: str,
        caller: Address,
        address: Address,
        code_address: Address,
        data: bytes,
        gas: int,
        value: int,
    ) -> None:
        self._budget.check_time()
        self._take_logs()
        own = kind in _OWNERS_CODE
        message = Message(
            kind,
            address if own else caller,
            code_address if own else address,
            data,
            gas,
            None if kind == "STATICCALL" else value,
        )
        if not self._open:
            if not self._execution_gas:
                message.gas = self._subject.transaction.gas_limit
            self._root = message
        elif not self._only_top:
            self._open[-1].calls.append(message)
        if not self._open or not self._only_top:
            above = self._level_bytes * len(self._open)
            self._budget.take(_MESSAGE_BYTES + above + 2 * len(data))
        self._open.append(message)

    def on_halt(self, halt: Halt, opcode: int, height: int) -> None:
        if halt in TOLD:
            self._open[-1].words = words_of(halt, opcode, height)

    def on_exit(self, output: bytes, gas_used: int, halt: Halt | None) -> None:
        self._take_logs()
        message = self._open.pop()
        message.output, message.gas_used, message.halt = output, gas_used, halt
        self._budget.take(2 * len(output))

    def _take_logs(self) -> None:
        logs = self._state.logs
        if self._open and len(logs) > self._logs_seen:
            message = self._open[-1]
            for index in range(self._logs_seen, len(logs)):
                self._budget.take(_MESSAGE_BYTES + 2 * len(logs[index].data))
                place = self._subject.place.logs_before + index
                message.logs.append((logs[index], place, len(message.calls)))
        self._logs_seen = len(logs)  # fewer after a revert

    def result(self, outcome: TransactionResult) -> Any:
        assert self._root is not None
        if not self._execution_gas:
            self._root.gas_used = outcome.gas_used
        return self._show(self._root, self._subject)


def error_of(message: Message) -> str:
    """geth's words for how a message failed, which it has."""
    assert message.halt is not None
    if message.halt is Halt.PRECOMPILE:
        return words_for(int.from_bytes(message.to, "big"), message.data)
    return message.words or message.halt.value


def nested(message: Message, *, with_logs: bool) -> Any:
    """callTracer's answer. The messages of a failed one leave no logs."""
    # Without recursion, since messages nest 1,024 deep: parents first, then back to front.
    order = [(message, message.halt is not None, 0)]
    for current, failed, depth in order:
        order += [(call, failed or call.halt is not None, depth + 1) for call in current.calls]
    shown: dict[int, dict[str, Any] | Raw] = {}
    for current, failed, depth in reversed(order):
        fields = _fields(current)
        if current.calls:
            fields["calls"] = [shown.pop(id(call)) for call in current.calls]
        if with_logs and current.logs and not failed:
            fields["logs"] = [_log(*log) for log in current.logs]
        shown[id(current)] = Raw(_encode(fields)) if depth % _NESTED_MAX == 0 else fields
    return shown[id(message)]


def _fields(message: Message) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "type": message.kind,
        "from": f"0x{message.sender.hex()}",
        "gas": hex(message.gas),
        "gasUsed": hex(message.gas_used),
        "input": f"0x{message.data.hex()}",
    }
    if message.halt is None or message.kind not in CREATIONS:
        fields["to"] = f"0x{message.to.hex()}"
    if message.value is not None:
        fields["value"] = hex(message.value)
    if message.output:
        fields["output"] = f"0x{message.output.hex()}"
    if message.halt is not None:
        fields["error"] = error_of(message)
        if message.halt is Halt.REVERT and (reason := decode_revert(message.output)) is not None:
            fields["revertReason"] = reason
    return fields


def _log(log: Log, index: int, position: int) -> dict[str, Any]:
    return {
        "address": f"0x{log.address.hex()}",
        "topics": [f"0x{topic.hex()}" for topic in log.topics],
        "data": f"0x{log.data.hex()}",
        "index": hex(index),
        "position": hex(position),
    }
