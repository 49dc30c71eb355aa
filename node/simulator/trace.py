"""What happened in a run, as one hash: two runs with the same hash were the same run."""

from collections import deque
from hashlib import blake2b
from typing import Final

_KEPT: Final = 2_000  # the last lines, for whoever looks into a failure


class Trace:
    """A running hash over lines, of which the last ones are kept in full."""

    def __init__(self) -> None:
        self._hash = blake2b(digest_size=16)
        self._lines: deque[str] = deque(maxlen=_KEPT)
        self.events = 0

    def add(self, now: float, who: str, what: str) -> None:
        """Record an event at `now`, in seconds of virtual time."""
        line = f"{now:.6f} {who} {what}"
        self._hash.update(line.encode() + b"\n")
        self._lines.append(line)
        self.events += 1

    @property
    def digest(self) -> str:
        """The hash of every line so far, in hexadecimal."""
        return self._hash.hexdigest()

    def tail(self, count: int) -> list[str]:
        """The last lines, oldest first."""
        return list(self._lines)[-count:]
