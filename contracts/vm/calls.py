"""The opcodes that send a message: each pays for it and builds the frame it runs in.

Whether the message may start (depth, balance, collision) is contracts.vm.messages' matter.
"""

from typing import Final

from chain.crypto.keccak import keccak
from chain.forks import Fork
from chain.machine import Halt
from chain.types import Address
from contracts.vm.environment import address_of, warm_up
from contracts.vm.frame import Frame, Halted

_GAS_VALUE: Final = 9_000  # a call that moves value
_GAS_STIPEND: Final = 2_300  # what its callee gets on top
_GAS_NEW_ACCOUNT: Final = 25_000  # a call that brings an account into existence
_GAS_KECCAK_WORD: Final = 6

_DELEGATION_MARK: Final = b"\xef\x01\x00"  # EIP-7702
_DELEGATION_SIZE: Final = 23


def delegate_of(code: bytes, fork: Fork) -> Address | None:
    """Whose code runs in place of this designator; None when it is ordinary code (EIP-7702)."""
    if fork.delegations and len(code) == _DELEGATION_SIZE and code.startswith(_DELEGATION_MARK):
        return Address(code[3:])
    return None


def _creates_account(frame: Frame, to: Address, value: int) -> bool:
    """Whether a CALL brings the callee into existence (EIP-161: not without value)."""
    if frame.fork.deletes_empty_accounts:
        return value > 0 and frame.state.is_empty(to)
    return not frame.state.exists(to)


def _code_for(frame: Frame, target: Address) -> tuple[bytes, Address]:
    """The code that a call to `target` runs; pays for a delegation's hop.

    With it comes the address that a precompile is recognised by.
    """
    code = frame.state.code(target)
    delegate = delegate_of(code, frame.fork)
    if delegate is None:
        return code, target
    fork = frame.fork
    cold = frame.state.warm_address(delegate)
    frame.charge(fork.gas_cold_account if cold else fork.gas_warm)
    if delegate in frame.env.precompiles:
        return b"", target  # delegating to a precompile runs nothing
    return frame.state.code(delegate), target


