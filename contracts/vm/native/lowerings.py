"""How opcodes become native instructions: the `lower` column of contracts.vm.opcodes, but for
what contracts.vm.native.arithmetic has.

Each function mirrors the semantics named beside it in the table; the tests compare the
two. No library is imported here, so the table can be read without one.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from chain.machine import Halt
from contracts.vm.frame import DEPTH_MAX
from contracts.vm.native.assembly import Value, constant, word
from contracts.vm.native.records import (
    BLOCK_HASH_SIZE,
    CALL_DELEGATED,
    CALL_OF_OWN,
    CALL_PLAIN,
    CALL_STATIC,
    Frame,
    layout,
)

if TYPE_CHECKING:
    from contracts.vm.native.emitter import Emitter

Lowering = Callable[..., Value | None]

_OWN_ADDRESS: Final = layout(Frame).offsets["address"]


# -- the environment --


def _of_frame(name: str) -> Lowering:
    def lower(e: "Emitter") -> Value:
        return e.frame_word(name)

    return lower


def _of_session(name: str) -> Lowering:
    def lower(e: "Emitter") -> Value:
        return e.session_word(name)

    return lower


def _size_of(name: str) -> Lowering:
    def lower(e: "Emitter") -> Value:
        return e.to_word(e.field(name))

    return lower


address, caller, callvalue = _of_frame("address"), _of_frame("caller"), _of_frame("value")
origin, gasprice = _of_session("origin"), _of_session("gas_price")
coinbase, timestamp = _of_session("coinbase"), _of_session("timestamp")
number, randomness = _of_session("number"), _of_session("randomness")
gaslimit, chainid = _of_session("gas_limit"), _of_session("chain_id")
basefee, blobbasefee = _of_session("base_fee"), _of_session("blob_base_fee")
calldatasize, codesize = _size_of("data_size"), _size_of("code_size")
msize = _size_of("memory_size")


def returndatasize(e: "Emitter") -> Value:
    return e.to_word(e.session_field("returned_size"))


def gas(e: "Emitter") -> Value:
    return e.to_word(e.gas)


def calldataload(e: "Emitter", offset: Value) -> Value:
    f = e.f
    start, size = e.clamped(offset), e.field("data_size")
    whole, part, after = f.new_block(), f.new_block(), f.new_block()
    inside = f.compare("ule", f.add(start, constant(32)), size)
    f.branch(inside, whole, part, likely=True)
    f.block = whole
    loaded = f.load("i256", f.pointer(f.add(e.field("data"), start)), 1)
    f.go_to(after)
    f.block = part
    place = f.local("i256")
    e.call("copy_padded", f.address(place), e.field("data"), size, start, constant(32))
    padded = f.load("i256", place)
    f.go_to(after)
    f.block = after
    return f.swap_bytes(f.phi((loaded, whole), (padded, part)))


def blobhash(e: "Emitter", index: Value) -> Value:
    f = e.f
    inside = f.compare("ult", index, e.to_word(e.session_field("blob_count")))
    safe = f.select(inside, f.narrow(index, "i64"), constant(0))
    place = f.add(e.session_field("blob_hashes"), f.shl(safe, constant(5)))
    return f.select(inside, f.load("i256", f.pointer(place)), word(0))


def blockhash(e: "Emitter", asked: Value) -> Value:
    """Native for blocks that have been asked for before."""
    f = e.f
    current = e.session_word("number")
    inside = f.and_(
        f.compare("ult", asked, current), f.compare("ule", f.sub(current, asked), word(256))
    )
    low = f.narrow(asked, "i64")
    record = f.mul(f.and_(low, constant(255)), constant(BLOCK_HASH_SIZE))
    place = f.pointer(f.add(e.session_field("block_hashes"), record))
    unknown = f.compare("ne", f.load("i64", place), f.add(low, constant(1)))
    e.leave_if(f.and_(inside, unknown))
    return f.select(inside, f.load("i256", f.offset(place, 8)), word(0))


# -- memory --


def mload(e: "Emitter", offset: Value) -> Value:
    place = e.memory(offset, 32)
    return e.f.swap_bytes(e.f.load("i256", e.f.pointer(place), 1))


def mstore(e: "Emitter", offset: Value, value: Value) -> None:
    place = e.memory(offset, 32)
    e.f.store(e.f.swap_bytes(value), e.f.pointer(place), 1)


def mstore8(e: "Emitter", offset: Value, value: Value) -> None:
    place = e.memory(offset, 1)
    e.f.store(e.f.narrow(value, "i8"), e.f.pointer(place), 1)


def mcopy(e: "Emitter", to: Value, source: Value, size: Value) -> None:
    f = e.f
    count = e.size(size)
    e.charge_words(3, count)
    farther = f.select(f.compare("ugt", to, source), to, source)
    e.memory(farther, count)
    # Once the farther one is in memory, the nearer one is too; for size 0 neither counts.
    memory = e.field("memory")
    target, origin_ = (f.add(memory, f.narrow(offset, "i64")) for offset in (to, source))
    f.move_bytes(f.pointer(target), f.pointer(origin_), count)


def _copy(e: "Emitter", to: Value, offset: Value, size: Value, source: Value, have: Value) -> None:
    count = e.size(size)
    e.charge_words(3, count)
    target = e.memory(to, count)
    e.call("copy_padded", target, source, have, e.clamped(offset), count)


def calldatacopy(e: "Emitter", to: Value, offset: Value, size: Value) -> None:
    _copy(e, to, offset, size, e.field("data"), e.field("data_size"))


def codecopy(e: "Emitter", to: Value, offset: Value, size: Value) -> None:
    _copy(e, to, offset, size, e.field("code_data"), e.field("code_size"))


def returndatacopy(e: "Emitter", to: Value, offset: Value, size: Value) -> None:
    f = e.f
    have = e.session_field("returned_size")
    end = f.add(e.clamped(offset), e.clamped(size))
    e.halt_if(f.compare("ugt", end, have), Halt.RETURN_DATA_OUT_OF_BOUNDS)
    _copy(e, to, offset, size, e.session_field("returned"), have)


def keccak256(e: "Emitter", offset: Value, size: Value) -> Value:
    count = e.size(size)
    e.charge_words(6, count)
    place = e.memory(offset, count)
    f, digest, data = e.f, e.f.local("i256"), e.f.pointer(place)
    pair, other, after = f.new_block(), f.new_block(), f.new_block()
    f.branch(f.compare("eq", count, constant(64)), pair, other)
    f.block = pair
    e.call("keccak_pair", e.frame, digest, data)
    f.go_to(after)
    f.block = other
    e.call("keccak", digest, data, count)
    f.go_to(after)
    f.block = after
    return e.f.swap_bytes(e.unspill(digest))


def log(e: "Emitter", offset: Value, size: Value, *topics: Value) -> None:
    f = e.f
    _need_write(e)
    count = e.size(size)
    e.charge(f.shl(count, constant(3)))
    data = e.memory(offset, count)
    record = e.checked(e.call("reserve_log", e.frame, count, constant(len(topics))))
    for i, topic in enumerate(topics):
        f.store(f.swap_bytes(topic), f.pointer(f.add(record, constant(48 + 32 * i))))
    target = f.add(record, constant(48 + 32 * len(topics)))
    f.move_bytes(f.pointer(target), f.pointer(data), count)


# -- storage --


def _need_write(e: "Emitter") -> None:
    static = e.f.compare("ne", e.field("static"), constant(0))
    e.halt_if(static, Halt.WRITE_PROTECTION)


def sload(e: "Emitter", slot: Value) -> Value:
    place = e.spill(slot)
    e.gas = e.checked(e.call("load_slot", e.frame, place, e.gas))
    return e.unspill(place)


def tload(e: "Emitter", slot: Value) -> Value:
    place = e.spill(slot)
    e.gas = e.checked(e.call("load_transient", e.frame, place, e.gas))
    return e.unspill(place)


def sstore(e: "Emitter", slot: Value, value: Value) -> None:
    _need_write(e)
    e.gas = e.checked(e.call("store_slot", e.frame, e.spill(slot), e.spill(value), e.gas))


def tstore(e: "Emitter", slot: Value, value: Value) -> None:
    _need_write(e)
    e.gas = e.checked(e.call("store_transient", e.frame, e.spill(slot), e.spill(value), e.gas))


# -- other accounts --

_ADDRESS: Final = word(2**160 - 1)


def _account(e: "Emitter", word_: Value) -> Value:
    """The address of what is known about an account, as soon as anything is."""
    return e.checked(e.call("known_account", e.frame, e.spill(e.f.and_(word_, _ADDRESS))))


def _warm_up(e: "Emitter", account: Value) -> None:
    """Pay what a cold account costs on top. The last thing before something changes."""
    e.gas = e.checked(e.call("warm_account", e.frame, account, e.gas))


def selfbalance(e: "Emitter") -> Value:
    own = e.f.offset(e.frame, _OWN_ADDRESS)
    account = e.checked(e.call("known_account", e.frame, own))
    return e.account_word(account, "balance")


def balance(e: "Emitter", target: Value) -> Value:
    account = _account(e, target)
    _warm_up(e, account)
    return e.account_word(account, "balance")


def extcodesize(e: "Emitter", target: Value) -> Value:
    account = _account(e, target)
    _warm_up(e, account)
    return e.to_word(e.account_field(account, "code_size"))


def extcodehash(e: "Emitter", target: Value) -> Value:
    account = _account(e, target)
    _warm_up(e, account)
    return e.account_word(account, "code_hash")


def extcodecopy(e: "Emitter", target: Value, to: Value, offset: Value, size: Value) -> None:
    account = _account(e, target)
    count = e.size(size)
    e.charge_words(3, count)
    place = e.memory(to, count)
    _warm_up(e, account)
    code, have = e.account_field(account, "code_data"), e.account_field(account, "code_size")
    e.call("copy_padded", place, code, have, e.clamped(offset), count)


def _call(
    e: "Emitter",
    kind: int,
    wanted: Value,
    to: Value,
    value: Value | None,
    offset: Value,
    size: Value,
    out_offset: Value,
    out_size: Value,
) -> None:
    """A message without value, to an account whose code is known; others are Python's."""
    f = e.f
    foreign = f.compare("uge", e.field("depth"), constant(DEPTH_MAX))
    if value is not None:
        foreign = f.or_(foreign, f.compare("ne", value, word(0)))
    e.leave_if(foreign)
    account = _account(e, to)
    e.leave_if(f.compare("eq", e.account_field(account, "callable"), constant(0)))
    data_size, return_size = e.size(size), e.size(out_size)
    data = e.memory(offset, data_size)
    e.memory(out_offset, return_size)
    _warm_up(e, account)
    gas = _gas_to_send(e, wanted)
    pops = 6 if value is None else 7
    e.open_frame(pops, gas, constant(kind), account, data, data_size,
                 e.clamped(out_offset), return_size)  # fmt: skip


