"""Inputs that precompiled contracts take, and spoilt forms of them; called through a relay.

The relay hands its call data to one precompiled contract and keeps the status and the hash
of what came back, so that results and gas show in the state root.
"""

from hashlib import sha256

from hypothesis import strategies as st

from chain.forks import Fork
from tests.differential import envelopes
from tests.differential.cases import FORKS, Case, PreAccount, Surroundings
from tests.differential.programs import COINBASE, push, push_bytes

_KEY = bytes(31) + b"\x09"
_RELAY = b"\x9e" * 20
_OUT = 1 << 14  # where the relay lets the answer be put: beyond any input
_OUT_BYTES = 256


def _words(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(32, "big") for number in numbers)


def _recovery() -> bytes:
    digest = sha256(b"signed").digest()
    parity, r, s = envelopes.sign(_KEY, digest)
    return digest + _words(27 + parity, r, s)


def _modexp(base: bytes, exponent: bytes, modulus: bytes) -> bytes:
    return _words(len(base), len(exponent), len(modulus)) + base + exponent + modulus


def _p256() -> bytes:
    from fastecdsa import curve, ecdsa, keys

    secret = 0xC0FFEE
    public = keys.get_public_key(secret, curve.P256)
    r, s = ecdsa.sign(b"signed", secret, curve=curve.P256)
    return sha256(b"signed").digest() + _words(r, s, public.x, public.y)


_BN254_G2 = _words(
    0x198E9393920D483A7260BFB731FB5D25F1AA493335A9E71297E485B7AEF312C2,
    0x1800DEEF121F1E76426A00665E5C4479674322D4F75EDADD46DEBD5CD992F6ED,
    0x090689D0585FF075EC9E99AD690C3395BC4B313370B38EF355ACDADCD122975B,
    0x12C85EA5DB8C6DEB4AAB71808DCB408FE3D1E7690C43D37B4CE6CC0166FA7DAA,
)
_BN254_PRIME = 0x30644E72E131A029B85045B68181585D97816A916871CA8D3C208C16D87CFD47
_BLAKE2F = bytes.fromhex(  # EIP-152, test vector 5
    "0000000c48c9bdf267e6096a3ba7ca8485ae67bb2bf894fe72f36e3cf1361d5f3af54fa5d182e6ad7f520e51"
    "1f6c3e2b8c68059b6bbd41fbabd9831f79217e1319cde05b61626300000000000000000000000000000000000000"
    + "00" * 106
    + "0300000000000000000000000000000001"
)


def _fp(number: int) -> bytes:
    return number.to_bytes(64, "big")


def _bls_points() -> tuple[bytes, bytes]:
    from py_ecc.bls12_381 import G1, G2

    first = _fp(int(G1[0])) + _fp(int(G1[1]))
    second = b"".join(_fp(int(part)) for point in G2[:2] for part in point.coeffs)
    return first, second


def inputs() -> dict[int, list[bytes]]:
    """Good inputs by the number of the precompiled contract. Pairings, seconds each, have few."""
    g1, g2 = _bls_points()
    bn254 = _words(1, 2)
    return {
        1: [_recovery()],
        2: [b"", b"abc"],
        3: [b"", b"abc"],
        4: [b"", b"abc"],
        5: [
            _modexp(b"\x03", b"\x05", b"\x07"),
            _modexp(b"\xff" * 33, b"\x01\x00\x01", b"\xfd" * 40),
            _modexp(b"", b"\x80" + bytes(31), b"\x02"),
            _modexp(b"\x02" * 8, bytes(40), b"\x01"),
            _words(0, 2**64, 0),
            _words(1025, 1, 1025) + bytes(60),
        ],
        6: [bn254 + bn254, bn254 + _words(1, _BN254_PRIME - 2), b"", bn254],
        7: [bn254 + _words(5), bn254 + _words(2**256 - 1), bn254 + _words(0)],
        8: [b"", bn254 + bytes(128), bytes(64) + _BN254_G2],
        9: [_BLAKE2F],
        11: [g1 + g1, g1 + bytes(128), bytes(256)],
        12: [g1 + _words(3), g1 + _words(3) + g1 + _words(2**256 - 1)],
        13: [g2 + g2, g2 + bytes(256)],
        14: [g2 + _words(2)],
        15: [bytes(128) + g2],
        16: [_fp(7), _fp(0)],
        17: [_fp(7) + _fp(8)],
        0x100: [_p256()],
    }


def _relay(number: int) -> bytes:
    """Code: call the precompiled contract with the call data and keep what comes of it."""
    address = number.to_bytes(20, "big")
    return b"".join(
        (
            b"\x36", push(0), push(0), b"\x37",  # calldatacopy(0, 0, size)
            push(_OUT_BYTES), push(_OUT), b"\x36", push(0), push(0), push_bytes(address),
            push(50_000), b"\x5a\x03", b"\xf1",  # call(gas - 50,000, address, 0, 0, size, out)
            push(1), b"\x01", push(0), b"\x55",  # storage[0] = 1 + status
            push(_OUT_BYTES), push(_OUT), b"\x20", push(1), b"\x55",  # storage[1] = hash of out
        )
    )  # fmt: skip


_INPUTS = inputs()
_PAIRINGS = (8, 15)


@st.composite
def _spoilt(draw: st.DrawFn, good: bytes) -> bytes:
    """The input, or cut, or longer, or with some bytes changed."""
    data = bytearray(good)
    match draw(st.integers(0, 5)):
        case 0 if data:
            del data[draw(st.integers(0, len(data) - 1)) :]
        case 1:
            data += draw(st.binary(max_size=40))
        case 2 | 3 if data:
            for _ in range(draw(st.integers(1, 2))):
                data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
        case _:
            pass
    return bytes(data)


@st.composite
def precompile_cases(draw: st.DrawFn, fork_name: str) -> Case:
    """One transaction that calls one precompiled contract through the relay, or directly."""
    fork: Fork = FORKS[fork_name]
    # Pairings take seconds in the specification: seldom.
    slow = draw(st.integers(0, 19)) == 0
    known = [
        n
        for n in _INPUTS
        if n.to_bytes(20, "big") in fork.precompiles and (slow or n not in _PAIRINGS)
    ]
    # Those that the fork lacks are ordinary empty accounts.
    number = draw(st.sampled_from(known if draw(st.integers(0, 15)) else sorted(_INPUTS)))
    data = draw(_spoilt(draw(st.sampled_from(_INPUTS[number]))))
    gas = draw(st.sampled_from((3_000_000, 3_000_000, 300_000, 120_000, 100_500)))
    direct = draw(st.integers(0, 3)) == 0
    to = number.to_bytes(20, "big") if direct else _RELAY
    sender = envelopes.address_of(_KEY)
    raw = envelopes.legacy(_KEY, [0, 10, gas, to, 0, data], protected=fork.replay_protection)
    return Case(
        fork=fork_name,
        surroundings=Surroundings(coinbase=COINBASE),
        accounts={
            sender: PreAccount(balance=10**20),
            _RELAY: PreAccount(nonce=1, code=_relay(number)),
        },
        transactions=[raw],
    )
