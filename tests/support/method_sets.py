"""docs/methods.md: our methods, as registered, beside those of other nodes.

    python -m tests.support.method_sets

Theirs are in method_sets.json: geth's, Besu's and reth's by their sources; anvil's and Hardhat's by
asking those versions for every name.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from node.rpc import methods as _methods  # noqa: F401 - registers them
from node.rpc.registry import METHODS

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "methods.md"

_DATA: Final = Path(__file__).with_suffix(".json")
_CONTROL: Final = ("anvil", "evm", "hardhat", "tenderly", "ganache", "miner")
_SPACES: Final = ("eth", "net", "web3", "txpool", "debug", "trace", "ots", "erigon", "admin", "rpc")

_HEAD: Final = """\
# Methods beside those of other nodes

Written by `python -m tests.support.method_sets`, and tested against what is registered. A method
of other nodes that we lack is listed where at least two of them have it. What each of ours takes
and gives is in [RPC.md](RPC.md) and [dev.md](dev.md).

"""
_SOURCES: Final = """\
geth {geth} by its source, Besu and reth by the sources of their main branches; anvil {anvil} and
Hardhat {Hardhat} were asked for every name. A method that only answers that there is no such thing
counts as theirs, as it does for ours.
"""
_DEVELOPERS: Final = """
## A developer's chain

Methods of control, with the prefixes under which each has them.

"""


def page() -> str:
    """The whole page."""
    known = json.loads(_DATA.read_text(encoding="ascii"))
    others: dict[str, frozenset[str]] = {
        name: frozenset(entry["methods"]) for name, entry in known.items()
    }
    versions = {name: entry["version"] for name, entry in known.items()}
    return (
        _HEAD
        + _SOURCES.format(**versions)
        + "\n"
        + _standard(others)
        + _DEVELOPERS
        + _control({name: others[name] for name in ("anvil", "Hardhat")})
    )


def _standard(others: dict[str, frozenset[str]]) -> str:
    ours = {name for name in METHODS if _prefix(name) not in _CONTROL}
    common = {
        name
        for name in frozenset.union(*others.values())
        if sum(name in methods for methods in others.values()) > 1
    }
    names = ours | {name for name in common if _prefix(name) in _SPACES}
    rows = [
        f"| `{name}` | {_yes(name in ours)} | "
        + " | ".join(_yes(name in methods) for methods in others.values())
        + " |\n"
        for name in sorted(names)
    ]
    return _table(["method", "chain-node", *others], rows)


def _control(others: dict[str, frozenset[str]]) -> str:
    sets = {"chain-node": frozenset(METHODS), **others}
    names = {
        name.partition("_")[2]
        for methods in sets.values()
        for name in methods
        if _prefix(name) in _CONTROL
    }
    rows = [
        f"| `{name}` | "
        + " | ".join(
            " ".join(prefix for prefix in _CONTROL if f"{prefix}_{name}" in methods)
            for methods in sets.values()
        )
        + " |\n"
        for name in sorted(names)
    ]
    return _table(["method", *sets], rows)


def _prefix(name: str) -> str:
    return name.replace(".", "_").partition("_")[0]


def _yes(has: bool) -> str:
    return "yes" if has else ""


def _table(columns: Iterable[str], rows: list[str]) -> str:
    columns = list(columns)
    return f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}\n" + "".join(rows)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
