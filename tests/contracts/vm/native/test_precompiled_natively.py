"""Precompiled contracts that native code calls without leaving: gas, output and failures are
those of the plain interpreter, in every fork and for every kind of message."""

import ctypes
import hashlib
import struct

import pytest
from Crypto.Hash import RIPEMD160
from hypothesis import given, settings
from hypothesis import strategies as st

from chain import forks
from chain.crypto import secp256k1
from chain.crypto.keccak import keccak
from chain.forks import OSAKA
from contracts.vm import messages as vm_messages
from contracts.vm.native.precompiled.contracts import PrecompiledCodes
from contracts.vm.native.records import ENTERS_COMPILED
from contracts.vm.native.session import Session
from contracts.vm.native.tables import Tables
from contracts.vm.precompiles import PRECOMPILES
from tests.contracts.vm.laboratory import TARGET, assemble
from tests.contracts.vm.native.both import Case, agree, native


def word(number: int, size: int = 32) -> bytes:
    return number.to_bytes(size, "big")


G1 = (1).to_bytes(32, "big") + (2).to_bytes(32, "big")
MINUS_G1 = G1[:32] + bytes.fromhex(
    "30644e72e131a029b85045b68181585d97816a916871ca8d3c208c16d87cfd45"
)
G2 = bytes.fromhex(
    "198e9393920d483a7260bfb731fb5d25f1aa493335a9e71297e485b7aef312c2"
    "1800deef121f1e76426a00665e5c4479674322d4f75edadd46debd5cd992f6ed"
    "090689d0585ff075ec9e99ad690c3395bc4b313370b38ef355acdadcd122975b"
    "12c85ea5db8c6deb4aab71808dcb408fe3d1e7690c43d37b4ce6cc0166fa7daa"
)
NATIVE = tuple(range(1, 0x12))  # all of them; from 0x0a on through Python's libraries
# Inputs that the later ones take: the zero polynomial opened at 5, and points of BLS12-381.
INFINITY = b"\xc0" + bytes(47)
OPENING = b"\x01" + hashlib.sha256(INFINITY).digest()[1:] + word(5) + bytes(32) + INFINITY * 2
BLS_G1, BLS_G2 = (
    PRECOMPILES[number].run(data, OSAKA) or b""
    for number, data in ((0x10, word(9, 64)), (0x11, word(9, 64) + word(8, 64)))
)
LATER = {
    0x0A: OPENING,
    0x0B: BLS_G1 * 2,
    0x0C: BLS_G1 + word(7),
    0x0D: BLS_G2 * 2,
    0x0E: BLS_G2 + word(7),
    0x0F: BLS_G1 + BLS_G2,
    0x10: word(9, 64),
    0x11: word(9, 64) + word(8, 64),
}
OUT = 0x2000  # where outputs go; the input is at 0


def message(kind: str, number: int, gas: int, size: int, out_size: int, value: int = 0) -> str:
    """One call, whose success, output's size and output are kept in memory behind each other."""
    with_value = f"{value}" if kind in ("CALL", "CALLCODE") else ""
    return f"{out_size} {OUT} {size} 0 {with_value} {number} {gas} {kind}"


def program(*calls: str) -> bytes:
    """Copies the data to 0, makes the calls, and returns a digest of all that came back."""
    parts = ["CALLDATASIZE 0 0 CALLDATACOPY"]
    for place, call in enumerate(calls):
        at = 0x1000 + 128 * place
        parts.append(f"{call} {at} MSTORE RETURNDATASIZE {at + 32} MSTORE")
        parts.append(f"256 {OUT} KECCAK256 {at + 64} MSTORE")
        # All of the last output, where it has any size that is sent here.
        parts.append("RETURNDATASIZE 0 0x4000 RETURNDATACOPY")
        parts.append(f"RETURNDATASIZE 0x4000 KECCAK256 {at + 96} MSTORE")
    parts.append(f"{128 * len(calls)} 0x1000 RETURN")
    return assemble(" ".join(parts))


def blake2_input(rounds: int, flag: int = 1, size: int = 213) -> bytes:
    data = struct.pack(">I", rounds) + bytes(range(208)) + bytes([flag])
    return data.ljust(size, b"\0")[:size]


