"""States as plain dictionaries, and random blocks that change them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from hypothesis import strategies as st
from msgspec.structs import replace

from chain.blocks import Block
from chain.commitment import commit
from chain.crypto.keccak import keccak
from chain.execution import Executed
from chain.headers import header_hash
from chain.leaves import (
    address_key,
    decode_account,
    decode_slot,
    encode_account,
    encode_slot,
    slot_key,
)
from chain.ledger import Ledger
from chain.proofs import prove
from chain.state import Account, Delta
from chain.trie import trie_root, verify_proof
from chain.types import EMPTY_CODE_HASH, EMPTY_ROOT, Address, Hash
from chain.views import TrieView

ADDRESSES: Final = [Address(keccak(bytes((i,)))[:20]) for i in range(9)]
SLOTS: Final = [*range(12), 2**255]
CODES: Final = {keccak(code): code for code in (b"\x00", b"\x60\x00" * 40)}

State = dict[Address, tuple[Account, dict[int, int]]]
"""Accounts (their storage roots mean nothing) with the slots that are not zero."""


@dataclass
class Write:
    """What a block does to one account, in this order."""

    delete: bool = False
    wipe: bool = False  # its storage is emptied first
    account: Account = field(default_factory=Account)
    slots: Mapping[int, int] = field(default_factory=dict)


_NUMBERS = st.sampled_from([0, 1, 127, 128, 255, 2**63, 10**20, 2**256 - 1])

WRITES = st.builds(
    Write,
    delete=st.sampled_from([False, False, False, True]),
    wipe=st.sampled_from([False, False, False, True]),
    account=st.builds(
        Account,
        nonce=st.sampled_from([0, 1, 127, 128, 2**64 - 2]),
        balance=_NUMBERS,
        code_hash=st.sampled_from([EMPTY_CODE_HASH, *CODES]),
    ),
    slots=st.dictionaries(st.sampled_from(SLOTS), _NUMBERS, max_size=8),
)
BLOCKS = st.lists(st.dictionaries(st.sampled_from(ADDRESSES), WRITES, max_size=9), max_size=8)


def apply(state: State, view: TrieView, block: Mapping[Address, Write]) -> tuple[State, Delta]:
    """The state after a block, and the delta against `view` that says the same."""
    after = {address: (account, dict(slots)) for address, (account, slots) in state.items()}
    accounts: dict[Address, Account | None] = {}
    storage: dict[Address, Mapping[int, int]] = {}
    wiped: set[Address] = set()
    codes: dict[Hash, bytes] = {}
    for address, write in block.items():
        old = view.account(address)
        if write.delete:
            accounts[address] = None
            wiped.add(address)
            after.pop(address, None)
            continue
        slots = after.get(address, (Account(), {}))[1]
        if write.wipe:
            wiped.add(address)
            slots = {}
        root = old.storage_root if old else EMPTY_ROOT
        accounts[address] = replace(write.account, storage_root=root)
        if write.account.code_hash in CODES:
            codes[write.account.code_hash] = CODES[write.account.code_hash]
        if write.slots:
            storage[address] = write.slots
        slots = {slot: value for slot, value in {**slots, **write.slots}.items() if value}
        after[address] = (write.account, slots)
    return after, Delta(accounts, storage, frozenset(wiped), codes)


def storage_root(slots: Mapping[int, int]) -> Hash:
    return trie_root({slot_key(slot): encode_slot(value) for slot, value in slots.items()})


def root_of(state: State) -> Hash:
    """The state root by the definition."""
    return trie_root(
        {
            address_key(address): encode_account(replace(account, storage_root=storage_root(slots)))
            for address, (account, slots) in state.items()
        }
    )


def check(view: TrieView, state: State) -> None:
    """All that a view says is what the state holds, proofs included."""
    assert view.root == root_of(state)
    for address in ADDRESSES:
        held, slots = state.get(address, (None, {}))
        account = view.account(address)
        if held is not None:
            held = replace(held, storage_root=storage_root(slots))
            if held.code_hash in CODES:
                assert view.code(held.code_hash) == CODES[held.code_hash]
        assert account == held
        for slot in SLOTS:
            assert view.storage(address, slot) == slots.get(slot, 0)


def check_proofs(view: TrieView, state: State) -> None:
    """Every account and slot, there or not, is proved as it is."""
    for address in ADDRESSES:
        shown = prove(view, address, SLOTS)
        leaf = verify_proof(view.root, address_key(address), shown.proof)
        assert (decode_account(leaf) if leaf is not None else None) == shown.account
        assert shown.account == view.account(address)
        root = shown.account.storage_root if shown.account else EMPTY_ROOT
        assert [each.slot for each in shown.storage] == SLOTS
        for each in shown.storage:
            value = verify_proof(root, slot_key(each.slot), each.proof)
            assert (decode_slot(value) if value is not None else 0) == each.value
            assert each.value == state.get(address, (None, {}))[1].get(each.slot, 0)


def executed(ledger: Ledger, delta: Delta) -> Executed:
    """A block on the ledger's head with these changes and nothing else."""
    changes = commit(ledger.view(), delta)
    header = replace(
        ledger.head,
        parent_hash=ledger.head_hash,
        number=ledger.height + 1,
        timestamp=ledger.head.timestamp + 1,
        state_root=changes.root,
    )
    return Executed(Block(header, (), (), ()), header_hash(header), (), (), changes)
