"""Random bytecode that gets somewhere: snippets that mostly fit together, then mutations.

Uniformly random bytes halt within a few steps. Here a program is a list of snippets,
each of which brings its operands along; a share of raw opcodes and flipped bytes makes
the rest go wrong in every way it can.
"""

from hypothesis import strategies as st

from chain.forks import Fork
from contracts.vm import OPCODES

# The addresses of a case, small in number so that they meet each other.
CONTRACTS = tuple(bytes([0xC0 + n]) * 20 for n in range(4))
COINBASE = b"\xcb" * 20
EMPTY = b"\xee" * 20
FUNDED = b"\xfd" * 20
PRECOMPILES = tuple(n.to_bytes(20, "big") for n in (*range(1, 19), 0x100))

_EDGES = (
    0, 1, 2, 3, 31, 32, 33, 64, 255, 256, 2**31 - 1, 2**63, 2**64 - 1, 2**128, 2**255 - 1,
    2**255, 2**256 - 2, 2**256 - 1,
)  # fmt: skip

_BINARY = (*range(0x01, 0x08), 0x0A, 0x0B, *range(0x10, 0x15), 0x16, 0x17, 0x18, *range(0x1A, 0x1E))
_UNARY = (0x15, 0x19, 0x1E, 0x35, 0x40, 0x49, 0x54, 0x5C, 0x31, 0x3B, 0x3F)
_TERNARY = (0x08, 0x09)
_NULLARY = (
    0x30, 0x32, 0x33, 0x34, 0x36, 0x38, 0x3A, 0x3D, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47,
    0x48, 0x4A, 0x58, 0x59, 0x5A, 0x5F,
)  # fmt: skip


