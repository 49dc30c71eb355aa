"""From a place in a contract's code to the line of its source, by what compilers leave behind.

Source maps of solc (Foundry's artefacts, Hardhat's build infos of both kinds), Vyper's and
Ape's maps by code position. Functions are found in the text itself, which all compilers have in
common. Files are read when a trace first needs them.
"""

import json
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from msgspec import Struct

from node.devchain.vyper_modules import Files, numbered_files

_FILE_BYTES_MAX: Final = 256 * 2**20  # of a build info
_SOURCE_BYTES_MAX: Final = 8 * 2**20
_PARENTS_MAX: Final = 5  # folders above the artefacts in which sources are looked for
_PUSH1, _PUSH32 = 0x60, 0x7F
_SOLIDITY_FUNCTION: Final = re.compile(
    rb"\b(?:function\s+(\w+)|modifier\s+(\w+)|(constructor|receive|fallback)\s*\()"
)
_SOLIDITY_CONTRACT: Final = re.compile(
    rb"^\s*(?:abstract\s+)?(?:contract|library|interface)\s+(\w+)", re.MULTILINE
)
_VYPER_FUNCTION: Final = re.compile(r"^def\s+(\w+)")


class Place(Struct, frozen=True):
    """A line of source. `function` is "Contract.function", empty outside of any."""

    file: str
    line: int  # from 1; 0: not known
    function: str
    heads: bool  # whether it is a function's head or outside of all, where nothing happens


class Places(Protocol):
    """Where the instructions of one code come from."""

    def place(self, pc: int) -> Place | None: ...
    def jump(self, pc: int) -> str:
        """ "i" for a call of a function within the contract, "o" for the way back, else "-"."""
        ...

    def problem(self, pc: int) -> str:
        """What the compiler checks there, where it says so; else empty."""
        ...


class Text:
    """A source file's bytes, by line and by function."""

    def __init__(self, data: bytes) -> None:
        self._starts = [0, *(match.end() for match in re.finditer(rb"\n", data))]
        self._functions = [
            (match.start(), _name(match)) for match in _SOLIDITY_FUNCTION.finditer(data)
        ]
        self._contracts = [
            (match.start(), match.group(1).decode()) for match in _SOLIDITY_CONTRACT.finditer(data)
        ]

    def line(self, offset: int) -> int:
        return bisect_right(self._starts, offset)

    def function(self, offset: int) -> tuple[str, bool]:
        """The function around, and whether this is no more than its head."""
        contract = _last(self._contracts, offset)
        function = _last(self._functions, offset)
        if function is None or (contract is not None and contract[0] > function[0]):
            return "", True
        name = function[1] if contract is None else f"{contract[1]}.{function[1]}"
        return name, function[0] == offset


def _name(match: "re.Match[bytes]") -> str:
    return next(group for group in match.groups() if group is not None).decode()


def _last(found: Sequence[tuple[int, str]], offset: int) -> tuple[int, str] | None:
    index = bisect_right(found, offset, key=lambda item: item[0])
    return found[index - 1] if index else None


# -- solc ------------------------------------------------------------------------------------------


class SolidityPlaces:
    """By a source map: start:length:file:jump for each instruction, what repeats left out."""

    def __init__(
        self, code: bytes, source_map: str, names: Mapping[int, str], texts: "Texts"
    ) -> None:
        self._names = names
        self._texts = texts
        self._by_pc = dict(zip(_instructions(code), _entries(source_map), strict=False))
        self._places: dict[int, Place | None] = {}

    def place(self, pc: int) -> Place | None:
        if pc not in self._places:
            self._places[pc] = self._found(pc)
        return self._places[pc]

    def _found(self, pc: int) -> Place | None:
        entry = self._by_pc.get(pc)
        if entry is None or entry[0] < 0:
            return None
        start, file, _ = entry
        name = self._names.get(file)
        if name is None:
            return None
        text = self._texts.get(name)
        if text is None:
            return Place(_short(name), 0, "", False)
        function, heads = text.function(start)
        return Place(_short(name), text.line(start), function, heads)

    def jump(self, pc: int) -> str:
        entry = self._by_pc.get(pc)
        return "-" if entry is None else entry[2]

    def problem(self, pc: int) -> str:
        return ""


