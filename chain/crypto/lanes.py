"""LLVM assembly that recovers eight secp256k1 signers at once, one in each lane of a vector.

Nothing here compiles: chain.crypto.batch does, where the processor has AVX-512 IFMA.
Field elements are five limbs of 52 bits in five vectors, in memory; between operations
limbs are below 2^52 and the value is below 2^256 + 2^58, congruent modulo p and not
otherwise reduced. Control flow is the same in all lanes.

Points are Jacobian; digits of both scalars are added along one chain of doublings, four bits
of the one (a table of the signature's own point) and eight of the other (a table of the
generator). Adding a point to itself or to its opposite needs other formulas; with
these the third coordinate becomes zero and stays zero, which is seen at the end, and such a
lane is reported as not solved: the caller asks libsecp256k1.

Source: SEC 1 section 4.1.6; formulas of the Explicit-Formulas Database, short Weierstrass, a = 0.
"""

from collections.abc import Callable, Sequence
from typing import Final

__all__ = ["LANES", "generator_multiples", "source"]

PRIME: Final = 2**256 - 2**32 - 977
GENERATOR: Final = (
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
)
LANES: Final = 8

_MASK: Final = 2**52 - 1
_TOP_MASK: Final = 2**48 - 1
_FOLD_256: Final = 2**32 + 977  # 2^256 modulo p
_FOLD_260: Final = _FOLD_256 << 4  # 2^260 modulo p
_V: Final = "<8 x i64>"
_FE: Final = 320  # bytes of a field element
_TABLE: Final = 16


def limbs(number: int) -> list[int]:
    """Five limbs of 52 bits, the lowest first; `number` is below 2^260."""
    return [(number >> (52 * i)) & _MASK for i in range(5)]


def _splat(number: int) -> str:
    return "<" + ", ".join([f"i64 {number}"] * LANES) + ">"


class _Code:
    """Lines of one function; values are named by numbers."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._count = 0

    def __call__(self, text: str) -> str:
        """Add an instruction that has a value; the value's name."""
        self._count += 1
        name = f"%v{self._count}"
        self.lines.append(f"  {name} = {text}")
        return name

    def do(self, text: str) -> None:
        self.lines.append(f"  {text}")

    def label(self, name: str) -> None:
        self.lines.append(f"{name}:")

    # -- vectors ---------------------------------------------------------------

    def load(self, pointer: str, limb: int = 0) -> str:
        at = self(f"getelementptr {_V}, ptr {pointer}, i64 {limb}")
        return self(f"load {_V}, ptr {at}, align 64")

    def store(self, value: str, pointer: str, limb: int = 0) -> None:
        at = self(f"getelementptr {_V}, ptr {pointer}, i64 {limb}")
        self.do(f"store {_V} {value}, ptr {at}, align 64")

    def op(self, name: str, a: str, b: str | int) -> str:
        return self(f"{name} {_V} {a}, {_splat(b) if isinstance(b, int) else b}")

    def madd(self, half: str, c: str, a: str, b: str | int) -> str:
        factor = _splat(b) if isinstance(b, int) else b
        return self(
            f"call {_V} @llvm.x86.avx512.vpmadd52{half}.uq.512({_V} {c}, {_V} {a}, {_V} {factor})"
        )

    def carry(self, x: list[str], last: int) -> None:
        """Pass on what is above 52 bits, up to limb `last`."""
        for i in range(last):
            over = self.op("lshr", x[i], 52)
            x[i] = self.op("and", x[i], _MASK)
            x[i + 1] = self.op("add", x[i + 1], over)

    def reduce(self, x: list[str]) -> None:
        """Fold what is above 2^256 and carry."""
        top = self.op("lshr", x[4], 48)
        x[4] = self.op("and", x[4], _TOP_MASK)
        x[0] = self.madd("l", x[0], top, _FOLD_256)
        self.carry(x, 4)

    # -- field elements in memory ------------------------------------------------

    def element(self) -> str:
        return self(f"alloca [5 x {_V}], align 64")

    def mul(self, out: str, a: str, b: str) -> None:
        self.do(f"call void @fe_mul(ptr {out}, ptr {a}, ptr {b})")

    def sqr(self, out: str, a: str, times: int = 1) -> None:
        self.do(f"call void @fe_sqr(ptr {out}, ptr {a}, i64 {times})")

    def linear(self, out: str, terms: Sequence[tuple[int, str]]) -> None:
        """out = the sum of factor times element; factors small, also negative."""
        self.put(out, self.combined(terms))

    def combined(self, terms: Sequence[tuple[int, str]]) -> list[str]:
        negative = sum(-factor for factor, _ in terms if factor < 0)
        spare = [4 * negative * limb for limb in limbs(PRIME)]
        x = []
        for i in range(5):
            value = _splat(spare[i])
            for factor, pointer in terms:
                limb = self.load(pointer, i)
                if abs(factor) != 1:
                    limb = self.op("mul", limb, abs(factor))
                value = self.op("add" if factor > 0 else "sub", value, limb)
            x.append(value)
        self.reduce(x)
        return x

    def put(self, out: str, x: Sequence[str]) -> None:
        for i, limb in enumerate(x):
            self.store(limb, out, i)

    def canonical(self, terms: Sequence[tuple[int, str]]) -> list[str]:
        """The limbs of the sum, fully reduced modulo p."""
        x = self.combined(terms)
        self.reduce(x)
        y = list(x)
        y[0] = self.op("add", y[0], _FOLD_256)
        self.carry(y, 4)
        over = self.op("lshr", y[4], 48)
        y[4] = self.op("and", y[4], _TOP_MASK)
        large = self(f"icmp ne {_V} {over}, zeroinitializer")
        return [self.select(large, b, a) for a, b in zip(x, y, strict=True)]

    def is_zero(self, x: Sequence[str]) -> str:
        total = x[0]
        for limb in x[1:]:
            total = self.op("or", total, limb)
        return self(f"icmp eq {_V} {total}, zeroinitializer")

    def select(self, mask: str, yes: str, no: str) -> str:
        return self(f"select <8 x i1> {mask}, {_V} {yes}, {_V} {no}")

    def choose(self, out: str, mask: str, yes: str, no: str) -> None:
        for i in range(5):
            self.store(self.select(mask, self.load(yes, i), self.load(no, i)), out, i)

    def copy(self, out: str, a: str) -> None:
        for i in range(5):
            self.store(self.load(a, i), out, i)

    def one(self, out: str) -> None:
        self.put(out, [_splat(1), *["zeroinitializer"] * 4])

    def gather(self, base: str, index: str) -> str:
        """Eight 64-bit words at `base` by index."""
        pointers = self(f"getelementptr i64, ptr {base}, {_V} {index}")
        return self(
            f"call {_V} @llvm.masked.gather.v8i64.v8p0(<8 x ptr> {pointers}, i32 8, "
            f"<8 x i1> {_TRUE}, {_V} zeroinitializer)"
        )


