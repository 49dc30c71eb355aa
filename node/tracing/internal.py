"""What Otterscan shows of a transaction: the list of its messages, and what they moved."""

from collections.abc import Iterator
from typing import Any, Final

from node.tracing.calls import Message
from node.tracing.tracer import Subject

_NO_VALUE: Final = frozenset({"DELEGATECALL", "STATICCALL"})
# Otterscan's numbers for what happened inside of a transaction.
_TRANSFER: Final = 0
_NUMBERS: Final = {"SELFDESTRUCT": 1, "CREATE": 2, "CREATE2": 3}


def entries(root: Message, subject: Subject) -> list[dict[str, Any]]:
    """All messages but those to precompiles, each with its depth."""
    return [
        {
            "type": message.kind,
            "depth": depth,
            "from": f"0x{message.sender.hex()}",
            "to": f"0x{message.to.hex()}",
            "value": None if message.kind in _NO_VALUE else hex(message.value or 0),
            "input": f"0x{message.data.hex()}",
            "output": f"0x{message.output.hex()}",
        }
        for message, depth, _ in _walk(root)
        if not depth or message.to not in subject.fork.precompiles
    ]


def operations(root: Message, subject: Subject) -> list[dict[str, Any]]:
    """Transfers of value, creations and destructions below the first message.

    As Erigon tells them, also those that were undone.
    """
    found: list[dict[str, Any]] = []
    for message, depth, _ in _walk(root):
        number = _NUMBERS.get(message.kind)
        if number is None and message.kind == "CALL" and message.value:
            number = _TRANSFER
        if depth and number is not None:
            found.append(
                {
                    "type": number,
                    "from": f"0x{message.sender.hex()}",
                    "to": f"0x{message.to.hex()}",
                    "value": hex(message.value or 0),
                }
            )
    return found


def creations(root: Message, subject: Subject) -> list[tuple[bytes, bytes]]:
    """Each contract made and not undone, with the account that made it."""
    return [
        (message.to, message.sender)
        for message, _, undone in _walk(root)
        if message.kind in ("CREATE", "CREATE2") and not undone
    ]


def _walk(root: Message) -> Iterator[tuple[Message, int, bool]]:
    """Every message before those that it sent, its depth, and whether it was undone."""
    waiting = [(root, 0, root.halt is not None)]
    while waiting:
        message, depth, undone = waiting.pop()
        yield message, depth, undone
        waiting += [
            (call, depth + 1, undone or call.halt is not None) for call in reversed(message.calls)
        ]