def _instructions(code: bytes) -> Iterator[int]:
    pc = 0
    while pc < len(code):
        yield pc
        opcode = code[pc]
        pc += 1 + (opcode - _PUSH1 + 1 if _PUSH1 <= opcode <= _PUSH32 else 0)


def _entries(source_map: str) -> Iterator[tuple[int, int, str]]:
    start, file, jump = -1, -1, "-"
    for part in source_map.split(";"):
        fields = part.split(":")
        if fields[0]:
            start = int(fields[0])
        if len(fields) > 2 and fields[2]:
            file = int(fields[2])
        if len(fields) > 3 and fields[3]:
            jump = fields[3]
        yield start, file, jump


def _short(name: str) -> str:
    """A path as people know it: from the package on where it is one's."""
    return name.rpartition("node_modules/")[2].removeprefix("project/")


# -- Vyper and Ape ---------------------------------------------------------------------------------


class LinePlaces:
    """By a map from code positions to lines of files."""

    def __init__(
        self,
        contract: str,
        files: Files,
        own: int,
        lines: Mapping[int, tuple[int, int]],
        jumps: Mapping[int, str],
        problems: Mapping[int, str],
    ) -> None:
        """`own` is the number of the contract's file; a line is its file's number and its own."""
        self._contract, self._own = contract, own
        self._lines, self._jumps, self._problems = lines, jumps, problems
        self._files = files
        self._functions: dict[int, list[tuple[int, str]]] = {}

    def place(self, pc: int) -> Place | None:
        found = self._lines.get(pc)
        if found is None:
            return None
        file, line = found
        if file not in self._files:
            return Place("a module that is not there", 0, "", False)
        name = self._files[file][0]
        module = self._contract if file == self._own else Path(name).stem
        function = _last(self._functions_of(file), line)
        heads = function is None or function[0] == line
        return Place(name, line, module if function is None else f"{module}.{function[1]}", heads)

    def _functions_of(self, file: int) -> list[tuple[int, str]]:
        if file not in self._functions:
            self._functions[file] = [
                (number, found.group(1))
                for number, line in enumerate((self._files[file][1] or "").splitlines(), 1)
                if (found := _VYPER_FUNCTION.match(line))
            ]
        return self._functions[file]

    def jump(self, pc: int) -> str:
        return self._jumps.get(pc, "-")

    def problem(self, pc: int) -> str:
        return self._problems.get(pc, "")


# -- where it all lies -----------------------------------------------------------------------------