def recovery(v: int, r: int, s: int) -> bytes:
    return keccak(b"message") + b"".join(n.to_bytes(32, "big") for n in (v, r, s))


ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
PARITY, R, S = secp256k1.sign(keccak(b"message"), b"\x42" * 32)
numbers = st.sampled_from([R, S, ORDER - S, 0, 1, 5, ORDER, ORDER - 1, ORDER + 1, 2**256 - 1])
signatures = st.builds(
    recovery,
    st.sampled_from([27, 28, 27, 28, 0, 26, 29, 255, 256 + 27, 2**255 + 28]),
    numbers,
    numbers,
)

inputs = st.one_of(
    signatures,
    st.binary(max_size=300),
    st.sampled_from(
        [
            b"",
            G1 + G1,
            G1 + MINUS_G1,
            G1 + bytes(64),
            G1[:63],
            G1 + b"\xff" * 32,
            G1 + G2,
            G1 + G2 + MINUS_G1 + G2,
            bytes(192),
            G1 + G2[:127],
            b"\xff" * 192,
            bytes(2_000),
        ]
    ),
    st.builds(
        blake2_input, st.integers(0, 40), st.integers(0, 2), st.sampled_from([213, 213, 212, 214])
    ),
    st.builds(bytes, st.integers(0, 200)),
)
kinds = st.sampled_from(["CALL", "CALLCODE", "DELEGATECALL", "STATICCALL"])


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(NATIVE),
    st.sampled_from(["CALL", "CALL", "DELEGATECALL"]),
    inputs,
    st.lists(st.tuples(kinds, st.integers(-40, 40), st.sampled_from([0, 31, 32, 64, 200])),
             min_size=1, max_size=4),
    st.sampled_from([OSAKA, OSAKA, forks.BYZANTIUM, forks.ISTANBUL, forks.BERLIN, forks.HOMESTEAD]),
)  # fmt: skip
def test_calls_come_out_as_in_the_plain_interpreter(number, first_kind, data, calls, fork):
    """Given a first call, which Python makes, and more, around the gas that each costs."""
    price = PRECOMPILES[number].gas(data, fork)
    size = len(data)
    first = message(first_kind, number, price, size, 32)
    others = [
        message(kind, number, max(price + near, 0), size, out_size)
        for kind, near, out_size in calls
    ]
    agree(Case(program(first, *others), data=data, gas=2_000_000, fork=fork))


@settings(max_examples=100, deadline=None)
@given(signatures, st.integers(0, 160))
def test_signers_are_the_plain_interpreters(signature, size):
    """Also of cut and of extended input."""
    for data in (signature, signature.ljust(160, b"\xff")[:size]):
        call = message("STATICCALL", 1, 3_000, len(data), 32)
        agree(Case(program(call, call), data=data, gas=2_000_000))


def test_a_signer_is_found():
    call = message("CALL", 1, 3_000, 128, 32)
    code = assemble(f"128 0 0 CALLDATACOPY {call} POP {call} POP 32 {OUT} RETURN")
    outcome = agree(Case(code, data=recovery(27 + PARITY, R, S), gas=2_000_000))
    assert outcome.output[12:] == secp256k1.address_of(b"\x42" * 32)


@pytest.mark.parametrize("number", NATIVE)
def test_calls_stay_native(number, monkeypatch):
    """Python tells of the contract once, and runs it never."""
    samples = {8: G1 + G2, 9: blake2_input(12), **LATER}
    data = samples.get(number, G1 + G1)
    entries = []
    fill_account = Tables.fill_account

    def fill(self, state, address, *arguments, **options):
        entries.append(address)
        fill_account(self, state, address, *arguments, **options)

    monkeypatch.setattr(Tables, "fill_account", fill)
    call = message("STATICCALL", number, 200_000, len(data), 32)
    case = Case(program(call, call, call), data=data, gas=2_000_000)
    agree(case)
    assert entries == [number.to_bytes(20, "big")]
    monkeypatch.setattr(vm_messages, "begin", None)
    case.run(native())


@pytest.mark.parametrize("size", [*range(130), 1_000, 5_000])
@pytest.mark.parametrize("number", [2, 3])
def test_hashes_of_every_size(size, number):
    data = bytes(i * 7 % 256 for i in range(size))
    call = message("CALL", number, 100_000, size, 32)
    code = assemble(
        f"CALLDATASIZE 0 0 CALLDATACOPY {call} POP {call} POP RETURNDATASIZE 0 0 RETURNDATACOPY"
        " 32 0 RETURN"
    )
    outcome = agree(Case(code, data=data, gas=2_000_000))
    peer = hashlib.sha256(data) if number == 2 else RIPEMD160.new(data)
    assert outcome.output == peer.digest().rjust(32, b"\0")


