"""The commands believe nothing of what a test expects: blanked, the same roots come out."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from node.conformance import blocktest, statetest
from node.conformance.fixtures import FileTests
from node.conformance.report import Result
from tests.support.conformance import samples

FILES = 12  # of each suite, spread out
SIZE_MAX = 200_000  # bytes; larger files would take long for what they add
SLOW = {"stTimeConsuming", "stQuadraticComplexityTest"}
EXPECTED = ("hash", "logs", "txbytes", "state", "lastblockhash", "postState", "postStateHash")


def blank(value: Any) -> Any:
    """A copy with every expected value emptied."""
    if isinstance(value, list):
        return [blank(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: "" if key in EXPECTED or key.startswith("expectException") else blank(item)
        for key, item in value.items()
    }


def sample_files(suite: str) -> Iterator[Path]:
    files = sorted(
        path
        for path in samples(suite).rglob("*.json")
        if path.stat().st_size <= SIZE_MAX and not SLOW & set(path.parts)
    )
    return iter(files[:: max(len(files) // FILES, 1)])


def outcomes(results: Iterator[Result], keys: tuple[str, ...]) -> list[tuple[object, ...]]:
    return [tuple(result[key] for key in keys) for result in results]


@pytest.mark.parametrize(
    ("suite", "run", "keys"),
    [
        ("state-tests-eest", statetest.run_file, ("stateRoot", "logsHash", "exception")),
        ("state-tests-legacy", statetest.run_file, ("stateRoot", "logsHash", "exception")),
        ("blockchain-tests-eest", blocktest.run_file, ("lastBlockHash", "stateRoot")),
        ("blockchain-tests-legacy", blocktest.run_file, ("lastBlockHash", "stateRoot")),
    ],
)
def test_blanked_samples_give_the_same_roots(
    suite: str, run: Callable[[FileTests], Iterator[Result]], keys: tuple[str, ...]
) -> None:
    compared = 0
    for path in sample_files(suite):
        tests = json.loads(path.read_text())
        keys_here = ("name", "fork", *keys)
        recorded = outcomes(run(FileTests(str(path), tests)), keys_here)
        assert outcomes(run(FileTests(str(path), blank(tests))), keys_here) == recorded, path
        compared += len(recorded)
    assert compared
