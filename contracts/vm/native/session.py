"""The Python side of a session: the shared areas, frames and slots in them, and growing them.

One top-level message is one session. Areas stay between sessions; a generation number
makes all that earlier ones left in the slot table count as free.
"""

import struct
from collections.abc import Iterator
from typing import Final, TypeAlias

from chain.blocks import Log
from chain.errors import Fault
from chain.forks import Fork, StoragePricing
from chain.machine import BlockContext, TransactionContext
from chain.state import State
from chain.types import Address, Hash
from contracts.vm.frame import DEPTH_MAX, Environment, Frame
from contracts.vm.native import records
from contracts.vm.native.areas import Area, address_of_bytes
from contracts.vm.native.codes import NativeCode
from contracts.vm.native.objects import Native
from contracts.vm.native.precompiled.contracts import PrecompiledCode
from contracts.vm.native.records import (
    BLOBS_MAX,
    BLOCK_HASH_SIZE,
    CALLEE_SIZE,
    FRAME_SIZE,
    FRAME_STRIDE,
    JOURNAL_READY,
    JOURNAL_RECORD,
    LEFT_GROW_JOURNAL,
    LEFT_GROW_LOGS,
    LEFT_GROW_MEMORY,
    LEFT_GROW_RETURNED,
    LEFT_GROW_SLOTS,
    SLOT_SIZE,
    TRANSIENT,
    layout,
)
from contracts.vm.opcodes import OPCODES

# What native code may call without asking.
ReadyCode: TypeAlias = NativeCode | PrecompiledCode

FRAME: Final = layout(records.Frame)
SESSION: Final = layout(records.Session)
SLOT: Final = layout(records.Slot)
CALLEE: Final = layout(records.Callee)

# 64-bit words from the start of a record.
GAS, PC, TOP = FRAME.index("gas"), FRAME.index("pc"), FRAME.index("top")
MEMORY, MEMORY_SIZE = FRAME.index("memory"), FRAME.index("memory_size")
OUTPUT, OUTPUT_SIZE = FRAME.index("output"), FRAME.index("output_size")

_JOURNAL_AT, _LOG_AT = SESSION.index("journal_at"), SESSION.index("log_at")
_REFUND, _RETURNED_SIZE = SESSION.index("refund"), SESSION.index("returned_size")
_GENERATION = SESSION.index("generation")
_SLOT_MISSED, _SLOTS_USED = SESSION.index("slot_missed"), SESSION.index("slots_used")

_FRAME_HEAD: Final = struct.Struct("<25Q32s32s32s32s")
_SLOT: Final = struct.Struct("<32s32s32sQQQQ")
_SLOT_FILLED: Final = struct.Struct("<32s32sQQQ")  # from the value on, to `warm`
_SLOT_VALUE: Final = SLOT.offsets["value"]
_FRAME_EPOCH, _BALANCE_EPOCH = FRAME.index("balance_epoch"), SESSION.index("balance_epoch")
_CALLEE_READY: Final = CALLEE.index("ready")
_CALLEE_CODE, _CALLEE_MESSAGES = CALLEE.index("code"), CALLEE.index("messages")
_SLOT_ACCOUNT: Final = SLOT.index("account")
_CALLEE_HEAD: Final = struct.Struct("<32s9Q")
_KNOWN: Final = ("code", "gas", "static", "return_offset", "return_size")
_LOG_HEAD: Final = struct.Struct("<QQ")
_ADDRESS_PADDING: Final = bytes(12)

_SLOTS: Final = 2**12  # entries at first
_CALLEES: Final = 2**12  # entries; half of them are used, further accounts stay Python's
_MEMORY_BYTES: Final = 2**24
_JOURNAL_BYTES: Final = 2**20
_LOG_BYTES: Final = 2**18
_RETURNED_BYTES: Final = 2**18
# All fields before the fork's numbers.
_HEAD_FIELDS: Final = tuple(SESSION.offsets)[: SESSION.index("access_lists")]
_KEPT_BYTES_MAX: Final = 2**26  # an area that became larger is given back after the session

_PRICINGS: Final = {
    StoragePricing.PLAIN: records.PRICING_PLAIN,
    StoragePricing.NET: records.PRICING_NET,
    StoragePricing.NET_WITH_STIPEND_GUARD: records.PRICING_GUARDED,
}


def little(number: int) -> bytes:
    """A word as native code keeps it."""
    return number.to_bytes(32, "little")


