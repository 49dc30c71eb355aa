"""`python -m tests.simulation`: thousands of seeds, and how many each planted bug needs.

    core  --seeds A-B            the light cluster
    nodes --seeds A-B            whole nodes, a scenario per seed
    storms --seeds A-B           whole nodes that crash all the time
    mutants --seeds A-B          how many seeds each planted bug needs; the table of
                                 docs/protocol/simulation.md

Every failure prints the command that runs it again.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor

from node.simulator.cluster import run as run_nodes
from tests.simulation.core_cluster import run as run_core
from tests.simulation.mutants import CORE_MUTANTS, NODE_MUTANTS, Mutant, planted
from tests.simulation.scenarios import plan_of, storm_of

_CHUNK = 8
_FINDS = 5  # per mutant: the table shows the median and the worst


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("what", choices=("core", "nodes", "storms", "mutants"))
    parser.add_argument("--seeds", default="0-999", help="A-B, both included (0-999)")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="", help="mutants whose names hold these words")
    arguments = parser.parse_args(argv)
    first, _, last = arguments.seeds.partition("-")
    seeds = range(int(first), int(last or first) + 1)
    started = time.monotonic()
    with ProcessPoolExecutor(arguments.jobs) as pool:
        if arguments.what == "mutants":
            return _mutants(pool, seeds, arguments.only)
        check = _CHECKS[arguments.what]
        failures = 0
        for seed, failure in _each(pool, check, seeds):
            if failure is not None:
                failures += 1
                again = f"python -m tests.simulation {arguments.what} --seeds {seed}"
                print(f"seed {seed}: {failure}\n  replay: {again}", flush=True)
    print(f"{len(seeds)} seeds, {failures} failures, {time.monotonic() - started:.0f} s")
    return 1 if failures else 0


def _each(
    pool: ProcessPoolExecutor, check: Callable[[int], str | None], seeds: Sequence[int]
) -> Iterator[tuple[int, str | None]]:
    yield from zip(seeds, pool.map(check, seeds, chunksize=_CHUNK), strict=True)


def _core_failure(seed: int) -> str | None:
    return run_core(seed).violation


def _node_failure(seed: int) -> str | None:
    violations = run_nodes(plan_of(seed)).violations
    return "; ".join(violations[:3]) if violations else None


def _storm_failure(seed: int) -> str | None:
    violations = run_nodes(storm_of(seed)).violations
    return "; ".join(violations[:3]) if violations else None


def _mutants(pool: ProcessPoolExecutor, seeds: range, only: str) -> int:
    """A table: how many seeds passed before the first ones that show the bug."""
    jobs = [
        (mutant, core, pool.submit(_seeds_to_find, mutant, core, seeds))
        for core, mutants in ((True, CORE_MUTANTS), (False, NODE_MUTANTS))
        for mutant in mutants
        if only in mutant.name
    ]
    missed = 0
    print(
        "| planted bug | found by | seeds to find it: median, worst | s per find | how it shows |"
    )
    print("|---|---|---|---|---|")
    for mutant, core, future in jobs:
        gaps, seconds, text = future.result()
        found_by = "core" if core else "nodes"
        if not gaps:
            missed += 1
            print(f"| {mutant.name} | {found_by} | none in {len(seeds)} | | |", flush=True)
            continue
        middle = sorted(gaps)[len(gaps) // 2]
        print(
            f"| {mutant.name} | {found_by} | {middle}, {max(gaps)} "
            f"| {seconds / len(gaps):.1f} | {text} |",
            flush=True,
        )
    return 1 if missed else 0


def _seeds_to_find(mutant: Mutant, core: bool, seeds: range) -> tuple[list[int], float, str]:
    """How many seeds each of the first finds took, the seconds of all, and the first text."""
    check = _core_failure if core else _storm_failure
    gaps: list[int] = []
    text = ""
    started, since = time.process_time(), 0
    with planted(mutant):
        for seed in seeds:
            since += 1
            failure = check(seed)
            if failure is not None:
                gaps.append(since)
                text = text or failure.split(";")[0]
                since = 0
                if len(gaps) == _FINDS:
                    break
    return gaps, time.process_time() - started, text


_CHECKS = {"core": _core_failure, "nodes": _node_failure, "storms": _storm_failure}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
