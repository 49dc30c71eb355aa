"""Contracts that do what their call data say, so that a few codes make endless plays.

A script's call data are a list of messages to send, each with call data of its own, which
may be a script again; all others are small: they count, write, look, create or destroy
themselves. They run in all forks; where an opcode is missing, they halt.
"""

from typing import Any, Final

from chain.crypto.keccak import keccak
from contracts.vm import OPCODES
from tests.differential_vm.bytecode import push

Json = dict[str, Any]

_CODES: Final = {row.name: row.code for row in OPCODES.values()}
CALL, DELEGATECALL, STATICCALL, CALLCODE = range(4)  # kinds of a script's messages
RETURNS, REVERTS, HALTS, DESTROYS, DESTROYS_FOR_ITSELF = range(5)  # how a script ends
_SIZE_BYTES: Final = 2
_GAS_SHIFT: Final = 128
_VALUE_SHIFT: Final = 160
VALUE_MAX: Final = 2**88 - 1
_KIND_SHIFT: Final = 248
_DEPLOYING_BYTES: Final = 13


def assembled(text: str) -> bytes:
    """Names of opcodes, numbers to push, `:name` for a destination and `@name` to push it."""
    code = bytearray()
    places: dict[str, int] = {}
    wanted: list[tuple[int, str]] = []
    for word in text.split():
        if word.startswith(":"):
            places[word[1:]] = len(code)
            code.append(_CODES["JUMPDEST"])
        elif word.startswith("@"):
            wanted.append((len(code) + 1, word[1:]))
            code += b"\x61\0\0"
        elif word in _CODES:
            code.append(_CODES[word])
        else:
            code += push(int(word, 0))
    for at, name in wanted:
        code[at : at + 2] = places[name].to_bytes(2, "big")
    return bytes(code)


def _sending(label: str, name: str, *, with_value: bool) -> str:
    """One kind of a script's messages. The stack is place, size, first word, kind."""
    value = f"DUP6 {2**_VALUE_SHIFT} SWAP1 DIV {VALUE_MAX} AND DUP7" if with_value else "DUP6"
    place = "DUP10" if with_value else "DUP9"
    gas = f"{place} 32 ADD CALLDATALOAD {2**_GAS_SHIFT} SWAP1 DIV"
    return f":{label} 32 64 DUP5 96 {value} {gas} {name} @sent JUMP"


def _script(told: str) -> bytes:
    """In memory: what all so far have come to, success, output, call data to send."""
    return assembled(
        f"""
        0
        :loop DUP1 64 ADD CALLDATASIZE LT @end JUMPI
        0 64 MSTORE
        DUP1 32 ADD CALLDATALOAD 0xffff AND
        DUP1 DUP3 64 ADD 96 CALLDATACOPY
        DUP2 CALLDATALOAD DUP1 {2**_KIND_SHIFT} SWAP1 DIV
        DUP1 {DELEGATECALL} EQ @delegatecall JUMPI
        DUP1 {STATICCALL} EQ @staticcall JUMPI
        DUP1 {CALLCODE} EQ @callcode JUMPI
        {_sending("call", "CALL", with_value=True)}
        {_sending("delegatecall", "DELEGATECALL", with_value=False)}
        {_sending("staticcall", "STATICCALL", with_value=False)}
        {_sending("callcode", "CALLCODE", with_value=True)}
        :sent 32 MSTORE POP POP {told}
        96 0 KECCAK256 0 MSTORE
        ADD 64 ADD @loop JUMP
        :end CALLDATASIZE SUB
        DUP1 {REVERTS} EQ @revert JUMPI
        DUP1 {HALTS} EQ @halt JUMPI
        DUP1 {DESTROYS} EQ @destroy JUMPI
        DUP1 {DESTROYS_FOR_ITSELF} EQ @destroy_itself JUMPI
        32 0 RETURN
        :revert 32 0 REVERT
        :halt INVALID
        :destroy CALLER SELFDESTRUCT
        :destroy_itself ADDRESS SELFDESTRUCT
        """
    )


SCRIPT: Final = _script("")
# Tells its balance after each message, which native code remembers.
RICH_SCRIPT: Final = _script("SELFBALANCE 64 MLOAD ADD 64 MSTORE")

