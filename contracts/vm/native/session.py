"""The Python side of a session: the shared areas, messages beginning and ending in them.

What outlives a message is in contracts.vm.native.tables.
"""

import struct
from collections.abc import Sequence
from typing import Final

from chain.blocks import Log
from chain.errors import Fault
from chain.forks import Fork, StoragePricing
from chain.machine import BlockContext, Message, TransactionContext
from chain.state import State
from chain.types import Address, Hash
from contracts.vm.frame import DEPTH_MAX, Environment, Frame
from contracts.vm.native import records
from contracts.vm.native.areas import Area, address_of_bytes
from contracts.vm.native.codes import NativeCode
from contracts.vm.native.objects import Native
from contracts.vm.native.records import (
    BLOBS_MAX,
    BLOCK_HASH_SIZE,
    FRAME_SIZE,
    FRAME_STRIDE,
    HASHED_SIZE,
    HASHES,
    LEFT_BROKEN,
    LEFT_GROW_ACCOUNTS,
    LEFT_GROW_JOURNAL,
    LEFT_GROW_LOGS,
    LEFT_GROW_MEMORY,
    LEFT_GROW_RETURNED,
    LEFT_GROW_SLOTS,
    layout,
)
from contracts.vm.native.tables import Tables
from contracts.vm.opcodes import OPCODES

FRAME: Final = layout(records.Frame)
SESSION: Final = layout(records.Session)

# 64-bit words from the start of a record.
GAS, PC, TOP = FRAME.index("gas"), FRAME.index("pc"), FRAME.index("top")
MEMORY, MEMORY_SIZE = FRAME.index("memory"), FRAME.index("memory_size")
OUTPUT, OUTPUT_SIZE = FRAME.index("output"), FRAME.index("output_size")
CURRENT: Final = SESSION.index("frame")

_JOURNAL_AT, _LOG_AT = SESSION.index("journal_at"), SESSION.index("log_at")
_REFUND, _RETURNED_SIZE = SESSION.index("refund"), SESSION.index("returned_size")
_LAST_WARMED, _LAPSED = SESSION.index("last_warmed"), SESSION.index("lapsed")
_JOURNAL_MARK, _LOG_MARK = FRAME.index("journal_mark"), FRAME.index("log_mark")
_REFUND_MARK, _OF_PYTHON = FRAME.index("refund_mark"), FRAME.index("of_python")

_FRAME_HEAD: Final = struct.Struct("<24Q32s32s32s")
_KNOWN: Final = ("code", "gas", "static", "return_offset", "return_size")
_NO_VALUE: Final = bytes(32)
_LOG_HEAD: Final = struct.Struct("<QQ20s12x")