_TRUE: Final = "<" + ", ".join(["i1 true"] * LANES) + ">"


def _function(signature: str, body: Callable[[_Code], None], attributes: str = "") -> str:
    code = _Code()
    body(code)
    lines = "\n".join(code.lines)
    return f"define internal void {signature} #0 {attributes} {{\nentry:\n{lines}\n  ret void\n}}\n"


def _product(code: _Code, a: list[str], b: list[str] | None) -> list[str]:
    """Ten columns of a times b, or of a squared."""
    zero = "zeroinitializer"
    columns = [zero] * 10
    if b is None:
        for i in range(5):
            for j in range(i + 1, 5):
                columns[i + j] = code.madd("l", columns[i + j], a[i], a[j])
                columns[i + j + 1] = code.madd("h", columns[i + j + 1], a[i], a[j])
        columns = [c if c == zero else code.op("add", c, c) for c in columns]
        for i in range(5):
            columns[2 * i] = code.madd("l", columns[2 * i], a[i], a[i])
            columns[2 * i + 1] = code.madd("h", columns[2 * i + 1], a[i], a[i])
        return columns
    high = [zero] * 10
    for i in range(5):
        for j in range(5):
            columns[i + j] = code.madd("l", columns[i + j], a[i], b[j])
            high[i + j + 1] = code.madd("h", high[i + j + 1], a[i], b[j])
    return [
        h if c == zero else c if h == zero else code.op("add", c, h)
        for c, h in zip(columns, high, strict=True)
    ]


def _reduced(code: _Code, columns: list[str]) -> list[str]:
    low, high = columns[:5], columns[5:]
    code.carry(high, 4)
    low.append("zeroinitializer")
    for i in range(5):
        low[i] = code.madd("l", low[i], high[i], _FOLD_260)
        low[i + 1] = code.madd("h", low[i + 1], high[i], _FOLD_260)
    over = low.pop()
    low[0] = code.madd("l", low[0], over, _FOLD_260)
    low[1] = code.madd("h", low[1], over, _FOLD_260)
    code.reduce(low)
    return low


