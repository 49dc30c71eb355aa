"""Storage as a table of slots; what the table lacks is asked of Python.

Slots stay from one transaction to the next. The first one to look at a slot makes it cold,
and its value the original one, so that nobody has to go through the table in between.

Prices and refunds are those of contracts.vm.storage, which is the definition.
"""

from contracts.vm.native.kernels.journal import (
    copy_word,
    equal,
    is_zero,
    journal_full,
    record,
    spread,
)
from contracts.vm.native.records import (
    FULL_JOURNAL,
    FULL_SLOTS,
    JOURNAL_WARM,
    MISSING_SLOT,
    NO_GAS,
    PRICING_GUARDED,
    PRICING_PLAIN,
    SLOT_SIZE,
    TRANSIENT,
    U64,
    Frame,
    Session,
    Slot,
    Words,
)
from contracts.vm.native.words import address_of, at, inlined, words_at

STIPEND = 2_300  # a frame with no more gas may not write storage (EIP-2200)


def find_slot(session: Session, account: U64, key: Words) -> U64:
    """The address of the slot's entry, or of the free one where it would be."""
    place = spread(session, key, account)
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
    slot.dirty = 0
    session.slot_missed = address_of(slot)
    return MISSING_SLOT


@inlined
def renew(session: Session, slot: Slot) -> None:
    """Before all else: what an earlier transaction has left is cold and original."""
    if slot.stamp >> 1 != session.transaction:
        slot.stamp = session.transaction << 1
        copy_word(slot.original, slot.value)


def transient_slot(session: Session, account: U64, key: Words) -> U64:
    """The address of a transient slot, which starts each transaction as 0; or FULL_SLOTS."""
    slot = at(Slot, find_slot(session, account, key))
    if slot.generation != session.generation:
        if session.slots_used >= session.slots_limit:
            return FULL_SLOTS
        session.slots_used += 1
        copy_word(slot.key, key)
        slot.account = account
        slot.generation = session.generation
        slot.dirty = 0
        slot.stamp = 0
    if slot.stamp >> 1 != session.transaction:
        slot.stamp = session.transaction << 1
        for i in range(4):
            slot.value[i] = 0
            slot.original[i] = 0
    return address_of(slot)


@inlined
def warm(session: Session, slot: Slot) -> None:
    slot.stamp += 1
    record(session, address_of(slot) | JOURNAL_WARM, slot.value)


def load_slot(frame: Frame, key: Words, gas: U64) -> U64:
    """SLOAD: put the value in place of the key; the gas left, or why not."""
    session = at(Session, frame.session)
    slot = at(Slot, find_slot(session, frame.account, key))
    if slot.generation != session.generation:
        return miss(session, slot, frame.account, key)
    renew(session, slot)
    if session.access_lists and slot.stamp & 1 == 0:
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
    found = transient_slot(session, frame.account | TRANSIENT, key)
    if found == FULL_SLOTS:
        return FULL_SLOTS
    slot = at(Slot, found)
    copy_word(key, slot.value)
    return gas


def store_transient(frame: Frame, key: Words, value: Words, gas: U64) -> U64:
    """TSTORE; the gas left, or why not."""
    session = at(Session, frame.session)
    if journal_full(session):
        return FULL_JOURNAL
    found = transient_slot(session, frame.account | TRANSIENT, key)
    if found == FULL_SLOTS:
        return FULL_SLOTS
    slot = at(Slot, found)
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
    renew(session, slot)
    cost = 0
    cold = session.storage_pricing != PRICING_PLAIN and session.access_lists and slot.stamp & 1 == 0
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


def collect_slots(session: Session, to: U64) -> U64:
    """Write the addresses of all entries that Python has to hear of to `to`; how many.

    What has been written, and what the present transaction has made warm or written for its time.
    """
    found = words_at(to)
    count = 0
    for i in range(session.slots_mask + 1):
        slot = at(Slot, session.slots + i * SLOT_SIZE)
        if slot.generation == session.generation:
            wanted: U64 = slot.stamp >> 1 == session.transaction
            if slot.account < TRANSIENT:
                wanted = slot.dirty | (wanted & slot.stamp)
            if wanted & 1:
                found[count] = address_of(slot)
                count += 1
    return count
