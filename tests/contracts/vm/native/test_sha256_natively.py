"""SHA-256 in native code, word by word and with instructions for it: hashlib's digests.

The forms with instructions of Intel's and Arm's are compiled where the processor has them, and
everywhere read: a few lines here run the block's text, with each instruction as its manual says.
"""

import ctypes
import hashlib
import re
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contracts.vm.native import objects
from contracts.vm.native.assembly import Module
from contracts.vm.native.precompiled import sha256
from contracts.vm.native.precompiled.sha256 import ARM, INTEL, START, add_sha256

binding = pytest.importorskip("llvmlite.binding")

HOST = {name for name, has in binding.get_host_cpu_features().items() if has}
FORMS = [form for form in ("", INTEL, ARM) if not form or form in HOST]


@pytest.fixture(scope="module")
def forms():
    """Each form that this processor can run, as a function of a message's padded blocks."""
    engines = []

    def compiled(form):
        module = Module()
        add_sha256(module, {form})
        kernel = module.signatures["sha256_blocks"]
        f = module.function("call_sha256", "i64", kernel.parameters, public=True)
        f.give(f.call(kernel, f.arguments))
        machine = objects.target_machine(binding, opt=2)
        code = objects.compile_text(binding, machine, module.text())
        engines.append(objects.engine_of(binding, machine, code))
        kind = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint64)
        function = kind(engines[-1].get_function_address("call_sha256"))

        def digest(blocks):
            state = (ctypes.c_uint32 * 8)(*START)
            function(state, blocks, len(blocks) // 64)
            return struct.pack(">8I", *state)

        return digest

    yield {form: compiled(form) for form in FORMS}
    assert engines  # they own the code


def padded(message):
    zeros = bytes(-(len(message) + 9) % 64)
    return message + b"\x80" + zeros + struct.pack(">Q", 8 * len(message))


@pytest.mark.parametrize("form", FORMS)
def test_digests_of_every_size_around_the_blocks_borders(form, forms):
    for size in (*range(200), *range(4_080, 4_120)):
        message = bytes(i * 31 % 251 for i in range(size))
        assert forms[form](padded(message)) == hashlib.sha256(message).digest()


@given(st.binary(max_size=1_000))
@example(b"\xff" * 64)
def test_digests_are_hashlibs(forms, message):
    for digest in forms.values():
        assert digest(padded(message)) == hashlib.sha256(message).digest()


def test_no_blocks_leave_the_state(forms):
    for digest in forms.values():
        assert digest(b"") == struct.pack(">8I", *START)


# -- the block's text, run here --


def turned(x, bits):
    return (x >> bits | x << (32 - bits)) & 0xFFFFFFFF


def small_0(x):
    return turned(x, 7) ^ turned(x, 18) ^ x >> 3


def small_1(x):
    return turned(x, 17) ^ turned(x, 19) ^ x >> 10


def one_round(a, b, c, d, e, f, g, h, word):
    first = h + (turned(e, 6) ^ turned(e, 11) ^ turned(e, 25)) + (e & f ^ ~e & g) + word
    second = (turned(a, 2) ^ turned(a, 13) ^ turned(a, 22)) + (a & b ^ a & c ^ b & c)
    return (first + second) % 2**32, a, b, c, (d + first) % 2**32, e, f, g


def intel_rounds(cdgh, abef, words):
    f, e, b, a = abef
    h, g, d, c = cdgh
    state = (a, b, c, d, e, f, g, h)
    for word in words[:2]:
        state = one_round(*state, word)
    return [state[5], state[4], state[1], state[0]]


def intel_first(a, b):
    w = [*a, b[0]]
    return [(w[i] + small_0(w[i + 1])) % 2**32 for i in range(4)]


def intel_second(a, b):
    w = [b[2], b[3]]
    for word in a:
        w.append((word + small_1(w[-2])) % 2**32)
    return w[2:]


def arm_rounds(x, y, words):
    state = (*x, *y)
    for word in words:
        state = one_round(*state, word)
    return list(state)


def arm_second(begun, middle, last):
    sevenths = [*middle[1:], last[0]]
    w = list(last[2:])
    for i in range(4):
        w.append((small_1(w[i]) + begun[i] + sevenths[i]) % 2**32)
    return w[2:]


INSTRUCTIONS = {
    "llvm.bswap.v4i32": lambda a: [int.from_bytes(x.to_bytes(4, "big"), "little") for x in a],
    "llvm.x86.sha256rnds2": intel_rounds,
    "llvm.x86.sha256msg1": intel_first,
    "llvm.x86.sha256msg2": intel_second,
    "llvm.aarch64.crypto.sha256h": lambda x, y, w: arm_rounds(x, y, w)[:4],
    "llvm.aarch64.crypto.sha256h2": lambda y, x, w: arm_rounds(x, y, w)[4:],
    "llvm.aarch64.crypto.sha256su0": intel_first,  # the two mean the same here
    "llvm.aarch64.crypto.sha256su1": arm_second,
}
VECTOR = r"<4 x i32> (%\w+|<[^>]*>)"


def run_block(form, state, message):
    """What the instructions for one block make of a state of eight words."""
    module = Module()
    f = module.function("block", "i64", ["ptr", "ptr"])
    load, block, store = {
        INTEL: (sha256._intel_order, sha256._intel_block, sha256._store_intel_order),
        ARM: (sha256._load_halves, sha256._arm_block, sha256._store_halves),
    }[form]
    store(f, f.arguments[0], block(f, load(f, f.arguments[0]), f.arguments[1]))
    values = {}
    places = {"%a0": [state, 0], "%a1": [list(struct.unpack("<16I", message)), 0]}

    def value(text):
        return [int(n) for n in re.findall(r"i32 (\d+)", text)] if text[0] == "<" else values[text]

    for line in f.block.lines:
        name, _, what = line.rpartition(" = ")
        operands = [value(text) for text in re.findall(VECTOR, what)] if "load" not in what else []
        if "getelementptr" in what:
            start, offset = re.search(r"ptr (%\w+), i64 (\d+)", what).groups()
            places[name] = [places[start][0], places[start][1] + int(offset) // 4]
        elif what.startswith("load"):
            words, at = places[re.search(r"ptr (%\w+)", what)[1]]
            values[name] = words[at : at + 4]
        elif what.startswith("store"):
            words, at = places[re.search(r"ptr (%\w+)", what)[1]]
            words[at : at + 4] = operands[0]
        elif what.startswith("shufflevector"):
            both = operands[0] + operands[1]
            lanes = re.findall(r"i32 (\d+)", what.rpartition("<4 x i32>")[2])
            values[name] = [both[int(lane)] for lane in lanes]
        elif what.startswith("add"):
            second = value(re.search(r", (%\w+|<.*>)$", what)[1])
            values[name] = [(a + b) % 2**32 for a, b in zip(operands[0], second)]
        else:
            values[name] = INSTRUCTIONS[re.search(r"@([\w.]+)\(", what)[1]](*operands)
    return state


@pytest.mark.parametrize("form", [INTEL, ARM])
@given(message=st.binary(max_size=150))
def test_instructions_for_the_hash_are_put_together_rightly(form, message):
    state, blocks = list(START), padded(message)
    for at in range(0, len(blocks), 64):
        state = run_block(form, state, blocks[at : at + 64])
    assert struct.pack(">8I", *state) == hashlib.sha256(message).digest()
