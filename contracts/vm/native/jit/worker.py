"""The process that compiles: it may be slow, large or killed, and the node goes on.

Requests come on standard input and answers go to standard output, each after its
length in four bytes. It ends when its input does. A request that takes too long or too
much memory ends it early, which is the answer then.
"""

import os
import signal
import sys
from typing import BinaryIO, Final

import msgspec
from msgspec import Struct

from contracts.vm.native.jit.compiler import TooLarge, compile_code

LENGTH_BYTES: Final = 4
_NICENESS: Final = 10


class Job(Struct, frozen=True, array_like=True):
    """What is asked for."""

    code: bytes
    prices: tuple[int | None, ...]


def main(cpu_seconds: int, memory_bytes: int) -> None:
    """Serve one job after the other; `cpu_seconds` is for each of them."""
    import resource  # which only POSIX has, while Job is for everybody

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the node ends this process by its input
    os.nice(_NICENESS)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    while True:
        request = _read(requests)
        if request is None:
            return
        job = msgspec.msgpack.decode(request, type=Job)
        _allow(cpu_seconds)
        try:
            answer = compile_code(job.code, job.prices)
        except TooLarge:
            answer = b""
        answers.write(len(answer).to_bytes(LENGTH_BYTES, "little") + answer)
        answers.flush()


def _read(requests: BinaryIO) -> bytes | None:
    length = requests.read(LENGTH_BYTES)
    if len(length) < LENGTH_BYTES:
        return None
    size = int.from_bytes(length, "little")
    request = requests.read(size)
    return request if len(request) == size else None


def _allow(cpu_seconds: int) -> None:
    """So much more processor time; then the system ends this process."""
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(used.ru_utime + used.ru_stime) + 1 + cpu_seconds
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (limit, hard))
