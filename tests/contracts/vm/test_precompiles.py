"""The precompiled contracts: results, prices, refusals, and how messages reach them."""

import hashlib
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain import blobs, forks
from chain.crypto import secp256k1
from chain.crypto.keccak import keccak
from chain.forks import FORKS, OSAKA
from chain.machine import Halt
from contracts.vm.precompiles import (
    PRECOMPILES,
    blake2,
    bls12,
    bn254,
    bn254_curve,
    hashes,
    kzg,
    modexp,
    precompiles_of,
    signatures,
)
from tests.contracts.vm.laboratory import View, run
from tests.contracts.vm.reference_curves import (
    optimized_bls12_381,
    optimized_bn128,
    optimized_bn128_FQ2,
)


def word(number: int, size: int = 32) -> bytes:
    return number.to_bytes(size, "big")


# -- the table --


@pytest.mark.parametrize(
    ("fork", "count"),
    [
        (forks.FRONTIER, 4),
        (forks.BYZANTIUM, 8),
        (forks.ISTANBUL, 9),
        (forks.CANCUN, 10),
        (forks.PRAGUE, 17),
        (forks.OSAKA, 18),
    ],
)
def test_each_fork_has_its_precompiles(fork, count):
    assert len(precompiles_of(fork)) == count


def test_an_address_is_no_precompile_before_its_fork():
    code = "0 0 3 0 9 100000 STATICCALL POP RETURNDATASIZE 0 MSTORE 32 0 RETURN"
    assert run(code, fork=forks.PETERSBURG).halt is None


def test_a_precompile_is_paid_for_and_its_output_returned():
    code = "0xabcd 0 MSTORE 32 0 32 0 0 4 18 CALL POP 0 MLOAD 0 MSTORE 32 0 RETURN"
    assert run(code).word == 0xABCD
    for gas, success in ((17, 0), (18, 1)):
        code = f"32 0 32 0 0 4 {gas} CALL 0 MSTORE 32 0 RETURN"
        assert run(code).word == success


def test_a_failing_precompile_takes_the_gas_sent():
    code = "0 0 1 0 6 0 MSTORE 0 0 1 0 9 50000 STATICCALL 0 MSTORE 32 0 RETURN"
    result = run(code)
    assert result.word == 0
    assert result.gas_used > 50_000


def test_a_precompile_gets_the_value_sent_to_it():
    view = View()
    result = run("0 0 0 0 5 4 100 CALL", view=view, value=5)
    assert result.state.balance(bytes(19) + b"\x04") == 5


def test_no_precompile_fails_on_random_input_with_anything_but_none():
    @settings(max_examples=40, deadline=None)
    @given(st.sampled_from(sorted(PRECOMPILES)), st.binary(max_size=400))
    def check(number: int, data: bytes) -> None:
        precompile = PRECOMPILES[number]
        if precompile.gas(data, OSAKA) < 10**6:
            output = precompile.run(data, OSAKA)
            assert output is None or isinstance(output, bytes)

    check()


# -- hashes and signatures --


@given(st.binary(max_size=200))
def test_hashes_are_those_of_other_libraries(data):
    words = (len(data) + 31) // 32
    assert hashes.sha256(data, OSAKA) == hashlib.sha256(data).digest()
    assert hashes.sha256_gas(data, OSAKA) == 60 + 12 * words
    assert hashes.ripemd160_gas(data, OSAKA) == 600 + 120 * words
    assert hashes.identity(data, OSAKA) == data
    assert hashes.identity_gas(data, OSAKA) == 15 + 3 * words


def test_ripemd160_of_nothing_is_the_published_one():
    digest = hashes.ripemd160(b"", OSAKA)
    assert digest.hex() == "00" * 12 + "9c1185a5c5e9fc54612808977ee8f548b2258d31"


KEY = b"\x42" * 32


def test_ecrecover_finds_the_signer_in_padded_input():
    digest = keccak(b"message")
    parity, r, s = secp256k1.sign(digest, KEY)
    data = digest + word(27 + parity) + word(r) + word(s)
    expected = bytes(12) + secp256k1.address_of(KEY)
    assert signatures.recover(data, OSAKA) == expected
    assert signatures.recover(data + b"more", OSAKA) == expected
    # A high s is the business of transactions; the precompile takes it, with the other parity.
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    flipped = digest + word(28 - parity) + word(r) + word(order - s)
    assert signatures.recover(flipped, OSAKA) == expected


