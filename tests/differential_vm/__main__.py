"""`python -m tests.differential_vm`: random tests on several VMs for a given time.

In turn state tests, which have one transaction, and blocks, which have many on one living
state. Prints each difference with the command that shows it; the exit status is 1 if there
was one. The tier `cramped` (tests.differential_vm.cramped) is for blocks.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from chain.machine import Machine
from contracts.vm import Interpreter
from node.conformance.tiers import machine_of
from tests.differential_vm.blocks import random_block
from tests.differential_vm.compare import TooLong, differences, write_reproducer
from tests.differential_vm.cramped import Cramped
from tests.differential_vm.play import BlockDifference, Player, block_difference, write_block
from tests.differential_vm.shrink import smaller
from tests.differential_vm.worlds import random_test

_DIFFERENCES_MAX: Final = 20
_REPORT_SECONDS: Final = 60

Json = dict[str, Any]
Machines = Sequence[tuple[str, Machine]]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.differential_vm", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long (default: 60)")
    parser.add_argument("--seed", type=int, default=None, help="the first test; default: the time")
    parser.add_argument("--count", type=int, default=None, help="tests, instead of a time")
    parser.add_argument("--tiers", default="native", help="VMs beside the definition, by commas")
    parser.add_argument("--only", choices=("tests", "blocks"), help="state tests or blocks alone")
    parser.add_argument("--play", type=Path, help="a block that was kept; nothing else is run")
    parser.add_argument("--out", type=Path, default=Path(".cache/fuzz-vm"), help="reproducers")
    arguments = parser.parse_args()
    machines = [(tier, _new_machine(tier)) for tier in arguments.tiers.split(",")]
    if arguments.play is not None:
        return _play(arguments.play, machines)
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
        if arguments.only == "blocks" or (arguments.only is None and seed % 2):
            found += _block(seed, machines, arguments.out)
        else:
            try:
                found += _state_test(seed, machines, arguments.out)
            except TooLong:
                skipped += 1
                continue
        ran += 1
    took = time.monotonic() - begun
    print(f"{ran} tests in {took:.0f} s, {skipped} too long, {found} differences")
    return 1 if found else 0


def _new_machine(tier: str) -> Machine:
    return Cramped() if tier == "cramped" else machine_of.__wrapped__(tier)


def _state_test(seed: int, machines: Machines, out: Path) -> int:
    fork_name, test = random_test(seed)
    machines = [(tier, machine) for tier, machine in machines if tier != "cramped"]
    shown = differences(test, fork_name, machines)
    for difference in shown:
        path = write_reproducer(out, f"{difference.tier}-{seed}", difference)
        print(f"seed {seed} {fork_name} {difference.tier}: {difference.what}")
        print(f"  chain-node statetest --vm {difference.tier} {path}", flush=True)
    return len(shown)


def _block(seed: int, machines: Machines, out: Path) -> int:
    block = random_block(seed)
    expected = Player(block, Interpreter()).played()
    found = 0
    for tier, machine in machines:
        difference = block_difference(block, tier, machine, expected)
        if difference is None:
            continue
        found += 1
        print(f"seed {seed} {block['fork']} {tier}, step {difference.step}: {difference.what}")
        differs = partial(_differs_anew, tier)
        again = differs(block)
        if again is None:
            print("  only after the blocks before it: on a new machine it comes out right")
        else:
            difference = smaller(again, differs)
        path = write_block(out, f"{tier}-{seed}", difference)
        print(f"  python -m tests.differential_vm --tiers {tier} --play {path}", flush=True)
    return found


def _differs_anew(tier: str, block: Json) -> BlockDifference | None:
    """On a machine of its own: what one keeps between blocks must not help."""
    return block_difference(block, tier, _new_machine(tier))


def _play(path: Path, machines: Machines) -> int:
    block = json.loads(path.read_text())
    found = 0
    for tier, machine in machines:
        difference = block_difference(block, tier, machine)
        if difference is not None:
            found += 1
            print(f"{tier}, step {difference.step}: {difference.what}")
    print(f"{found} of {len(machines)} differ")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
