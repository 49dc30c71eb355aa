"""Recovery in eight lanes equals recovery one by one, also where its formulas do not hold."""

import random

import pytest

from chain.crypto import secp256k1
from chain.crypto.lanes import GENERATOR, generator_multiples
from chain.crypto.secp256k1 import ORDER

batch = pytest.importorskip("chain.crypto.batch")


@pytest.fixture(scope="module")
def kernels():
    pytest.importorskip("llvmlite")
    found = batch.kernels(1_000)
    if found is None or found._recover_lanes is None:
        pytest.skip("the processor has no AVX-512 IFMA")
    return found


def _assert_equal(kernels, items):
    assert kernels._recover_part(items) == [secp256k1.recover(*item) for item in items]


@pytest.mark.parametrize("count", [8, 9, 15, 500])
def test_signatures_are_recovered_as_one_by_one(kernels, count):
    source = random.Random(count)
    items = []
    for _ in range(count):
        message_hash, key = source.randbytes(32), source.randrange(1, ORDER).to_bytes(32, "big")
        items.append((message_hash, *secp256k1.sign(message_hash, key)))
    assert None not in kernels._recover_part(items)
    _assert_equal(kernels, items)


def test_random_scalars_are_recovered_as_one_by_one(kernels):
    """Given r that in half of the cases is no point's coordinate, and scalars at the edges."""
    source = random.Random(7)
    edges = (1, 2, 3, ORDER - 1, ORDER - 2, ORDER // 2, 2**128, 2**255, 0, ORDER, 2**256 - 1)
    hashes = [number.to_bytes(32, "big") for number in (0, 1, ORDER, 2**256 - 1)]
    items = [
        (
            source.choice([*hashes, source.randbytes(32)]),
            source.randrange(3),
            source.choice([*edges, source.randrange(ORDER)]),
            source.choice([*edges, source.randrange(ORDER)]),
        )
        for _ in range(600)
    ]
    _assert_equal(kernels, items)


def test_points_that_meet_on_the_way_are_recovered_as_one_by_one(kernels):
    """Given R a small multiple of G and small scalars, when a sum doubles or vanishes midway."""
    items = []
    for multiple, (x, y) in enumerate([GENERATOR, *generator_multiples(20)[1:]], start=1):
        for s in (1, 2, 3, 16, 17, ORDER - 1, ORDER - 16):
            for u1 in (0, 1, 2, 16, 255, 256, ORDER - 1, (-multiple * s) % ORDER, multiple):
                # u1 = -z / r and u2 = s / r; with s scaled by r the chain sees s itself.
                z = (-u1 * x) % ORDER
                items.append((z.to_bytes(32, "big"), y & 1, x % ORDER, s * x % ORDER))
                items.append((z.to_bytes(32, "big"), 1 - (y & 1), x % ORDER, s * x % ORDER))
    _assert_equal(kernels, items)
    assert None in kernels._recover_part(items)
