"""What native code and Python both read and write: records in memory, and how native code ends.

A record is a class whose annotations are its layout: fields follow each other without
gaps, numbers are 64-bit little-endian. Python reaches a field by its offset; kernels
(contracts.vm.native.kernels) and lowerings by its name.
"""

from typing import Annotated, Final, TypeAlias, get_args, get_type_hints

from chain.machine import Halt
from contracts.vm.frame import DEPTH_MAX, STACK_MAX
from contracts.vm.native.declared import compiled

U64: TypeAlias = int


class Words:
    """A pointer to consecutive 64-bit words. In kernels only: Python has no such thing."""

    def __getitem__(self, index: U64) -> U64:
        compiled()

    def __setitem__(self, index: U64, value: U64) -> None:
        compiled()


Word: TypeAlias = Annotated[Words, 32]  # 256 bits, the least significant 64 first
Prices: TypeAlias = Annotated[Words, 256 * 8]  # a number for every opcode


MULTIPLIERS: Final = 9  # one for each half of a key's 64-bit words, one for its account


class Frame:
    """A message in execution. Its stack follows right after it in memory."""

    session: U64  # address
    gas: U64
    pc: U64  # where native code goes on
    top: U64  # address just behind the top of the stack
    memory: U64  # address
    memory_size: U64  # bytes, whole words
    code: U64  # address; zeros follow the code
    code_size: U64
    destinations: U64  # address of one byte for every byte of code, 1 where a jump may go
    code_data: U64  # address of the code as a contract reads it
    compiled: U64  # address of a function's address for every byte of code; 0 for none at all
    data: U64  # address
    data_size: U64
    output: U64  # address, once the frame has ended with output
    output_size: U64
    static: U64  # 0 or 1
    depth: U64
    account: U64  # number of the account whose storage it is
    journal_mark: U64  # how many bytes of it there were when the frame began
    log_mark: U64
    refund_mark: U64
    of_python: U64  # 1 when Python has begun it, or knows it, so that Python has to end it
    return_offset: U64  # where in the sender's memory the output goes
    return_size: U64
    address: Word
    caller: Word
    value: Word


class Slot:
    """A storage slot that this session has seen, or a transient one."""

    key: Word
    value: Word
    original: Word  # at the start of the transaction that `stamp` names
    account: U64  # its number, and TRANSIENT
    generation: U64  # of the session that it belongs to; others' entries count as free
    stamp: U64  # twice the number of the transaction that saw it last, and 1 when it is warm there
    dirty: U64  # 1 once it has been written, also when that was reverted


class Account:
    """An account that this session has seen."""

    address: Word
    balance: Word  # wei
    code_hash: Word  # 0 for an empty account, or none
    generation: U64
    known: U64  # 0 when Python has to be asked for all that follows, and for what is above
    callable: U64  # 1 when native code may run its code, or that there is none
    number: U64
    warm: U64  # the transaction in which it is warm, or ALWAYS_WARM
    lapsed: U64  # the transaction in which native code took back that it is warm
    messages: U64  # that native code has sent to it and Python has not counted
    code: U64
    code_size: U64
    destinations: U64
    code_data: U64
    compiled: U64


class Hashed:
    """An answer of KECCAK256 that is kept."""

    data: Annotated[Words, 64]
    digest: Word  # its first 8 bytes are 0 where nothing is kept


class Session:
    """What all frames of a top-level message share; much of it outlives the message."""

    frame: U64  # address of the one that was running when native code was left
    generation: U64
    transaction: U64  # another number for each
    journal: U64  # address of the first record
    journal_at: U64  # address of the next record
    journal_end: U64
    slots: U64  # address
    slots_mask: U64  # how many there is room for, less 1
    slots_used: U64
    slots_limit: U64
    slot_missed: U64  # address of the entry to be filled in
    accounts: U64  # address
    accounts_mask: U64
    accounts_used: U64
    accounts_limit: U64
    account_place: U64  # address of the entry for `account_missed`
    last_warmed: U64  # behind the last account's record in the journal; 0 for none
    lapsed: U64  # how often that was taken back in this message
    wanted: U64  # bytes that an area to be grown has to have room for
    logs: U64
    log_at: U64
    log_end: U64
    returned: U64  # address of the output of the last message sent
    returned_size: U64
    returned_limit: U64
    memory_end: U64  # of the area in which all frames' memories are
    refund: U64  # change, two's complement
    # the fork's numbers
    access_lists: U64  # 0 or 1
    cold_slot: U64  # a cold slot's whole price
    cold_slot_extra: U64  # what it costs more than a warm one
    cold_account_extra: U64
    exp_byte: U64
    keeps_one_64th: U64
    storage_pricing: U64  # one of the PRICING_ numbers
    storage_touch: U64
    storage_reset: U64
    storage_set: U64
    refund_clear: U64
    # the transaction and the block
    blob_hashes: U64  # address of words
    blob_count: U64
    hashes: U64  # address of HASHES records
    block_hashes: U64  # address of 256 records: 1 + the number, and the hash as a word
    origin: Word
    gas_price: Word
    coinbase: Word
    timestamp: Word
    number: Word
    randomness: Word
    gas_limit: Word
    chain_id: Word
    base_fee: Word
    blob_base_fee: Word
    account_missed: Word  # the address that Python is asked about
    multipliers: Annotated[Words, 8 * MULTIPLIERS]  # random, odd: by them the tables are laid out
    static_gas: Prices


