"""`chain-node simulate`: run seeds, print figures and, for what fails, how to replay it."""

import argparse
import shlex
from collections.abc import Generator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from itertools import islice
from typing import Final

from msgspec.structs import replace

from chain.errors import Reason, Rejected
from node.simulator.byzantine import MISDEEDS
from node.simulator.cluster import Outcome, Plan, run
from node.simulator.faults import NAMES, parse_faults

_VALIDATORS_MAX: Final = 200
_SEEDS_MAX: Final = 1_000_000
_AHEAD: Final = 4  # seeds handed to each process before their turn


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `simulate`."""
    parser.add_argument("--seed", type=int, default=1, help="the seed of one run (1)")
    parser.add_argument("--seeds", metavar="A-B", help="run all seeds from A to B")
    parser.add_argument("--jobs", type=int, default=1, help="processes for --seeds (1)")
    parser.add_argument("--validators", type=int, default=4, help="how many (4)")
    parser.add_argument("--byzantine", type=int, default=0, help="how many of them lie (0)")
    parser.add_argument(
        "--misdeeds", default="all", help=f"what liars do: all, or of {', '.join(MISDEEDS)}"
    )
    parser.add_argument("--seconds", type=float, default=30.0, help="of virtual time (30)")
    parser.add_argument(
        "--faults", default="none", help=f"all, none, or of {', '.join(NAMES)} (none)"
    )
    parser.add_argument(
        "--distance",
        choices=("lan", "wan", "cloud"),
        default="lan",
        help="lan: half a millisecond between nodes; wan: 30 ms; cloud: ten regions (lan)",
    )
    parser.add_argument("--rate", type=float, default=10.0, help="transfers per second (10)")
    parser.add_argument("--interval-ms", type=int, default=200, help="block interval (200)")
    parser.add_argument("--epoch-length", type=int, default=0, help="heights of an epoch (0)")
    parser.add_argument("--trace", type=int, default=0, metavar="N", help="print the last N events")


def run_simulate(arguments: argparse.Namespace) -> int:
    """Run what the command line asks for; 0 when nothing was violated."""
    plan = _plan(arguments)
    seeds = _seeds(arguments)
    failed = 0
    with closing(_outcomes(plan, seeds, arguments.jobs)) as outcomes:
        for seed, outcome in outcomes:
            if outcome.violations:
                failed += 1
            if outcome.violations or len(seeds) == 1:
                _print(replace(plan, seed=seed), outcome, arguments)
    if len(seeds) > 1:
        print(f"{len(seeds)} seeds, {failed} with violations")
    return 1 if failed else 0


def _plan(arguments: argparse.Namespace) -> Plan:
    misdeeds = frozenset(MISDEEDS)
    if arguments.misdeeds != "all":
        misdeeds = frozenset(name.strip() for name in arguments.misdeeds.split(","))
    unknown = sorted(misdeeds - set(MISDEEDS))
    _demand(not unknown, f"--misdeeds: no {', '.join(unknown)}; of {', '.join(MISDEEDS)}")
    _demand(1 <= arguments.validators <= _VALIDATORS_MAX, f"--validators: 1 to {_VALIDATORS_MAX}")
    _demand(
        0 <= 3 * arguments.byzantine < arguments.validators,
        "--byzantine: fewer than a third of the validators may lie",
    )
    _demand(0 < arguments.seconds <= 86_400, "--seconds: more than 0, at most 86400")
    _demand(0 <= arguments.rate <= 10_000, "--rate: 0 to 10000")
    _demand(1 <= arguments.jobs <= 64, "--jobs: 1 to 64")
    _demand(1 <= arguments.interval_ms <= 60_000, "--interval-ms: 1 to 60000")
    _demand(arguments.epoch_length >= 0, "--epoch-length: 0 or more")
    faults = parse_faults(arguments.faults)
    bearable = faults.bearable(arguments.validators, arguments.byzantine)
    _demand(
        arguments.faults == "all" or faults == bearable,
        "--faults: a wiped validator is silent for an epoch, and "
        f"{arguments.validators} validators of which {arguments.byzantine} lie can't spare one",
    )
    return Plan(
        seed=arguments.seed,
        validators=arguments.validators,
        byzantine=arguments.byzantine,
        misdeeds=misdeeds,
        seconds=arguments.seconds,
        faults=bearable,
        distance=arguments.distance,
        rate=arguments.rate,
        interval_ms=arguments.interval_ms,
        epoch_length=arguments.epoch_length,
    )


def _seeds(arguments: argparse.Namespace) -> range:
    if arguments.seeds is None:
        return range(arguments.seed, arguments.seed + 1)
    first, _, last = arguments.seeds.partition("-")
    _demand(first.isdigit() and (last or first).isdigit(), "--seeds: A-B, as in 0-999")
    seeds = range(int(first), int(last or first) + 1)
    _demand(
        0 < len(seeds) <= _SEEDS_MAX, f"--seeds: 1 to {_SEEDS_MAX} of them, the lower one first"
    )
    return seeds


def _demand(holds: bool, text: str) -> None:
    if not holds:
        raise Rejected(Reason.BAD_SETTING, text)


def _outcomes(
    plan: Plan, seeds: Sequence[int], jobs: int
) -> Generator[tuple[int, Outcome], None, None]:
    """In the order of the seeds, whoever ran them."""
    if jobs == 1 or len(seeds) == 1:
        for seed in seeds:
            yield seed, run(replace(plan, seed=seed))
        return
    with ProcessPoolExecutor(jobs) as pool:
        rest = iter(seeds)
        waiting = [
            (seed, pool.submit(run, replace(plan, seed=seed)))
            for seed in islice(rest, jobs * _AHEAD)
        ]
        while waiting:
            seed, future = waiting.pop(0)
            yield seed, future.result()
            for fresh in islice(rest, 1):
                waiting.append((fresh, pool.submit(run, replace(plan, seed=fresh))))


def _print(plan: Plan, outcome: Outcome, arguments: argparse.Namespace) -> None:
    for line in outcome.tail[-arguments.trace :] if arguments.trace else ():
        print(line)
    low, high = min(outcome.heights), max(outcome.heights)
    print(f"seed {plan.seed}: trace {outcome.digest}, {outcome.events} events")
    print(
        f"  {outcome.seconds:.1f} s of virtual time, heights {low} to {high}, "
        f"{outcome.receipts} receipts, {outcome.messages} messages, {outcome.bytes} bytes"
    )
    print(f"  finality, from a block's time:   {_quantiles(outcome.finalities)}")
    print(f"  receipt, from submitting it:     {_quantiles(outcome.latencies)}")
    for violation in outcome.violations:
        print(f"  VIOLATION: {violation}")
    if outcome.violations:
        print(f"  replay: {replay(plan)} --trace 100")


def _quantiles(sorted_s: Sequence[float]) -> str:
    if not sorted_s:
        return "none"
    middle, late = (sorted_s[int(len(sorted_s) * part)] * 1000 for part in (0.5, 0.99))
    return f"p50 {middle:.0f} ms, p99 {late:.0f} ms"


def replay(plan: Plan) -> str:
    """The command that runs this plan again."""
    words = ["chain-node", "simulate", "--seed", str(plan.seed)]
    words += ["--validators", str(plan.validators), "--seconds", f"{plan.seconds:g}"]
    if plan.byzantine:
        words += ["--byzantine", str(plan.byzantine)]
        if plan.misdeeds != frozenset(MISDEEDS):
            words += ["--misdeeds", ",".join(n for n in MISDEEDS if n in plan.misdeeds)]
    kinds = plan.faults.kinds
    if kinds:
        every = kinds == frozenset(NAMES)
        words += ["--faults", "all" if every else ",".join(n for n in NAMES if n in kinds)]
    words += ["--distance", plan.distance, "--rate", f"{plan.rate:g}"]
    words += ["--interval-ms", str(plan.interval_ms), "--epoch-length", str(plan.epoch_length)]
    return shlex.join(words)
