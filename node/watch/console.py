"""Lines for whoever watches, written so that a stuck terminal never holds up the node."""

import queue
import sys
import threading
from typing import Final, TextIO

_LINES_MAX: Final = 20_000


class Console:
    """Prints in a thread of its own. When nobody reads, lines are dropped and counted."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stdout if stream is None else stream
        self._lines: queue.Queue[str | None] = queue.Queue(_LINES_MAX)
        self._dropped = 0
        self._thread = threading.Thread(target=self._work, name="console", daemon=True)
        self._thread.start()

    def say(self, text: str) -> None:
        """Print a line, or several, soon."""
        try:
            self._lines.put_nowait(text)
        except queue.Full:
            self._dropped += 1

    def close(self) -> None:
        """Print what is left, as long as somebody reads it."""
        try:
            self._lines.put_nowait(None)
        except queue.Full:
            return
        self._thread.join(timeout=1)

    def _work(self) -> None:
        while (text := self._lines.get()) is not None:
            dropped, self._dropped = self._dropped, 0
            note = f"({dropped} lines dropped: nobody reads them)\n" if dropped else ""
            try:
                self._stream.write(note + text + "\n")
                if self._lines.empty():
                    self._stream.flush()
            except (OSError, ValueError):
                return  # the reader is gone; the node goes on without one
        try:
            self._stream.flush()
        except (OSError, ValueError):
            return