_MEMORY_BYTES: Final = 2**24
_JOURNAL_BYTES: Final = 2**20
_LOG_BYTES: Final = 2**18
_RETURNED_BYTES: Final = 2**18
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
        self.tables = Tables(native, self.record)
        self._blob_hashes = Area(32 * BLOBS_MAX)
        self._block_hashes = Area(256 * BLOCK_HASH_SIZE)
        self._hashes = Area(HASHES * HASHED_SIZE)
        self.set("hashes", self._hashes.address)
        self.set("blob_hashes", self._blob_hashes.address)
        self.set("block_hashes", self._block_hashes.address)
        self._fork: Fork | None = None
        self._block: BlockContext | None = None
        self._transaction: TransactionContext | None = None
        self._told = 0  # the state knows what was made warm up to here in the journal
        self._make_areas()

    def _make_areas(self) -> None:
        self.memory = Area(_MEMORY_BYTES)
        self.journal = Area(_JOURNAL_BYTES)
        self.logs = Area(_LOG_BYTES)
        self.returned = Area(_RETURNED_BYTES)
        self._set_areas()
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

    def begin(
        self,
        state: State,
        fork: Fork,
        block: BlockContext,
        transaction: TransactionContext,
        code_changes: int,
    ) -> None:
        """A top-level message is about to run."""
        if self._grown and self._kept_bytes() > _KEPT_BYTES_MAX:
            self._make_areas()
        tables = self.tables
        words = self.record.words
        words[_JOURNAL_AT] = self.journal.address
        words[_LOG_AT] = self.logs.address
        words[_REFUND] = words[_RETURNED_SIZE] = words[_LAST_WARMED] = words[_LAPSED] = 0
        self._told = 0
        tables.serve(state, fork, code_changes)
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
        tables.running = True

    def _kept_bytes(self) -> int:
        return sum(area.size for area in (self.memory, self.journal, self.logs, self.returned))

    def _set_areas(self) -> None:
        self.set("journal", self.journal.address)
        self.set("journal_end", self.journal.end)
        self.set("logs", self.logs.address)
        self.set("log_end", self.logs.end)
        self.set("memory_end", self.memory.end)
        self.set("returned", self.returned.address)
        self.set("returned_limit", self.returned.size)

    def _set_fork(self, fork: Fork) -> None:
        self.set("access_lists", fork.access_lists)
        self.set("cold_slot", fork.gas_cold_slot)
        self.set("cold_slot_extra", fork.gas_cold_slot - fork.gas_warm)
        self.set("cold_account_extra", fork.gas_cold_account - fork.gas_warm)
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

    def tell(self, state: State, marks: Sequence[int] = ()) -> list[int]:
        """Let the state know what native code has made warm.

        In between it takes checkpoints, which are given: as of the moments when the
        journal was as long as each of `marks`, which rise.
        """
        at = self.record.words[_JOURNAL_AT] - self.journal.address
        warmed = self.tables.newly_warm(self.journal, self._told)
        self._told = at
        checkpoints = []
        for mark in marks:
            while warmed and warmed[-1][0] <= mark:
                state.warm_address(warmed.pop()[1])
            checkpoints.append(state.checkpoint())
        while warmed:
            state.warm_address(warmed.pop()[1])
        return checkpoints

    def end(self, state: State, fork: Fork, *, succeeded: bool) -> None:
        """The top-level message is over; what it has done becomes the state's.

        A failed one has been undone.
        """
        words, tables = self.record.words, self.tables
        if succeeded:
            if words[_LAST_WARMED] > self._told:
                self.tell(state)
            self._give_logs_and_refund(state)
        if words[_LAPSED]:
            tables.note_lapsed(state)
        tables.running = False
        if not fork.access_lists:
            # Without them the first touch of an account may mean more than its price.
            tables.release()

    def abandon(self) -> None:
        """The message was broken off; the state may be anything."""
        self.native.undo(self.record.address, self.journal.address)
        self.tables.running = False
        self.tables.release()

    def show(self, state: State) -> None:
        """Let the state have everything as it is at this moment."""
        self.tables.show(state)
        self._give_logs_and_refund(state)

    def _give_logs_and_refund(self, state: State) -> None:
        words = self.record.words
        size = words[_LOG_AT] - self.logs.address
        if size:
            state.add_logs_later(bytes(self.logs.bytes[:size]), _logs)
        refund = words[_REFUND]
        if refund:
            state.refund += refund - 2**64 if refund >> 63 else refund

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
            self.tables.number_of(frame.address),
            self.record.words[_JOURNAL_AT] - self.journal.address,
            self.record.words[_LOG_AT] - self.logs.address,
            self.record.words[_REFUND],
            1,
            0,
            0,
            frame.address[::-1],
            frame.caller[::-1],
            little(frame.value),
        )

    def push_first(self, message: Message, code: NativeCode) -> int:
        """Likewise for a top-level message that calls without value; the address of its frame."""
        data, start, address = message.data, self.frames.address, message.address
        _FRAME_HEAD.pack_into(
            self.frames.bytes,
            0,
            self.record.address,
            message.gas,
            0,
            start + FRAME_SIZE,
            self.memory.address,
            0,
            code.address,
            code.size,
            code.destinations,
            code.data,
            code.compiled,
            address_of_bytes(data),
            len(data),
            0,
            0,
            message.static,
            0,
            self.tables.number_of(address),
            0,
            0,
            0,
            1,
            0,
            0,
            address[::-1],
            message.caller[::-1],
            _NO_VALUE,
        )
        return start

    def undo(self, depth: int) -> None:
        """Take back what the frame at `depth` has changed here."""
        words, at = self.frames.words, depth * FRAME_STRIDE >> 3
        mark = words[at + _JOURNAL_MARK]
        place = self.journal.address + mark
        if self.record.words[_JOURNAL_AT] != place:
            self.native.undo(self.record.address, place)
        self._told = min(self._told, mark)
        self.record.words[_LOG_AT] = self.logs.address + words[at + _LOG_MARK]
        self.record.words[_REFUND] = words[at + _REFUND_MARK]

    def known_frames(self, first: int, last: int, env: Environment) -> list[Frame]:
        """Frames for Python of messages that native code has begun, by depth; and all else that
        the state should know by now.

        Python then has to end them: the state's marks are Python's. What has changed in the
        state since they began is what native code has made warm.
        """
        words = self.frames.words
        places = [depth * FRAME_STRIDE >> 3 for depth in range(first, last + 1)]
        marks = self.tell(env.state, [words[at + _JOURNAL_MARK] for at in places])
        found = []
        for depth, mark in zip(range(first, last + 1), marks):
            frame = self._known_frame(depth, env)
            frame.mark = mark
            found.append(frame)
        return found

    def _known_frame(self, depth: int, env: Environment) -> Frame:
        at = depth * FRAME_STRIDE
        words, content = self.frames.words, self.frames.bytes
        word_of = {name: words[(at >> 3) + FRAME.index(name)] for name in _KNOWN}
        address, caller, value = (
            bytes(content[at + FRAME.offsets[name] : at + FRAME.offsets[name] + 32])
            for name in ("address", "caller", "value")
        )
        account = Address(address[19::-1])
        words[(at >> 3) + _OF_PYTHON] = 1
        return Frame(
            env,
            "CALL",
            Address(caller[19::-1]),
            account,
            account,
            self.tables.code_at(word_of["code"]),
            b"",  # native code alone reads it
            word_of["gas"],
            int.from_bytes(value, "little"),
            depth,
            bool(word_of["static"]),
            return_offset=word_of["return_offset"],
            return_size=word_of["return_size"],
        )

    def return_output(self, output: bytes) -> None:
        """What RETURNDATACOPY sees from now on."""
        size = len(output)
        if size > self.returned.size:
            self.grow(LEFT_GROW_RETURNED, size)
        self.returned.bytes[:size] = output
        self.record.words[_RETURNED_SIZE] = size

    # -- what native code lacks --

    def stack_bottom(self, depth: int) -> int:
        """The offset of the lowest word of a frame's stack."""
        return depth * FRAME_STRIDE + FRAME_SIZE

    def grow(self, what: int, wanted: int) -> None:
        """Make an area larger; `wanted` is how many bytes more it has to have room for."""
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
            self.tables.grow_slots()
            return
        elif what == LEFT_GROW_ACCOUNTS:
            self.tables.grow_accounts()
            return
        elif what == LEFT_BROKEN:
            raise Fault("a precompiled contract's definition failed; its error was printed")
        else:
            raise Fault(f"native code was left for an unknown reason: {what}")
        self._grown = True
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


def _logs(content: bytes) -> list[Log]:
    """The logs that native code has written, in their order."""
    found = []
    at, end = 0, len(content)
    while at < end:
        size, topics, address = _LOG_HEAD.unpack_from(content, at)
        at += _LOG_HEAD.size
        words = []
        for _ in range(topics):
            words.append(Hash(content[at : at + 32]))
            at += 32
        found.append(Log(Address(address[::-1]), tuple(words), content[at : at + size]))
        at += (size + 7) & ~7
    return found


assert _FRAME_HEAD.size == FRAME.size, "a frame's fields are packed in their order"