@pytest.mark.parametrize(
    ("v", "r", "s"),
    [(26, 1, 1), (29, 1, 1), (2**255 + 27, 1, 1), (27, 0, 1), (27, 1, 0), (27, 2**256 - 1, 1)],
)
def test_ecrecover_gives_nothing_for_a_bad_signature(v, r, s):
    assert signatures.recover(bytes(32) + word(v) + word(r) + word(s), OSAKA) == b""
    assert signatures.recover(b"", OSAKA) == b""


P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
P256_PRIME = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF


def p256_signed(secret: int, nonce: int, digest: int) -> list[int]:
    from fastecdsa.curve import P256

    public, point = P256.G * secret, P256.G * nonce
    r = point.x % P256_ORDER
    s = pow(nonce, -1, P256_ORDER) * (digest + r * secret) % P256_ORDER
    return [digest, r, s, public.x, public.y]


def p256(numbers: list[int]) -> bytes:
    return signatures.p256_verify(b"".join(map(word, numbers)), OSAKA)


scalars = st.integers(1, P256_ORDER - 1)


@settings(max_examples=25, deadline=None)
@given(scalars, scalars, st.integers(0, 2**256 - 1))
def test_p256_accepts_what_was_signed_and_nothing_near_it(secret, nonce, digest):
    good = p256_signed(secret, nonce, digest)
    assert p256(good) == word(1)
    for place in range(5):
        bad = list(good)
        bad[place] ^= 1
        assert p256(bad) == b""
    high = [good[0], good[1], P256_ORDER - good[2], *good[3:]]
    assert p256(high) == word(1)  # both halves of s are taken


@pytest.mark.parametrize(
    ("place", "value"),
    [(1, 0), (2, 0), (1, P256_ORDER), (2, P256_ORDER), (3, P256_PRIME), (4, 2**256 - 1)],
)
def test_p256_refuses_numbers_out_of_range(place, value):
    numbers = p256_signed(5, 7, 99)
    numbers[place] = value
    assert p256(numbers) == b""
    assert p256([1, 1, 1, 0, 0]) == b""


def test_p256_wants_160_bytes():
    data = b"".join(map(word, p256_signed(5, 7, 99)))
    for other in (data[:-1], data + b"\0", b""):
        assert signatures.p256_verify(other, OSAKA) == b""


def test_p256_takes_a_digest_of_zero_and_one_above_the_order():
    for digest in (0, P256_ORDER, 2**256 - 1):
        assert p256(p256_signed(11, 13, digest)) == word(1)


# -- modular exponentiation --


def modexp_input(base: bytes, exponent: bytes, modulus: bytes) -> bytes:
    sizes = (word(len(part)) for part in (base, exponent, modulus))
    return b"".join(sizes) + base + exponent + modulus


@given(st.binary(max_size=70), st.binary(max_size=40), st.binary(max_size=70))
def test_modexp_is_python_pow(base, exponent, modulus):
    b, e, m = (int.from_bytes(part, "big") for part in (base, exponent, modulus))
    expected = (pow(b, e, m) if m else 0).to_bytes(len(modulus), "big")
    assert modexp.run(modexp_input(base, exponent, modulus), OSAKA) == expected


@given(st.binary(max_size=200))
def test_modexp_reads_zeros_behind_its_input(data):
    full = word(3) + word(2) + word(3) + data
    assert modexp.run(full, OSAKA) == modexp.run(full.ljust(400, b"\0")[:104], OSAKA)


