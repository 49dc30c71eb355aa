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
def spread(session: Session, key: Words, account: U64) -> U64:
    """A number whose upper bits depend on all bits of the key and the account.

    Any two keys come out the same by a chance of 2^-32, whoever chooses them: each half of a word
    is multiplied by a number that nobody knows. Otherwise keys could be chosen that all
    belong in the same place of a table.
    """
    mixed = account * session.multipliers[8]
    for i in range(4):
        mixed += (key[i] & 0xFFFFFFFF) * session.multipliers[2 * i]
        mixed += (key[i] >> 32) * session.multipliers[2 * i + 1]
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
