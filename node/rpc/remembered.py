"""Results of reads of the newest state, kept for as long as nothing changes.

Wallets and pages ask for the same balances and calls again and again, most often in between
two blocks. Such a read depends on its arguments and on the chain up to its head alone, so the
text of its arguments is enough to find what the same request gave before.
"""

from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from node.rpc.context import Context

_BYTES_MAX: Final = 2**24  # of all together
_TEXT_BYTES_MAX: Final = 2**13  # of a request's arguments, and of its result
_ENTRY_BYTES: Final = 300  # that Python takes for each

Request: TypeAlias = tuple[str, bytes]  # the method's name, its parameters as they were written
Results: TypeAlias = dict[Request, bytes]  # as they stand in answers


class Remembered:
    """The results for one ledger. Used in the event loop's thread alone."""

    def __init__(self) -> None:
        self._results: Results = {}
        self._state: object = None  # the head's, as which they hold
        self._forgotten = 0  # how often surroundings were, before these
        self._room = _BYTES_MAX

    def results(self, ctx: "Context") -> Results:
        """What is known of the head as it is now; to be asked for before one is made for `keep`."""
        state, forgotten = ctx.node.ledger.head_state, ctx.surroundings.forgotten
        if state is not self._state or forgotten != self._forgotten:
            self._state, self._forgotten = state, forgotten
            self._begin()
        return self._results

    def _begin(self) -> None:
        self._results, self._room = {}, _BYTES_MAX

    def keep(self, results: Results, request: Request, result: bytes) -> None:
        """Remember a result, unless it is long. If there are too many, all others are forgotten."""
        text = request[1]
        size = len(text) + len(result)
        # What is pending is changed by the pool; and a word can be written with escapes.
        if size > _TEXT_BYTES_MAX or b"pending" in text or b"\\" in text:
            return
        self._room -= size + _ENTRY_BYTES
        if self._room < 0:
            self._begin()
            return
        results[request] = result
