"""The native kernels as LLVM assembly: many hashes, many recoveries, in one call.

Nothing here compiles: chain.crypto.batch does. What the kernels mean is said by
`keccak` and `secp256k1.recover`, which they must equal.

Keccak-256 works on several messages at once, one in each lane of the vectors that hold
the state; a lane whose message ends takes up the next one. Source: FIPS 202, with
Keccak's own padding.
"""

import re
from collections.abc import Sequence
from typing import Final

from chain.crypto.trie_kernel import TRIE

RATE: Final = 136  # bytes absorbed per permutation
_ROUNDS: Final = 24
_ATTRIBUTES: Final = """
attributes #0 = { "prefer-vector-width"="BITS" "min-legal-vector-width"="BITS" }
"""


def source(lanes: int) -> str:
    """The module with `keccak_many`, `recover_many` and `hash_trie`; `lanes` is 1, 4 or 8.

    void keccak_many(messages, offsets, count, hashes): message i lies between offsets i
    and i + 1 (64 bits each); 32 bytes are written for each.

    void recover_many(context, parse, recover, serialize, hashes, signatures, count,
    addresses, found): a signature is r, s and the parity, 65 bytes; 20 bytes are written for
    each, and one byte in `found` that says whether there is a signer.
    """
    kind = "i64" if lanes == 1 else f"<{lanes} x i64>"
    suffix = "i64" if lanes == 1 else f"v{lanes}i64"
    constants = ", ".join(f"i64 {constant}" for constant in _round_constants())
    return "\n".join(
        (
            f"@constants = private constant [{_ROUNDS} x i64] [{constants}]",
            f"declare {kind} @llvm.fshl.{suffix}({kind}, {kind}, {kind})",
            _permutation(lanes, kind, suffix),
            _driver(lanes),
            _RECOVERY,
            TRIE,
            _ATTRIBUTES.replace("BITS", str(64 * lanes)),
        )
    )


def _driver(lanes: int) -> str:
    sizes = {"LANES": lanes, "LANE_BYTES": 8 * lanes, "STATE_BYTES": 200 * lanes}
    return re.sub(r"\b(LANES|LANE_BYTES|STATE_BYTES)\b", lambda name: str(sizes[name[0]]), _DRIVER)


def _round_constants() -> list[int]:
    """The 24 constants of step iota, as signed 64-bit numbers."""
    constants = []
    register = 1
    for _ in range(_ROUNDS):
        constant = 0
        for j in range(7):
            if register & 1:
                constant |= 1 << (2**j - 1)
            register <<= 1
            if register & 0x100:
                register ^= 0x171
        constants.append(constant - 2**64 if constant >> 63 else constant)
    return constants


def _rotations() -> dict[tuple[int, int], int]:
    """By how much step rho rotates the word at x, y."""
    rotations = {(0, 0): 0}
    x, y = 1, 0
    for t in range(_ROUNDS):
        rotations[x, y] = (t + 1) * (t + 2) // 2 % 64
        x, y = y, (2 * x + 3 * y) % 5
    return rotations


