"""What holds for every test."""

import sys
from typing import Final

import pytest
from hypothesis import HealthCheck, settings

_RECURSION_LIMIT: Final = 1000  # CPython's own; a plugin of pytest may have raised it before now

# How long an example takes says how busy the machine is, and nothing about the code.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")


@pytest.fixture(autouse=True)
def usual_recursion_limit() -> None:
    """Each test starts with the interpreter's own limit.

    Some libraries raise it when they are imported, so far that deeply nested input would
    overrun the C stack where it must be refused.
    """
    sys.setrecursionlimit(_RECURSION_LIMIT)