@pytest.mark.parametrize(
    ("fork", "sizes", "exponent", "gas"),
    [
        # from EIP-198, EIP-2565 and EIP-7883
        (forks.BYZANTIUM, (1, 32, 32), 2**256 - 2**32 - 978, 13_056),
        (forks.BYZANTIUM, (0, 32, 32), 2**256 - 2**32 - 978, 13_056),
        (forks.BYZANTIUM, (64, 1, 64), 2, 204),
        (forks.BYZANTIUM, (128, 1, 128), 2, 665),
        (forks.BYZANTIUM, (0, 0, 0), 0, 0),
        (forks.BERLIN, (64, 1, 64), 2, 200),
        (forks.BERLIN, (64, 3, 64), 0x10001, 341),
        (forks.BERLIN, (512, 3, 512), 0x10001, 21_845),
        (forks.OSAKA, (64, 1, 64), 2, 500),
        (forks.OSAKA, (64, 3, 64), 0x10001, 2_048),
        (forks.OSAKA, (512, 3, 512), 0x10001, 131_072),
        (forks.OSAKA, (32, 33, 32), 0, 500),
        (forks.OSAKA, (32, 64, 32), 2**511, 16 * (16 * 32 + 255)),
    ],
)
def test_modexp_prices(fork, sizes, exponent, gas):
    base, exponent_size, modulus = sizes
    data = word(base) + word(exponent_size) + word(modulus) + bytes(base)
    data += word(exponent, exponent_size) if exponent_size else b""
    assert modexp.gas(data, fork) == gas


def test_modexp_with_huge_lengths_costs_gas_and_no_memory():
    huge = word(2**256 - 1)
    for fork in (forks.BYZANTIUM, forks.BERLIN, forks.OSAKA):
        assert modexp.gas(huge * 3, fork) > 10**30
    assert modexp.run(word(0) + huge + word(0), forks.BERLIN) == b""
    assert modexp.gas(word(0) + huge + word(0), forks.BYZANTIUM) == 0


def test_modexp_has_a_largest_size_since_osaka():
    for place in range(3):
        sizes = [1, 1, 1]
        sizes[place] = 1_025
        data = b"".join(map(word, sizes)) + b"\x01" * 1_100
        assert modexp.run(data, OSAKA) is None
        assert modexp.run(data, forks.PRAGUE) is not None


# -- BLAKE2 --


def f(rounds: int, state: bytes, message: bytes, count: int, last: int) -> bytes | None:
    data = struct.pack(">I", rounds) + state + message + struct.pack("<2Q", count, 0)
    return blake2.run(data + bytes([last]), OSAKA)


@given(st.binary(max_size=300))
def test_twelve_rounds_make_blake2b(data):
    """Hash a message with F alone, and compare with hashlib."""
    iv = list(blake2.IV)
    iv[0] ^= 0x01010040
    state = struct.pack("<8Q", *iv)
    chunks = [data[i : i + 128] for i in range(0, len(data), 128)] or [b""]
    for number, chunk in enumerate(chunks):
        last = number == len(chunks) - 1
        count = len(data) if last else 128 * (number + 1)
        state = f(12, state, chunk.ljust(128, b"\0"), count, int(last))
    assert state == hashlib.blake2b(data).digest()


def test_blake2_refuses_other_sizes_and_flags():
    good = bytes(212) + b"\x01"
    assert blake2.run(good, OSAKA) is not None
    for bad in (good[:-1], good + b"\0", bytes(212) + b"\x02"):
        assert blake2.run(bad, OSAKA) is None
    assert blake2.gas(word(2**32 - 1, 4) + good[4:], OSAKA) == 2**32 - 1


@pytest.mark.parametrize("rounds", [8, 9, 10, 12, 19, 20, 333])
def test_blake2_does_many_rounds_in_native_code_alike(rounds, monkeypatch):
    """Given rounds from the threshold on, then native code and definition agree."""
    assert blake2._native() is not None
    assert rounds >= blake2._NATIVE_FROM
    fast = f(rounds, b"\x11" * 64, bytes(range(128)), 5, 1)
    monkeypatch.setattr(blake2, "_native", lambda: None)
    assert f(rounds, b"\x11" * 64, bytes(range(128)), 5, 1) == fast


# -- bn254 --

G1 = word(1) + word(2)
BN_ORDER, BN_PRIME = bn254_curve.ORDER, int(bn254_curve.P)


def bn_g2(scalar: int) -> bytes:
    curve = optimized_bn128
    (x, y) = curve.normalize(curve.multiply(curve.G2, scalar))
    return b"".join(word(int(n)) for n in (x.coeffs[1], x.coeffs[0], y.coeffs[1], y.coeffs[0]))


