"""The tree of messages as a list, each item with its path: flatCallTracer's, and Parity's own."""

from collections.abc import Callable, Iterator
from typing import Any, Final

from chain.machine import Halt
from node.tracing.calls import CREATIONS, Message, error_of
from node.tracing.tracer import Place, Subject

# Parity's words, as geth's flatCallTracer has them.
_WORDS: Final[dict[Halt, str]] = {
    Halt.REVERT: "Reverted",
    Halt.OUT_OF_GAS: "Out of gas",
    Halt.CODE_STORE_OUT_OF_GAS: "Out of gas",
    Halt.CODE_TOO_LARGE: "Out of gas",
    Halt.BAD_JUMP: "Bad jump destination",
    Halt.BAD_OPCODE: "Bad instruction",
    Halt.STACK_UNDERFLOW: "Stack underflow",
    Halt.STACK_OVERFLOW: "Out of stack",
    Halt.RETURN_DATA_OUT_OF_BOUNDS: "Out of bounds",
    Halt.PRECOMPILE: "Built-in failed",
}
# The trace_ methods know another one.
_PARITY: Final = {**_WORDS, Halt.WRITE_PROTECTION: "Mutable Call In Static Context"}
_TO_PRECOMPILES: Final = frozenset({"CALL", "STATICCALL"})
_CALLS: Final = _TO_PRECOMPILES | {"CALLCODE", "DELEGATECALL"}


def flat(
    root: Message, subject: Subject, *, parity_errors: bool, with_precompiles: bool
) -> list[dict[str, Any]]:
    """flatCallTracer's answer. Messages to precompiles are left out unless wanted."""
    place = _place(subject.place)
    precompiles = frozenset() if with_precompiles else subject.fork.precompiles

    def hidden(call: Message) -> bool:
        return call.kind in _TO_PRECOMPILES and call.to in precompiles

    items: list[dict[str, Any]] = []
    for message, item in _items(root, hidden):
        item |= place
        if message.halt is not None and message.halt is not Halt.REVERT:
            del item["result"]
        if message.halt is not None:
            known = _WORDS.get(message.halt) if parity_errors else None
            words = error_of(message)
            # geth tells what else was wrong with a precompile's input in its own words.
            own = message.halt is Halt.PRECOMPILE and words != "invalid input length"
            item["error"] = words if own or known is None else known
        items.append(item)
    return items


def parity(root: Message, subject: Subject) -> list[dict[str, Any]]:
    """The traces of the trace_ methods, without their place on the chain.

    As Parity, Erigon and reth have them: without messages that only ask a precompile, but
    with those that pay it; what failed has no result unless it reverted.
    """

    def hidden(call: Message) -> bool:
        return call.kind in _CALLS and not call.value and call.to in subject.fork.precompiles

    items: list[dict[str, Any]] = []
    for message, item in _items(root, hidden):
        if message.halt is not None:
            item["error"] = _PARITY.get(message.halt) or error_of(message)
        if message.kind == "SELFDESTRUCT" or message.halt not in (None, Halt.REVERT):
            item["result"] = None
        elif message.kind in CREATIONS:
            item["result"]["address"] = f"0x{message.to.hex()}"
        items.append(item)
    return items


def _items(
    root: Message, hidden: Callable[[Message], bool]
) -> Iterator[tuple[Message, dict[str, Any]]]:
    """Every message that is not hidden before those that it sent, with what is shown of it."""
    waiting: list[tuple[Message, list[int]]] = [(root, [])]
    while waiting:
        message, path = waiting.pop()
        calls = [call for call in message.calls if not hidden(call)]
        yield message, {**_action(message), "subtraces": len(calls), "traceAddress": path}
        waiting += [(call, [*path, index]) for index, call in reversed(list(enumerate(calls)))]


def _place(place: Place) -> dict[str, Any]:
    return {
        "blockHash": place.block_hash and f"0x{place.block_hash.hex()}",
        "blockNumber": place.height,
        "transactionHash": place.transaction_hash and f"0x{place.transaction_hash.hex()}",
        "transactionPosition": place.index,
    }


def _action(message: Message) -> dict[str, Any]:
    """What a message was to do, and what came of it."""
    sender, to = f"0x{message.sender.hex()}", f"0x{message.to.hex()}"
    value = hex(message.value or 0)
    if message.kind == "SELFDESTRUCT":
        action = {"address": sender, "balance": value, "refundAddress": to}
        return {"type": "suicide", "action": action}
    action = {"from": sender, "gas": hex(message.gas), "value": value}
    result = {"gasUsed": hex(message.gas_used)}
    if message.kind in CREATIONS:
        action["creationMethod"] = message.kind.lower()
        action["init"] = f"0x{message.data.hex()}"
        result["code"] = f"0x{message.output.hex()}"
        if message.halt is None:
            result["address"] = to
        return {"type": "create", "action": action, "result": result}
    action |= {"to": to, "callType": message.kind.lower(), "input": f"0x{message.data.hex()}"}
    result["output"] = f"0x{message.output.hex()}"
    return {"type": "call", "action": action, "result": result}
