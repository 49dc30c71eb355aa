"""A developer's node in memory, fresh for every test."""

from collections.abc import Iterator

import pytest

from node.devchain.compose import Developing
from tests.node.rpc.serving import Served


@pytest.fixture
def dev() -> Iterator[Served]:
    with Served(developing=Developing()) as served:
        yield served
