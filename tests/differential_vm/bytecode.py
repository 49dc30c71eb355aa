"""Random programs that get somewhere: opcodes with fitting operands, messages, loops, then damage.

Uniformly random bytes halt within a few steps. Here most opcodes bring operands of the
kind that they expect, often at an edge; a share of raw opcodes, random bytes and
mutations makes programs go wrong in every way they can.
"""

from collections.abc import Sequence
from random import Random
from typing import Final

from chain.forks import Fork
from contracts.vm import OPCODES
from contracts.vm.opcodes import Opcode, Shape

# The accounts of a world, few in number so that they meet each other.
CONTRACTS: Final = tuple(bytes([0xC0 + n]) * 20 for n in range(5))
DELEGATED: Final = b"\xde" * 20
FUNDED: Final = b"\xfd" * 20
ABSENT: Final = b"\xee" * 20
COINBASE: Final = b"\xcb" * 20
# Cheap ones twice: pairings take a while and say little about the VM.
PRECOMPILES: Final = tuple(n.to_bytes(20, "big") for n in (1, 2, 3, 4, 5, 6, 7, 9, 2, 3, 4, 0x100))
# What is stored, is stored here.
SLOTS: Final = (0, 1, 2, 3, 5, 2**255)

_EDGES: Final = (
    0, 1, 2, 3, 7, 31, 32, 33, 63, 64, 255, 256, 2**16 - 1, 2**31, 2**32 - 1, 2**32, 2**40 - 1,
    2**40, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 2**128 - 1, 2**128, 2**255 - 1, 2**255,
    2**255 + 1, 2**256 - 2, 2**256 - 1,
)  # fmt: skip
_FAR: Final = (
    2**16, 2**20, 2**24, 2**32 - 32, 2**32, 0x1FFFFFFFE0, 2**40 - 1, 2**40, 2**63, 2**64 - 32,
    2**64 - 1, 2**64, 2**255, 2**256 - 32, 2**256 - 1,
)  # fmt: skip
_OPERANDS: Final = {
    "SLOAD": ("slot",), "SSTORE": ("slot", "word"), "TLOAD": ("slot",), "TSTORE": ("slot", "word"),
    "MLOAD": ("place",), "MSTORE": ("place", "word"), "MSTORE8": ("place", "word"),
    "KECCAK256": ("place", "size"), "MCOPY": ("place", "place", "size"),
    "CALLDATALOAD": ("place",), "CALLDATACOPY": ("place", "place", "size"),
    "CODECOPY": ("place", "place", "size"), "EXTCODECOPY": ("account", "place", "place", "size"),
    "RETURNDATACOPY": ("place", "within", "within"),
    "BALANCE": ("account",), "EXTCODESIZE": ("account",), "EXTCODEHASH": ("account",),
    "BLOCKHASH": ("height",), "BLOBHASH": ("small",), "BYTE": ("small", "word"),
    "SIGNEXTEND": ("small", "word"), "SHL": ("shift", "word"), "SHR": ("shift", "word"),
    "SAR": ("shift", "word"), "EXP": ("word", "exponent"),
    "LOG0": ("place", "size"), "LOG1": ("place", "size", "word"),
    "LOG2": ("place", "size", "word", "word"), "LOG3": ("place", "size", "word", "word", "word"),
    "LOG4": ("place", "size", "word", "word", "word", "word"),
    "CREATE": ("value", "place", "size"), "CREATE2": ("value", "place", "size", "small"),
    "CALL": ("gas", "callee", "value", "place", "size", "place", "size"),
    "CALLCODE": ("gas", "callee", "value", "place", "size", "place", "size"),
    "DELEGATECALL": ("gas", "callee", "place", "size", "place", "size"),
    "STATICCALL": ("gas", "callee", "place", "size", "place", "size"),
    "RETURN": ("place", "size"), "REVERT": ("place", "size"), "SELFDESTRUCT": ("account",),
}  # fmt: skip
_CODE_MAX: Final = 1_200  # bytes of a program


