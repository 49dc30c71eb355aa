"""What the operating system knows of this process, under Prometheus' customary names."""

import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from node.watch.exposition import Family, counter, gauge

_PROC: Final = Path("/proc")
_START_FIELD: Final = 19  # of /proc/self/stat after the name: starttime, in ticks since boot


def process_families() -> Iterator[Family]:
    """Processor time, memory, descriptors, start; what the system does not tell is left out."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    yield counter(
        "process_cpu_seconds_total",
        "Total user and system CPU time spent in seconds.",
        used.ru_utime + used.ru_stime,
    )
    resident, virtual = _memory(used)
    yield gauge("process_resident_memory_bytes", "Resident memory size in bytes.", resident)
    if virtual is not None:
        yield gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.", virtual)
    descriptors = _descriptors()
    if descriptors is not None:
        yield gauge("process_open_fds", "Number of open file descriptors.", descriptors)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY:
        yield gauge("process_max_fds", "Maximum number of open file descriptors.", soft)
    start = start_time()
    if start is not None:
        text = "Start time of the process since unix epoch in seconds."
        yield gauge("process_start_time_seconds", text, start)


def _memory(used: resource.struct_rusage) -> tuple[int, int | None]:
    """Bytes resident now and bytes of address space; elsewhere than on Linux the peak."""
    try:
        pages = (_PROC / "self/statm").read_text().split()
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return used.ru_maxrss * unit, None
    size = os.sysconf("SC_PAGE_SIZE")
    return int(pages[1]) * size, int(pages[0]) * size


def _descriptors() -> int | None:
    for folder in ("/proc/self/fd", "/dev/fd"):
        try:
            return len(os.listdir(folder)) - 1  # one is the listing's own
        except OSError:
            continue
    return None


def start_time() -> float | None:
    """When this process began, in seconds since 1970; None where /proc is not there."""
    try:
        stat = (_PROC / "self/stat").read_text()
        boot = next(
            line for line in (_PROC / "stat").read_text().splitlines() if line.startswith("btime ")
        )
    except (OSError, StopIteration):
        return None
    # The name is in brackets and may hold anything.
    ticks = int(stat.rpartition(")")[2].split()[_START_FIELD])
    return int(boot.split()[1]) + ticks / os.sysconf("SC_CLK_TCK")