class _Text:
    """Assembly written line by line, with a fresh name for each value."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._values = 0

    def value(self, expression: str) -> str:
        self._values += 1
        name = f"%v{self._values}"
        self.lines.append(f"  {name} = {expression}")
        return name


def _permutation(lanes: int, kind: str, suffix: str) -> str:
    """void permute(ptr state): Keccak-f[1600] on 25 words, or vectors of words."""
    text = _Text()
    words = [f"%w{i}" for i in range(25)]
    loaded = []
    for i in range(25):
        place = text.value(f"getelementptr {kind}, ptr %state, i64 {i}")
        loaded.append(text.value(f"load {kind}, ptr {place}, align 8"))
    before, text.lines = text.lines, []
    place = text.value("getelementptr i64, ptr @constants, i64 %round")
    constant = text.value(f"load i64, ptr {place}")
    if lanes > 1:
        single = text.value(f"insertelement {kind} poison, i64 {constant}, i32 0")
        constant = text.value(
            f"shufflevector {kind} {single}, {kind} poison, <{lanes} x i32> zeroinitializer"
        )
    permuted = _round(text, words, constant, lanes, kind, suffix)
    body, text.lines = text.lines, []
    for i in range(25):
        place = text.value(f"getelementptr {kind}, ptr %state, i64 {i}")
        text.lines.append(f"  store {kind} {permuted[i]}, ptr {place}, align 8")
    joins = [
        f"  {words[i]} = phi {kind} [{loaded[i]}, %entry], [{permuted[i]}, %loop]"
        for i in range(25)
    ]
    return "\n".join(
        (
            "define internal void @permute(ptr noalias %state) #0 {",
            "entry:",
            *before,
            "  br label %loop",
            "loop:",
            "  %round = phi i64 [0, %entry], [%round1, %loop]",
            *joins,
            *body,
            "  %round1 = add i64 %round, 1",
            f"  %more = icmp ult i64 %round1, {_ROUNDS}",
            "  br i1 %more, label %loop, label %done",
            "done:",
            *text.lines,
            "  ret void",
            "}",
        )
    )


def _round(
    text: _Text, words: Sequence[str], constant: str, lanes: int, kind: str, suffix: str
) -> list[str]:
    """Steps theta to iota; the word at x, y is words[x + 5y]."""

    def splat(number: int) -> str:
        if lanes == 1:
            return str(number)
        return "<" + ", ".join([f"i64 {number}"] * lanes) + ">"

    def xor(left: str, right: str) -> str:
        return text.value(f"xor {kind} {left}, {right}")

    def rotate(word: str, by: int) -> str:
        if not by:
            return word
        return text.value(
            f"call {kind} @llvm.fshl.{suffix}({kind} {word}, {kind} {word}, {kind} {splat(by)})"
        )

    columns = []
    for x in range(5):
        parity = words[x]
        for y in range(1, 5):
            parity = xor(parity, words[x + 5 * y])
        columns.append(parity)
    theta = [xor(columns[x - 1], rotate(columns[(x + 1) % 5], 1)) for x in range(5)]
    moved = [""] * 25
    for (x, y), by in _rotations().items():
        moved[y + 5 * ((2 * x + 3 * y) % 5)] = rotate(xor(words[x + 5 * y], theta[x]), by)
    result = []
    for y in range(5):
        for x in range(5):
            inverted = xor(moved[(x + 1) % 5 + 5 * y], splat(-1))
            masked = text.value(f"and {kind} {inverted}, {moved[(x + 2) % 5 + 5 * y]}")
            result.append(xor(moved[x + 5 * y], masked))
    result[0] = xor(result[0], constant)
    return result


# Per lane: which message it works on (-1: none), what is left of it and how many bytes (-1: the
# last block, with the padding, was absorbed).
_DRIVER: Final = """
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)

define void @keccak_many(ptr %messages, ptr %offsets, i64 %count, ptr %hashes) #0 {
entry:
  %state = alloca [STATE_BYTES x i8], align 64
  %block = alloca [136 x i8], align 64
  %numbers = alloca [LANES x i64]
  %rests = alloca [LANES x ptr]
  %sizes = alloca [LANES x i64]
  call void @llvm.memset.p0.i64(ptr align 64 %state, i8 0, i64 STATE_BYTES, i1 false)
  call void @llvm.memset.p0.i64(ptr %numbers, i8 -1, i64 LANE_BYTES, i1 false)
  br label %feed

feed:
  %next0 = phi i64 [0, %entry], [%next2, %collected]
  br label %lane

