"""Going back in the journal, and moving the tables that it points into."""

from contracts.vm.native.kernels.accounts import find_account
from contracts.vm.native.kernels.storage import find_slot
from contracts.vm.native.records import (
    ACCOUNT_SIZE,
    JOURNAL_ACCOUNT,
    JOURNAL_RECORD,
    JOURNAL_WARM,
    SLOT_SIZE,
    U64,
    Account,
    Session,
    Slot,
)
from contracts.vm.native.words import address_of, at, words_at

TAGS = 7  # the bits of a journal record's address that say what it undoes


def undo(session: Session, mark: U64) -> None:
    """Take back everything since the journal was at `mark`."""
    while session.journal_at != mark:
        session.journal_at -= JOURNAL_RECORD
        entry = words_at(session.journal_at)
        tag = entry[0] & TAGS
        if tag == JOURNAL_WARM:
            slot = at(Slot, entry[0] - JOURNAL_WARM)
            slot.stamp = (slot.stamp >> 1) << 1
        elif tag == JOURNAL_ACCOUNT:
            account = at(Account, entry[0] - JOURNAL_ACCOUNT)
            account.warm = 0
            account.lapsed = session.transaction
            session.lapsed += 1
            session.last_warmed = entry[1]
        else:
            changed = at(Slot, entry[0])
            for i in range(4):
                changed.value[i] = entry[i + 1]


def move_slots(session: Session, to: U64, mask: U64) -> None:
    """Use the larger, empty table at `to`."""
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
    journal = session.journal
    while journal != session.journal_at:
        entry = words_at(journal)
        tag = entry[0] & TAGS
        if tag != JOURNAL_ACCOUNT:
            forward = words_at(entry[0] - tag)
            entry[0] = forward[0] | tag
        journal += JOURNAL_RECORD


def move_accounts(session: Session, to: U64, mask: U64) -> None:
    """Likewise; an entry that has moved says where to in its first word."""
    old = session.accounts
    count = session.accounts_mask + 1
    session.accounts = to
    session.accounts_mask = mask
    for i in range(count):
        account = at(Account, old + i * ACCOUNT_SIZE)
        if account.generation == session.generation:
            moved = at(Account, find_account(session, account.address))
            source = words_at(address_of(account))
            target = words_at(address_of(moved))
            for j in range(ACCOUNT_SIZE >> 3):
                target[j] = source[j]
            source[0] = address_of(moved)
    journal = session.journal
    while journal != session.journal_at:
        entry = words_at(journal)
        if entry[0] & TAGS == JOURNAL_ACCOUNT:
            forward = words_at(entry[0] - JOURNAL_ACCOUNT)
            entry[0] = forward[0] | JOURNAL_ACCOUNT
        journal += JOURNAL_RECORD
