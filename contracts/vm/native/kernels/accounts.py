"""Accounts as a table, likewise; Python fills it in, and forgets what it has changed itself."""

from contracts.vm.native.kernels.journal import copy_word, equal, journal_full, spread
from contracts.vm.native.records import (
    ACCOUNT_SIZE,
    ALWAYS_WARM,
    FULL_ACCOUNTS,
    FULL_JOURNAL,
    JOURNAL_ACCOUNT,
    JOURNAL_RECORD,
    MISSING_ACCOUNT,
    NO_GAS,
    U64,
    Account,
    Frame,
    Session,
    Words,
)
from contracts.vm.native.words import address_of, at, words_at


def find_account(session: Session, address: Words) -> U64:
    """The address of the account's entry, or of the free one where it would be."""
    place = spread(session, address, 0)
    account = at(Account, session.accounts + (place & session.accounts_mask) * ACCOUNT_SIZE)
    while account.generation == session.generation and not equal(account.address, address):
        place += 1
        account = at(Account, session.accounts + (place & session.accounts_mask) * ACCOUNT_SIZE)
    return address_of(account)


def known_account(frame: Frame, address: Words) -> U64:
    """The address of the account's entry, or why there is none."""
    session = at(Session, frame.session)
    account = at(Account, find_account(session, address))
    if account.generation == session.generation and account.known != 0:
        return address_of(account)
    if account.generation != session.generation:
        if session.accounts_used >= session.accounts_limit:
            return FULL_ACCOUNTS
    copy_word(session.account_missed, address)
    session.account_place = address_of(account)
    return MISSING_ACCOUNT


def warm_account(frame: Frame, entry: U64, gas: U64) -> U64:
    """Pay what a cold account costs on top of a warm one, and warm it (EIP-2929); the gas left."""
    session = at(Session, frame.session)
    account = at(Account, entry)
    if session.access_lists == 0:
        return gas
    if account.warm == session.transaction or account.warm == ALWAYS_WARM:
        return gas
    if journal_full(session):
        return FULL_JOURNAL
    if gas < session.cold_account_extra:
        account.lapsed = session.transaction  # the definition warms it before it asks for the gas
        session.lapsed += 1
        return NO_GAS
    account.warm = session.transaction
    undone = words_at(session.journal_at)
    undone[0] = entry | JOURNAL_ACCOUNT
    undone[1] = session.last_warmed
    session.journal_at += JOURNAL_RECORD
    session.last_warmed = session.journal_at - session.journal
    return gas - session.cold_account_extra