lane:
  %l = phi i64 [0, %feed], [%l1, %fed]
  %next = phi i64 [%next0, %feed], [%next2, %fed]
  %busy0 = phi i1 [false, %feed], [%busy2, %fed]
  %number.at = getelementptr i64, ptr %numbers, i64 %l
  %rest.at = getelementptr ptr, ptr %rests, i64 %l
  %size.at = getelementptr i64, ptr %sizes, i64 %l
  %number = load i64, ptr %number.at
  %idle = icmp slt i64 %number, 0
  br i1 %idle, label %refill, label %absorb

refill:
  %left = icmp ult i64 %next, %count
  br i1 %left, label %take, label %fed

take:
  store i64 %next, ptr %number.at
  %from.at = getelementptr i64, ptr %offsets, i64 %next
  %from = load i64, ptr %from.at
  %next1 = add i64 %next, 1
  %to.at = getelementptr i64, ptr %offsets, i64 %next1
  %to = load i64, ptr %to.at
  %length = sub i64 %to, %from
  store i64 %length, ptr %size.at
  %message = getelementptr i8, ptr %messages, i64 %from
  store ptr %message, ptr %rest.at
  br label %clear

clear:
  %c = phi i64 [0, %take], [%c1, %clear]
  %clear.word = mul i64 %c, LANES
  %clear.index = add i64 %clear.word, %l
  %clear.at = getelementptr i64, ptr %state, i64 %clear.index
  store i64 0, ptr %clear.at
  %c1 = add i64 %c, 1
  %clearing = icmp ult i64 %c1, 25
  br i1 %clearing, label %clear, label %absorb

absorb:
  %next3 = phi i64 [%next, %lane], [%next1, %clear]
  %rest = load ptr, ptr %rest.at
  %size = load i64, ptr %size.at
  %last = icmp ult i64 %size, 136
  br i1 %last, label %pad, label %whole

pad:
  call void @llvm.memset.p0.i64(ptr align 64 %block, i8 0, i64 136, i1 false)
  call void @llvm.memcpy.p0.p0.i64(ptr align 64 %block, ptr %rest, i64 %size, i1 false)
  %pad.at = getelementptr i8, ptr %block, i64 %size
  store i8 1, ptr %pad.at
  %end.at = getelementptr i8, ptr %block, i64 135
  %end = load i8, ptr %end.at
  %ended = or i8 %end, -128
  store i8 %ended, ptr %end.at
  store i64 -1, ptr %size.at
  br label %mix

whole:
  %rest1 = getelementptr i8, ptr %rest, i64 136
  store ptr %rest1, ptr %rest.at
  %size1 = sub i64 %size, 136
  store i64 %size1, ptr %size.at
  br label %mix

mix:
  %from.block = phi ptr [%block, %pad], [%rest, %whole]
  br label %word

word:
  %j = phi i64 [0, %mix], [%j1, %word]
  %in.at = getelementptr i64, ptr %from.block, i64 %j
  %in = load i64, ptr %in.at, align 1
  %word.row = mul i64 %j, LANES
  %word.index = add i64 %word.row, %l
  %word.at = getelementptr i64, ptr %state, i64 %word.index
  %old = load i64, ptr %word.at
  %new = xor i64 %old, %in
  store i64 %new, ptr %word.at
  %j1 = add i64 %j, 1
  %mixing = icmp ult i64 %j1, 17
  br i1 %mixing, label %word, label %fed

fed:
  %next2 = phi i64 [%next, %refill], [%next3, %word]
  %busy2 = phi i1 [%busy0, %refill], [true, %word]
  %l1 = add i64 %l, 1
  %feeding = icmp ult i64 %l1, LANES
  br i1 %feeding, label %lane, label %permutation

permutation:
  br i1 %busy2, label %run, label %finished

run:
  call void @permute(ptr %state)
  br label %collect

collect:
  %k = phi i64 [0, %run], [%k1, %skip]
  %done.number.at = getelementptr i64, ptr %numbers, i64 %k
  %done.number = load i64, ptr %done.number.at
  %done.size.at = getelementptr i64, ptr %sizes, i64 %k
  %working = icmp sge i64 %done.number, 0
  br i1 %working, label %check, label %skip

