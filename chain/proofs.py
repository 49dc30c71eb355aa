"""Merkle proofs of accounts and slots, and the root that stored records really have."""

from collections.abc import Sequence

from msgspec import Struct

from chain.branches import load
from chain.changes import ACCOUNT_TRIE, storage_trie
from chain.crypto.keccak import keccak
from chain.leaves import address_key, decode_account, decode_slot, slot_key
from chain.state import Account
from chain.trie import NIBBLES, leaf_node
from chain.types import EMPTY_ROOT, Address, Hash
from chain.views import TrieView


class StorageProof(Struct, frozen=True):
    """A slot's value and the nodes that show it under its account's storage root."""

    slot: int
    value: int
    proof: tuple[bytes, ...]


class AccountProof(Struct, frozen=True):
    """An account, or its absence, and the nodes that show it under the state root."""

    address: Address
    account: Account | None
    proof: tuple[bytes, ...]
    storage: tuple[StorageProof, ...]


def prove(view: TrieView, address: Address, slots: Sequence[int] = ()) -> AccountProof:
    """What eth_getProof shows (EIP-1186); `chain.trie.verify_proof` checks it."""
    key = address_key(address)
    leaf, proof = _walk(view, ACCOUNT_TRIE, view.root, key)
    account = decode_account(leaf) if leaf is not None else None
    root = account.storage_root if account is not None else EMPTY_ROOT
    shown = []
    for slot in slots:
        value, nodes = _walk(view, storage_trie(key), root, slot_key(slot))
        shown.append(StorageProof(slot, decode_slot(value) if value is not None else 0, nodes))
    return AccountProof(address, account, proof, tuple(shown))


def _walk(
    view: TrieView, trie: bytes, root: Hash, key: Hash
) -> tuple[bytes | None, tuple[bytes, ...]]:
    """The leaf under `key`, and the nodes from the root down to it or to where it isn't."""
    if root == EMPTY_ROOT:
        return None, ()
    nodes: list[bytes] = []
    digits = key.hex()
    slot = ""
    while True:
        record = view.node(trie + slot.encode())
        if record is None:
            found, value = next(view.leaves(trie, slot))
            nodes.append(leaf_node(found.hex()[len(slot) :], value))
            break
        branch = load(trie, slot, record)
        path = slot + branch.extension
        if branch.extension:
            nodes.append(branch.top())
            if not digits.startswith(path):
                return None, _listed(nodes)
        nodes.append(branch.node())
        index = NIBBLES[digits[len(path)]]
        slot = digits[: len(path) + 1]
        if not branch.filled >> index & 1:
            return None, _listed(nodes)
    return (value if found == key else None), _listed(nodes)


def _listed(nodes: Sequence[bytes]) -> tuple[bytes, ...]:
    """The nodes of a proof without those that their parent embeds."""
    return tuple(node for at, node in enumerate(nodes) if at == 0 or len(node) > 31)


def stored_root(view: TrieView) -> Hash:
    """The root that the topmost record of the account trie gives, whatever `view.root` says."""
    record = view.node(ACCOUNT_TRIE)
    if record is not None:
        return keccak(load(ACCOUNT_TRIE, "", record).top())
    found = next(view.leaves(ACCOUNT_TRIE), None)
    return EMPTY_ROOT if found is None else keccak(leaf_node(found[0].hex(), found[1]))