def _gas_to_send(frame: Frame, wanted: int) -> int:
    """Take the callee's gas from the frame: what was asked for, within what may be given."""
    if frame.fork.keeps_one_64th:
        wanted = min(wanted, frame.gas - frame.gas // 64)
    frame.charge(wanted)
    return wanted


def _expand_for_call(frame: Frame, offset: int, size: int, out_offset: int, out_size: int) -> None:
    frame.expand(offset, size)
    frame.expand(out_offset, out_size)


def call(
    frame: Frame,
    wanted: int,
    to: int,
    value: int,
    offset: int,
    size: int,
    out_offset: int,
    out_size: int,
) -> Frame:
    """CALL: run the callee's code in the callee's account."""
    target = address_of(to)
    if value:
        frame.need_write()
    _expand_for_call(frame, offset, size, out_offset, out_size)
    warm_up(frame, target)
    if value:
        frame.charge(_GAS_VALUE)
    if _creates_account(frame, target, value):
        frame.charge(_GAS_NEW_ACCOUNT)
    code, owner = _code_for(frame, target)
    gas = _gas_to_send(frame, wanted)
    return Frame(
        frame.env,
        "CALL",
        frame.address,
        target,
        owner,
        code,
        frame.read(offset, size),
        gas + _GAS_STIPEND if value else gas,
        value,
        frame.depth + 1,
        frame.static,
        transfers=True,
        return_offset=out_offset,
        return_size=out_size,
    )


def callcode(
    frame: Frame,
    wanted: int,
    to: int,
    value: int,
    offset: int,
    size: int,
    out_offset: int,
    out_size: int,
) -> Frame:
    """CALLCODE: run the callee's code in this account, as if it called itself."""
    target = address_of(to)
    _expand_for_call(frame, offset, size, out_offset, out_size)
    warm_up(frame, target)
    if value:
        frame.charge(_GAS_VALUE)
    code, owner = _code_for(frame, target)
    gas = _gas_to_send(frame, wanted)
    return Frame(
        frame.env,
        "CALLCODE",
        frame.address,
        frame.address,
        owner,
        code,
        frame.read(offset, size),
        gas + _GAS_STIPEND if value else gas,
        value,
        frame.depth + 1,
        frame.static,
        return_offset=out_offset,
        return_size=out_size,
    )


def delegatecall(
    frame: Frame,
    wanted: int,
    to: int,
    offset: int,
    size: int,
    out_offset: int,
    out_size: int,
) -> Frame:
    """DELEGATECALL: run the callee's code in this account with this frame's caller and value."""
    target = address_of(to)
    _expand_for_call(frame, offset, size, out_offset, out_size)
    warm_up(frame, target)
    code, owner = _code_for(frame, target)
    return Frame(
        frame.env,
        "DELEGATECALL",
        frame.caller,
        frame.address,
        owner,
        code,
        frame.read(offset, size),
        _gas_to_send(frame, wanted),
        frame.value,
        frame.depth + 1,
        frame.static,
        return_offset=out_offset,
        return_size=out_size,
    )


def staticcall(
    frame: Frame,
    wanted: int,
    to: int,
    offset: int,
    size: int,
    out_offset: int,
    out_size: int,
) -> Frame:
    """STATICCALL: like CALL without value, and nothing below may write (EIP-214)."""
    target = address_of(to)
    _expand_for_call(frame, offset, size, out_offset, out_size)
    warm_up(frame, target)
    code, owner = _code_for(frame, target)
    return Frame(
        frame.env,
        "STATICCALL",
        frame.address,
        target,
        owner,
        code,
        frame.read(offset, size),
        _gas_to_send(frame, wanted),
        0,
        frame.depth + 1,
        True,
        transfers=True,
        return_offset=out_offset,
        return_size=out_size,
    )


def _initcode(frame: Frame, offset: int, size: int, *, hashed: bool) -> bytes:
    fork = frame.fork
    if fork.initcode_size_max is not None and size > fork.initcode_size_max:
        raise Halted(Halt.INITCODE_TOO_LARGE)
    price = fork.gas_initcode_word + (_GAS_KECCAK_WORD if hashed else 0)
    frame.charge(price * ((size + 31) >> 5))
    frame.expand(offset, size)
    return frame.read(offset, size)


def _creation(frame: Frame, kind: str, address: Address, value: int, initcode: bytes) -> Frame:
    return Frame(
        frame.env,
        kind,
        frame.address,
        address,
        address,
        initcode,
        b"",
        _gas_to_send(frame, frame.gas),
        value,
        frame.depth + 1,
        frame.static,
        creates=True,
        transfers=True,
    )


def create(frame: Frame, value: int, offset: int, size: int) -> Frame:
    """CREATE: deploy at an address made of the creator's address and nonce."""
    frame.need_write()
    initcode = _initcode(frame, offset, size, hashed=False)
    address = created_address(frame.address, frame.state.nonce(frame.address))
    return _creation(frame, "CREATE", address, value, initcode)


def create2(frame: Frame, value: int, offset: int, size: int, salt: int) -> Frame:
    """CREATE2: deploy at an address made of creator, salt and initcode (EIP-1014)."""
    frame.need_write()
    initcode = _initcode(frame, offset, size, hashed=True)
    seed = b"\xff" + frame.address + salt.to_bytes(32, "big") + keccak(initcode)
    return _creation(frame, "CREATE2", Address(keccak(seed)[12:]), value, initcode)


def created_address(creator: Address, nonce: int) -> Address:
    """Where the creator's next contract goes: keccak of rlp([creator, nonce]), last 20 bytes."""
    number = nonce.to_bytes((nonce.bit_length() + 7) // 8, "big")
    if len(number) != 1 or number[0] >= 0x80:
        number = bytes([0x80 + len(number)]) + number
    payload = b"\x94" + creator + number
    return Address(keccak(bytes([0xC0 + len(payload)]) + payload)[12:])
