"""How changes are taken back, and what the tables of slots and accounts have in common."""

from contracts.vm.native.records import (
    JOURNAL_RECORD,
    U64,
    Session,
    Words,
)
from contracts.vm.native.words import inlined, words_at


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
