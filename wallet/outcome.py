"""How a command ends: the exit codes that scripts rely on, and the failure that carries one."""

from enum import IntEnum
from typing import Final

from chain.errors import Reason


class Exit(IntEnum):
    """Exit codes of chain-wallet. They are stable."""

    OK = 0
    REFUSED = 1  # the node refused the request, or the transaction failed in its block
    USAGE = 2  # a wrong option, address, amount or unit
    UNREACHABLE = 3  # no node answers at the address, or not with JSON-RPC
    KEYSTORE = 4  # wrong password; a keystore file that is missing, damaged or in the way
    NOT_INCLUDED = 5  # sent, but without a receipt within the time given
    FAULT = 70  # our own failure: a damaged installation, a broken invariant
    INTERRUPTED = 130


# How the exit codes read in --help; one line each.
MEANINGS: Final = {
    Exit.OK: "done; a transaction that was waited for has succeeded",
    Exit.REFUSED: "refused by the node, or the transaction failed in its block",
    Exit.USAGE: "wrong option, address, amount or unit",
    Exit.UNREACHABLE: "no node answers at the RPC address, or not with JSON-RPC",
    Exit.KEYSTORE: "wrong password, or a key that is missing, damaged or already there",
    Exit.NOT_INCLUDED: "sent, but no receipt within the time given (--timeout)",
    Exit.FAULT: "the wallet's own failure: please report it",
    Exit.INTERRUPTED: "interrupted by the keyboard",
}

KEYSTORE_REASONS: Final = frozenset({Reason.BAD_KEYSTORE, Reason.WRONG_PASSWORD})


class Failed(Exception):
    """A command cannot do what was asked: the exit code, and one line for people.

    `facts` are what a script can use of it (a transaction's hash, the node's error
    code and data), as JSON values.
    """

    def __init__(self, exit_code: Exit, message: str, **facts: object) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.message = message
        self.facts = facts