def _gas_to_send(e: "Emitter", wanted: Value) -> Value:
    """Take the callee's gas from the frame: what was asked for, within what may be given."""
    f = e.f
    most = constant(-1)
    asked = f.select(f.compare("ugt", wanted, word(2**64 - 1)), most, f.narrow(wanted, "i64"))
    keeps = f.compare("ne", e.session_field("keeps_one_64th"), constant(0))
    allowed = f.select(keeps, f.sub(e.gas, f.lshr(e.gas, constant(6))), most)
    gas = f.select(f.compare("ult", asked, allowed), asked, allowed)
    e.charge(gas)
    return gas


def call(e: "Emitter", wanted: Value, to: Value, value: Value, *places: Value) -> None:
    _call(e, CALL_PLAIN, wanted, to, value, *places)


def callcode(e: "Emitter", wanted: Value, to: Value, value: Value, *places: Value) -> None:
    _call(e, CALL_OF_OWN, wanted, to, value, *places)


def delegatecall(e: "Emitter", wanted: Value, to: Value, *places: Value) -> None:
    _call(e, CALL_DELEGATED, wanted, to, None, *places)


def staticcall(e: "Emitter", wanted: Value, to: Value, *places: Value) -> None:
    _call(e, CALL_STATIC, wanted, to, None, *places)


# -- the end --


def stop(e: "Emitter") -> None:
    e.set_field("output_size", constant(0))
    e.end(None)


def _output(e: "Emitter", offset: Value, size: Value) -> None:
    count = e.size(size)
    place = e.memory(offset, count)
    e.set_field("output", place)
    e.set_field("output_size", count)


def return_(e: "Emitter", offset: Value, size: Value) -> None:
    _output(e, offset, size)
    e.end(None)


def revert(e: "Emitter", offset: Value, size: Value) -> None:
    _output(e, offset, size)
    e.end(Halt.REVERT)


def invalid(e: "Emitter") -> None:
    e.end(Halt.BAD_OPCODE)