class Session:
    """The shared areas and what is in them."""

    def __init__(self, native: Native) -> None:
        self.native = native
        self.record = Area(SESSION.size)
        self.frames = Area(FRAME_STRIDE * (DEPTH_MAX + 1))
        self._generation = 0
        self._blob_hashes = Area(32 * BLOBS_MAX)
        self._block_hashes = Area(256 * BLOCK_HASH_SIZE)
        self.set("blob_hashes", self._blob_hashes.address)
        self.set("block_hashes", self._block_hashes.address)
        self._fork: Fork | None = None
        self._block: BlockContext | None = None
        self._transaction: TransactionContext | None = None
        self._make_areas()

    def _make_areas(self) -> None:
        self.memory = Area(_MEMORY_BYTES)
        self.journal = Area(_JOURNAL_BYTES)
        self.logs = Area(_LOG_BYTES)
        self.returned = Area(_RETURNED_BYTES)
        self.slots = Area(_SLOTS * SLOT_SIZE)
        self.callees = Area(_CALLEES * CALLEE_SIZE)
        self._first_head = self._head()
        self._grown = False

    # -- fields --

    def get(self, field: str) -> int:
        return self.record.words[SESSION.index(field)]

    def set(self, field: str, number: int) -> None:
        self.record.words[SESSION.index(field)] = number

    def _set_word(self, field: str, number: int) -> None:
        at = SESSION.offsets[field]
        self.record.bytes[at : at + 32] = little(number)

    # -- the beginning and the end --

    def begin(self, fork: Fork, block: BlockContext, transaction: TransactionContext) -> None:
        """Forget the session before."""
        if self._grown:
            self._grown = False
            if self._kept_bytes() > _KEPT_BYTES_MAX:
                self._make_areas()
            self._first_head = self._head()
        self._generation += 1
        self.record.bytes[: len(self._first_head)] = self._first_head
        self.record.words[_GENERATION] = self._generation
        self._accounts: list[Address] = [Address(b"")]  # numbers start at 1
        self._numbers: dict[Address, int] = {}
        self._ready_codes: dict[int, tuple[bytes, ReadyCode]] = {}  # by address
        self._callees: dict[Address, int] = {}  # offsets of entries
        self._seen: list[tuple[int, bool]] = []  # a slot's entry, and whether it was warm
        # By identity: comparing a fork means comparing all of its fields.
        if fork is not self._fork:
            self._fork = fork
            self._set_fork(fork)
        if block is not self._block:
            self._block = block
            self._set_block(block)
        if transaction is not self._transaction:
            self._transaction = transaction
            self._set_word("origin", int.from_bytes(transaction.origin, "big"))
            self._set_word("gas_price", transaction.gas_price)
            self._set_blob_hashes(transaction.blob_hashes)

    def _head(self) -> bytes:
        """What the record starts with at the beginning of a session."""
        slots = self.slots.size // SLOT_SIZE
        fields = {
            "balance_epoch": 1,
            "journal": self.journal.address,
            "journal_at": self.journal.address,
            "journal_end": self.journal.end,
            "slots": self.slots.address,
            "slots_mask": slots - 1,
            "slots_limit": slots // 2,
            "callees": self.callees.address,
            "callees_mask": _CALLEES - 1,
            "logs": self.logs.address,
            "log_at": self.logs.address,
            "log_end": self.logs.end,
            "returned": self.returned.address,
            "returned_limit": self.returned.size,
            "memory_end": self.memory.end,
        }
        return b"".join(fields.get(name, 0).to_bytes(8, "little") for name in _HEAD_FIELDS)

    def _kept_bytes(self) -> int:
        areas = (self.memory, self.journal, self.logs, self.returned, self.slots)
        return sum(area.size for area in areas)

    def _set_areas(self) -> None:
        self.set("journal", self.journal.address)
        self.set("journal_end", self.journal.end)
        self.set("logs", self.logs.address)
        self.set("log_end", self.logs.end)
        self.set("memory_end", self.memory.end)
        self.set("returned", self.returned.address)
        self.set("returned_limit", self.returned.size)
        self.set("callees", self.callees.address)
        self.set("callees_mask", _CALLEES - 1)
        self.set("slots", self.slots.address)
        count = self.slots.size // SLOT_SIZE
        self.set("slots_mask", count - 1)
        self.set("slots_limit", count // 2)

    def _set_fork(self, fork: Fork) -> None:
        self.set("access_lists", fork.access_lists)
        self.set("cold_slot", fork.gas_cold_slot)
        self.set("cold_slot_extra", fork.gas_cold_slot - fork.gas_warm)
        self.set("exp_byte", fork.gas_exp_byte)
        self.set("keeps_one_64th", fork.keeps_one_64th)
        self.set("storage_pricing", _PRICINGS[fork.storage_pricing])
        # With access lists the first touch has been paid apart (EIP-2929).
        self.set("storage_touch", fork.gas_warm if fork.access_lists else fork.gas_sload)
        reset = fork.gas_storage_reset
        self.set("storage_reset", reset - fork.gas_cold_slot if fork.access_lists else reset)
        self.set("storage_set", fork.gas_storage_set)
        self.set("refund_clear", fork.refund_storage_clear)
        start = SESSION.index("static_gas")
        for opcode in OPCODES.values():
            self.record.words[start + opcode.code] = opcode.static_gas(fork)

    def _set_blob_hashes(self, hashes: tuple[Hash, ...]) -> None:
        self.set("blob_count", len(hashes))
        for at, blob_hash in enumerate(hashes):
            self._blob_hashes.bytes[32 * at : 32 * at + 32] = blob_hash[::-1]

    def keep_block_hash(self, number: int, word: int) -> None:
        """Let native code give this hash of the current block's ancestor itself."""
        at = number % 256 * BLOCK_HASH_SIZE
        self._block_hashes.bytes[at : at + 8] = ((number + 1) % 2**64).to_bytes(8, "little")
        self._block_hashes.bytes[at + 8 : at + BLOCK_HASH_SIZE] = little(word)

    def keep_balance(self, depth: int, balance: int) -> None:
        """Let native code give the balance of the frame's account itself, until wei moves."""
        at = depth * FRAME_STRIDE
        self.frames.words[(at >> 3) + _FRAME_EPOCH] = self.record.words[_BALANCE_EPOCH]
        at += FRAME.offsets["balance"]
        self.frames.bytes[at : at + 32] = little(balance)

    def wei_moved(self) -> None:
        """Balances that native code has been told may be others now."""
        self.record.words[_BALANCE_EPOCH] += 1

    def _set_block(self, block: BlockContext) -> None:
        self._block_hashes.bytes[:] = bytes(self._block_hashes.size)
        self._set_word("coinbase", int.from_bytes(block.coinbase, "big"))
        self._set_word("timestamp", block.timestamp)
        self._set_word("number", block.number)
        self._set_word("randomness", block.randomness)
        self._set_word("gas_limit", block.gas_limit)
        self._set_word("chain_id", block.chain_id)
        self._set_word("base_fee", block.base_fee)
        self._set_word("blob_base_fee", block.blob_base_fee)

    def settle(self, state: State) -> None:
        """Give the state what a successful message has changed here."""
        for entry, was_warm in self._seen:
            key, value, _, account, _, warm, dirty = _SLOT.unpack_from(self.slots.bytes, entry)
            if not dirty and warm == was_warm:
                continue
            address = self._accounts[account & ~TRANSIENT]
            slot = int.from_bytes(key, "little")
            if dirty:
                if account & TRANSIENT:
                    state.set_transient(address, slot, int.from_bytes(value, "little"))
                else:
                    state.set_storage(address, slot, int.from_bytes(value, "little"))
            if warm and not was_warm:
                state.warm_slot(address, slot)
        state.logs += self._logs()
        refund = self.record.words[_REFUND]
        state.refund += refund - 2**64 if refund >> 63 else refund

    def _logs(self) -> list[Log]:
        found = []
        at, end, content = 0, self.record.words[_LOG_AT] - self.logs.address, self.logs.bytes
        while at < end:
            size, topics = _LOG_HEAD.unpack_from(content, at)
            address = Address(bytes(content[at + 16 : at + 36])[::-1])
            at += 48
            words = tuple(Hash(bytes(content[i : i + 32])) for i in range(at, at + 32 * topics, 32))
            at += 32 * topics
            found.append(Log(address, words, bytes(content[at : at + size])))
            at += (size + 7) & ~7
        return found

    # -- frames --

    def push(self, frame: Frame, code: NativeCode) -> None:
        """Write a message that has begun into the frame of its depth."""
        at = frame.depth * FRAME_STRIDE
        if frame.depth:
            sender = (at - FRAME_STRIDE) >> 3
            words = self.frames.words
            memory = words[sender + MEMORY] + words[sender + MEMORY_SIZE]
        else:
            memory = self.memory.address
        self.record.words[_RETURNED_SIZE] = 0
        _FRAME_HEAD.pack_into(
            self.frames.bytes,
            at,
            self.record.address,
            frame.gas,
            0,
            self.frames.address + at + FRAME_SIZE,
            memory,
            0,
            code.address,
            len(frame.code),
            code.destinations,
            code.data,
            code.compiled,
            address_of_bytes(frame.data),
            len(frame.data),
            0,
            0,
            frame.static,
            frame.depth,
            self.number_of(frame.address),
            self.record.words[_JOURNAL_AT] - self.journal.address,
            self.record.words[_LOG_AT] - self.logs.address,
            self.record.words[_REFUND],
            1,
            0,
            0,
            0,
            frame.address[::-1] + _ADDRESS_PADDING,
            frame.caller[::-1] + _ADDRESS_PADDING,
            little(frame.value),
            b"",
        )

    def undo(self, depth: int) -> None:
        """Take back what the frame at `depth` has changed here."""
        words, at = self.frames.words, depth * FRAME_STRIDE >> 3
        mark = self.journal.address + words[at + FRAME.index("journal_mark")]
        if self.record.words[_JOURNAL_AT] != mark:
            self.native.undo(self.record.address, mark)
        self.record.words[_LOG_AT] = self.logs.address + words[at + FRAME.index("log_mark")]
        self.record.words[_REFUND] = words[at + FRAME.index("refund_mark")]

    def known_frame(self, depth: int, env: Environment) -> Frame:
        """A frame for Python of a message that native code has begun.

        Python then has to end it: the state's marks are Python's. Nothing in the state
        has changed since the message began, so the mark may be taken now.
        """
        at = depth * FRAME_STRIDE
        words, content = self.frames.words, self.frames.bytes
        word_of = {name: words[(at >> 3) + FRAME.index(name)] for name in _KNOWN}
        address, caller, value = (
            bytes(content[at + FRAME.offsets[name] : at + FRAME.offsets[name] + 32])
            for name in ("address", "caller", "value")
        )
        account = Address(address[19::-1])
        frame = Frame(
            env,
            "CALL",
            Address(caller[19::-1]),
            account,
            account,
            self._ready_codes[word_of["code"]][0],
            b"",  # native code alone reads it
            word_of["gas"],
            int.from_bytes(value, "little"),
            depth,
            bool(word_of["static"]),
            return_offset=word_of["return_offset"],
            return_size=word_of["return_size"],
        )
        frame.mark = env.state.checkpoint()
        words[(at >> 3) + FRAME.index("of_python")] = 1
        return frame

    def make_ready(self, address: Address, code: bytes, native_code: ReadyCode) -> None:
        """Let native code call this account itself: it is warm and this is its code.

        That is taken back with what the frame now running has changed, since then the
        account may be cold again, or have no code.
        """
        found = self._callees.get(address)
        if found is not None and self.callees.words[(found >> 3) + _CALLEE_READY]:
            return
        key = address[::-1] + _ADDRESS_PADDING
        if found is None:
            if len(self._callees) >= _CALLEES // 2:
                return
            found = self._callees[address] = self._free_callee(key)
        # Written anew each time: an account whose creation was taken back may have other code.
        _CALLEE_HEAD.pack_into(
            self.callees.bytes,
            found,
            key,
            self._generation,
            1,
            self.number_of(address),
            native_code.address,
            native_code.size,
            native_code.destinations,
            native_code.data,
            native_code.compiled,
            0,
        )
        self._ready_codes[native_code.address] = code, native_code
        if self.record.words[_JOURNAL_AT] + JOURNAL_RECORD > self.journal.end:
            self.grow(LEFT_GROW_JOURNAL, JOURNAL_RECORD)
        at = self.record.words[_JOURNAL_AT] - self.journal.address
        self.journal.words[at >> 3] = self.callees.address + found + JOURNAL_READY
        self.record.words[_JOURNAL_AT] += JOURNAL_RECORD

    def forget(self, address: Address) -> None:
        """An account has got code: what was known of it, if anything, may be wrong."""
        found = self._callees.get(address)
        if found is not None:
            self.callees.words[(found >> 3) + _CALLEE_READY] = 0

    def messages_sent(self) -> Iterator[tuple[bytes, int]]:
        """The codes that native code has sent messages to, and how many."""
        words = self.callees.words
        for found in self._callees.values():
            number = words[(found >> 3) + _CALLEE_MESSAGES]
            if number:
                code, _ = self._ready_codes[words[(found >> 3) + _CALLEE_CODE]]
                if code:  # not a precompiled contract
                    yield code, number

    def _free_callee(self, key: bytes) -> int:
        """The offset of the entry where the kernel find_callee will look."""
        place = self.native.find_callee(self.record.address, address_of_bytes(key))
        return place - self.callees.address

    def number_of(self, address: Address) -> int:
        """The number that stands for an account in this session."""
        number = self._numbers.get(address)
        if number is None:
            number = self._numbers[address] = len(self._accounts)
            self._accounts.append(address)
        return number

    def return_output(self, output: bytes) -> None:
        """What RETURNDATACOPY sees from now on."""
        size = len(output)
        if size > self.returned.size:
            self.grow(LEFT_GROW_RETURNED, size)
        self.returned.bytes[:size] = output
        self.record.words[_RETURNED_SIZE] = size

    # -- what native code lacks --

    def fill_slot(self, state: State) -> None:
        """Complete the entry that a storage opcode has asked for."""
        words = self.record.words
        entry = words[_SLOT_MISSED] - self.slots.address
        content = self.slots.bytes
        account = self.slots.words[(entry >> 3) + _SLOT_ACCOUNT]
        key = int.from_bytes(content[entry : entry + 32], "little")
        if account & TRANSIENT:
            value = original = state.transient(self._accounts[account & ~TRANSIENT], key)
            warm = True
        else:
            address = self._accounts[account]
            value = state.storage(address, key)
            original = state.original_storage(address, key)
            warm = state.is_warm_slot(address, key)
        _SLOT_FILLED.pack_into(
            content,
            entry + _SLOT_VALUE,
            value.to_bytes(32, "little"),
            original.to_bytes(32, "little"),
            account,
            self._generation,
            warm,
        )
        words[_SLOTS_USED] += 1
        self._seen.append((entry, warm))

    def stack_bottom(self, depth: int) -> int:
        """The offset of the lowest word of a frame's stack."""
        return depth * FRAME_STRIDE + FRAME_SIZE

    def grow(self, what: int, wanted: int) -> None:
        """Make an area larger; `wanted` is how many bytes more it has to have room for."""
        self._grown = True
        if what == LEFT_GROW_MEMORY:
            self.grow_memory(wanted, (self.get("frame") - self.frames.address) // FRAME_STRIDE)
        elif what == LEFT_GROW_JOURNAL:
            used = self.record.words[_JOURNAL_AT] - self.journal.address
            self.journal = self.journal.larger(wanted)
            self.record.words[_JOURNAL_AT] = self.journal.address + used
        elif what == LEFT_GROW_LOGS:
            used = self.record.words[_LOG_AT] - self.logs.address
            self.logs = self.logs.larger(wanted)
            self.record.words[_LOG_AT] = self.logs.address + used
        elif what == LEFT_GROW_RETURNED:
            self.returned = self.returned.larger(wanted)
        elif what == LEFT_GROW_SLOTS:
            self._grow_slots()
        else:
            raise Fault(f"native code was left for an unknown reason: {what}")
        self._set_areas()

    def grow_memory(self, wanted: int, deepest: int) -> None:
        """Make the memory larger and correct the addresses in all open frames."""
        self._grown = True
        before = self.memory
        self.memory = before.larger(wanted)
        self.set("memory_end", self.memory.end)
        distance = self.memory.address - before.address
        words = self.frames.words
        for depth in range(deepest + 1):
            at = depth * FRAME_STRIDE >> 3
            for field in (MEMORY, FRAME.index("data"), OUTPUT):
                if before.address <= words[at + field] <= before.end:
                    words[at + field] += distance

    def _grow_slots(self) -> None:
        before, generation = self.slots, SLOT.index("generation")
        self.slots = Area(2 * before.size)
        mask = self.slots.size // SLOT_SIZE - 1
        self.native.move_slots(self.record.address, self.slots.address, mask, self.journal.address)
        # An entry that has moved says where to in its first word.
        words = before.words
        self._seen = [(words[entry >> 3] - self.slots.address, warm) for entry, warm in self._seen]
        assert all(self.slots.words[(entry >> 3) + generation] for entry, _ in self._seen)


assert _FRAME_HEAD.size == FRAME.size, "a frame's fields are packed in their order"
