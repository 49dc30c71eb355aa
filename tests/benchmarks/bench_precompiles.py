"""The precompiled contracts at their worst: processor time of 30 million gas of calls of one.

Run with `make bench B=precompiles`, or a part of it with
`python -m tests.benchmarks.bench_precompiles --only modexp`. A contract of the native interpreter
calls the precompile with the same input until the gas is gone; pyrevm, where it has the contract,
runs the same code in turns, and the best of each counts. Prices are Osaka's, or Cancun's where
pyrevm runs, which has no later ones. Ratios above 1 mean that we are faster.
"""

import argparse
import gc
import struct
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

from chain.blobs import versioned_hash
from chain.crypto import secp256k1
from chain.crypto.keccak import keccak
from chain.forks import CANCUN, OSAKA, Fork
from chain.machine import BlockContext, Message, TransactionContext
from chain.state import State
from chain.types import Hash
from contracts.vm.native.interpreter import NativeInterpreter
from contracts.vm.native.objects import user_cache
from contracts.vm.precompiles import PRECOMPILES
from tests.benchmarks.bench_vm_native import View
from tests.benchmarks.programs import RICH, TARGET, USER, Program
from tests.benchmarks.table import machine, show
from tests.contracts.vm.laboratory import assemble

GAS = 30_000_000
SECONDS = 2.0  # for each case and side
ROUNDS_MAX = 5
_P256 = 0x100
_LAST_OF_PYREVM = 0x0A


class Case(NamedTuple):
    name: str
    number: int  # the precompile's address
    data: bytes
    fork: Fork


def word(number: int, size: int = 32) -> bytes:
    return number.to_bytes(size, "big")


def cases() -> list[Case]:
    found: list[Case] = []

    def add(name: str, number: int, data: bytes, fork: Fork | None = None) -> None:
        if fork is None:
            fork = CANCUN if number <= _LAST_OF_PYREVM else OSAKA
        found.append(Case(name, number, data, fork))

    def add_modexp(name: str, size: int, exponent_size: int, modulus: int) -> None:
        sizes = word(size) + word(exponent_size) + word(size)
        data = sizes + word(modulus - 2, size) + b"\xff" * exponent_size + word(modulus, size)
        for fork in (CANCUN, OSAKA):
            if PRECOMPILES[5].gas(data, fork) < GAS // 2:
                add(f"{name}, {fork.name}", 5, data, fork)

    digest = keccak(b"message")
    parity, r, s = secp256k1.sign(digest, b"\x42" * 32)
    add("ecrecover", 1, digest + word(27 + parity) + word(r) + word(s))
    for size in (0, 32, 8_192):
        add(f"sha256, {size} bytes", 2, bytes(size))
        add(f"ripemd160, {size} bytes", 3, bytes(size))
        add(f"identity, {size} bytes", 4, bytes(size))
    for size in (32, 40, 256, 1_024):
        modulus = (1 << 8 * size) - 189
        add_modexp(f"modexp, {size} bytes", size, min(size, 64), modulus)
    add_modexp("modexp, 8 bytes", 8, 32, (1 << 64) - 189)
    add_modexp("modexp, 32 even bytes", 32, 32, (1 << 256) - 188)
    add_modexp("modexp, 32 even bytes to 5", 32, 5, (1 << 256) - 188)
    g1, g2 = _bn254_points()
    add("bn254 addition", 6, g1 + word(1) + word(2))
    add("bn254 multiplication", 7, g1 + b"\xff" * 32)
    for pairs in (1, 2, 20):
        add(f"bn254 pairing, {pairs}", 8, (g1 + g2) * pairs)
    for rounds in (0, 1, 12, 1_000_000):
        add(f"blake2f, {rounds} rounds", 9, struct.pack(">I", rounds) + bytes(208) + b"\x01")
    add("point evaluation", 0x0A, _opening())
    p, q = _bls12_points()
    scalar = b"\x73" + b"\xed" * 31
    add("BLS12 G1 addition", 0x0B, p + p)
    add("BLS12 G1 product", 0x0C, p + scalar)
    add("BLS12 G1 sum of 128", 0x0C, (p + scalar) * 128)
    add("BLS12 G2 addition", 0x0D, q + q)
    add("BLS12 G2 product", 0x0E, q + scalar)
    add("BLS12 G2 sum of 128", 0x0E, (q + scalar) * 128)
    for pairs in (1, 2, 16):
        add(f"BLS12 pairing, {pairs}", 0x0F, (p + q) * pairs)
    add("BLS12 map to G1", 0x10, word(5, 64))
    add("BLS12 map to G2", 0x11, word(5, 64) + word(7, 64))
    add("p256verify", _P256, _p256_signature())
    return found


def _bn254_points() -> tuple[bytes, bytes]:
    from py_ecc import optimized_bn128 as curve

    x, y = curve.normalize(curve.multiply(curve.G1, 7**90))
    (a, b), (c, d) = (z.coeffs for z in curve.normalize(curve.multiply(curve.G2, 5**90)))
    return word(int(x)) + word(int(y)), b"".join(word(int(n)) for n in (b, a, d, c))


