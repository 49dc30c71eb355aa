"""Calls whose prints are told, as those of transactions are: a view function may print too."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

from msgspec import Struct

from chain.machine import Halt, Tracer
from chain.state import Account, StateView
from chain.transition import TransactionResult
from chain.types import Address
from node.devchain.autopsy import Findings
from node.devchain.prints import CONSOLE, Prints
from node.devchain.stack_trace import StackTracer, TookTooLongError


class Aloud(Struct, frozen=True):
    """A call that printed, or would have been a transaction if it had not failed."""

    method: str  # by which it was asked for
    to: Address | None
    data: bytes
    halt: Halt | None
    output: bytes
    lines: Sequence[str]
    findings: Findings | None = None  # where it failed


CodeOf = Callable[[Address], bytes]


class Ears(Struct, frozen=True):
    """Who hears of such calls, from any thread."""

    tell: Callable[[Aloud], None]
    explains: Callable[[CodeOf], StackTracer] | None = None  # makes what finds where one fails


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


class Asked(Struct, frozen=True):
    """A call, and how it is run."""

    method: str  # by which it was asked for
    to: Address | None
    data: bytes
    view: StateView
    run: RunCall


def run_aloud(asked: Asked, ears: Ears) -> TransactionResult:
    """Run a call, and where it prints again, to tell what."""
    result, prints = _heard(asked)
    if prints:
        ears.tell(_aloud(asked, result, prints))
    return result


def tell_failure(asked: Asked, ears: Ears) -> None:
    """Run a call that fails again, to tell what it prints and where it fails.

    Raises what running it does, when it takes too long.
    """
    result, prints = _heard(asked)
    findings = None
    if ears.explains is not None and result.halt is not None:
        tracer = ears.explains(partial(_code_of, asked.view))
        with suppress(TookTooLongError):
            asked.run(asked.view, tracer)
            findings = Findings(tuple(tracer.lines()), tracer.problem())
    ears.tell(_aloud(asked, result, prints, findings))


def _heard(asked: Asked) -> tuple[TransactionResult, Sequence[str]]:
    console = ConsoleView(asked.view)
    result = asked.run(console, None)
    prints = Prints()
    if console.asked:
        asked.run(asked.view, prints)
    return result, prints.lines


def _aloud(
    asked: Asked,
    result: TransactionResult,
    prints: Sequence[str],
    findings: Findings | None = None,
) -> Aloud:
    return Aloud(asked.method, asked.to, asked.data, result.halt, result.output, prints, findings)


def _code_of(view: StateView, address: Address) -> bytes:
    account = view.account(address)
    return b"" if account is None else view.code(account.code_hash)