class Layout:
    """The offsets and sizes, in bytes, of a record's fields, and what each is."""

    def __init__(self, record: type) -> None:
        self.offsets: dict[str, int] = {}
        self.sizes: dict[str, int] = {}
        self.kinds: dict[str, type] = {}  # a number, words, or another record
        offset = 0
        for name, hint in get_type_hints(record, include_extras=True).items():
            self.offsets[name] = offset
            self.kinds[name], self.sizes[name] = (int, 8) if hint is int else get_args(hint)
            offset += self.sizes[name]
        self.size = offset

    def index(self, name: str) -> int:
        """Which 64-bit word of the record the field starts at."""
        return self.offsets[name] >> 3


_LAYOUTS: Final[dict[str, Layout]] = {}


def layout(record: type) -> Layout:
    """Computed once for each record."""
    found = _LAYOUTS.get(record.__name__)
    if found is None:
        found = _LAYOUTS[record.__name__] = Layout(record)
    return found


FRAME_SIZE: Final = (layout(Frame).size + 63) & ~63
FRAME_STRIDE: Final = FRAME_SIZE + 32 * STACK_MAX + 64  # from one frame to the next deeper one
SLOT_SIZE: Final = layout(Slot).size
HASHED_SIZE: Final = layout(Hashed).size
HASHES: Final = 2**11  # a power of 2
ACCOUNT_SIZE: Final = layout(Account).size

TRANSIENT: Final = 1 << 63  # in a slot's account
ALWAYS_WARM: Final = 1 << 63  # in an account's `warm`: the fork's precompiled contracts

# A journal record: the entry's address, and what is in 4 words to be put back.
JOURNAL_RECORD: Final = 40
JOURNAL_WARM: Final = 1  # added to the address: the slot was made warm
JOURNAL_ACCOUNT: Final = 2  # added to the address: the account was made warm

BLOBS_MAX: Final = 128  # transactions with more are the plain interpreter's
BLOCK_HASH_SIZE: Final = 40  # a record of Session.block_hashes, at the number modulo 256

# The kinds of messages that native code sends itself.
CALL_PLAIN: Final = 0
CALL_OF_OWN: Final = 1  # CALLCODE
CALL_DELEGATED: Final = 2
CALL_STATIC: Final = 3

PRICING_PLAIN: Final = 0
PRICING_NET: Final = 1
PRICING_GUARDED: Final = 2

# An opcode that no fork has, where code is compiled (contracts.vm.native.jit).
ENTERS_COMPILED: Final = 0x0C

# A frame's end: 0 for success, else the place of its Halt here, counted from 1.
HALTS: Final = tuple(Halt)
NUMBER_OF: Final = {halt: number for number, halt in enumerate(HALTS, 1)}
NUMBER_OF_REVERT: Final = NUMBER_OF[Halt.REVERT]
assert DEPTH_MAX == 1024, "as many frames as there is room for"

# Why native code was left for Python. The lowest byte; an opcode may be in the next one.
LEFT_END: Final = 0  # a frame of Python's is over, how is in the next byte
LEFT_OPCODE: Final = 1  # an opcode without lowering; its static gas is paid
LEFT_SLOT: Final = 2  # Session.slot_missed is wanted; the opcode starts over
LEFT_GROW_MEMORY: Final = 3  # and likewise these, where an area is full
LEFT_GROW_JOURNAL: Final = 4
LEFT_GROW_LOGS: Final = 5
LEFT_GROW_SLOTS: Final = 6
LEFT_GROW_RETURNED: Final = 7
LEFT_STEP: Final = 8  # before every opcode, when traced
LEFT_ACCOUNT: Final = 9  # Session.account_missed is wanted; the opcode starts over
LEFT_GROW_ACCOUNTS: Final = 10
LEFT_BROKEN: Final = 0xFF  # a precompiled contract's definition raised what it never should

# What a kernel gives in place of the gas left: that there is not enough, or why to leave.
# Messages with so much gas run on the plain interpreter.
GAS_LIMIT: Final = 2**64 - 2**32
NO_GAS: Final = 2**64 - 1
MISSING_SLOT: Final = NO_GAS - LEFT_SLOT
FULL_MEMORY: Final = NO_GAS - LEFT_GROW_MEMORY
FULL_JOURNAL: Final = NO_GAS - LEFT_GROW_JOURNAL
FULL_LOGS: Final = NO_GAS - LEFT_GROW_LOGS
FULL_SLOTS: Final = NO_GAS - LEFT_GROW_SLOTS
FULL_RETURNED: Final = NO_GAS - LEFT_GROW_RETURNED
MISSING_ACCOUNT: Final = NO_GAS - LEFT_ACCOUNT
FULL_ACCOUNTS: Final = NO_GAS - LEFT_GROW_ACCOUNTS
BROKEN: Final = NO_GAS - LEFT_BROKEN

MEMORY_MAX: Final = 0x1FFFFFFFE0  # bytes; no gas pays for more (contracts.vm.frame)
