"""What holds for every test."""

import os
import shutil
import sys
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, settings

_RECURSION_LIMIT: Final = 1000  # CPython's own; a plugin of pytest may have raised it before now
_MEMORY: Final = Path("/dev/shm")
_MEMORY_BYTES_MIN: Final = 4 * 2**30

# How long an example takes says how busy the machine is, and nothing about the code.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")


def pytest_configure() -> None:
    """Folders of tests are in memory where there is room.

    On a disk that others fill (npm does, in the middle of a run) each fsync of a node takes
    seconds, and a network heals no faster than its validators can write their votes.
    """
    if os.access(_MEMORY, os.W_OK | os.X_OK):
        if shutil.disk_usage(_MEMORY).free >= _MEMORY_BYTES_MIN:
            os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))


@pytest.fixture(autouse=True)
def usual_recursion_limit() -> None:
    """Each test starts with the interpreter's own limit.

    Some libraries raise it when they are imported, so far that deeply nested input would
    overrun the C stack where it must be refused.
    """
    sys.setrecursionlimit(_RECURSION_LIMIT)
