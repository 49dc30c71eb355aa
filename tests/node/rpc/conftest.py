"""One developer's node, shared by the tests that only need some chain to talk about."""

from collections.abc import Iterator

import pytest

from tests.node.rpc.serving import COUNTER_INITCODE, Served


@pytest.fixture(scope="package")
def served() -> Iterator[Served]:
    with Served() as served:
        yield served


@pytest.fixture(scope="module")
def counter(served: Served) -> str:
    """The address of a counter that was called twice."""
    address: str = served.send(data=COUNTER_INITCODE)["contractAddress"]
    served.send(to=address)
    served.send(to=address)
    return address
