"""Scenarios of the cluster beyond what `make test` plays.

python -m tests.node.consensus --seeds 0:20000    many scenarios
python -m tests.node.consensus --replay 123       one, made as short as it still fails
python -m tests.node.consensus --mutants          seeds to find each planted bug
"""

import argparse
import sys
import time
from collections.abc import Sequence

from tests.node.consensus.mutants import MUTANTS
from tests.node.consensus.scenarios import Step, play, scenario, shrink
from tests.node.consensus.watch import Violation


def run_seeds(first: int, last: int) -> int:
    """How many of the scenarios fail."""
    failed = heights = 0
    begun = time.perf_counter()
    for seed in range(first, last):
        try:
            heights += len(play(*scenario(seed)).watch.delivered)
        except Violation as violation:
            failed += 1
            print(f"seed {seed}: {violation}")
            print(f"  python -m tests.node.consensus --replay {seed}")
    seconds = time.perf_counter() - begun
    print(f"{last - first} seeds, {failed} failed, {heights} heights, {seconds:.1f} s")
    return failed


def replay(seed: int) -> int:
    setting, steps = scenario(seed)
    found = ""

    def fails(shorter: Sequence[Step]) -> bool:
        nonlocal found
        try:
            play(setting, shorter)
        except Violation as violation:
            found = str(violation)
            return True
        return False

    if not fails(steps):
        print(f"seed {seed} holds")
        return 0
    short = shrink(fails, steps)
    fails(short)
    print(f"{found}\n{setting}\n{len(short)} of {len(steps)} steps:")
    for step in short:
        print(f"  {step}")
    return 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.node.consensus")
    parser.add_argument("--seeds", default="0:1000", metavar="FIRST:LAST")
    parser.add_argument("--replay", type=int, metavar="SEED")
    parser.add_argument("--mutants", action="store_true")
    arguments = parser.parse_args()
    if arguments.replay is not None:
        return replay(arguments.replay)
    if arguments.mutants:
        for mutant in MUTANTS:
            print(f"{mutant.name:36} {mutant.seeds_to_find()}", flush=True)
        return 0
    first, last = map(int, arguments.seeds.split(":"))
    return min(run_seeds(first, last), 1)


if __name__ == "__main__":
    sys.exit(main())