def bn_g1(scalar: int) -> bytes:
    output = bn254.mul(G1 + word(scalar % 2**256), OSAKA)
    assert output is not None
    return output


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**256 - 1), st.integers(0, 2**256 - 1))
def test_bn254_multiples_add_up(a, b):
    assert bn254.add(bn_g1(a) + bn_g1(b), OSAKA) == bn_g1((a + b) % BN_ORDER)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**256 - 1))
def test_bn254_multiples_are_those_of_py_ecc(scalar):
    curve = optimized_bn128
    point = curve.multiply(curve.G1, scalar % BN_ORDER)
    x, y = curve.normalize(point)
    assert bn_g1(scalar) == word(int(x)) + word(int(y))


def test_bn254_pairing_is_the_one_of_py_ecc():
    """Not only the check: all twelve coefficients of a pairing's value agree."""
    from gmpy2 import mpz

    curve = optimized_bn128
    p = curve.normalize(curve.multiply(curve.G1, 1234567))
    q = curve.normalize(curve.multiply(curve.G2, 7654321))
    pair = (
        (mpz(p[0].n), mpz(p[1].n)),
        tuple((mpz(int(z.coeffs[0])), mpz(int(z.coeffs[1]))) for z in q),
    )
    ours = bn254_curve._final_power(bn254_curve._miller([pair]))
    theirs = curve.pairing(curve.multiply(curve.G2, 7654321), curve.multiply(curve.G1, 1234567))
    assert [int(number) for number in ours] == [int(number) for number in theirs.coeffs]


def test_bn254_infinity_is_all_zeros():
    assert bn_g1(BN_ORDER) == bytes(64)
    assert bn254.add(b"", OSAKA) == bytes(64)
    assert bn254.add(G1, OSAKA) == G1
    assert bn254.mul(bytes(64) + word(5), OSAKA) == bytes(64)
    assert bn254.add(G1 + word(1) + word(BN_PRIME - 2), OSAKA) == bytes(64)


def test_bn254_refuses_points_off_the_curve_and_unreduced_numbers():
    for bad in (word(1) + word(1), word(BN_PRIME + 1) + word(2), word(1) + word(BN_PRIME + 2)):
        assert bn254.add(bad, OSAKA) is None
        assert bn254.mul(bad + word(1), OSAKA) is None
        assert bn254.pairing(bad + bn_g2(1), OSAKA) is None


def test_bn254_pairing_is_bilinear():
    minus = bn_g1(BN_ORDER - 15)
    assert bn254.pairing(bn_g1(3) + bn_g2(5) + minus + bn_g2(1), OSAKA) == word(1)
    assert bn254.pairing(bn_g1(3) + bn_g2(5) + minus + bn_g2(2), OSAKA) == word(0)
    infinite = bytes(64) + bn_g2(5) + bn_g1(7) + bytes(128)
    assert bn254.pairing(infinite, OSAKA) == word(1)
    assert bn254.pairing(infinite + bn_g1(3) + bn_g2(5), OSAKA) == word(0)
    assert bn254.pairing(b"", OSAKA) == word(1)
    assert bn254.pairing(bytes(192), OSAKA) == word(1)
    assert bn254.pairing(bytes(191), OSAKA) is None


def test_bn254_pairing_refuses_points_outside_the_subgroup():
    """A point of the twist found by trying x, multiplied by nothing: its order is not ours."""
    FQ2, b2 = optimized_bn128_FQ2, optimized_bn128.b2
    x = 1
    while True:
        root = _square_root(FQ2([x, 0]) ** 3 + b2, FQ2)
        if root is not None:
            break
        x += 1
    point = word(0) + word(x) + word(int(root.coeffs[1])) + word(int(root.coeffs[0]))
    assert bn254.pairing(G1 + point, OSAKA) is None


