"""How long 30 million gas can take on the native interpreter: each opcode where it costs most time.

Every program repeats one thing until its gas is gone, on a state in memory (reading from
a disk comes on top). Precompiled contracts have a table of their own: `precompiles`.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from chain.forks import OSAKA
from contracts.vm import OPCODES
from contracts.vm.native.interpreter import NativeInterpreter
from contracts.vm.native.objects import user_cache
from contracts.vm.opcodes import Shape
from tests.benchmarks.table import machine, settle, show
from tests.contracts.vm.laboratory import OTHER, TARGET, View, assemble, run

GAS: Final = 30_000_000
_CODE_BYTES: Final = 24_000
_MOST: Final = 2**256 - 1
_PRIME: Final = 2**256 - 189
_OTHER: Final = int.from_bytes(OTHER, "big")
_SELF: Final = int.from_bytes(TARGET, "big")
# Operands on which arithmetic takes longest, by opcode; all ones for the others.
_WORST: Final = {
    "DIV": (_MOST, 2**129 + 1), "SDIV": (2**255 - 1, 2**129 + 1), "MOD": (_MOST, 2**129 + 1),
    "SMOD": (2**255 - 1, 2**129 + 1), "ADDMOD": (_MOST, _MOST - 1, _PRIME),
    "MULMOD": (_MOST, _MOST - 1, _PRIME), "BYTE": (31, _MOST), "SHL": (77, _MOST),
    "SHR": (77, _MOST), "SAR": (77, _MOST), "SIGNEXTEND": (11, _MOST), "CLZ": (1,),
}  # fmt: skip


class Attack(NamedTuple):
    """`setup` runs once, `body` again and again; both are assembly."""

    name: str
    body: str
    setup: str = ""
    other: str = ""  # code of OTHER


def attacks() -> Iterator[Attack]:
    for row in OPCODES.values():
        if row.shape is Shape.PURE:
            words = _WORST.get(row.name, (_MOST,) * row.pops)
            body = " ".join(f"PUSH32 {word}" for word in reversed(words))
            yield Attack(row.name, f"{body} {row.name} POP")
    yield Attack("EXP, 32 bytes", f"PUSH32 {_MOST} PUSH32 {_MOST} EXP POP")
    for name in ("ADDRESS", "CALLER", "CALLVALUE", "TIMESTAMP", "MSIZE", "GAS", "PC", "PUSH0"):
        yield Attack(name, f"{name} POP")
    yield Attack("PUSH32", f"PUSH32 {_MOST} POP")
    yield Attack("DUP16, POP", "DUP16 POP", "0 " * 16)
    yield Attack("SWAP16", "SWAP16", "0 " * 17)
    yield Attack("JUMPDEST", "JUMPDEST")
    yield Attack("jump to a jump", "")
    yield Attack("KECCAK256 of 0 bytes", "0 0 KECCAK256 POP")
    yield Attack("KECCAK256 of 136 bytes", "136 0 KECCAK256 POP")
    yield Attack("KECCAK256 of 1 MB", "PUSH3 1000000 0 KECCAK256 POP")
    yield Attack("MLOAD", "0 MLOAD POP")
    yield Attack("MSTORE", "PUSH0 PUSH0 MSTORE")
    yield Attack("MSTORE, memory grows", "PUSH0 MSIZE MSTORE")
    yield Attack("MCOPY of 32 bytes", "32 1 0 MCOPY")
    yield Attack("MCOPY of 1 MB", "PUSH3 1000000 1 0 MCOPY")
    yield Attack("CALLDATALOAD behind the end", "9 CALLDATALOAD POP")
    yield Attack("CALLDATACOPY of 1 MB", "PUSH3 1000000 0 0 CALLDATACOPY")
    yield Attack("CODECOPY of 24 KB", "PUSH2 24000 0 0 CODECOPY")
    yield Attack("RETURNDATACOPY of 1 MB", "PUSH3 1000000 0 0 RETURNDATACOPY",
                 f"0 0 0 0 {_OTHER} GAS STATICCALL", "PUSH3 1000000 0 RETURN")  # fmt: skip
    yield Attack("LOG0 of nothing", "0 0 LOG0")
    yield Attack("LOG4 of nothing", "PUSH0 PUSH0 PUSH0 PUSH0 PUSH0 PUSH0 LOG4")
    yield Attack("LOG0 of 30 KB", "PUSH2 30000 0 LOG0")
    yield Attack("BLOCKHASH, each block", "1 ADD DUP1 255 AND PUSH2 744 ADD BLOCKHASH POP", "0")
    yield Attack("SELFBALANCE", "SELFBALANCE POP")
    yield Attack("SLOAD, warm", "1 SLOAD POP")
    yield Attack("SLOAD, cold", "1 ADD DUP1 SLOAD POP", "0")
    yield Attack("SSTORE, unchanged", "1 1 SSTORE", "1 1 SSTORE")
    yield Attack("SSTORE, there and back", "2 1 SSTORE 1 1 SSTORE", "1 1 SSTORE")
    yield Attack("SSTORE, new slots", "1 ADD DUP1 DUP1 SSTORE", "0")
    yield Attack("TLOAD, other slots", "1 ADD DUP1 TLOAD POP", "0")
    yield Attack("TSTORE, other slots", "1 ADD DUP1 DUP1 TSTORE", "0")
    for name in ("BALANCE", "EXTCODESIZE", "EXTCODEHASH"):
        yield Attack(f"{name}, warm", f"PUSH20 {_OTHER} {name} POP")
        yield Attack(f"{name}, cold", f"1 ADD DUP1 {name} POP", f"{2**150}")
    yield Attack("EXTCODECOPY, warm", f"0 0 0 PUSH20 {_OTHER} EXTCODECOPY")
    yield Attack("EXTCODECOPY of 24 KB", f"PUSH2 24000 0 0 PUSH20 {_SELF} EXTCODECOPY")
    empty = f"PUSH0 PUSH0 PUSH0 PUSH0 {{}}PUSH20 {_OTHER} GAS {{}} POP"
    for name in ("CALL", "CALLCODE", "DELEGATECALL", "STATICCALL"):
        value = "PUSH0 " if name in ("CALL", "CALLCODE") else ""
        yield Attack(f"{name} to no code", empty.format(value, name))
        yield Attack(f"{name} to code", empty.format(value, name), other="STOP")
    yield Attack("CALL to code that fails", empty.format("PUSH0 ", "CALL").replace("GAS", "9"),
                 other="INVALID")  # fmt: skip
    yield Attack("CALL with value", empty.format("1 ", "CALL"))
    yield Attack("CALL to new accounts, cold", "1 ADD 0 0 0 0 0 DUP6 PUSH0 CALL POP", f"{2**150}")
    yield Attack("CALL with 10 KB of data",
                 f"0 0 PUSH2 10000 0 0 PUSH20 {_OTHER} GAS CALL POP", other="STOP")  # fmt: skip
    yield Attack("call itself, 1,024 deep", "0 0 0 0 0 ADDRESS GAS CALL POP")
    yield Attack("call itself, 4 KB of memory each", "PUSH2 4064 MLOAD 0 0 0 0 ADDRESS GAS "
                 "DELEGATECALL POP")  # fmt: skip
    yield Attack("CREATE of nothing", "0 0 0 CREATE POP")
    yield Attack("CREATE2 of 48 KB", "1 ADD DUP1 PUSH2 49152 0 0 CREATE2 POP", "0")
    yield Attack("CREATE that deploys 1 byte", "5 0 0 CREATE POP",
                 f"PUSH32 {0x60016000F3 << 216} 0 MSTORE")  # fmt: skip


def program_of(attack: Attack) -> bytes:
    """The body as often as there is room for, in an endless loop."""
    setup, body = assemble(attack.setup), assemble(attack.body)
    back = assemble(f"PUSH2 {len(setup)} JUMP")
    times = max((_CODE_BYTES - len(setup) - 5) // max(len(body), 1), 1) if body else 0
    return setup + b"\x5b" + body * times + back


def seconds_of(attack: Attack, machine: NativeInterpreter, gas: int) -> tuple[float, int]:
    """Processor time after a shorter run has warmed up, and the gas that was used."""
    code = program_of(attack)
    for limit in (gas // 100, gas):
        view = View().put(TARGET, code=code, balance=10**18, storage={1: 2})
        view.put(OTHER, code=assemble(attack.other), balance=1)
        settle()
        begun = time.process_time()
        result = run(code, view=view, machine=machine, gas=limit, fork=OSAKA)
        took = time.process_time() - begun
    return took, result.gas_used


def main(arguments: Sequence[str] = ()) -> None:
    native = NativeInterpreter(cache=user_cache())
    if not native.is_native:
        print("llvmlite is not installed", file=sys.stderr)
        return
    print(f"{machine()}; milliseconds of processor time for 30 million gas, natively")
    rows = []
    for attack in attacks():
        seconds, used = seconds_of(attack, native, GAS)
        rows.append((attack.name, 1_000 * seconds * GAS / max(used, 1), used))
    rows.sort(key=lambda row: -row[1])
    show(("program", "ms", "gas used"), rows)


if __name__ == "__main__":
    main(sys.argv[1:])
