"""Storage as a table of slots with a journal; what the table lacks is asked of Python.

Prices and refunds are those of contracts.vm.storage, which is the definition.
"""

from contracts.vm.native.records import (
    CALLEE_SIZE,
    FULL_JOURNAL,
    FULL_SLOTS,
    JOURNAL_READY,
    JOURNAL_RECORD,
    JOURNAL_WARM,
    MISSING_SLOT,
    NO_GAS,
    PRICING_GUARDED,
    PRICING_PLAIN,
    SLOT_SIZE,
    TRANSIENT,
    U64,
    Callee,
    Frame,
    Session,
    Slot,
    Words,
)
from contracts.vm.native.words import address_of, at, inlined, words_at

STIPEND = 2_300  # a frame with no more gas may not write storage (EIP-2200)
TAGS = 7  # the bits of a journal record's address that say what it undoes


@inlined
def equal(a: Words, b: Words) -> U64:
    return ((a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3])) == 0


@inlined
def is_zero(a: Words) -> U64:
    return (a[0] | a[1] | a[2] | a[3]) == 0


@inlined
def copy_word(to: Words, source: Words) -> None:
    for i in range(4):
        to[i] = source[i]


@inlined
def spread(key: Words, account: U64) -> U64:
    """A number whose upper bits depend on all bits of the key and the account."""
    mixed = key[0] ^ (key[1] * 0x9E3779B97F4A7C15) ^ (key[2] * 0xC2B2AE3D27D4EB4F) ^ key[3]
    mixed = (mixed ^ (account * 0xA0761D6478BD642F)) * 0xFF51AFD7ED558CCD
    mixed = (mixed ^ (mixed >> 32)) * 0xC4CEB9FE1A85EC53
    return mixed >> 24


def find_slot(session: Session, account: U64, key: Words) -> U64:
    """The address of the slot's entry, or of the free one where it would be."""
    place = spread(key, account)
    slot = at(Slot, session.slots + (place & session.slots_mask) * SLOT_SIZE)
    while slot.generation == session.generation and not (
        slot.account == account and equal(slot.key, key)
    ):
        place += 1
        slot = at(Slot, session.slots + (place & session.slots_mask) * SLOT_SIZE)
    return address_of(slot)


def miss(session: Session, slot: Slot, account: U64, key: Words) -> U64:
    """Prepare a free entry for Python to complete."""
    if session.slots_used >= session.slots_limit:
        return FULL_SLOTS
    copy_word(slot.key, key)
    slot.account = account
    slot.warm = 0
    slot.dirty = 0
    session.slot_missed = address_of(slot)
    return MISSING_SLOT


@inlined
def journal_full(session: Session) -> U64:
    """Whether there is no room for the two records that an opcode may need."""
    return session.journal_at + 2 * JOURNAL_RECORD > session.journal_end


@inlined
def record(session: Session, thing: U64, old: Words) -> None:
    """Note how to undo a change."""
    entry = words_at(session.journal_at)
    entry[0] = thing
    for i in range(4):
        entry[i + 1] = old[i]
    session.journal_at += JOURNAL_RECORD


@inlined
def warm(session: Session, slot: Slot) -> None:
    slot.warm = 1
    record(session, address_of(slot) | JOURNAL_WARM, slot.value)


def load_slot(frame: Frame, key: Words, gas: U64) -> U64:
    """SLOAD: put the value in place of the key; the gas left, or why not."""
    session = at(Session, frame.session)
    slot = at(Slot, find_slot(session, frame.account, key))
    if slot.generation != session.generation:
        return miss(session, slot, frame.account, key)
    if session.access_lists and slot.warm == 0:
        if journal_full(session):
            return FULL_JOURNAL
        if gas < session.cold_slot_extra:
            return NO_GAS
        gas -= session.cold_slot_extra
        warm(session, slot)
    copy_word(key, slot.value)
    return gas


def load_transient(frame: Frame, key: Words, gas: U64) -> U64:
    """TLOAD, likewise."""
    session = at(Session, frame.session)
    account = frame.account | TRANSIENT
    slot = at(Slot, find_slot(session, account, key))
    if slot.generation != session.generation:
        return miss(session, slot, account, key)
    copy_word(key, slot.value)
    return gas


def store_transient(frame: Frame, key: Words, value: Words, gas: U64) -> U64:
    """TSTORE; the gas left, or why not."""
    session = at(Session, frame.session)
    account = frame.account | TRANSIENT
    slot = at(Slot, find_slot(session, account, key))
    if slot.generation != session.generation:
        return miss(session, slot, account, key)
    if journal_full(session):
        return FULL_JOURNAL
    write(session, slot, value)
    return gas