def push(value: int) -> bytes:
    """The shortest PUSH1..PUSH32 of a value."""
    size = max(1, (value.bit_length() + 7) // 8)
    return bytes((0x5F + size,)) + value.to_bytes(size, "big")


def push_bytes(data: bytes) -> bytes:
    return bytes((0x5F + len(data),)) + data


words = st.one_of(st.sampled_from(_EDGES), st.integers(0, 40), st.integers(0, 2**256 - 1))
slots = st.integers(0, 3)
# Memory: mostly small; one in sixty reaches where nobody can pay for it.
_far = st.integers(0, 59)
places = st.one_of(st.integers(0, 96), st.sampled_from((0, 0, 0, 31, 300, 5000))).flatmap(
    lambda near: _far.map(lambda n: 2**32 if n == 58 else 2**255 if n == 59 else near)
)
sizes = st.one_of(st.integers(0, 70), st.sampled_from((0, 0, 1, 32, 192, 1025))).flatmap(
    lambda near: _far.map(lambda n: 2**40 if n == 59 else near)
)
targets = st.one_of(
    st.sampled_from(CONTRACTS),
    st.sampled_from(PRECOMPILES),
    st.sampled_from((COINBASE, EMPTY, FUNDED)),
)
call_gas = st.one_of(
    st.just(b"\x5a"),  # all of it
    st.sampled_from((0, 100, 2300, 30_000, 200_000, 2**64, 2**256 - 1)).map(push),
)


def _join(*parts: bytes) -> bytes:
    return b"".join(parts)


_arithmetic = st.one_of(
    st.builds(lambda a, b, op: _join(push(a), push(b), bytes((op,))),
              words, words, st.sampled_from(_BINARY)),
    st.builds(lambda a, op: _join(push(a), bytes((op,))), words, st.sampled_from(_UNARY)),
    st.builds(lambda a, b, c, op: _join(push(a), push(b), push(c), bytes((op,))),
              words, words, words, st.sampled_from(_TERNARY)),
)  # fmt: skip
_environment = st.one_of(
    st.sampled_from(_NULLARY).map(lambda op: bytes((op,))),
    st.builds(lambda a, op: _join(push_bytes(a), bytes((op,))),
              targets, st.sampled_from((0x31, 0x3B, 0x3F))),
    st.integers(290, 301).map(lambda n: _join(push(n), b"\x40")),
)  # fmt: skip
_memory = st.one_of(
    st.builds(lambda v, p, op: _join(push(v), push(p), bytes((op,))),
              words, places, st.sampled_from((0x52, 0x53))),
    st.builds(lambda p: _join(push(p), b"\x51"), places),
    st.builds(lambda p, n: _join(push(n), push(p), b"\x20"), places, sizes),
    st.builds(lambda d, s, n, op: _join(push(n), push(s), push(d), bytes((op,))),
              places, places, sizes, st.sampled_from((0x37, 0x39, 0x3E, 0x5E))),
    st.builds(lambda a, d, s, n: _join(push(n), push(s), push(d), push_bytes(a), b"\x3c"),
              targets, places, places, sizes),
)  # fmt: skip
_storage = st.one_of(
    st.builds(lambda v, k, op: _join(push(v), push(k), bytes((op,))),
              st.sampled_from((0, 0, 1, 2, 2**255)), slots, st.sampled_from((0x55, 0x55, 0x5D))),
    st.builds(lambda k, op: _join(push(k), bytes((op,))), slots, st.sampled_from((0x54, 0x5C))),
    slots.map(lambda k: _join(push(k), b"\x55")),  # whatever is on the stack
)  # fmt: skip
_stack = st.one_of(
    st.integers(0x80, 0x84).map(lambda op: bytes((op,))),
    st.integers(0x90, 0x93).map(lambda op: bytes((op,))),
    st.just(b"\x50"),
)
_logs = st.builds(
    lambda n, topics, p, s: _join(*(push(t) for t in topics[:n]), push(s), push(p),
                                  bytes((0xA0 + n,))),
    st.integers(0, 4), st.lists(words, min_size=4, max_size=4), places, sizes,
)  # fmt: skip


@st.composite
def _calls(draw: st.DrawFn) -> bytes:
    kind = draw(st.sampled_from((0xF1, 0xF1, 0xF2, 0xF4, 0xFA)))
    area = [draw(st.integers(0, 64)) for _ in range(4)]
    if draw(st.integers(0, 9)) == 0:
        area[draw(st.integers(0, 3))] = draw(places)
    value = push(draw(st.sampled_from((0, 0, 0, 1, 10**30)))) if kind in (0xF1, 0xF2) else b""
    call = _join(
        *(push(n) for n in reversed(area)), value, push_bytes(draw(targets)),
        draw(call_gas), bytes((kind,)),
    )  # fmt: skip
    # What came back: status into a slot, size and data where they can be seen.
    return call + draw(st.sampled_from((b"", push(1) + b"\x55", b"\x50\x3d", b"\x50\x5f\x51")))


@st.composite
def _creates(draw: st.DrawFn) -> bytes:
    kind = draw(st.sampled_from((0xF0, 0xF5)))
    init = draw(st.sampled_from(INITCODES))
    word = init.ljust(32, b"\0")
    salt = push(draw(st.integers(0, 1))) if kind == 0xF5 else b""
    value = push(draw(st.sampled_from((0, 0, 1))))
    code = _join(push_bytes(word), push(0), b"\x52", salt, push(len(init)), push(0), value)
    return code + bytes((kind,)) + draw(st.sampled_from((b"", push(2) + b"\x55")))


# Creates: nothing; 32 zero bytes; code starting with 0xEF; a self-destruct; a store; a revert;
# a contract that destroys itself when called; too much code.
INITCODES = (
    b"",
    bytes.fromhex("60206000f3"),
    bytes.fromhex("60ef60005360016000f3"),
    bytes.fromhex("33ff"),
    bytes.fromhex("6001600055"),
    bytes.fromhex("60006000fd"),
    bytes.fromhex("6133ff6000526002601ef3"),
    bytes.fromhex("6160016000f3"),
    bytes.fromhex("fe"),
)

_ends = st.one_of(
    st.builds(lambda p, n, op: _join(push(n), push(p), bytes((op,))),
              places, sizes, st.sampled_from((0xF3, 0xF3, 0xFD))),
    st.builds(lambda a: push_bytes(a) + b"\xff", targets),
    st.sampled_from((b"\x00", b"\xfe", b"\x30\xff")),
)  # fmt: skip
_raw = st.integers(0, 255).map(lambda op: bytes((op,)))


@st.composite
def _jumps(draw: st.DrawFn) -> bytes:
    """A forward jump over a little code, made right when the program is put together."""
    skipped = draw(st.one_of(_arithmetic, _storage, _raw))
    return b"J" + bytes((draw(st.integers(0, 1)), len(skipped))) + skipped


_tame = (
    _arithmetic, _environment, _memory, _storage, _storage, _storage, _logs, _calls(),
    _calls(), _creates(), st.tuples(_jumps()),
)  # fmt: skip


def _known(snippet: bytes, fork: Fork) -> bool:
    """Whether the fork has every opcode of the snippet (a jump's first bytes are its frame)."""
    at = 3 if snippet[:1] == b"J" and len(snippet) > 3 else 0
    while at < len(snippet):
        opcode = OPCODES.get(snippet[at])
        if opcode is None or not opcode.available(fork):
            return False
        at += 1 + max(0, snippet[at] - 0x5F if snippet[at] <= 0x7F else 0)
    return True


@st.composite
def programs(draw: st.DrawFn, fork: Fork, size_max: int = 22) -> bytes:
    """Bytecode of up to `size_max` snippets.

    A third of the programs is wild (raw opcodes, also such as the fork lacks), a sixth has
    flipped bytes, and the rest mostly runs to its end.
    """
    code = bytearray()
    nature = draw(st.integers(0, 5))
    snippets = st.one_of(*_tame, _stack, _raw) if nature < 2 else st.one_of(*_tame)
    for snippet in draw(st.lists(snippets, min_size=size_max // 6, max_size=size_max)):
        if nature >= 2 and not _known(snippet if isinstance(snippet, bytes) else snippet[0], fork):
            continue
        if isinstance(snippet, tuple):
            conditional, skipped = snippet[0][1], snippet[0][3:]
            jump = _join(push(conditional), b"\x58", push(len(skipped) + 5), b"\x01")
            # The PC taken here is that of PC itself: then PUSH1 n, ADD, JUMP(I), the skipped part.
            code += jump + (b"\x57" if conditional else b"\x56") + skipped + b"\x5b"
        else:
            code += snippet
    if draw(st.integers(0, 4)):
        code += draw(_ends)
    if code and nature == 2:
        for _ in range(draw(st.integers(1, 3))):
            code[draw(st.integers(0, len(code) - 1))] = draw(st.integers(0, 255))
    return bytes(code)