def _mul(code: _Code) -> None:
    a = [code.load("%a", i) for i in range(5)]
    b = [code.load("%b", i) for i in range(5)]
    code.put("%out", _reduced(code, _product(code, a, b)))


def _sqr() -> str:
    """Squares `times` times, in registers."""
    code = _Code()
    a = [code.load("%a", i) for i in range(5)]
    code.do("br label %loop")
    code.label("loop")
    x = [f"%x{i}" for i in range(5)]
    code.do("%n = phi i64 [%times, %entry], [%left, %loop]")
    at = len(code.lines)
    y = _reduced(code, _product(code, x, None))
    phis = [f"  {x[i]} = phi {_V} [{a[i]}, %entry], [{y[i]}, %loop]" for i in range(5)]
    code.lines[at:at] = phis
    code.do("%left = sub i64 %n, 1")
    code.do("%more = icmp ne i64 %left, 0")
    code.do("br i1 %more, label %loop, label %done")
    code.label("done")
    code.put("%out", y)
    lines = "\n".join(code.lines)
    return (
        "define internal void @fe_sqr(ptr %out, ptr %a, i64 %times) #0 noinline {\n"
        f"entry:\n{lines}\n  ret void\n}}\n"
    )


def _double(code: _Code) -> None:
    """(x, y, z) = 2 (x, y, z)."""
    b, s, m, t = (code.element() for _ in range(4))
    code.sqr(b, "%y")
    code.mul(t, "%x", b)
    code.linear(s, [(4, t)])
    code.sqr(t, "%x")
    code.linear(m, [(3, t)])
    code.mul(t, "%y", "%z")
    code.linear("%z", [(2, t)])
    code.sqr(t, m)
    code.linear("%x", [(1, t), (-2, s)])
    code.linear(t, [(1, s), (-1, "%x")])
    code.mul(s, m, t)
    code.sqr(t, b)
    code.linear("%y", [(1, s), (-8, t)])


def _add_tail(code: _Code, u1: str, u2: str, s1: str, s2: str, z: str) -> None:
    """From the two points over one denominator, the sum; z is the denominator so far."""
    h, r, hh, hhh, v, t, w = (code.element() for _ in range(7))
    code.linear(h, [(1, u2), (-1, u1)])
    code.linear(r, [(1, s2), (-1, s1)])
    code.sqr(hh, h)
    code.mul(hhh, h, hh)
    code.mul(v, u1, hh)
    code.mul("%oz", z, h)
    code.sqr(t, r)
    code.linear("%ox", [(1, t), (-1, hhh), (-2, v)])
    code.linear(t, [(1, v), (-1, "%ox")])
    code.mul(w, r, t)
    code.mul(t, s1, hhh)
    code.linear("%oy", [(1, w), (-1, t)])


def _add_affine(code: _Code) -> None:
    """(ox, oy, oz) = (x, y, z) + (p, q); the output must not be the input."""
    zz, u2, s2 = (code.element() for _ in range(3))
    code.sqr(zz, "%z")
    code.mul(u2, "%p", zz)
    code.mul(zz, "%z", zz)
    code.mul(s2, "%q", zz)
    _add_tail(code, "%x", u2, "%y", s2, "%z")


def _add(code: _Code) -> None:
    """(ox, oy, oz) = (x, y, z) + (p, q, w); the output must not be the input."""
    zz, ww, u1, u2, s1, s2, zw = (code.element() for _ in range(7))
    code.sqr(zz, "%z")
    code.sqr(ww, "%w")
    code.mul(u1, "%x", ww)
    code.mul(u2, "%p", zz)
    code.mul(zz, "%z", zz)
    code.mul(ww, "%w", ww)
    code.mul(s1, "%y", ww)
    code.mul(s2, "%q", zz)
    code.mul(zw, "%z", "%w")
    _add_tail(code, u1, u2, s1, s2, zw)


def _chain(code: _Code, a: str) -> tuple[str, str, str]:
    """a^(2^2 - 1), a^(2^22 - 1) and a^(2^223 - 1), which both exponents below are made of."""
    powers = {1: a}
    for size, low, high in (
        (2, 1, 1), (3, 1, 2), (6, 3, 3), (9, 3, 6), (11, 2, 9), (22, 11, 11), (44, 22, 22),
        (88, 44, 44), (176, 88, 88), (220, 44, 176), (223, 3, 220),
    ):  # fmt: skip
        out = code.element()
        code.sqr(out, powers[high], low)
        code.mul(out, out, powers[low])
        powers[size] = out
    return powers[2], powers[22], powers[223]


