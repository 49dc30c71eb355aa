"""One log of all nodes; on a terminal, the live table stands below it.

Text for a terminal is a frame: erase the table, the new lines, the table again.
"""

import shutil
import time
from collections.abc import Sequence
from typing import Final

import msgspec

from node.watch.console import Console

_COLOURS: Final = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)  # of names, by turns
_BOLD: Final = "\x1b[1m"
_PLAIN: Final = "\x1b[0m"
_LINES_KEPT: Final = 500  # of one frame; more in a tenth of a second can't be read anyway
_CONTROLS: Final = {code: " " for code in (*range(32), 127, *range(128, 160)) if code != 9}


class Screen:
    """Where lines go. On a terminal they wait for `draw`; elsewhere they go at once."""

    def __init__(self, console: Console, names: Sequence[str], *, terminal: bool, json: bool):
        """`json`: one object per line instead of text, and no table."""
        self._console = console
        self._terminal = terminal and not json
        self._json = json
        self._width = max(map(len, names), default=0)
        self._colours = {name: _COLOURS[place % len(_COLOURS)] for place, name in enumerate(names)}
        self._waiting: list[str] = []
        self._skipped = 0
        self._table: list[str] = []
        self._shown: list[str] = []  # what of it is on the terminal

    @property
    def tells_tables(self) -> bool:
        """Whether a table is worth a few lines of the log: it is for people, and not live."""
        return not self._terminal and not self._json

    def line(self, name: str, text: str) -> None:
        """A line that a node printed; an empty name is ours."""
        if self._json:
            self._console.say(_json_line(name or "up", text))
        elif self._terminal:
            if len(self._waiting) >= _LINES_KEPT:
                self._skipped += 1
            else:
                colour = self._colours.get(name, 0)
                shown = text.translate(_CONTROLS)
                self._waiting.append(f"\x1b[{colour}m{name:<{self._width}} |{_PLAIN} {shown}")
        else:
            self._console.say(f"{name:<{self._width}} | {text}")

    def table(self, lines: Sequence[str]) -> None:
        """What `draw` puts below the log from now on."""
        self._table = list(lines)

    def draw(self) -> None:
        """Bring the terminal up to date."""
        columns = shutil.get_terminal_size().columns
        # A line of the table that wraps would leave its end behind.
        below = [line[: columns - 1] for line in self._table]
        if not self._terminal or not (self._waiting or below != self._shown):
            return
        if self._skipped:
            self._waiting.append(f"({self._skipped} lines skipped: too many to show)")
            self._skipped = 0
        erase = f"\x1b[{len(self._shown)}F\x1b[J" if self._shown else ""
        self._shown = below
        headed = [f"{_BOLD}{line}{_PLAIN}" for line in below[:1]] + below[1:]
        self._console.say(erase + "\n".join((*self._waiting, *headed)))
        self._waiting.clear()

    def close(self) -> None:
        """Show what is left, and leave the last table where it is."""
        self.draw()
        self._shown = []


def _json_line(name: str, text: str) -> str:
    """The node's own object with its name added, or an object around its text."""
    if text.startswith("{"):
        try:
            found = msgspec.json.decode(text, type=dict[str, object])
            return msgspec.json.encode({"node": name} | found).decode()
        except msgspec.DecodeError:
            pass  # text that only looks like an object
    now = time.time()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}Z"
    return msgspec.json.encode({"node": name, "time": stamp, "message": text}).decode()
