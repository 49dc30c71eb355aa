"""What a call may see differently: accounts, the places of precompiles, the block around it."""

from typing import Final

from msgspec.structs import replace

from chain.crypto.keccak import keccak
from chain.forks import Fork
from chain.machine import BlockContext, Machine
from chain.state import EMPTY_ACCOUNT, Account, StateView
from chain.types import EMPTY_CODE_HASH, Address, Hash
from contracts.vm import Interpreter
from node.rpc.errors import RpcError, server_error
from node.rpc.formats import checksummed
from node.rpc.requests import AccountOverride, BlockOverrides, StateOverrides

# geth's codes for precompiles that can't be moved.
MOVED_TO_ITSELF: Final = -38022
MOVED_TO_THE_SAME: Final = -38023


class OverriddenView(StateView):
    """A state with some accounts made to look different."""

    def __init__(self, view: StateView, overrides: StateOverrides) -> None:
        self._view = view
        self._accounts: dict[Address, Account] = {}
        self._codes: dict[Hash, bytes] = {}
        self._storage: dict[Address, tuple[dict[int, int], bool]] = {}
        for address, override in overrides.accounts.items():
            check_storage(address, override)
            account = view.account(address) or EMPTY_ACCOUNT
            if override.nonce is not None:
                account = replace(account, nonce=override.nonce)
            if override.balance is not None:
                account = replace(account, balance=override.balance)
            if override.code is not None:
                code_hash = keccak(override.code) if override.code else EMPTY_CODE_HASH
                self._codes[code_hash] = override.code
                account = replace(account, code_hash=code_hash)
            if override.state is not None:
                self._storage[address] = (override.state, True)
            elif override.state_diff is not None:
                self._storage[address] = (override.state_diff, False)
            self._accounts[address] = account

    def account(self, address: Address) -> Account | None:
        found = self._accounts.get(address)
        return self._view.account(address) if found is None else found

    def storage(self, address: Address, slot: int) -> int:
        slots, whole = self._storage.get(address, (None, False))
        if slots is not None and (whole or slot in slots):
            return slots.get(slot, 0)
        return self._view.storage(address, slot)

    def code(self, code_hash: Hash) -> bytes:
        found = self._codes.get(code_hash)
        return self._view.code(code_hash) if found is None else found


def check_storage(address: Address, override: AccountOverride) -> None:
    """RpcError (-32000) where an account's storage is to be two things."""
    if override.state is not None and override.state_diff is not None:
        raise server_error(f"account {checksummed(address)} has both 'state' and 'stateDiff'")


def place_precompiles(
    overrides: StateOverrides, fork: Fork, machine: Machine
) -> tuple[Fork, Machine]:
    """The precompiles of one block: an overridden one is gone, or moved to another address."""
    accounts = overrides.accounts
    moved: dict[Address, Address] = {}
    for address, override in accounts.items():
        to = override.precompile_to
        if to is None:
            continue
        if address not in fork.precompiles:
            raise server_error(f"account {checksummed(address)} is not a precompile")
        if to == address:
            raise RpcError(MOVED_TO_ITSELF, f"account {checksummed(to)} is moved to itself")
        if to in moved:
            raise RpcError(MOVED_TO_THE_SAME, f"account {checksummed(to)} is already moved to")
        if to in accounts:
            raise server_error(f"account {checksummed(to)} is already overridden")
        moved[to] = address
    places = (fork.precompiles - accounts.keys()) | moved.keys()
    if not moved and places == fork.precompiles:
        return fork, machine
    return replace(fork, precompiles=places), Interpreter(moved)


def overridden_block(context: BlockContext, around: BlockOverrides) -> BlockContext:
    """The block with what is asked for changed; its number and time are chosen with its fork.

    RpcError (-32000) for what only simulated blocks can have.
    """
    for name, item in (("beaconRoot", around.beacon_root), ("withdrawals", around.withdrawals)):
        if item is not None:
            raise server_error(f'block override "{name}" is not supported for this RPC method')
    chosen = {
        "gas_limit": around.gas_limit,
        "coinbase": around.coinbase,
        "randomness": around.randomness,
        "base_fee": around.base_fee,
        "blob_base_fee": around.blob_base_fee,
    }
    return replace(context, **{key: item for key, item in chosen.items() if item is not None})
