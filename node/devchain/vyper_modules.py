"""Which files the numbers in Vyper's maps stand for: its output does not say.

The compiler numbers files from 0 as it reads them: a contract, then what that imports, each
with its own imports at once, in the order of the statements; then the next contract.
"""

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePosixPath
from posixpath import normpath
from typing import Final

_IMPORT: Final = re.compile(
    r"^(?:from[ \t]+(?P<dots>\.*)(?P<package>[\w.]*)[ \t]+)?import[ \t]+(?P<name>[\w.]+)",
    re.MULTILINE,
)
_BUILT_IN: Final = ("ethereum.ercs", "math")  # they have no number
_SUFFIXES: Final = (".vy", ".vyi", ".json")
FILES_MAX: Final = 200

Read = Callable[[str], bytes | None]
Files = dict[int, tuple[str, str | None]]  # name and text


class _LostError(Exception):
    """An import that is nowhere: what has numbers after it is not known."""


def numbered_files(contracts: Sequence[str], read: Read) -> Files:
    """Files by their numbers, as far as those are certain.

    `contracts` are the files that were compiled together, in order; `read` gives what is in
    a file, if there is one.
    """
    found: dict[str, str | None] = {}
    try:
        for contract in contracts:
            _number(contract, contract, str(PurePosixPath(contract).parent), found, read)
    except _LostError:
        pass  # and then so many are
    return dict(enumerate(found.items()))


def _number(name: str, path: str, root: str, found: dict[str, str | None], read: Read) -> None:
    """Give a file the next number, unless it has one, and then its imports theirs."""
    if name in found:
        return
    data = read(path)
    found[name] = text = None if data is None else data.decode(errors="replace")
    if text is None or len(found) >= FILES_MAX:
        raise _LostError
    if path.endswith(".json"):
        return
    for dots, module in _imports(text):
        imported = module.replace(".", "/")
        if dots:
            folder = str(PurePosixPath(path).parent)
            places = [normpath(f"{folder}/{'../' * (dots - 1)}{imported}")]
        else:
            places = [normpath(f"{root}/{imported}"), imported]
            places += (f"{each}/{imported}" for each in sys.path if each)
        there = next(
            (p + suffix for suffix in _SUFFIXES for p in places if read(p + suffix) is not None),
            None,
        )
        if there is None:
            there = f"{imported}.vy"
        shown = f"{imported}{PurePosixPath(there).suffix}" if there.startswith("/") else there
        _number(shown, there, root, found, read)


def _imports(text: str) -> Iterator[tuple[int, str]]:
    """How many dots an import begins with, and the module that it names."""
    for match in _IMPORT.finditer(text):
        package = match.group("package")
        module = ".".join(filter(None, (package, match.group("name"))))
        dots = len(match.group("dots") or "")
        if dots or not module.startswith(_BUILT_IN):
            yield dots, module
