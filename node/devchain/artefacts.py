"""Compilers' output, to call contracts and functions by their names.

Every JSON file with an `abi` under the folders given: Foundry's, Hardhat's, Ape's, Vyper's
combined. A contract on the chain is known by its code, all but what the deployment put in.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from threading import Lock
from typing import Any, Final

from msgspec import Struct

from chain.abi import decode, selector
from chain.errors import Reason, Rejected
from node.devchain.print_formats import shown
from node.devchain.sources import Places, Sources

FILES_MAX: Final = 20_000
_FILE_BYTES_MAX: Final = 64 * 2**20
_LINK: Final = re.compile(r"__.{36}__")  # where a library's address goes
# Libraries push their own address first, to compare: PUSH20, ADDRESS, EQ.
_LIBRARY: Final = b"\x73" + bytes(20) + b"\x30\x14"
_PLACES_MAX: Final = 256  # contracts whose source maps are remembered
_CODES_MAX: Final = 4_096  # codes whose name is remembered


class Function(Struct, frozen=True):
    """A function or an error of a contract."""

    name: str
    types: tuple[str, ...]

    def of(self, data: bytes) -> str:
        """With the arguments in `data`, which follow the selector."""
        try:
            values = decode(self.types, data)
        except Rejected:
            return f"{self.name}(?)"
        return f"{self.name}({', '.join(map(shown, self.types, values))})"


class Contract(Struct, frozen=True):
    """What is known of a contract."""

    name: str
    functions: dict[bytes, Function]
    errors: dict[bytes, Function]
    runtime: bytes  # with zeros where `holes` says
    holes: tuple[tuple[int, int], ...]  # start and length of what the deployment puts in
    creation: bytes  # up to the first link to a library
    path: Path  # of the artefact
    folder: int  # in which of the folders it is
    has_fallback: bool = False


class Artefacts:
    """The contracts of some folders. May be used from any thread."""

    def __init__(self, folders: Iterable[Path]) -> None:
        """Raises `Rejected` (BAD_SETTING) for a folder that can't be read."""
        self._by_size: dict[int, list[Contract]] = {}
        self._errors: dict[bytes, Function] = {}
        self._functions: dict[bytes, Function] = {}
        self._known: dict[bytes, Contract | None] = {}
        self._contracts: list[Contract] = []
        self._lock = Lock()  # of what is remembered
        self._sources: list[Sources] = []
        self._places: dict[tuple[Path, str, bool], Places | None] = {}
        for index, folder in enumerate(folders):
            if not folder.is_dir():
                raise Rejected(Reason.BAD_SETTING, f"dev.artifacts: {folder} is not a folder")
            self._sources.append(Sources(folder))
            for path in _files(folder):
                for contract in _contracts(path, index):
                    self._contracts.append(contract)
                    self._errors |= contract.errors
                    self._functions |= contract.functions
                    self._by_size.setdefault(len(contract.runtime), []).append(contract)

    def __len__(self) -> int:
        return len(self._contracts)

    def with_code(self, code: bytes) -> Contract | None:
        """The contract that this code on the chain was compiled from."""
        if not code:
            return None
        with self._lock:
            if code not in self._known:
                if len(self._known) >= _CODES_MAX:
                    self._known.clear()
                candidates = self._by_size.get(len(code), ())
                self._known[code] = next(
                    (one for one in candidates if one.runtime == _blank(one, code)), None
                )
            return self._known[code]

    def created_by(self, data: bytes) -> Contract | None:
        """The contract that a creation with this data deploys: the longest code that fits."""
        fitting = (one for one in self._contracts if one.creation and data.startswith(one.creation))
        return max(fitting, key=lambda one: len(one.creation), default=None)

    def places(self, contract: Contract, *, creation: bool = False) -> Places | None:
        """Where a contract's code comes from, or the code that makes it; None: nobody knows."""
        key = (contract.path, contract.name, creation)
        with self._lock:
            if key not in self._places:
                if len(self._places) >= _PLACES_MAX:
                    self._places.clear()
                self._places[key] = self._read_places(contract, creation=creation)
            return self._places[key]

    def _read_places(self, contract: Contract, *, creation: bool) -> Places | None:
        document = dict(_documents(contract.path)).get(contract.name)
        if document is None:
            return None
        code = contract.creation if creation else contract.runtime
        sources = self._sources[contract.folder]
        return sources.places(contract.path, document, contract.name, code, creation=creation)

    def function(self, contract: Contract, data: bytes) -> str | None:
        """The function that a call is of, with its arguments; of any contract if not its own.

        What a proxy is asked for another contract answers.
        """
        found = contract.functions.get(data[:4])
        if found is None and contract.has_fallback:
            found = self._functions.get(data[:4])
        return None if found is None else found.of(data[4:])

    def error(self, output: bytes) -> str | None:
        """What a revert says by one of the contracts' own errors."""
        found = self._errors.get(output[:4])
        return None if found is None else found.of(output[4:])


