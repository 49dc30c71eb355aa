"""What the two test commands share: their arguments, and how they print: JSON, or for people."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import chain
from typing import Protocol, TextIO

from node.conformance import fixtures
from node.conformance.tiers import TIERS

Result = Mapping[str, object]


def write_json(results: Iterable[Result], out: TextIO) -> tuple[int, int]:
    """One object per line, flushed; gives how many there were and how many passed."""
    count = passed = 0
    for result in results:
        out.write(json.dumps(result) + "\n")
        out.flush()
        count += 1
        passed += bool(result["pass"])
    return count, passed


def write_text(results: Iterable[Result], out: TextIO) -> tuple[int, int]:
    """One line per result; gives how many there were and how many passed."""
    count = passed = 0
    for result in results:
        verdict = "pass" if result["pass"] else "FAIL"
        index = f"[{result['index']}]" if "index" in result else ""
        why = "" if result["error"] is None else f": {result['error']}"
        out.write(f"{verdict} {result['name']} {result['fork']}{index}{why}\n")
        out.flush()
        count += 1
        passed += bool(result["pass"])
    return count, passed


def _collect(run: Callable[[str], Iterable[Result]], path: str) -> list[Result]:
    return list(run(path))


def run_files(
    run: Callable[[str], Iterable[Result]], paths: Iterable[str], *, jobs: int, as_json: bool
) -> int:
    """Run the tests of each file, in order, and print what came out; gives the exit status.

    Results go to stdout, a summary to stderr. With several `jobs`, files run in
    processes of their own, and are printed in the same order.
    """
    write = write_json if as_json else write_text
    try:
        if jobs > 1:
            with ProcessPoolExecutor(jobs) as pool:
                results = chain.from_iterable(pool.map(partial(_collect, run), paths))
                count, passed = write(results, sys.stdout)
        else:
            count, passed = write(chain.from_iterable(map(run, paths)), sys.stdout)
    except BrokenPipeError:
        # The reader has seen enough. Without this Python complains once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    sys.stderr.write(f"{passed} of {count} passed\n")
    return 0


class RunPath(Protocol):
    """Runs the tests of one file on a tier's VM; `only_fork` selects."""

    def __call__(
        self, path: str, only_fork: str | None = None, tier: str = TIERS[0]
    ) -> Iterable[Result]: ...


def add_test_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `chain-node statetest` and `blocktest`."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="test file, or a folder of them")
    parser.add_argument("--json", action="store_true", help="one JSON object per line on stdout")
    parser.add_argument("--fork", metavar="F", help="only the tests of this fork, e.g. Cancun")
    parser.add_argument(
        "--vm",
        choices=TIERS,
        default=TIERS[0],
        metavar="TIER",
        help=f"which VM ({', '.join(TIERS)})",
    )
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes (default: 1)")


def run_tests(run_path: RunPath, arguments: argparse.Namespace) -> int:
    """Run a test command; gives the exit status, 0 whatever passed."""
    return run_files(
        partial(run_path, only_fork=arguments.fork, tier=arguments.vm),
        fixtures.files(arguments.files),
        jobs=arguments.jobs,
        as_json=arguments.json,
    )
