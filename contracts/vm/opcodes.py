"""The one opcode table: for the interpreter, gas, disassembler, documentation and tests.

An opcode's shape says how its semantics are called. Operands come in the order in
which they are popped:

- PURE: `semantics(*operands)` is the word to push; nothing else happens.
- STEP: `semantics(frame, *operands)`, which gives the word to push, if one is pushed.
- SEND: likewise, but it gives the frame of a message that has to run first.
- END: likewise, and the frame is over.
- PUSH, PC, DUP, SWAP, POP, NOTHING, JUMP, JUMPI: the interpreter does them itself.

The static gas is paid before. `lower` writes the same as native instructions
(contracts.vm.native); what has none is left to the semantics there too.
Sources: Yellow Paper, appendix H, and the EIPs that chain.forks names.
"""

from collections.abc import Callable, Iterator
from enum import Enum, auto
from typing import Any, Final

from msgspec import Struct

from chain.errors import Fault
from chain.forks import Fork
from contracts.vm import arithmetic, calls, control, environment, memory, storage
from contracts.vm.native import arithmetic as native_arithmetic
from contracts.vm.native import lowerings
from contracts.vm.native.lowerings import Lowering

Gas = int | str | Callable[[Fork], int]


class Shape(Enum):
    PURE = auto()
    STEP = auto()
    SEND = auto()
    END = auto()
    PUSH = auto()
    PC = auto()
    DUP = auto()
    SWAP = auto()
    POP = auto()
    NOTHING = auto()
    JUMP = auto()
    JUMPI = auto()


class Opcode(Struct, frozen=True):
    """One row of the table.

    `gas` is the static price: a number, the name of a Fork field, or a function of
    the fork; what depends on operands is charged by the semantics. `flag` names the
    Fork field that brings the opcode into existence. `reads_gas` marks semantics
    to which `frame.gas` is visible, so that it has to be exact before them. `lower`
    gets an emitter and the operands in place of the frame.
    """

    code: int
    name: str
    pops: int
    pushes: int
    gas: Gas
    shape: Shape
    semantics: Callable[..., Any]
    lower: Lowering | None
    doc: str
    flag: str | None = None
    operand_bytes: int = 0  # that follow in the code
    reads_gas: bool = False

    def available(self, fork: Fork) -> bool:
        return self.flag is None or bool(getattr(fork, self.flag))

    def static_gas(self, fork: Fork) -> int:
        if isinstance(self.gas, int):
            return self.gas
        if isinstance(self.gas, str):
            price: int = getattr(fork, self.gas)
            return price
        return self.gas(fork)


def _warm_or(field: str) -> Callable[[Fork], int]:
    """The warm price from EIP-2929 on, the field's before; semantics add what cold costs."""

    def price(fork: Fork) -> int:
        before: int = getattr(fork, field)
        return fork.gas_warm if fork.access_lists else before

    return price


def _pure(
    code: int,
    name: str,
    pops: int,
    gas: int,
    semantics: Callable[..., int],
    lower: Lowering,
    doc: str,
    flag: str | None = None,
) -> Opcode:
    return Opcode(code, name, pops, 1, gas, Shape.PURE, semantics, lower, doc, flag)


def _step(
    code: int,
    name: str,
    pops: int,
    pushes: int,
    gas: Gas,
    semantics: Callable[..., int | None],
    lower: Lowering | None,
    doc: str,
    flag: str | None = None,
    *,
    reads_gas: bool = False,
) -> Opcode:
    return Opcode(
        code,
        name,
        pops,
        pushes,
        gas,
        Shape.STEP,
        semantics,
        lower,
        doc,
        flag,
        reads_gas=reads_gas,
    )


def _own(*_: object) -> None:
    """Stands in for the semantics of the shapes that the interpreter knows itself."""
    raise Fault("an opcode that the interpreter carries out itself has no semantics to call")


