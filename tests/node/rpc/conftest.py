"""One developer's node, shared by the tests that only need some chain to talk about."""

from collections.abc import Iterator

import pytest

from tests.node.rpc.serving import Served


@pytest.fixture(scope="package")
def served() -> Iterator[Served]:
    with Served() as served:
        yield served