def _sqrt(code: _Code) -> None:
    """out = a^((p + 1) / 4), a root of a if it has one."""
    x2, x22, x223 = _chain(code, "%a")
    t = code.element()
    code.sqr(t, x223, 23)
    code.mul(t, t, x22)
    code.sqr(t, t, 6)
    code.mul(t, t, x2)
    code.sqr("%out", t, 2)


def _invert(code: _Code) -> None:
    """out = a^(p - 2)."""
    x2, x22, x223 = _chain(code, "%a")
    t = code.element()
    code.sqr(t, x223, 23)
    code.mul(t, t, x22)
    code.sqr(t, t, 5)
    code.mul(t, t, "%a")
    code.sqr(t, t, 3)
    code.mul(t, t, x2)
    code.sqr(t, t, 2)
    code.mul("%out", t, "%a")


def _bytes_at(code: _Code, base: str, offset: str) -> str:
    """The byte at `offset` of each lane's 32 bytes."""
    vector = "zeroinitializer"
    for lane in range(LANES):
        at = code(f"add i64 {offset}, {32 * lane}")
        pointer = code(f"getelementptr i8, ptr {base}, i64 {at}")
        byte = code(f"load i8, ptr {pointer}")
        wide = code(f"zext i8 {byte} to i64")
        vector = code(f"insertelement {_V} {vector}, i64 {wide}, i32 {lane}")
    return vector


def _load_x(code: _Code, x: str) -> None:
    """x from the four words of each lane."""
    words = []
    for word in range(4):
        vector = "zeroinitializer"
        for lane in range(LANES):
            pointer = code(f"getelementptr i64, ptr %xs, i64 {4 * lane + word}")
            value = code(f"load i64, ptr {pointer}")
            vector = code(f"insertelement {_V} {vector}, i64 {value}, i32 {lane}")
        words.append(vector)
    w0, w1, w2, w3 = words

    def both(a: str, down: int, b: str, up: int) -> str:
        joined = code.op("or", code.op("lshr", a, down), code.op("shl", b, up))
        return code.op("and", joined, _MASK)

    code.put(
        x,
        [
            code.op("and", w0, _MASK),
            both(w0, 52, w1, 12),
            both(w1, 40, w2, 24),
            both(w2, 28, w3, 36),
            code.op("lshr", w3, 16),
        ],
    )


def _lift(code: _Code, x: str, y: str, t: str, u: str) -> str:
    """y, the root of x^3 + 7 with the parity asked for; the mask of lanes where there is one."""
    code.sqr(t, x)
    code.mul(t, t, x)
    seven = code.element()
    code.put(seven, [_splat(7), *["zeroinitializer"] * 4])
    code.linear(t, [(1, t), (1, seven)])
    code.do(f"call void @fe_sqrt(ptr {y}, ptr {t})")
    code.sqr(u, y)
    on_curve = code.is_zero(code.canonical([(1, u), (-1, t)]))
    root = code.canonical([(1, y)])
    parity = "zeroinitializer"
    for lane in range(LANES):
        pointer = code(f"getelementptr i8, ptr %parities, i64 {lane}")
        byte = code(f"load i8, ptr {pointer}")
        wide = code(f"zext i8 {byte} to i64")
        parity = code(f"insertelement {_V} {parity}, i64 {wide}, i32 {lane}")
    odd = code.op("and", code.op("xor", root[0], parity), 1)
    other = code(f"icmp ne {_V} {odd}, zeroinitializer")
    code.linear(u, [(-1, y)])
    code.choose(y, other, u, y)
    return on_curve


def _tabulate(code: _Code, table: str, x: str, y: str) -> None:
    """The multiples of (x, y) up to 15; entry 0 is looked at, but never used."""

    def entry(number: int) -> list[str]:
        return [
            code(f"getelementptr {_V}, ptr {table}, i64 {15 * number + 5 * part}")
            for part in range(3)
        ]

    for number in (0, 1):
        ex, ey, ez = entry(number)
        code.copy(ex, x)
        code.copy(ey, y)
        code.one(ez)
    ex, ey, ez = entry(2)
    code.copy(ex, x)
    code.copy(ey, y)
    code.one(ez)
    code.do(f"call void @point_double(ptr {ex}, ptr {ey}, ptr {ez})")
    for number in range(3, _TABLE):
        before, after = entry(number - 1), entry(number)
        arguments = ", ".join(f"ptr {each}" for each in (*after, *before, x, y))
        code.do(f"call void @point_add_affine({arguments})")


