"""What a dump does to a chain: its accounts laid over the state, or its blocks in place of ours."""

from collections.abc import Callable
from typing import Final

from chain.adoption import Step, adopted_writes
from chain.crypto.keccak import keccak
from chain.genesis import Genesis
from chain.state import EMPTY_ACCOUNT, Account, Delta, State
from chain.storage.store import Change
from chain.types import EMPTY_CODE_HASH, Address, Hash
from chain.views import TrieView
from node.devchain.dump_file import DumpFile, Held, States

_NOTHING: Final = Held(0, 0, b"", {})


def overlay(accounts: States) -> Callable[[State], None]:
    """The change that lays accounts over a state, as anvil does.

    Those not named stay, as do slots; of two nonces the higher one stands.
    """

    def change(state: State) -> None:
        for address, held in accounts.items():
            if state.account(address) is None:
                state.override_account(address, EMPTY_ACCOUNT)
            state.set_nonce(address, max(held.nonce, state.nonce(address)))
            state.set_balance(address, held.balance)
            state.set_code(address, held.code)
            for slot, value in held.storage.items():
                state.set_storage(address, slot, value)

    return change


def replacing(
    file: DumpFile, genesis: Genesis, before: States, total_difficulty: int
) -> list[Change]:
    """What an empty store needs to be a ledger of the file's blocks, of which there are some.

    The newest state is the file's laid over `before`; states of the past are as the file has them.
    """
    states = [*file.past, _laid(before, file.accounts)]
    steps: list[Step] = []
    known: States = {}
    for state in states:
        there = {address: held for address, held in state.items() if held != _NOTHING}
        steps.append(_step(known, there))
        known = there
    return adopted_writes(genesis, file.blocks, steps, total_difficulty)


def _laid(before: States, accounts: States) -> States:
    """The same as `overlay` on what is known whole."""
    found = dict(before)
    for address, held in accounts.items():
        old = before.get(address, _NOTHING)
        found[address] = Held(
            max(held.nonce, old.nonce), held.balance, held.code, {**old.storage, **held.storage}
        )
    return found


def _step(old: States, new: States) -> Step:
    """What leads from one state to the other."""

    def step(view: TrieView) -> Delta:
        accounts: dict[Address, Account | None] = {}
        storage: dict[Address, dict[int, int]] = {}
        codes: dict[Hash, bytes] = {}
        for address, held in new.items():
            was = old.get(address, _NOTHING)
            if held == was:
                continue
            code_hash = keccak(held.code) if held.code else EMPTY_CODE_HASH
            codes[code_hash] = held.code
            before = view.account(address) or EMPTY_ACCOUNT
            accounts[address] = Account(held.nonce, held.balance, before.storage_root, code_hash)
            storage[address] = dict.fromkeys(was.storage.keys() - held.storage.keys(), 0)
            storage[address] |= held.storage.items() - was.storage.items()
        accounts |= dict.fromkeys(old.keys() - new.keys())
        codes.pop(EMPTY_CODE_HASH, None)
        return Delta(accounts, storage, frozenset(), codes)

    return step
