"""Transactions of accounts whose keys nobody has (impersonation).

Where a signature would be stands the sender: r is the address, s is 0, which is in no
signature. So the bytes, and the hash with them, differ by sender, and the sender can be read
out of a block without anything beside it.
"""

from typing import Final

from chain.forks import Fork
from chain.transactions import Checked, Transaction, with_signature
from chain.types import Address
from chain.validation import check_unsigned

_ADDRESS_BOUND: Final = 1 << 160


def unsigned(transaction: Transaction, sender: Address) -> Transaction:
    """The transaction as if `sender` had signed it."""
    return with_signature(transaction, 0, int.from_bytes(sender, "big"), 0)


def sender_of(transaction: Transaction) -> Address | None:
    """Who sent a transaction of `unsigned`; None for every other."""
    if transaction.s or transaction.r >= _ADDRESS_BOUND:
        return None
    return Address(transaction.r.to_bytes(20, "big"))


def check(transaction: Transaction, sender: Address, fork: Fork, chain_id: int) -> Checked:
    """Every rule but that of the signature; raises `Rejected` as `check_transaction` does."""
    stamped = unsigned(transaction, sender)
    check_unsigned(stamped, fork, chain_id)
    return Checked(stamped, sender)
