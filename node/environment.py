"""What a node stands on: clocks, randomness, threads. The simulator brings its own."""

import random
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor

from msgspec import Struct


class Environment(Struct, frozen=True):
    """Where time, chance and threads come from."""

    clock: Callable[[], float]  # seconds since 1970
    monotonic: Callable[[], float]  # seconds since whenever, for expiry
    stopwatch: Callable[[], float]  # seconds since whenever, for how long work takes
    random: random.Random
    threads: Callable[[int, str], Executor]  # so many threads, named so


def real_environment() -> Environment:
    """This machine's."""
    return Environment(
        clock=time.time,
        monotonic=time.monotonic,
        stopwatch=time.perf_counter,
        random=random.SystemRandom(),
        threads=ThreadPoolExecutor,
    )
