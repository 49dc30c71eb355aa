"""How many official tests pass, by fork: the table of docs/CONFORMANCE.md.

    python -m node.conformance.counts [--vm TIER] [--jobs N] FOLDER...

Each folder is a column and may hold state tests, blockchain tests, or both. Cases that
fail are listed below the table. Progress goes to stderr.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from msgspec import Struct

from node.conformance import blocktest, fixtures, statetest
from node.conformance.networks import NETWORKS
from node.conformance.report import Result
from node.conformance.tiers import TIERS, machine_of

_PROGRESS_FILES = 100


class Counts(Struct):
    """What came of a column's tests so far."""

    name: str
    total: Counter[str]  # by fork
    passed: Counter[str]
    failed: list[Result]


def run_any(path: str, tier: str = TIERS[0]) -> list[Result]:
    """The results of a file, by what its tests look like."""
    file, machine = fixtures.load(path), machine_of(tier)
    is_chain = any(isinstance(test, Mapping) and "blocks" in test for test in file.tests.values())
    run_file = blocktest.run_file if is_chain else statetest.run_file
    return list(run_file(file, machine))


def count(name: str, results: Iterable[Sequence[Result]], files: int) -> Counts:
    """Add up the results of a folder's files."""
    counts = Counts(name, Counter(), Counter(), [])
    for done, of_file in enumerate(results, 1):
        for result in of_file:
            fork = str(result["fork"])
            counts.total[fork] += 1
            counts.passed[fork] += bool(result["pass"])
            if not result["pass"]:
                counts.failed.append(result)
        if done % _PROGRESS_FILES == 0 or done == files:
            sys.stderr.write(f"{name}: {done} of {files} files\n")
            sys.stderr.flush()
    return counts


def _forks(columns: Sequence[Counts]) -> list[str]:
    """All forks that occur, in the order of their activation, changes between forks last."""
    found = {fork for column in columns for fork in column.total}
    known = [name for name in NETWORKS if name in found]
    return known + sorted(found.difference(known))


def table(columns: Sequence[Counts]) -> Iterator[str]:
    """Lines of Markdown: passed of all, by fork and column, and what failed."""
    yield "| fork | " + " | ".join(column.name for column in columns) + " |"
    yield "| --- |" + " ---: |" * len(columns)
    for fork in _forks(columns):
        cells = (
            f"{column.passed[fork]:,} of {column.total[fork]:,}" if column.total[fork] else ""
            for column in columns
        )
        yield f"| {fork} | " + " | ".join(cells) + " |"
    sums = (f"{column.passed.total():,} of {column.total.total():,}" for column in columns)
    yield "| **all** | " + " | ".join(f"**{text}**" for text in sums) + " |"
    failed = [result for column in columns for result in column.failed]
    yield ""
    yield f"{len(failed)} cases fail{':' if failed else '.'}"
    for result in failed:
        index = f" {result['index']}" if "index" in result else ""
        yield f"- {result['file']} {result['name']} {result['fork']}{index}: {result['error']}"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m node.conformance.counts", description=__doc__)
    parser.add_argument("folders", nargs="+", metavar="FOLDER")
    parser.add_argument("--vm", choices=TIERS, default=TIERS[0], help="which VM")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="processes (default: 2)")
    arguments = parser.parse_args(argv)
    columns = []
    run = partial(run_any, tier=arguments.vm)
    with ProcessPoolExecutor(arguments.jobs) as pool:
        for folder in arguments.folders:
            paths = list(fixtures.files([folder]))
            columns.append(count(Path(folder).name, pool.map(run, paths), len(paths)))
    for line in table(columns):
        sys.stdout.write(line + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