@inlined
def write(session: Session, slot: Slot, value: Words) -> None:
    record(session, address_of(slot), slot.value)
    copy_word(slot.value, value)
    slot.dirty = 1


def store_slot(frame: Frame, key: Words, value: Words, gas: U64) -> U64:
    """SSTORE; the gas left, or why not."""
    session = at(Session, frame.session)
    if session.storage_pricing == PRICING_GUARDED and gas <= STIPEND:
        return NO_GAS
    slot = at(Slot, find_slot(session, frame.account, key))
    if slot.generation != session.generation:
        return miss(session, slot, frame.account, key)
    if journal_full(session):
        return FULL_JOURNAL
    cost = 0
    cold = session.storage_pricing != PRICING_PLAIN and session.access_lists and slot.warm == 0
    if cold:
        cost = session.cold_slot
    refund = session.refund
    if session.storage_pricing == PRICING_PLAIN:
        cost += plain_price(session, slot, value)
    else:
        cost += net_price(session, slot, value)
    if gas < cost:
        # Compiled code tries again with what it has prepaid, so nothing may have changed.
        session.refund = refund
        return NO_GAS
    if cold:
        warm(session, slot)
    write(session, slot, value)
    return gas - cost


@inlined
def plain_price(session: Session, slot: Slot, value: Words) -> U64:
    if is_zero(slot.value) and not is_zero(value):
        return session.storage_set
    if is_zero(value) and not is_zero(slot.value):
        session.refund += session.refund_clear
    return session.storage_reset


@inlined
def net_price(session: Session, slot: Slot, value: Words) -> U64:
    """EIP-1283 and its successors: pay for the slot's net change over the transaction."""
    if equal(value, slot.value):
        return session.storage_touch
    set_before = not is_zero(slot.original)
    if equal(slot.value, slot.original):
        if not set_before:
            return session.storage_set
        if is_zero(value):
            session.refund += session.refund_clear
        return session.storage_reset
    if set_before:
        if is_zero(slot.value):
            session.refund -= session.refund_clear
        elif is_zero(value):
            session.refund += session.refund_clear
    if equal(value, slot.original):
        if set_before:
            session.refund += session.storage_reset - session.storage_touch
        else:
            session.refund += session.storage_set - session.storage_touch
    return session.storage_touch


def undo(session: Session, mark: U64) -> None:
    """Take back everything since the journal was at `mark`."""
    while session.journal_at != mark:
        session.journal_at -= JOURNAL_RECORD
        entry = words_at(session.journal_at)
        tag = entry[0] & TAGS
        if tag == JOURNAL_WARM:
            slot = at(Slot, entry[0] - JOURNAL_WARM)
            slot.warm = 0
        elif tag == JOURNAL_READY:
            callee = at(Callee, entry[0] - JOURNAL_READY)
            callee.ready = 0
        else:
            changed = at(Slot, entry[0])
            for i in range(4):
                changed.value[i] = entry[i + 1]


def move_slots(session: Session, to: U64, mask: U64, journal: U64) -> None:
    """Use the larger, empty table at `to`; `journal` is where the journal starts."""
    old = session.slots
    count = session.slots_mask + 1
    session.slots = to
    session.slots_mask = mask
    for i in range(count):
        slot = at(Slot, old + i * SLOT_SIZE)
        if slot.generation == session.generation:
            moved = at(Slot, find_slot(session, slot.account, slot.key))
            source = words_at(address_of(slot))
            target = words_at(address_of(moved))
            for j in range(SLOT_SIZE >> 3):
                target[j] = source[j]
            source[0] = address_of(moved)  # for the journal, below
    while journal != session.journal_at:
        entry = words_at(journal)
        tag = entry[0] & TAGS
        if tag != JOURNAL_READY:
            forward = words_at(entry[0] - tag)
            entry[0] = forward[0] | tag
        journal += JOURNAL_RECORD


def find_callee(session: Session, address: Words) -> U64:
    """The address of the account's entry, or of the free one where it would be."""
    place = spread(address, 0)
    callee = at(Callee, session.callees + (place & session.callees_mask) * CALLEE_SIZE)
    while callee.generation == session.generation and not equal(callee.address, address):
        place += 1
        callee = at(Callee, session.callees + (place & session.callees_mask) * CALLEE_SIZE)
    return address_of(callee)
