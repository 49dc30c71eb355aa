"""The official state and blockchain tests: every root, hash and refusal must come out.

By default a spread-out selection runs, every n-th file; CHAIN_CONFORMANCE_ALL=1 (`make
conformance`) runs all of them. Files are dealt out to as many tests as keep two cores busy.
The native interpreter runs other files, half as many, and compiled code a few.
"""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import pytest

from node.conformance import blocktest, statetest
from node.conformance.report import Result
from tests.support.conformance import samples

ALL = bool(os.environ.get("CHAIN_CONFORMANCE_ALL"))
# These take minutes each in an interpreter: quadratic complexity, 2**32 rounds of BLAKE2.
SLOW = ("stTimeConsuming", "stQuadraticComplexityTest")
FAILURES_SHOWN = 20


class Suite(NamedTuple):
    run: Callable[..., Iterable[Result]]
    every: int  # of how many files one is in the selection
    shards: int  # tests that share the selection; several times as many for all files


SUITES = {
    "state-tests-eest": Suite(statetest.run_path, 4, 6),
    "state-tests-legacy": Suite(statetest.run_path, 8, 6),
    "blockchain-tests-eest": Suite(blocktest.run_path, 3, 4),
    "blockchain-tests-legacy": Suite(blocktest.run_path, 3, 4),
}
SHARDS = [
    (name, shard, suite.shards * (8 if ALL else 1))
    for name, suite in SUITES.items()
    for shard in range(suite.shards * (8 if ALL else 1))
]


NATIVE_SHARDS = [
    (name, shard, shards // 2) for name, shard, shards in SHARDS if shard < shards // 2
]
# Of how many files that the plain interpreter runs one is also compiled.
COMPILED_EVERY = 24
COMPILED_SHARDS = SHARDS if ALL else [(name, 0, 1) for name in SUITES if name.startswith("state")]


def selected(folder: Path, every: int, first: int = 0) -> list[Path]:
    files = sorted(folder.rglob("*.json"))
    if ALL:
        return files
    return [file for file in files if not set(SLOW) & set(file.parts)][first::every]


@pytest.mark.parametrize(("name", "shard", "shards"), SHARDS)
def test_every_sample_comes_out_as_recorded(name: str, shard: int, shards: int) -> None:
    """Given a share of a suite's files, when they run, then all of their cases pass."""
    suite = SUITES[name]
    check(suite.run, selected(samples(name), suite.every)[shard::shards], "python")


@pytest.mark.parametrize(("name", "shard", "shards"), NATIVE_SHARDS)
def test_every_sample_comes_out_as_recorded_natively(name: str, shard: int, shards: int) -> None:
    suite = SUITES[name]
    check(suite.run, selected(samples(name), 2 * suite.every, 1)[shard::shards], "native")


@pytest.mark.parametrize(("name", "shard", "shards"), COMPILED_SHARDS)
def test_every_sample_comes_out_as_recorded_compiled(name: str, shard: int, shards: int) -> None:
    """All code is compiled before it runs, which takes longer than to run it."""
    suite = SUITES[name]
    files = selected(samples(name), COMPILED_EVERY * suite.every, 2)
    check(suite.run, files[shard::shards], "jit")


def check(run: Callable[..., Iterable[Result]], files: list[Path], tier: str) -> None:
    results = [result for file in files for result in run(str(file), tier=tier)]
    failed = [
        f"{result['file']}: {result['name']} {result['fork']} {result.get('index', '')}: "
        f"{result['error']}"
        for result in results
        if not result["pass"]
    ]
    assert results
    assert not failed, f"{len(failed)} of {len(results)}:\n" + "\n".join(failed[:FAILURES_SHOWN])