DESTROYER: Final = assembled("0 CALLDATALOAD SELFDESTRUCT")
COUNTER: Final = assembled(
    "0 CALLDATALOAD DUP1 SLOAD 1 ADD DUP1 0 MSTORE SWAP1 SSTORE CALLER 32 0 LOG1 32 0 RETURN"
)
WRITER: Final = assembled("32 CALLDATALOAD 0 CALLDATALOAD SSTORE")
DOOMED_WRITER: Final = WRITER + assembled("0 0 REVERT")
TRANSIENT_COUNTER: Final = assembled(
    "0 CALLDATALOAD DUP1 TLOAD 1 ADD DUP1 0 MSTORE SWAP1 TSTORE 32 0 RETURN"
)
# What is told costs what its warmth says.
READER: Final = assembled(
    "0 CALLDATALOAD DUP1 BALANCE 0 MSTORE DUP1 EXTCODESIZE 32 MSTORE EXTCODEHASH 64 MSTORE"
    " 96 0 KECCAK256 0 MSTORE 32 0 RETURN"
)
SLOT_READER: Final = assembled("0 CALLDATALOAD SLOAD 0 MSTORE GAS 32 MSTORE 64 0 RETURN")
OWNER: Final = assembled(
    "SELFBALANCE ADDRESS BALANCE ADD CALLVALUE ADD 0 MSTORE 32 0 32 0 LOG0 RETURN"
)
# What only the block and the transaction decide.
WITNESS: Final = assembled(
    "COINBASE 0 MSTORE TIMESTAMP 32 MSTORE NUMBER 64 MSTORE PREVRANDAO 96 MSTORE"
    " GASLIMIT 128 MSTORE ORIGIN 160 MSTORE GASPRICE 192 MSTORE 1 NUMBER SUB BLOCKHASH 224 MSTORE"
    " 0 CALLDATALOAD NUMBER SUB BLOCKHASH 256 MSTORE 288 0 KECCAK256 0 MSTORE 32 0 RETURN"
)
BLOB_WITNESS: Final = assembled(
    "BASEFEE 0 MSTORE 0 BLOBHASH 32 MSTORE 1 BLOBHASH 64 MSTORE 2 BLOBHASH 96 MSTORE"
    " 0 CALLDATALOAD BLOBHASH 128 MSTORE BLOBBASEFEE 160 MSTORE 192 0 KECCAK256 0 MSTORE"
    " 32 0 RETURN"
)
ECHO: Final = assembled("CALLDATASIZE 0 0 CALLDATACOPY CALLDATASIZE 0 RETURN")
# A salt, then initcode.
FACTORY: Final = assembled(
    "32 CALLDATASIZE SUB DUP1 32 0 CALLDATACOPY 0 CALLDATALOAD SWAP1 0 CALLVALUE CREATE2"
    " 0 MSTORE 32 0 RETURN"
)
PLAIN_FACTORY: Final = assembled(
    "32 CALLDATASIZE SUB DUP1 32 0 CALLDATACOPY 0 CALLVALUE CREATE 0 MSTORE 32 0 RETURN"
)
# Sends what it is sent on to the address in the first word, and undoes that.
UNDOING: Final = assembled(
    "CALLDATASIZE 0 0 CALLDATACOPY 32 0 32 CALLDATASIZE SUB 32 CALLVALUE 0 CALLDATALOAD GAS CALL"
    " 0 MSTORE 32 0 REVERT"
)

_CAST: Final = (
    SCRIPT, SCRIPT, RICH_SCRIPT, COUNTER, COUNTER, WRITER, DOOMED_WRITER, TRANSIENT_COUNTER, READER,
    SLOT_READER, OWNER, ECHO, DESTROYER, DESTROYER, FACTORY, PLAIN_FACTORY, UNDOING,
    WITNESS, BLOB_WITNESS,
)  # fmt: skip
ACTORS: Final = {bytes([0x10 + at]) * 20: code for at, code in enumerate(_CAST)}
SCRIPTS: Final = tuple(address for address, code in ACTORS.items() if code in (SCRIPT, RICH_SCRIPT))
KEEPERS: Final = tuple(a for a, code in ACTORS.items() if code in (COUNTER, WRITER, SLOT_READER))
SALTING: Final = tuple(address for address, code in ACTORS.items() if code == FACTORY)
FACTORIES: Final = tuple(a for a, code in ACTORS.items() if code in (FACTORY, PLAIN_FACTORY))


def deploying(runtime: bytes, before: str = "") -> bytes:
    """Initcode that does something and then deploys."""
    head = assembled(before)
    place = len(head) + _DEPLOYING_BYTES
    tail = bytes((0x61, *len(runtime).to_bytes(2, "big"), 0x80, 0x61, *place.to_bytes(2, "big")))
    tail += assembled("0 CODECOPY 0 RETURN")
    assert len(tail) == _DEPLOYING_BYTES
    return head + tail + runtime


INITCODES: Final = (
    deploying(COUNTER),
    deploying(DESTROYER),
    deploying(SCRIPT),
    deploying(WRITER, "7 1 SSTORE 1 SLOAD 1 ADD 2 SSTORE"),
    deploying(b""),
    deploying(b"\xef\x01"),
    deploying(COUNTER, "5 SLOAD 1 ADD 5 SSTORE ADDRESS BALANCE 3 SSTORE"),
    assembled("1 0 SSTORE CALLER SELFDESTRUCT"),
    assembled("1 0 SSTORE 0 0 REVERT"),
    b"",
)


def created_with_salt(factory: bytes, salt: int, initcode: bytes) -> bytes:
    """Where CREATE2 deploys (EIP-1014)."""
    return keccak(b"\xff" + factory + salt.to_bytes(32, "big") + keccak(initcode))[12:]


def call_data(told: str | Json) -> bytes:
    """Call data: hexadecimal, or a script as `calls` and `end`."""
    if isinstance(told, str):
        return bytes.fromhex(told.removeprefix("0x"))
    encoded = b""
    for call in told["calls"]:
        data = call_data(call["data"])[: 2 ** (8 * _SIZE_BYTES) - 1]
        to = int(call["to"], 16) | int(call["value"], 16) << _VALUE_SHIFT
        to |= call["kind"] << _KIND_SHIFT
        encoded += to.to_bytes(32, "big")
        encoded += (int(call["gas"], 16) << _GAS_SHIFT | len(data)).to_bytes(32, "big") + data
    return encoded + bytes(told["end"])