class Texts:
    """Sources by their names, each read once when it is first asked for."""

    def __init__(
        self, read: Callable[[str], bytes | None], inputs: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """`inputs` are those that a compiler's input holds, with their `content`."""
        self._read = read
        self._inputs = inputs
        self._known: dict[str, Text | None] = {}

    def get(self, name: str) -> Text | None:
        if name not in self._known:
            given = self._inputs.get(name, {}).get("content")
            data = self._read(name) if given is None else str(given).encode()
            self._known[name] = None if data is None else Text(data)
        return self._known[name]


def _decoded(data: bytes | None) -> str | None:
    return None if data is None else data.decode(errors="replace")


class Sources:
    """The sources of the contracts under one folder of artefacts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._infos: dict[Path, Any] = {}  # the last ones, which many contracts share

    def places(
        self, path: Path, document: Mapping[str, Any], name: str, code: bytes, *, creation: bool
    ) -> Places | None:
        """Where the code of an artefact comes from; None when it does not say.

        `document` is the artefact of the contract `name` in the file `path`.
        """
        try:
            found = (
                self._of_vyper(document, name, creation)
                or self._of_ape(document, name, creation)
                or self._of_foundry(document, code, creation)
                or self._of_hardhat(path, document, code, creation)
            )
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):
            return None  # in a shape of its own
        return found

    def _of_vyper(self, document: Mapping[str, Any], name: str, creation: bool) -> Places | None:
        found = document.get("source_map" if creation else "source_map_runtime")
        if found is None and not creation:
            found = document.get("source_map")
        if not isinstance(found, dict) or "pc_pos_map" not in found:
            return None
        file = str(document.get("sourceId") or f"{name}.vy")
        contracts = document.get("compiledTogether") or (file,)
        files = numbered_files(contracts, self._read)
        numbers = {name: number for number, (name, _) in files.items()}
        own = numbers.get(file)
        if own is None:  # one that comes after an import that is nowhere
            own, files = 0, {0: (file, _decoded(self._read(file)))}
            nodes: Mapping[str, Any] = {}
        else:
            nodes = found.get("pc_ast_map") or {}
        return LinePlaces(
            name,
            files,
            own,
            {
                int(pc): (nodes.get(pc, (own,))[0], place[0])
                for pc, place in found["pc_pos_map"].items()
                if place
            },
            {int(pc): jump for pc, jump in (found.get("pc_jump_map") or {}).items()},
            {int(pc): text for pc, text in (found.get("error_map") or {}).items()},
        )

    def _of_ape(self, document: Mapping[str, Any], name: str, creation: bool) -> Places | None:
        found = document.get("pcmap")
        if creation or not isinstance(found, dict):
            return None
        lines: dict[int, tuple[int, int]] = {}
        problems: dict[int, str] = {}
        for pc, entry in found.items():
            place = entry.get("location") if isinstance(entry, dict) else entry
            if isinstance(entry, dict) and isinstance(entry.get("dev"), str):
                problems[int(pc)] = entry["dev"].removeprefix("dev: ")
            if place:
                lines[int(pc)] = (0, place[0])
        file = str(document["sourceId"])
        files: Files = {0: (file, _decoded(self._read(file)))}
        return LinePlaces(name, files, 0, lines, {}, problems)

    def _of_foundry(
        self, document: Mapping[str, Any], code: bytes, creation: bool
    ) -> Places | None:
        part = document.get("bytecode" if creation else "deployedBytecode")
        if not isinstance(part, dict) or not part.get("sourceMap"):
            return None
        names: dict[int, str] = {}
        metadata = document.get("metadata")
        if isinstance(metadata, dict):
            (target,) = metadata["settings"]["compilationTarget"]
            names = self._foundry_names(int(document["id"]), target)
        return SolidityPlaces(code, part["sourceMap"], names, Texts(self._read, {}))

    def _foundry_names(self, own: int, target: str) -> dict[int, str]:
        """The files by their numbers in the build that this artefact is of."""
        for path in sorted((self._folder / "build-info").glob("*.json")):
            names = (self._info(path) or {}).get("source_id_to_path")
            if isinstance(names, dict) and names.get(str(own)) == target:
                return {int(number): name for number, name in names.items()}
        return {own: target}

    def _of_hardhat(
        self, path: Path, document: Mapping[str, Any], code: bytes, creation: bool
    ) -> Places | None:
        name = document.get("inputSourceName") or document.get("sourceName")
        if (build := document.get("buildInfoId")) is not None:
            info = self._info(self._folder / "build-info" / f"{build}.json")
            output = self._info(self._folder / "build-info" / f"{build}.output.json")["output"]
        else:
            debug = self._info(path.with_suffix(".dbg.json"))
            info = self._info(path.parent / debug["buildInfo"])
            output = info["output"]
        evm = output["contracts"][name][document["contractName"]]["evm"]
        part = evm["bytecode" if creation else "deployedBytecode"]
        names = {int(entry["id"]): file for file, entry in output["sources"].items()}
        texts = Texts(self._read, info["input"]["sources"])
        return SolidityPlaces(code, part["sourceMap"], names, texts)

    def _info(self, path: Path) -> Any:
        """What is in a file of JSON; None when there is none to be had."""
        if path not in self._infos:
            try:
                too_large = path.stat().st_size > _FILE_BYTES_MAX
                found = None if too_large else json.loads(path.read_bytes())
            except (OSError, ValueError, RecursionError):
                found = None
            while len(self._infos) >= 4:
                del self._infos[next(iter(self._infos))]
            self._infos[path] = found
        return self._infos[path]

    def _read(self, name: str) -> bytes | None:
        """A source by the name that the compiler knew it by."""
        plain = name.removeprefix("project/")
        above = [self._folder, *self._folder.resolve().parents][:_PARENTS_MAX]
        for path in (Path(plain), *(parent / plain for parent in above)):
            try:
                if path.is_file() and path.stat().st_size <= _SOURCE_BYTES_MAX:
                    return path.read_bytes()
            except OSError:
                continue
        return None