def _blank(contract: Contract, code: bytes) -> bytes:
    """The code with zeros where the deployment put something in."""
    blank = bytearray(code)
    for start, length in contract.holes:
        blank[start : start + length] = bytes(length)
    return bytes(blank)


def _files(folder: Path) -> Iterator[Path]:
    count = 0
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in ("node_modules", "build-info"))
        for name in sorted(names):
            if name.endswith(".json") and not name.endswith((".dbg.json", ".metadata.json")):
                count += 1
                if count > FILES_MAX:
                    raise Rejected(
                        Reason.BAD_SETTING, f"dev.artifacts: {folder} has over {FILES_MAX} files"
                    )
                yield Path(parent) / name


def _documents(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """The contracts of a file by their names, as compilers write them."""
    try:
        if path.stat().st_size > _FILE_BYTES_MAX:
            return []
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return []
    if not isinstance(document, dict):
        return []
    if isinstance(document.get("abi"), list):
        return [(str(document.get("contractName") or _target(document) or path.stem), document)]
    together = [name for name in document if name != "version"]
    return [  # Vyper's combined_json, by file
        (Path(name).stem, {"sourceId": name, "compiledTogether": together, **entry})
        for name, entry in document.items()
        if isinstance(entry, dict) and isinstance(entry.get("abi"), list)
    ]


def _target(document: dict[str, Any]) -> str | None:
    """The contract that Foundry compiled; its file may be named Counter.0.8.20.json as well."""
    found: Any = document
    for key in ("metadata", "settings", "compilationTarget"):
        found = found.get(key) if isinstance(found, dict) else None
    names = [*found.values()] if isinstance(found, dict) else []
    return str(names[0]) if len(names) == 1 else None


def _contracts(path: Path, folder: int) -> Iterator[Contract]:
    """The contracts of a file; none when the file is something else."""
    for name, document in _documents(path):
        try:
            yield _parsed(document, name, path, folder)
        except (AttributeError, KeyError, TypeError):  # an ABI, but no compiler's
            continue


def _parsed(document: dict[str, Any], name: str, path: Path, folder: int) -> Contract:
    functions: dict[bytes, Function] = {}
    errors: dict[bytes, Function] = {}
    for entry in document["abi"]:
        table = {"function": functions, "error": errors}.get(_text(entry, "type"))
        if table is not None:
            types = tuple(_type(item) for item in entry.get("inputs") or ())
            called = _text(entry, "name")
            table[selector(f"{called}({','.join(types)})")] = Function(called, types)
    runtime, holes = _code(document, "deployedBytecode", "runtimeBytecode", "bytecode_runtime")
    creation, links = _code(document, "bytecode", "deploymentBytecode")
    if links:
        creation = creation[: min(start for start, _ in links)]
    fallback = any(_text(entry, "type") == "fallback" for entry in document["abi"])
    return Contract(name, functions, errors, runtime, holes, creation, path, folder, fallback)


def _text(entry: Any, key: str) -> str:
    value = entry.get(key) if isinstance(entry, dict) else None
    return value if isinstance(value, str) else ""


def _type(entry: Any) -> str:
    """The canonical type of an argument: tuples by their parts."""
    kind = _text(entry, "type")
    if not kind.startswith("tuple"):
        return kind
    parts = ",".join(_type(item) for item in entry.get("components") or ())
    return f"({parts}){kind.removeprefix('tuple')}"


def _code(document: dict[str, Any], *names: str) -> tuple[bytes, tuple[tuple[int, int], ...]]:
    """A code with zeros in its holes, and the holes: links to libraries and immutables."""
    found = next((document[name] for name in names if document.get(name)), "")
    immutables = document.get("immutableReferences")
    if isinstance(found, dict):
        immutables = found.get("immutableReferences", immutables)
        found = found.get("object", found.get("bytecode", ""))
    text = str(found).removeprefix("0x")
    holes = [(match.start() // 2, 20) for match in _LINK.finditer(text)]
    if isinstance(immutables, dict) and names[0] != "bytecode":
        for places in immutables.values():
            holes += [(place["start"], place["length"]) for place in places]
    try:
        code = bytearray(bytes.fromhex(_LINK.sub("00" * 20, text)))
    except ValueError:
        return b"", ()
    if code.startswith(_LIBRARY):
        holes.append((1, 20))
    for start, length in holes:
        code[start : start + length] = bytes(length)
    return bytes(code), tuple(holes)
