"""Calls whose prints are told, as those of transactions are: a view function may print too."""

from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from chain.machine import Halt, Tracer
from chain.state import Account, StateView
from chain.transition import TransactionResult
from chain.types import Address
from node.devchain.prints import CONSOLE, Prints


class Aloud(Struct, frozen=True):
    """A call that printed."""

    method: str  # by which it was asked for
    to: Address | None
    data: bytes
    halt: Halt | None
    output: bytes
    lines: Sequence[str]


OnAloud = Callable[[Aloud], None]
# Runs a call on a state, which the tracer watches.
RunCall = Callable[[StateView, Tracer | None], TransactionResult]


class PrintedError(Exception):
    """A call printed that may not."""


class ConsoleView:
    """A state that knows whether somebody asked for the account that is printed to.

    Whoever calls an account asks for it: to watch all that a call does would make each slow.
    """

    def __init__(self, view: StateView, *, refuses: bool = False) -> None:
        """With `refuses` that ends the call: with `PrintedError`."""
        self._view = view
        self._refuses = refuses
        self.asked = False
        self.storage: Final = view.storage
        self.code: Final = view.code

    def account(self, address: Address) -> Account | None:
        if address == CONSOLE:
            self.asked = True
            if self._refuses:
                raise PrintedError
        return self._view.account(address)


def run_aloud(
    view: StateView, run: RunCall, method: str, to: Address | None, data: bytes, tell: OnAloud
) -> TransactionResult:
    """Run a call on a state, and where it prints again, to `tell` what."""
    console = ConsoleView(view)
    result = run(console, None)
    if console.asked:
        prints = Prints()
        run(view, prints)
        tell(Aloud(method, to, data, result.halt, result.output, prints.lines))
    return result