@pytest.mark.parametrize("rounds", [0, 1, 9, 10, 11, 12, 20, 21, 5_003])
def test_blake2_of_any_number_of_rounds(rounds):
    call = message("CALL", 9, 100_000, 213, 64)
    agree(Case(program(call, call), data=blake2_input(rounds), gas=2_000_000))


@pytest.mark.parametrize("pairs", [15, 16, 17, 33])
def test_pairings_of_more_pairs_than_go_together(pairs):
    """Also with infinity among them, and with a wrong point at the end."""
    pair, opposite = G1 + G2, MINUS_G1 + G2
    for data in (
        (pair + opposite) * (pairs // 2) + pair * (pairs % 2),
        bytes(192) + pair * (pairs - 1),
        pair * (pairs - 1) + bytes(192),
        pair * (pairs - 1) + G1 + bytes(127) + b"\x01",
    ):
        call = message("CALL", 8, 5_000_000, len(data), 32)
        agree(Case(program(call, call), data=data, gas=30_000_000))


@pytest.mark.parametrize("fork", [OSAKA, forks.BYZANTIUM, forks.HOMESTEAD])
def test_calls_to_accounts_without_code(fork):
    """Of every kind, more than once, to one that exists and one that does not."""
    kinds = ["CALL", "CALLCODE", "DELEGATECALL"]
    if fork is not forks.HOMESTEAD:
        kinds.append("STATICCALL")
    else:
        kinds.remove("CALLCODE")
    calls = [
        message(kind, number, 3_000, 32, 32)
        for number in (0x5555, 0x6666)
        for kind in (*kinds, "CALL", *reversed(kinds))
    ]
    # First seen by code that runs in this account; then one that is there, but empty.
    calls += [message(kind, 0x7777, 3_000, 32, 32) for kind in ("DELEGATECALL", "CALL", "CALL")]
    calls += [message(kind, 0x8888, 3_000, 32, 32) for kind in ("DELEGATECALL", "CALL", "CALL")]
    calls.append(message("CALL", 0x5555, 3_000, 32, 32, value=1))
    tail = "0x5555 EXTCODESIZE 0 MSTORE 0x6666 EXTCODESIZE 32 MSTORE 64 0 RETURN"
    code = assemble(" POP ".join(calls) + f" POP {tail}")
    case = Case(code, gas=2_000_000, fork=fork)
    case.view.put((0x5555).to_bytes(20, "big"), balance=7)
    case.view.put((0x8888).to_bytes(20, "big"), balance=0)
    agree(case)


def test_an_account_that_gets_code_is_called_anew():
    """Given calls to an address without code, when a contract is created there, then it runs."""
    deployed = assemble("7 0 MSTORE 32 0 RETURN")
    initcode = initcode_for(deployed)
    target = created_at(initcode)
    call = f"32 0x200 0 0 {int.from_bytes(target, 'big')} 20000 STATICCALL POP"
    head = f"{call} {call} 0x200 MLOAD 0x300 MSTORE"
    setup = f"PUSH32 {int.from_bytes(initcode.ljust(32, bytes(1)), 'big')} 0 MSTORE"
    create = f"{setup} 0 {len(initcode)} 0 0 CREATE2 0x340 MSTORE"
    code = assemble(f"{head} {create} {call} {call} 0x200 MLOAD 0x320 MSTORE 96 0x300 RETURN")
    outcome = agree(Case(code, gas=2_000_000))
    assert [int.from_bytes(outcome.output[i : i + 32], "big") for i in (0, 32, 64)] == [
        0, 7, int.from_bytes(target, "big"),
    ]  # fmt: skip


def initcode_for(deployed: bytes) -> bytes:
    """Initcode for at most 20 bytes of code."""
    number = int.from_bytes(deployed, "big")
    size = len(deployed)
    return assemble(f"PUSH{size} {number} 0 MSTORE {size} {32 - size} RETURN")


def created_at(initcode: bytes) -> bytes:
    """Where CREATE2 of TARGET with salt 0 deploys it."""
    return keccak(b"\xff" + TARGET + bytes(32) + keccak(initcode))[12:]


def test_a_copy_larger_than_any_before():
    """The room for what is returned grows, and the call starts over."""
    size = 600_000
    call = message("CALL", 4, 10_000_000, size, 0)
    code = assemble(
        f"32 0 32 0 0 4 1000 CALL POP 7 {size - 32} MSTORE {call} POP RETURNDATASIZE 0 MSTORE"
        f" 32 {size - 32} 32 RETURNDATACOPY 64 0 RETURN"
    )
    outcome = agree(Case(code, gas=30_000_000))
    assert int.from_bytes(outcome.output[:32], "big") == size
    assert int.from_bytes(outcome.output[32:], "big") == 7


def test_what_a_reverted_message_has_called_is_asked_about_again():
    """Given a contract that calls itself, and in that message calls a precompile and reverts."""
    inner = "32 0 32 0 0 4 100 CALL POP 32 0 32 0 0 4 100 CALL POP 0 0 REVERT"
    outer = "0 0 0 0 ADDRESS 50000 STATICCALL POP 32 0 32 0 0 4 100 CALL 0 MSTORE 32 0 RETURN"
    head = assemble("CALLER ADDRESS EQ")
    skip = len(head) + 4 + len(assemble(outer))
    code = head + assemble(f"PUSH2 {skip} JUMPI {outer} JUMPDEST {inner}")
    assert agree(Case(code, gas=1_000_000)).halt is None


def test_value_and_depth_are_pythons_matter():
    plain = message("CALL", 4, 1_000, 32, 32)
    rich = message("CALL", 4, 1_000, 32, 32, value=3)
    poor = message("CALL", 4, 1_000, 32, 32, value=10**30)
    agree(Case(program(plain, rich, poor, plain), gas=1_000_000))
    agree(Case(program(plain, rich, plain), gas=1_000_000, static=True))


def test_size_and_hash_of_a_called_contracts_code():
    asked = "4 EXTCODESIZE 0 MSTORE 4 EXTCODEHASH 32 MSTORE 64 0 RETURN"
    code = assemble(f"32 0 32 0 0 4 100 CALL POP {asked}")
    assert agree(Case(code, gas=1_000_000)).output == bytes(64)


def test_code_at_a_precompiles_address_is_still_seen():
    """As a state override may put it there."""
    case = Case(assemble("32 0 32 0 0 4 100 CALL POP 4 EXTCODESIZE 0 MSTORE 32 0 RETURN"))
    case.view.put((4).to_bytes(20, "big"), code=b"\x00\x01\x02")
    assert int.from_bytes(agree(case).output, "big") == 3


@pytest.mark.parametrize("number", [2, 3, 4])
def test_a_nudge_at_a_precompiled_contract_changes_nothing(number, monkeypatch):
    """Given that native code is left just there, then Python ends the message with its output."""
    left = []
    fill_account, known_frame = Tables.fill_account, Session._known_frame

    def filled(self, *arguments, **options):
        fill_account(self, *arguments, **options)
        rules, step = native()._running, native()._native.step
        ctypes.c_uint64.from_address(rules.table + 8 * ENTERS_COMPILED).value = step

    def known(self, depth, env):
        left.append(depth)
        return known_frame(self, depth, env)

    monkeypatch.setattr(Tables, "fill_account", filled)
    monkeypatch.setattr(Session, "_known_frame", known)
    call = message("STATICCALL", number, 10_000, 40, 32)
    agree(Case(program(call, call, call), data=bytes(range(40)), gas=2_000_000))
    assert left == [1]


def test_without_native_contracts_python_makes_every_call(monkeypatch):
    monkeypatch.setattr(PrecompiledCodes, "of", lambda self, address: None)
    call = message("STATICCALL", 2, 1_000, 32, 32)
    agree(Case(program(call, call), gas=1_000_000))


def test_forks_have_their_own_prices_in_one_interpreter():
    data = G1 + G2
    call = message("CALL", 8, 300_000, len(data), 32)
    for fork in (forks.BYZANTIUM, OSAKA, forks.BYZANTIUM, forks.ISTANBUL):
        agree(Case(program(call, call), data=data, gas=2_000_000, fork=fork))