def _bls12_points() -> tuple[bytes, bytes]:
    p = PRECOMPILES[0x10].run(word(9, 64), OSAKA)
    q = PRECOMPILES[0x11].run(word(9, 64) + word(8, 64), OSAKA)
    assert p is not None and q is not None
    return p, q


def _opening() -> bytes:
    """A blob's polynomial opened at 5."""
    import ckzg

    from chain.blobs import _trusted_setup

    blob = b"".join(word(number * 3 + 1) for number in range(4_096))
    commitment = ckzg.blob_to_kzg_commitment(blob, _trusted_setup())
    proof, y = ckzg.compute_kzg_proof(blob, word(5), _trusted_setup())
    return versioned_hash(commitment) + word(5) + y + commitment + proof


def _p256_signature() -> bytes:
    from cryptography.hazmat.primitives.asymmetric import ec, utils
    from cryptography.hazmat.primitives.hashes import SHA256

    key = ec.derive_private_key(7**80, ec.SECP256R1())
    digest = bytes(range(32))
    r, s = utils.decode_dss_signature(key.sign(digest, ec.ECDSA(utils.Prehashed(SHA256()))))
    public = key.public_key().public_numbers()
    return digest + b"".join(map(word, (r, s, public.x, public.y)))


def program(case: Case, price: int) -> Program:
    """Copies its data into memory, and sends it until less than a call's gas is left."""
    size = len(case.data)
    head = assemble(f"{size} 0 0 CALLDATACOPY")
    body = f"0 0 {size} 0 {case.number} GAS STATICCALL POP {price * 2 + 5_000} GAS GT PUSH2"
    code = head + b"\x5b" + assemble(f"{body} {len(head)} JUMPI STOP")
    return Program(case.name, "", {TARGET: code}, case.data, {}, gas=GAS)


def ours(vm: NativeInterpreter, work: Program, fork: Fork) -> Callable[[], int]:
    block = BlockContext(1, 1, USER, GAS, 1, 0, 0, 1, lambda number: Hash(bytes(32)))
    message = Message(USER, TARGET, TARGET, 0, work.data, GAS, work.codes[TARGET], TARGET)

    def run() -> int:
        state = State(View(work))
        state.begin_transaction()
        state.prewarm(fork.precompiles)
        outcome = vm.execute(message, state, block, TransactionContext(USER, 0), fork)
        assert outcome.halt is None, outcome.halt
        return GAS - outcome.gas_left

    return run


def theirs(work: Program) -> Callable[[], int]:
    import pyrevm

    evm = pyrevm.EVM(gas_limit=2**63, spec_id="CANCUN")
    target, user = ("0x" + address.hex() for address in (TARGET, USER))
    evm.insert_account_info(target, pyrevm.AccountInfo(code=work.codes[TARGET], balance=RICH))
    evm.set_balance(user, RICH)
    intrinsic = 21_000 + sum(16 if byte else 4 for byte in work.data)

    def run() -> int:
        evm.message_call(user, target, calldata=work.data, gas=GAS)
        return int(evm.result.gas_used) - intrinsic

    return run


def best(runs: list[Callable[[], int]]) -> list[tuple[float, int]]:
    """Seconds and gas of each, in turns."""
    found = [(float("inf"), 0)] * len(runs)
    for run in runs:
        run()
    start, rounds = time.process_time(), 0
    while rounds < 2 or (rounds < ROUNDS_MAX and time.process_time() - start < SECONDS * len(runs)):
        for side, run in enumerate(runs):
            gc.collect()
            begun = time.process_time()
            gas = run()
            found[side] = (min(found[side][0], time.process_time() - begun), gas)
        rounds += 1
    return found


def main(arguments: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser(prog="bench precompiles", description=__doc__)
    parser.add_argument("--only", default="", help="cases whose names have this in them")
    only = parser.parse_args(list(arguments)).only
    try:
        peer = version("pyrevm")
    except PackageNotFoundError:
        peer = ""
    vm = NativeInterpreter(cache=user_cache())
    print(f"{machine()}; pyrevm {peer or 'is missing'}; milliseconds for 30 million gas")
    rows = []
    for case in cases():
        if only not in case.name:
            continue
        price = PRECOMPILES[case.number].gas(case.data, case.fork)
        work = program(case, price)
        runs = [ours(vm, work, case.fork)]
        if peer and case.fork is CANCUN:
            runs.append(theirs(work))
        ms = [1e3 * seconds * GAS / gas for seconds, gas in best(runs)]
        rows.append(
            [case.name, price, ms[0], *((ms[1], f"{ms[1] / ms[0]:.2f}") if ms[1:] else ("", ""))]
        )
    show(("calls of", "gas each", "ours ms", "revm ms", "ratio"), rows)


if __name__ == "__main__":
    main(sys.argv[1:])