def _main(code: _Code) -> None:
    """Eight items: see `source`."""
    x, y, t, u = (code.element() for _ in range(4))
    qx, qy, qz, ox, oy, oz, px, py, pz = (code.element() for _ in range(9))
    table = code(f"alloca [{_TABLE * 15} x {_V}], align 64")
    infinite = code(f"alloca {_V}, align 64")
    _load_x(code, x)
    on_curve = _lift(code, x, y, t, u)
    _tabulate(code, table, x, y)
    # the chain of doublings
    for q, value in ((qx, x), (qy, y)):
        code.copy(q, value)
    code.one(qz)
    code.do(f"store {_V} {_splat(-1)}, ptr {infinite}, align 64")
    lanes = "<" + ", ".join(f"i64 {lane}" for lane in range(LANES)) + ">"
    code.do("br label %loop")
    code.label("loop")
    code.do("%at = phi i64 [0, %entry], [%following, %loop]")
    digits = _bytes_at(code, "%u2s", "%at")

    def accept(digit: str) -> None:
        """Take o as the new q, except where the digit is zero; p where q was infinite."""
        was = code(f"icmp ne {_V} {code.load(infinite)}, zeroinitializer")
        none = code(f"icmp eq {_V} {digit}, zeroinitializer")
        for q, o, p in ((qx, ox, px), (qy, oy, py), (qz, oz, pz)):
            code.choose(o, was, p, o)
            code.choose(q, none, q, o)
        still = code.select(none, code.load(infinite), "zeroinitializer")
        code.store(still, infinite)

    for digit in (code.op("lshr", digits, 4), code.op("and", digits, 15)):
        for _ in range(4):
            code.do(f"call void @point_double(ptr {qx}, ptr {qy}, ptr {qz})")
        start = code.op("add", code.op("mul", digit, 15 * LANES), lanes)
        for part, p in enumerate((px, py, pz)):
            for i in range(5):
                index = code.op("add", start, LANES * (5 * part + i))
                code.store(code.gather(table, index), p, i)
        arguments = ", ".join(f"ptr {each}" for each in (ox, oy, oz, qx, qy, qz, px, py, pz))
        code.do(f"call void @point_add({arguments})")
        accept(digit)
    digit = _bytes_at(code, "%u1s", "%at")
    start = code.op("mul", digit, 10)
    for part, p in enumerate((px, py)):
        for i in range(5):
            index = code.op("add", start, 5 * part + i)
            code.store(code.gather("@generator", index), p, i)
    code.one(pz)
    arguments = ", ".join(f"ptr {each}" for each in (ox, oy, oz, qx, qy, qz, px, py))
    code.do(f"call void @point_add_affine({arguments})")
    accept(digit)
    code.do("%following = add i64 %at, 1")
    code.do("%more = icmp ult i64 %following, 32")
    code.do("br i1 %more, label %loop, label %finish")
    code.label("finish")
    # back to affine
    nothing = code.is_zero(code.canonical([(1, qz)]))
    code.do(f"call void @fe_invert(ptr {t}, ptr {qz})")
    code.sqr(u, t)
    code.mul(t, t, u)
    code.mul(ox, qx, u)
    code.mul(oy, qy, t)
    never = code(f"icmp ne {_V} {code.load(infinite)}, zeroinitializer")
    lost = code(f"or <8 x i1> {nothing}, {never}")
    state = code.select(lost, _splat(2), _splat(1))
    state = code.select(on_curve, state, "zeroinitializer")
    for lane in range(LANES):
        value = code(f"extractelement {_V} {state}, i32 {lane}")
        byte = code(f"trunc i64 {value} to i8")
        pointer = code(f"getelementptr i8, ptr %states, i64 {lane}")
        code.do(f"store i8 {byte}, ptr {pointer}")
    for half, element in enumerate((ox, oy)):
        l0, l1, l2, l3, l4 = code.canonical([(1, element)])
        little = [
            code.op("or", l0, code.op("shl", l1, 52)),
            code.op("or", code.op("lshr", l1, 12), code.op("shl", l2, 40)),
            code.op("or", code.op("lshr", l2, 24), code.op("shl", l3, 28)),
            code.op("or", code.op("lshr", l3, 36), code.op("shl", l4, 16)),
        ]
        for place, word in enumerate(reversed(little)):
            swapped = code(f"call {_V} @llvm.bswap.v8i64({_V} {word})")
            for lane in range(LANES):
                value = code(f"extractelement {_V} {swapped}, i32 {lane}")
                into = 8 * lane + 4 * half + place
                pointer = code(f"getelementptr i64, ptr %points, i64 {into}")
                code.do(f"store i64 {value}, ptr {pointer}")