def _square_root(value, field):
    """A square root in the quadratic extension, or None (norm method, p = 3 mod 4)."""
    p = BN_PRIME
    a, b = int(value.coeffs[0]), int(value.coeffs[1])
    norm = pow(a * a + b * b, (p + 1) // 4, p)
    for sign in (norm, -norm):
        half = (a + sign) * pow(2, -1, p) % p
        real = pow(half, (p + 1) // 4, p)
        if real and real * real % p == half:
            root = field([real, b * pow(2 * real, -1, p) % p])
            if root * root == value:
                return root
    return None


def test_bn254_prices_fell_in_istanbul():
    for fork, prices in ((forks.BYZANTIUM, (500, 40_000, 260_000)), (OSAKA, (150, 6_000, 113_000))):
        found = (
            bn254.add_gas(b"", fork),
            bn254.mul_gas(b"", fork),
            bn254.pairing_gas(bytes(384), fork),
        )
        assert found == prices


# -- BLS12-381 --

BLS_ORDER = bls12.ORDER
BLS_PRIME = int(
    "1a0111ea397fe69a4b1ba7b6434bacd764774b84f38512bf"
    "6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab",
    16,
)


def bls_point(scalar: int, generator: str) -> bytes:
    """A multiple of a generator, by py_ecc."""
    curve = optimized_bls12_381
    point = curve.multiply(getattr(curve, generator), scalar % BLS_ORDER)
    if curve.is_inf(point):
        return bytes(128 if generator == "G1" else 256)
    x, y = curve.normalize(point)
    numbers = [x.n, y.n] if generator == "G1" else [*x.coeffs, *y.coeffs]
    return b"".join(word(int(number), 64) for number in numbers)


big = st.integers(0, 2**256 - 1)


@settings(max_examples=8, deadline=None)
@given(big, big, big)
def test_bls12_sums_and_multiples_are_those_of_py_ecc(a, b, c):
    for name, add, msm in (("G1", bls12.g1_add, bls12.g1_msm), ("G2", bls12.g2_add, bls12.g2_msm)):
        p, q = bls_point(a, name), bls_point(b, name)
        assert add(p + q, OSAKA) == bls_point(a + b, name)
        assert msm(p + word(c), OSAKA) == bls_point(a * c, name)
        assert msm(p + word(c) + q + word(a), OSAKA) == bls_point(a * c + a * b, name)


def test_bls12_infinity_is_all_zeros():
    p = bls_point(7, "G1")
    assert bls12.g1_add(p + bytes(128), OSAKA) == p
    assert bls12.g1_add(p + bls_point(-7, "G1"), OSAKA) == bytes(128)
    assert bls12.g1_msm(bytes(160), OSAKA) == bytes(128)
    assert bls12.g2_add(bytes(512), OSAKA) == bytes(256)


def test_bls12_pairing_is_bilinear():
    pairs = bls_point(3, "G1") + bls_point(5, "G2") + bls_point(-15, "G1")
    assert bls12.pairing(pairs + bls_point(1, "G2"), OSAKA) == word(1)
    assert bls12.pairing(pairs + bls_point(2, "G2"), OSAKA) == word(0)
    assert bls12.pairing(bytes(384), OSAKA) == word(1)


@pytest.mark.parametrize(
    ("function", "size"),
    [
        (bls12.g1_add, 256),
        (bls12.g1_msm, 160),
        (bls12.g2_add, 512),
        (bls12.g2_msm, 288),
        (bls12.pairing, 384),
        (bls12.map_fp, 64),
        (bls12.map_fp2, 128),
    ],
)
def test_bls12_wants_whole_inputs_of_reduced_numbers(function, size):
    assert function(bytes(size), OSAKA) is not None
    assert function(bytes(size - 1), OSAKA) is None
    assert function(bytes(size + 1), OSAKA) is None
    assert function(b"", OSAKA) is None
    assert function(word(BLS_PRIME, 64) + bytes(size - 64), OSAKA) is None
    assert function(b"\x01" + bytes(size - 1), OSAKA) is None


def test_bls12_additions_take_points_outside_the_subgroup_and_products_do_not():
    p = BLS_PRIME
    x = next(x for x in range(2, 100) if pow(x**3 + 4, (p - 1) // 2, p) == 1)
    point = word(x, 64) + word(pow(x**3 + 4, (p + 1) // 4, p), 64)
    assert bls12.g1_add(point + bytes(128), OSAKA) == point
    assert bls12.g1_msm(point + word(1), OSAKA) is None
    assert bls12.pairing(point + bytes(256), OSAKA) is None


def test_bls12_refuses_points_off_the_curve():
    assert bls12.g1_add(word(1, 64) + word(1, 64) + bytes(128), OSAKA) is None
    assert bls12.g2_add(word(1, 64) * 4 + bytes(256), OSAKA) is None


@settings(max_examples=10, deadline=None)
@given(st.integers(0, BLS_PRIME - 1), st.integers(0, BLS_PRIME - 1))
def test_bls12_maps_land_in_the_subgroup(a, b):
    mapped = bls12.map_fp(word(a, 64), OSAKA)
    assert bls12.g1_msm(mapped + word(BLS_ORDER), OSAKA) == bytes(128)
    mapped = bls12.map_fp2(word(a, 64) + word(b, 64), OSAKA)
    assert bls12.g2_msm(mapped + word(BLS_ORDER), OSAKA) == bytes(256)


def test_bls12_prices_fall_with_the_number_of_terms():
    assert bls12.g1_msm_gas(bytes(160), OSAKA) == 12_000
    assert bls12.g1_msm_gas(bytes(320), OSAKA) == 2 * 12_000 * 949 // 1_000
    assert bls12.g1_msm_gas(bytes(160 * 500), OSAKA) == 500 * 12_000 * 519 // 1_000
    assert bls12.g2_msm_gas(bytes(288 * 128), OSAKA) == 128 * 22_500 * 524 // 1_000
    assert bls12.pairing_gas(bytes(384 * 2), OSAKA) == 37_700 + 2 * 32_600
    assert bls12.g1_msm_gas(b"", OSAKA) == 0


# -- KZG --


@pytest.fixture(scope="module")
def opening():
    """Input that opens a blob's polynomial at 12345, made by ckzg."""
    import ckzg

    setup = blobs._trusted_setup()
    blob = b"".join(word(number * number + 7) for number in range(4096))
    commitment = ckzg.blob_to_kzg_commitment(blob, setup)
    proof, y = ckzg.compute_kzg_proof(blob, word(12345), setup)
    return blobs.versioned_hash(commitment) + word(12345) + y + commitment + proof


def test_an_opening_made_by_another_library_is_accepted(opening):
    assert kzg.run(opening, OSAKA) == word(4096) + word(kzg._ORDER)
    assert kzg.gas(opening, OSAKA) == 50_000


def test_a_polynomial_that_is_zero_opens_to_zero_everywhere():
    infinity = b"\xc0" + bytes(47)
    for z in (0, 1, kzg._ORDER - 1):
        data = blobs.versioned_hash(infinity) + word(z) + word(0) + infinity * 2
        assert kzg.run(data, OSAKA) is not None


@pytest.mark.parametrize("point", ["ff" * 48, "e0" + "00" * 47, "c0" + "00" * 46 + "01"])
def test_infinity_is_written_in_one_way_only(point):
    """Given a compressed point that says it is infinity and more, then it is none."""
    infinity = b"\xc0" + bytes(47)
    good = blobs.versioned_hash(infinity) + word(1) + word(0) + infinity * 2
    assert kzg.run(good, OSAKA) is not None
    other = bytes.fromhex(point)
    assert kzg.run(good[:144] + other, OSAKA) is None
    assert kzg.run(blobs.versioned_hash(other) + good[32:96] + other + infinity, OSAKA) is None


def test_a_wrong_opening_is_refused(opening):
    for place in (0, 5, 63, 95, 100, 150, 191):
        bad = bytearray(opening)
        bad[place] ^= 1
        assert kzg.run(bytes(bad), OSAKA) is None
    assert kzg.run(opening + b"\0", OSAKA) is None
    assert kzg.run(b"", OSAKA) is None


def test_an_opening_with_unreduced_numbers_is_refused(opening):
    """The same z, but with the group order added to it."""
    assert kzg.run(opening[:32] + word(kzg._ORDER + 12345) + opening[64:], OSAKA) is None


def test_halts_of_precompiles_have_their_own_reason():
    from tests.contracts.vm.test_interpreter import Recorder

    tracer = Recorder()
    run("0 0 1 0 9 5000 STATICCALL", tracer=tracer)
    assert tracer.exits[0][2] is Halt.PRECOMPILE
    assert all(precompiles_of(fork) for fork in FORKS)