def _rows() -> Iterator[Opcode]:
    a, e, m, s = arithmetic, environment, memory, storage
    low, pure = lowerings, native_arithmetic
    end, send = Shape.END, Shape.SEND

    yield Opcode(0x00, "STOP", 0, 0, 0, end, control.stop, low.stop, "end without output")
    yield _pure(0x01, "ADD", 2, 3, a.add, pure.add, "a + b")
    yield _pure(0x02, "MUL", 2, 5, a.mul, pure.mul, "a * b")
    yield _pure(0x03, "SUB", 2, 3, a.sub, pure.sub, "a - b")
    yield _pure(0x04, "DIV", 2, 5, a.div, pure.div, "a / b, 0 when b is 0")
    yield _pure(0x05, "SDIV", 2, 5, a.sdiv, pure.sdiv, "signed a / b towards zero, 0 when b is 0")
    yield _pure(0x06, "MOD", 2, 5, a.mod, pure.mod, "a mod b, 0 when b is 0")
    yield _pure(0x07, "SMOD", 2, 5, a.smod, pure.smod, "signed remainder, sign of a; 0 when b is 0")
    yield _pure(0x08, "ADDMOD", 3, 8, a.addmod, pure.addmod, "(a + b) mod n without overflow")
    yield _pure(0x09, "MULMOD", 3, 8, a.mulmod, pure.mulmod, "(a * b) mod n without overflow")
    yield _step(0x0A, "EXP", 2, 1, 10, e.exp, pure.exp, "a to the power b; gas by the bytes of b")
    yield _pure(
        0x0B, "SIGNEXTEND", 2, 5, a.signextend, pure.signextend, "extend the sign of byte a of b"
    )

    yield _pure(0x10, "LT", 2, 3, a.lt, pure.lt, "a < b")
    yield _pure(0x11, "GT", 2, 3, a.gt, pure.gt, "a > b")
    yield _pure(0x12, "SLT", 2, 3, a.slt, pure.slt, "signed a < b")
    yield _pure(0x13, "SGT", 2, 3, a.sgt, pure.sgt, "signed a > b")
    yield _pure(0x14, "EQ", 2, 3, a.eq, pure.eq, "a = b")
    yield _pure(0x15, "ISZERO", 1, 3, a.iszero, pure.iszero, "a = 0")
    yield _pure(0x16, "AND", 2, 3, a.and_, pure.and_, "bits of a and b")
    yield _pure(0x17, "OR", 2, 3, a.or_, pure.or_, "bits of a or b")
    yield _pure(0x18, "XOR", 2, 3, a.xor, pure.xor, "bits of a unlike b")
    yield _pure(0x19, "NOT", 1, 3, a.not_, pure.not_, "all bits flipped")
    yield _pure(0x1A, "BYTE", 2, 3, a.byte, pure.byte, "byte a of b from the most significant")
    yield _pure(0x1B, "SHL", 2, 3, a.shl, pure.shl, "b shifted left by a", "has_shifts")
    yield _pure(0x1C, "SHR", 2, 3, a.shr, pure.shr, "b shifted right by a", "has_shifts")
    yield _pure(0x1D, "SAR", 2, 3, a.sar, pure.sar, "signed b shifted right by a", "has_shifts")
    yield _pure(0x1E, "CLZ", 1, 5, a.clz, pure.clz, "leading zero bits", "has_count_leading_zeros")

    yield _step(0x20, "KECCAK256", 2, 1, 30, m.keccak256, low.keccak256, "keccak-256 of memory")

    yield _step(0x30, "ADDRESS", 0, 1, 2, e.address, low.address, "account that runs")
    yield _step(
        0x31, "BALANCE", 1, 1, _warm_or("gas_balance"), e.balance, low.balance,
        "wei of an account",
    )  # fmt: skip
    yield _step(0x32, "ORIGIN", 0, 1, 2, e.origin, low.origin, "sender of the transaction")
    yield _step(0x33, "CALLER", 0, 1, 2, e.caller, low.caller, "sender of the message")
    yield _step(0x34, "CALLVALUE", 0, 1, 2, e.callvalue, low.callvalue, "wei sent with the message")
    yield _step(
        0x35, "CALLDATALOAD", 1, 1, 3, e.calldataload, low.calldataload,
        "word of the message's data",
    )  # fmt: skip
    yield _step(
        0x36, "CALLDATASIZE", 0, 1, 2, e.calldatasize, low.calldatasize,
        "bytes of the message's data",
    )  # fmt: skip
    yield _step(
        0x37, "CALLDATACOPY", 3, 0, 3, m.calldatacopy, low.calldatacopy, "message's data to memory"
    )
    yield _step(0x38, "CODESIZE", 0, 1, 2, e.codesize, low.codesize, "bytes of the running code")
    yield _step(0x39, "CODECOPY", 3, 0, 3, m.codecopy, low.codecopy, "running code to memory")
    yield _step(0x3A, "GASPRICE", 0, 1, 2, e.gasprice, low.gasprice, "effective wei per gas")
    code_gas = _warm_or("gas_external_code")
    yield _step(
        0x3B, "EXTCODESIZE", 1, 1, code_gas, e.extcodesize, low.extcodesize,
        "bytes of an account's code",
    )  # fmt: skip
    yield _step(
        0x3C, "EXTCODECOPY", 4, 0, code_gas, m.extcodecopy, low.extcodecopy,
        "account's code to memory",
    )  # fmt: skip
    yield _step(
        0x3D, "RETURNDATASIZE", 0, 1, 2, e.returndatasize, low.returndatasize,
        "bytes last returned", "has_return_data",
    )  # fmt: skip
    yield _step(
        0x3E, "RETURNDATACOPY", 3, 0, 3, m.returndatacopy, low.returndatacopy,
        "returned bytes to memory", "has_return_data",
    )  # fmt: skip
    yield _step(
        0x3F, "EXTCODEHASH", 1, 1, _warm_or("gas_code_hash"), e.extcodehash, low.extcodehash,
        "keccak of an account's code", "has_code_hash",
    )  # fmt: skip

    yield _step(
        0x40,
        "BLOCKHASH",
        1,
        1,
        20,
        e.blockhash,
        low.blockhash,
        "hash of one of the last 256 blocks",
    )
    yield _step(0x41, "COINBASE", 0, 1, 2, e.coinbase, low.coinbase, "who gets the block's fees")
    yield _step(
        0x42, "TIMESTAMP", 0, 1, 2, e.timestamp, low.timestamp, "the block's time in seconds"
    )
    yield _step(0x43, "NUMBER", 0, 1, 2, e.number, low.number, "the block's number")
    yield _step(
        0x44, "PREVRANDAO", 0, 1, 2, e.randomness, low.randomness,
        "randomness; difficulty before Paris",
    )  # fmt: skip
    yield _step(0x45, "GASLIMIT", 0, 1, 2, e.gaslimit, low.gaslimit, "the block's gas limit")
    yield _step(0x46, "CHAINID", 0, 1, 2, e.chainid, low.chainid, "id of the chain", "has_chain_id")
    yield _step(
        0x47,
        "SELFBALANCE",
        0,
        1,
        5,
        e.selfbalance,
        low.selfbalance,
        "wei of this account",
        "has_self_balance",
    )
    yield _step(
        0x48, "BASEFEE", 0, 1, 2, e.basefee, low.basefee, "the block's base fee", "has_base_fee"
    )
    yield _step(
        0x49,
        "BLOBHASH",
        1,
        1,
        3,
        e.blobhash,
        low.blobhash,
        "the transaction's a-th",
        "has_blob_hash",
    )
    yield _step(
        0x4A, "BLOBBASEFEE", 0, 1, 2, e.blobbasefee, low.blobbasefee,
        "the block's blob fee", "has_blob_base_fee",
    )  # fmt: skip

    yield Opcode(0x50, "POP", 1, 0, 2, Shape.POP, _own, None, "drop a")
    yield _step(0x51, "MLOAD", 1, 1, 3, m.mload, low.mload, "word of memory")
    yield _step(0x52, "MSTORE", 2, 0, 3, m.mstore, low.mstore, "word to memory")
    yield _step(0x53, "MSTORE8", 2, 0, 3, m.mstore8, low.mstore8, "byte to memory")
    yield _step(0x54, "SLOAD", 1, 1, _warm_or("gas_sload"), s.sload, low.sload, "word of storage")
    yield _step(0x55, "SSTORE", 2, 0, 0, s.sstore, low.sstore, "word to storage", reads_gas=True)
    yield Opcode(0x56, "JUMP", 1, 0, 8, Shape.JUMP, _own, None, "go to a")
    yield Opcode(0x57, "JUMPI", 2, 0, 10, Shape.JUMPI, _own, None, "go to a unless b is 0")
    yield Opcode(0x58, "PC", 0, 1, 2, Shape.PC, _own, None, "where this opcode is in the code")
    yield _step(0x59, "MSIZE", 0, 1, 2, m.msize, low.msize, "bytes of memory in use")
    yield _step(0x5A, "GAS", 0, 1, 2, e.gas, low.gas, "gas left after this opcode", reads_gas=True)
    yield Opcode(0x5B, "JUMPDEST", 0, 0, 1, Shape.NOTHING, _own, None, "where a jump may go")
    yield _step(
        0x5C, "TLOAD", 1, 1, "gas_warm", s.tload, low.tload,
        "transient word", "has_transient_storage",
    )  # fmt: skip
    yield _step(
        0x5D, "TSTORE", 2, 0, "gas_warm", s.tstore, low.tstore,
        "word to transient", "has_transient_storage",
    )  # fmt: skip
    yield _step(0x5E, "MCOPY", 3, 0, 3, m.mcopy, low.mcopy, "memory to memory", "has_memory_copy")

    yield Opcode(0x5F, "PUSH0", 0, 1, 2, Shape.PUSH, _own, None, "0", "has_push0")
    for n in range(1, 33):
        yield Opcode(
            0x5F + n,
            f"PUSH{n}",
            0,
            1,
            3,
            Shape.PUSH,
            _own,
            None,
            f"the next {n} bytes",
            operand_bytes=n,
        )
    for n in range(1, 17):
        yield Opcode(0x7F + n, f"DUP{n}", n, n + 1, 3, Shape.DUP, _own, None, f"word {n} again")
        yield Opcode(
            0x8F + n,
            f"SWAP{n}",
            n + 1,
            n + 1,
            3,
            Shape.SWAP,
            _own,
            None,
            f"exchange words 1 and {n + 1}",
        )
    for n in range(5):
        yield _step(
            0xA0 + n, f"LOG{n}", n + 2, 0, 375 * (n + 1), m.log, low.log, f"log with {n} topics"
        )

    call_gas = _warm_or("gas_call")
    yield Opcode(
        0xF0, "CREATE", 3, 1, 32_000, send, calls.create, None, "deploy, address from nonce"
    )
    yield Opcode(0xF1, "CALL", 7, 1, call_gas, send, calls.call, low.call, "message to an account")
    yield Opcode(
        0xF2, "CALLCODE", 7, 1, call_gas, send, calls.callcode, low.callcode,
        "account's code on this one",
    )  # fmt: skip
    yield Opcode(0xF3, "RETURN", 2, 0, 0, end, control.return_, low.return_, "end with output")
    yield Opcode(
        0xF4, "DELEGATECALL", 6, 1, call_gas, send, calls.delegatecall, low.delegatecall,
        "account's code on this one, for this caller", "has_delegatecall",
    )  # fmt: skip
    yield Opcode(
        0xF5, "CREATE2", 4, 1, 32_000, send, calls.create2, None, "deploy, address from salt",
        "has_create2",
    )  # fmt: skip
    yield Opcode(
        0xFA, "STATICCALL", 6, 1, call_gas, send, calls.staticcall, low.staticcall,
        "message that can't write", "has_staticcall",
    )  # fmt: skip
    yield Opcode(
        0xFD, "REVERT", 2, 0, 0, end, control.revert, low.revert, "fail with output", "has_revert"
    )
    yield Opcode(
        0xFE, "INVALID", 0, 0, 0, end, control.invalid, low.invalid, "fail and take all gas"
    )
    yield Opcode(
        0xFF, "SELFDESTRUCT", 1, 0, "gas_self_destruct", end, control.selfdestruct, None,
        "give the balance away and end",
    )  # fmt: skip


OPCODES: Final[dict[int, Opcode]] = {opcode.code: opcode for opcode in _rows()}
