"""Which network a seed runs: sizes, distances, faults and liars in turn."""

from random import Random

from node.simulator.byzantine import MISDEEDS
from node.simulator.cluster import Plan
from node.simulator.faults import NAMES, Faults


def plan_of(seed: int, seconds: float = 10.0) -> Plan:
    """The plan of a seed. Two or three kinds of fault at a time find more than all at once."""
    random = Random(f"{seed}/plan")
    validators = random.choice((3, 4, 4, 4, 5, 7))
    byzantine = random.randint(0, (validators - 1) // 3)
    epoch_length = random.choice((0, 0, 5, 12))
    kinds = set(random.sample(NAMES, random.randint(0, 4)))
    if not epoch_length:
        kinds.discard("wipe")  # a wiped validator is silent for an epoch, which would never end
    misdeeds = random.sample(MISDEEDS, random.randint(1, 3))
    distance = random.choice(("lan", "lan", "wan", "cloud"))
    faults = Faults(frozenset(kinds), pause_s=random.choice((0.7, 2.0)))
    return Plan(
        seed=seed,
        validators=validators,
        byzantine=byzantine,
        misdeeds=frozenset(misdeeds),
        seconds=seconds if distance == "lan" else 2 * seconds,
        faults=faults.bearable(validators, byzantine),
        distance=distance,
        rate=random.choice((2.0, 10.0, 30.0)),
        interval_ms=random.choice((50, 200, 500)),
        empty_blocks=random.random() < 0.6,
        epoch_length=epoch_length,
    )


def storm_of(seed: int, seconds: float = 6.0) -> Plan:
    """Four nodes that crash all the time, one of them a liar in every other seed."""
    random = Random(f"{seed}/storm")
    return Plan(
        seed=seed,
        byzantine=seed % 2,
        misdeeds=frozenset({"nullify-and-finalize", random.choice(MISDEEDS)}),
        seconds=seconds,
        faults=Faults(frozenset({"crash", "restart-all"}), pause_s=0.7),
        interval_ms=random.choice((50, 200)),
        epoch_length=random.choice((0, 5)),
    )
