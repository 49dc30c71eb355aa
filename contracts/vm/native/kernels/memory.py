"""Memory, data that is read with zeros after its end, hashing, jump destinations, logs."""

from contracts.vm.native.records import (
    FULL_LOGS,
    FULL_MEMORY,
    HASHED_SIZE,
    HASHES,
    MEMORY_MAX,
    NO_GAS,
    U64,
    Frame,
    Hashed,
    Session,
    Words,
)
from contracts.vm.native.words import (
    address_of,
    at,
    clear_bytes,
    keccak_permute,
    keccak_word,
    load_byte,
    move_bytes,
    room,
    store_byte,
    words_at,
)

RATE = 136  # bytes of a Keccak-256 block
LOG_HEAD = 48  # bytes of a log record: two counts and the address


def expand(frame: Frame, end: U64, gas: U64) -> U64:
    """Pay for and add the memory up to `end`; the gas left, NO_GAS or FULL_MEMORY."""
    if end > MEMORY_MAX:
        return NO_GAS
    before = frame.memory_size >> 5
    after = (end + 31) >> 5
    cost = 3 * (after - before) + (after * after >> 9) - (before * before >> 9)
    if cost > gas:
        return NO_GAS
    session = at(Session, frame.session)
    size = after << 5
    if frame.memory + size > session.memory_end:
        session.wanted = size
        return FULL_MEMORY
    clear_bytes(frame.memory + frame.memory_size, size - frame.memory_size)
    frame.memory_size = size
    return gas - cost


def copy_padded(to: U64, source: U64, source_size: U64, offset: U64, size: U64) -> None:
    """Copy `size` bytes from `offset` on; behind the end of the source there are zeros."""
    there = 0
    if offset < source_size:
        there = source_size - offset
        if there > size:
            there = size
        move_bytes(to, source + offset, there)
    clear_bytes(to + there, size - there)


def keccak(digest: Words, data: Words, size: U64) -> None:
    """Keccak-256 of `size` bytes, as it stands in memory."""
    if size == 32:
        keccak_word(digest, data)
        return
    source = address_of(data)
    state = room(25)
    for i in range(25):
        state[i] = 0
    while size >= RATE:
        block = words_at(source)
        for i in range(17):
            state[i] = state[i] ^ block[i]
        keccak_permute(state)
        source += RATE
        size -= RATE
    # Whole words, then the one that the padding begins in: a word written in parts would have
    # to be waited for when it is read as one.
    rest = words_at(source)
    count = size >> 3
    for i in range(count):
        state[i] = state[i] ^ rest[i]
    last = 1
    while size & 7 != 0:
        size -= 1
        last = (last << 8) | load_byte(source + size)
    state[count] = state[count] ^ last
    state[16] = state[16] ^ (1 << 63)
    keccak_permute(state)
    for i in range(4):
        digest[i] = state[i]


def keccak_pair(frame: Frame, digest: Words, data: Words) -> None:
    """Keccak-256 of 64 bytes, which is what contracts find their mappings' entries by.

    They ask for the same ones again and again, so the last answers are kept.
    """
    session = at(Session, frame.session)
    mixed = 0
    for i in range(8):
        mixed = (mixed ^ data[i]) * 0x9E3779B97F4A7C15
        mixed = mixed ^ (mixed >> 29)
    kept = at(Hashed, session.hashes + (mixed & (HASHES - 1)) * HASHED_SIZE)
    other: U64 = kept.digest[0] == 0
    for i in range(8):
        other = other | (kept.data[i] ^ data[i])
    if other != 0:
        keccak(digest, data, 64)
        for i in range(8):
            kept.data[i] = data[i]
        for i in range(4):
            kept.digest[i] = digest[i]
    else:
        for i in range(4):
            digest[i] = kept.digest[i]


def mark_destinations(code: U64, size: U64, marks: U64) -> None:
    """Set the byte of every JUMPDEST that is not push data to 1, all others to 0."""
    clear_bytes(marks, size)
    i = 0
    while i < size:
        opcode = load_byte(code + i)
        if opcode == 0x5B:
            store_byte(marks + i, 1)
        if opcode >= 0x60 and opcode <= 0x7F:
            i += opcode - 0x5F
        i += 1


def reserve_log(frame: Frame, size: U64, topics: U64) -> U64:
    """Begin a log record: its address, or FULL_LOGS.

    Record: bytes of data, number of topics, the account, the topics, the data, and
    what completes the last 8 bytes.
    """
    session = at(Session, frame.session)
    whole = LOG_HEAD + 32 * topics + ((size + 7) & ~7)
    if session.log_at + whole > session.log_end:
        session.wanted = whole
        return FULL_LOGS
    record = words_at(session.log_at)
    record[0] = size
    record[1] = topics
    for i in range(4):
        record[i + 2] = frame.address[i]
    start = session.log_at
    session.log_at += whole
    return start