check:
  %done.size = load i64, ptr %done.size.at
  %done = icmp slt i64 %done.size, 0
  br i1 %done, label %write, label %skip

write:
  %w = phi i64 [0, %check], [%w1, %write]
  %read.row = mul i64 %w, LANES
  %read.index = add i64 %read.row, %k
  %read.at = getelementptr i64, ptr %state, i64 %read.index
  %hash.word = load i64, ptr %read.at
  %out.row = mul i64 %done.number, 4
  %out.index = add i64 %out.row, %w
  %out.at = getelementptr i64, ptr %hashes, i64 %out.index
  store i64 %hash.word, ptr %out.at, align 1
  %w1 = add i64 %w, 1
  %writing = icmp ult i64 %w1, 4
  br i1 %writing, label %write, label %written

written:
  store i64 -1, ptr %done.number.at
  br label %skip

skip:
  %k1 = add i64 %k, 1
  %collecting = icmp ult i64 %k1, LANES
  br i1 %collecting, label %collect, label %collected

collected:
  br label %feed

finished:
  ret void
}
"""

_RECOVERY: Final = """
define void @recover_many(ptr %context, ptr %parse, ptr %recover, ptr %serialize,
                          ptr %hashes, ptr %signatures, i64 %count, ptr %addresses, ptr %found) {
entry:
  %signature = alloca [80 x i8], align 16
  %key = alloca [64 x i8], align 16
  %serialized = alloca [80 x i8], align 16
  %size = alloca i64
  %offsets = alloca [2 x i64]
  %hash = alloca [32 x i8], align 16
  store i64 0, ptr %offsets
  %offsets.end = getelementptr i64, ptr %offsets, i64 1
  store i64 64, ptr %offsets.end
  %some = icmp ugt i64 %count, 0
  br i1 %some, label %item, label %finished

item:
  %i = phi i64 [0, %entry], [%i1, %next]
  %signature.offset = mul i64 %i, 65
  %compact = getelementptr i8, ptr %signatures, i64 %signature.offset
  %parity.at = getelementptr i8, ptr %compact, i64 64
  %parity.byte = load i8, ptr %parity.at
  %parity = zext i8 %parity.byte to i32
  %found.at = getelementptr i8, ptr %found, i64 %i
  store i8 0, ptr %found.at
  %possible = icmp ult i32 %parity, 2
  br i1 %possible, label %parsing, label %next

parsing:
  %parsed = call i32 %parse(ptr %context, ptr %signature, ptr %compact, i32 %parity)
  %parsed.well = icmp ne i32 %parsed, 0
  br i1 %parsed.well, label %recovering, label %next

recovering:
  %hash.offset = mul i64 %i, 32
  %message = getelementptr i8, ptr %hashes, i64 %hash.offset
  %recovered = call i32 %recover(ptr %context, ptr %key, ptr %signature, ptr %message)
  %recovered.well = icmp ne i32 %recovered, 0
  br i1 %recovered.well, label %hashing, label %next

hashing:
  store i64 65, ptr %size
  %unused = call i32 %serialize(ptr %context, ptr %serialized, ptr %size, ptr %key, i32 2)
  %point = getelementptr i8, ptr %serialized, i64 1
  call void @keccak_many(ptr %point, ptr %offsets, i64 1, ptr %hash)
  %address.from = getelementptr i8, ptr %hash, i64 12
  %address.offset = mul i64 %i, 20
  %address.at = getelementptr i8, ptr %addresses, i64 %address.offset
  call void @llvm.memcpy.p0.p0.i64(ptr %address.at, ptr %address.from, i64 20, i1 false)
  store i8 1, ptr %found.at
  br label %next

next:
  %i1 = add i64 %i, 1
  %more = icmp ult i64 %i1, %count
  br i1 %more, label %item, label %finished

finished:
  ret void
}
"""
