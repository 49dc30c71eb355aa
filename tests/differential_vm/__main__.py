"""`python -m tests.differential_vm`: random state tests on several VMs for a given time.

Prints each difference with the command that shows it; the exit status is 1 if there was one.
"""

import argparse
import sys
import time
from pathlib import Path

from node.conformance.tiers import machine_of
from tests.differential_vm.compare import TooLong, differences, write_reproducer
from tests.differential_vm.worlds import random_test

_DIFFERENCES_MAX = 20
_REPORT_SECONDS = 60


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.differential_vm", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long (default: 60)")
    parser.add_argument("--seed", type=int, default=None, help="the first test; default: the time")
    parser.add_argument("--count", type=int, default=None, help="tests, instead of a time")
    parser.add_argument("--tiers", default="native", help="VMs beside the definition, by commas")
    parser.add_argument("--out", type=Path, default=Path(".cache/fuzz-vm"), help="reproducers")
    arguments = parser.parse_args()
    machines = [(tier, machine_of(tier)) for tier in arguments.tiers.split(",")]
    first = int(time.time()) * 10**6 if arguments.seed is None else arguments.seed
    print(f"seed {first}, {arguments.tiers} beside python", flush=True)
    begun = reported = time.monotonic()
    ran = skipped = found = 0
    while found < _DIFFERENCES_MAX:
        now = time.monotonic()
        if arguments.count is not None:
            if ran + skipped >= arguments.count:
                break
        elif now - begun >= arguments.seconds:
            break
        if now - reported > _REPORT_SECONDS:
            reported = now
            print(f"{ran} tests in {now - begun:.0f} s, {found} differences", flush=True)
        seed = first + ran + skipped
        fork_name, test = random_test(seed)
        try:
            shown = differences(test, fork_name, machines)
        except TooLong:
            skipped += 1
            continue
        ran += 1
        for difference in shown:
            found += 1
            path = write_reproducer(arguments.out, f"{difference.tier}-{seed}", difference)
            print(f"seed {seed} {fork_name} {difference.tier}: {difference.what}")
            print(f"  chain-node statetest --vm {difference.tier} {path}", flush=True)
    took = time.monotonic() - begun
    print(f"{ran} tests in {took:.0f} s, {skipped} too long, {found} differences")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
