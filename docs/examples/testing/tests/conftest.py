"""What all tests of the jar begin with."""

from pathlib import Path

import pytest

CONTRACTS = Path(__file__).parents[1] / "contracts"


@pytest.fixture
def jar(deploy):
    """A jar of the first account's."""
    return deploy(CONTRACTS / "Jar.vy")