def generator_multiples(count: int) -> list[tuple[int, int]]:
    """G, 2G, ... as affine points."""
    gx, gy = GENERATOR
    points = [GENERATOR]
    for _ in range(count - 1):
        x, y = points[-1]
        if x == gx:
            slope = 3 * x * x * pow(2 * y, -1, PRIME)
        else:
            slope = (y - gy) * pow(x - gx, -1, PRIME)
        x3 = (slope * slope - x - gx) % PRIME
        points.append((x3, (slope * (gx - x3) - gy) % PRIME))
    return points


def source() -> str:
    """The module with `recover_lanes`.

    void recover_lanes(xs, parities, u1s, u2s, groups, points, states): for each of 8 * groups
    items the x coordinate (32 bytes, little endian, below p), the parity of y (a byte), and two
    scalars (32 bytes each, big endian, below the curve's order). Written are u1 G + u2 (x, y)
    as 64 bytes, x and y big endian, and a state: 0, no such point; 1, solved; 2, not
    solved, ask elsewhere.
    """
    table = [n for point in [GENERATOR, *generator_multiples(255)] for c in point for n in limbs(c)]
    numbers = ", ".join(f"i64 {n}" for n in table)
    points = "ptr %ox, ptr %oy, ptr %oz, ptr %x, ptr %y, ptr %z"
    arguments = "ptr %xs, ptr %parities, ptr %u1s, ptr %u2s, ptr %points, ptr %states"
    return "\n".join(
        (
            f"@generator = private constant [{len(table)} x i64] [{numbers}], align 64",
            f"declare {_V} @llvm.x86.avx512.vpmadd52l.uq.512({_V}, {_V}, {_V})",
            f"declare {_V} @llvm.x86.avx512.vpmadd52h.uq.512({_V}, {_V}, {_V})",
            f"declare {_V} @llvm.bswap.v8i64({_V})",
            f"declare {_V} @llvm.masked.gather.v8i64.v8p0(<8 x ptr>, i32, <8 x i1>, {_V})",
            _function("@fe_mul(ptr %out, ptr %a, ptr %b)", _mul, "noinline"),
            _sqr(),
            _function("@fe_sqrt(ptr %out, ptr %a)", _sqrt, "noinline"),
            _function("@fe_invert(ptr %out, ptr %a)", _invert, "noinline"),
            _function("@point_double(ptr %x, ptr %y, ptr %z)", _double, "noinline"),
            _function(f"@point_add_affine({points}, ptr %p, ptr %q)", _add_affine, "noinline"),
            _function(f"@point_add({points}, ptr %p, ptr %q, ptr %w)", _add, "noinline"),
            _function(f"@recover_eight({arguments})", _main, "noinline"),
            _DRIVER,
        )
    )


_DRIVER: Final = """
define void @recover_lanes(ptr %xs, ptr %parities, ptr %u1s, ptr %u2s, i64 %groups, ptr %points,
                           ptr %states) #0 {
entry:
  br label %check

check:
  %i = phi i64 [0, %entry], [%i1, %group]
  %more = icmp ult i64 %i, %groups
  br i1 %more, label %group, label %finished

group:
  %by8 = mul i64 %i, 8
  %by256 = mul i64 %i, 256
  %by512 = mul i64 %i, 512
  %x = getelementptr i8, ptr %xs, i64 %by256
  %parity = getelementptr i8, ptr %parities, i64 %by8
  %u1 = getelementptr i8, ptr %u1s, i64 %by256
  %u2 = getelementptr i8, ptr %u2s, i64 %by256
  %point = getelementptr i8, ptr %points, i64 %by512
  %state = getelementptr i8, ptr %states, i64 %by8
  call void @recover_eight(ptr %x, ptr %parity, ptr %u1, ptr %u2, ptr %point, ptr %state)
  %i1 = add i64 %i, 1
  br label %check

finished:
  ret void
}
"""