def push(number: int) -> bytes:
    """The shortest PUSH1 to PUSH32."""
    size = max(1, (number.bit_length() + 7) // 8)
    return bytes((0x5F + size,)) + number.to_bytes(size, "big")


class Author:
    """Writes programs for a fork; the same for the same randomness.

    How often a program goes wrong differs from author to author.
    """

    def __init__(self, random: Random, fork: Fork, others: Sequence[bytes] = ()) -> None:
        """`others` are accounts that programs meet beside the world's usual ones."""
        self.random = random
        self._others = others
        self._risk = random.choice((0.0, 0.05, 0.2, 1.0))
        self._height = 0  # of the stack, at least
        rows = tuple(row for row in OPCODES.values() if row.available(fork))
        self._rows = rows
        self._plain = tuple(row for row in rows if row.shape in (Shape.PURE, Shape.STEP))
        self._storage = tuple(
            row for row in rows if row.name in ("SLOAD", "SSTORE", "TLOAD", "TSTORE")
        )
        self._messages = tuple(row for row in rows if row.shape is Shape.SEND)
        self._ends = tuple(row for row in rows if row.shape is Shape.END)
        self._stack = tuple(row for row in rows if row.shape in (Shape.DUP, Shape.SWAP, Shape.POP))
        self._zero = push(0) if not fork.has_push0 else b"\x5f"
        self._has_return_data = fork.has_return_data

    def _risks(self, chance: float) -> bool:
        return self.random.random() < chance * self._risk

    def program(self, length: int | None = None) -> bytes:
        """A whole program of about so many parts."""
        random = self.random
        if self._risks(0.03):
            return random.randbytes(random.randrange(1, 120))
        parts = random.randrange(1, 30) if length is None else length
        words = random.choice((0, 1, 2, 5, 17))
        before, self._height = self._height, words
        code = b"".join(push(self._operand_word("word")) for _ in range(words))
        for _ in range(parts):
            code += self._part(len(code))
            if len(code) > _CODE_MAX:
                break
        self._height = before
        if random.random() < 0.7:
            code += self._ending()
        return self.mutated(code) if self._risks(0.3) else code

    def mutated(self, code: bytes) -> bytes:
        """A copy with some of its bytes changed, cut out or doubled."""
        random, content = self.random, bytearray(code)
        for _ in range(random.randrange(1, 5)):
            if not content:
                break
            at = random.randrange(len(content))
            match random.randrange(4):
                case 0:
                    content[at] = random.randrange(256)
                case 1:
                    content[at] ^= 1 << random.randrange(8)
                case 2:
                    del content[at : at + random.randrange(1, 9)]
                case _:
                    content[at:at] = content[at : at + random.randrange(1, 40)]
        return bytes(content)

    # -- parts --

    def _part(self, at: int) -> bytes:
        random = self.random
        chance = random.random()
        if chance < 0.36:
            return self._used(random.choice(self._plain))
        if chance < 0.50:
            return self._used(random.choice(self._storage))
        if chance < 0.70:
            return self._message()
        if chance < 0.78:
            return push(self._operand_word("word"))
        if chance < 0.85:
            return self._rearranged()
        if chance < 0.90:
            return self._loop(at)
        if chance < 0.94:
            return self._jump(at)
        if self._risks(0.5):
            row = random.choice(self._rows)
            return bytes((row.code if random.random() < 0.7 else random.randrange(256),))
        return push(0) + self._shown()

    def _rearranged(self) -> bytes:
        """DUP, SWAP or POP, with the words that it needs."""
        row = self.random.choice(self._stack)
        if row.pops > self._height and not self._risks(0.2):
            return push(self._operand_word("word")) + b"\x80\x90"
        self._height -= row.shape is Shape.POP
        return bytes((row.code,))

    def _used(self, row: Opcode, keep: bool | None = None) -> bytes:
        """An opcode with operands; what it gives stays, or is stored where a test sees it."""
        kinds = _OPERANDS.get(row.name, ("word",) * row.pops)
        code = b"".join(self._operand(kind) for kind in reversed(kinds)) + bytes((row.code,))
        if row.pushes and (keep is False or (keep is None and self.random.random() < 0.4)):
            code += self._shown()
        return code

    def _shown(self) -> bytes:
        """Put the top of the stack into memory or storage."""
        if self.random.random() < 0.7:
            return push(32 * self.random.randrange(8)) + b"\x52"
        return push(self.random.randrange(6)) + b"\x55"

    def _message(self) -> bytes:
        """A message; often several to the same account, and its output looked at."""
        random = self.random
        row = random.choice(self._messages)
        if row.name.startswith("CREATE"):
            return self._creation(row)
        code = self._used(row, keep=random.random() < 0.5)
        if random.random() < 0.4:
            code *= random.randrange(2, 4)
        if random.random() < 0.4:
            code += b"\x3d" + self._shown() if self._has_return_data else b""
        if self._has_return_data and random.random() < 0.2:
            code += b"\x3d" + self._zero * 2 + b"\x3e"  # all of what was returned, to memory
        return code

    def _creation(self, row: Opcode) -> bytes:
        """Initcode, short enough to be pushed, written to memory and deployed; then called."""
        random = self.random
        runtime = self.program(2)[:12] if random.random() < 0.5 else b""
        initcode = self.program(2)[:10]
        if runtime:
            word = int.from_bytes(runtime.rjust(32, b"\0"), "big")
            initcode = (
                push(word) + self._zero + b"\x52" + push(len(runtime)) + push(32 - len(runtime))
            )
            initcode = (initcode + b"\xf3")[:32]
        place = 32 * random.randrange(3)
        code = push(int.from_bytes(initcode.rjust(32, b"\0"), "big")) + push(place) + b"\x52"
        if row.name == "CREATE2":
            code += push(random.randrange(2))
        value = 0 if random.random() < 0.7 else random.randrange(4)
        code += push(len(initcode)) + push(place + 32 - len(initcode)) + push(value)
        code += bytes((row.code,))
        if random.random() < 0.5:  # call it, perhaps twice
            for _ in range(random.randrange(1, 3)):
                code += self._zero * 5 + b"\x85\x61\xff\xff\xf1\x50"
        if random.random() < 0.5:
            code += self._shown()
        return code

    def _loop(self, at: int) -> bytes:
        """Some parts, carried out several times."""
        random = self.random
        count = random.choice((2, 3, 3, 10, 60, 300))
        inner = b"".join(
            self._used(
                random.choice(self._storage if random.random() < 0.3 else self._plain), keep=False
            )
            for _ in range(random.randrange(1, 4))
        )
        head = push(count)
        start = at + len(head)
        # The counter is under whatever the parts leave, which is nothing.
        return head + b"\x5b" + inner + push(1) + b"\x90\x03\x80" + push(start) + b"\x57\x50"

    def _jump(self, at: int) -> bytes:
        """Forward over some bytes, or anywhere."""
        random = self.random
        opcode = random.choice((b"\x56", b"\x57"))
        condition = push(random.randrange(2)) if opcode == b"\x57" else b""
        if self._risks(0.3):
            return condition + push(random.choice((0, at, 3, 2**16, 2**64, 2**256 - 1))) + opcode
        skipped = bytes(random.randrange(0x60) for _ in range(random.randrange(4)))
        head = condition + bytes((0x61,))
        target = at + len(head) + 2 + 1 + len(skipped)
        return head + target.to_bytes(2, "big") + opcode + skipped + b"\x5b"

    def _ending(self) -> bytes:
        random = self.random
        if random.random() < 0.6:
            end = b"\xfd" if random.random() < 0.2 else b"\xf3"
            return push(32 * random.randrange(9)) + self._zero + end
        return self._used(random.choice(self._ends), keep=True)

    # -- operands --

    def _operand(self, kind: str) -> bytes:
        random = self.random
        if kind == "gas" and random.random() < 0.35:
            return b"\x5a"
        if self._risks(0.05):
            return b"\x80"  # whatever is there
        if kind in ("account", "callee") and random.random() < 0.08:
            return b"\x30"
        return push(self._operand_word(kind))

    def _operand_word(self, kind: str) -> int:
        random = self.random
        match kind:
            case "slot":
                return random.choice(SLOTS)
            case "small":
                return random.choice((0, 1, 2, 3, 30, 31, 32, 33, 2**64, 2**256 - 1))
            case "shift":
                return random.choice((0, 1, 8, 63, 64, 65, 127, 128, 192, 255, 256, 2**64, 2**255))
            case "exponent":
                return random.choice((0, 1, 2, 255, 256, 2**16, 2**64 - 1, 2**255, 2**256 - 1))
            case "place":
                return self._near(random.choice((0, 1, 31, 32, 33, 64, 100, 300)))
            case "size":
                return self._near(random.choice((0, 0, 1, 20, 31, 32, 33, 64, 65, 135, 136, 1025)))
            case "within":
                return self._near(random.choice((1, 31, 32, 33)) if self._risks(0.4) else 0)
            case "value":
                return random.choice((0, 0, 0, 0, 1, 2, 10**9, 2**80, 2**255))
            case "gas":
                return random.choice(
                    (0, 1, 100, 700, 2_300, 9_000, 30_000, 60_000, 2**31, 2**63, 2**64, 2**255)
                )
            case "height":
                return random.choice((0, 1, 700, 743, 744, 745, 998, 999, 1_000, 1_001, 2**64))
            case "account":
                return self.address()
            case "callee":
                chance = random.random()
                if chance < 0.7:
                    return int.from_bytes(random.choice(CONTRACTS), "big")
                return self.address()
        chance = random.random()
        if chance < 0.4:
            return random.choice(_EDGES)
        if chance < 0.6:
            return random.randrange(40)
        if chance < 0.7:
            return ((1 << random.randrange(257)) + random.randrange(-2, 3)) % 2**256
        return random.getrandbits(random.choice((8, 32, 64, 128, 256)))

    def _near(self, usual: int) -> int:
        """Mostly as given, sometimes where few or no gas can pay."""
        if self._risks(0.06):
            return self.random.choice(_FAR)
        return usual

    def address(self) -> int:
        """An account of the world, a precompile, or one that is not there."""
        random = self.random
        if self._others and random.random() < 0.5:
            return int.from_bytes(random.choice(self._others), "big")
        choices = (*CONTRACTS, DELEGATED, FUNDED, ABSENT, COINBASE, random.choice(PRECOMPILES))
        number = int.from_bytes(random.choice(choices), "big")
        if random.random() < 0.03:
            number |= random.getrandbits(96) << 160  # bits that count for nothing
        return number
