"""The same case run by chain.transition on contracts.vm, root and all."""

from chain import headers
from chain.commitment import commit
from chain.errors import Rejected
from chain.forks import GAS_PER_BLOB
from chain.genesis import GenesisAccount, genesis_delta
from chain.machine import BlockContext
from chain.state import State
from chain.transactions import decode_transaction
from chain.transition import apply_transaction
from chain.types import Address, Hash
from chain.validation import check_transaction
from chain.views import EmptyView, Overlay
from contracts.vm import Interpreter
from tests.differential.cases import (
    CHAIN_ID,
    FORKS,
    HEIGHT,
    Account,
    Case,
    Included,
    Refused,
    Result,
    block_hash,
)


def run(case: Case, machine: Interpreter | None = None) -> Result:
    """Run the transactions; what may not be in the block is refused and leaves no trace."""
    fork = FORKS[case.fork]
    around = case.surroundings
    machine = machine or Interpreter()
    base = EmptyView()
    delta = genesis_delta(
        {
            Address(address): GenesisAccount(
                balance=account.balance,
                nonce=account.nonce,
                code=account.code,
                storage=account.storage,
            )
            for address, account in case.accounts.items()
        }
    )
    view = Overlay(base, commit(base, delta))
    state = State(view)
    context = BlockContext(
        number=HEIGHT,
        timestamp=around.timestamp,
        coinbase=Address(around.coinbase),
        gas_limit=around.gas_limit,
        chain_id=CHAIN_ID,
        base_fee=around.base_fee if fork.base_fee else 0,
        randomness=int.from_bytes(around.randomness, "big"),
        blob_base_fee=headers.blob_base_fee(around.excess_blob_gas, fork) if fork.blobs else 0,
        block_hash=lambda number: Hash(block_hash(number)),
    )
    gas_used = 0
    blobs_left = fork.blobs.max if fork.blobs else 0
    found: list[Included | Refused] = []
    for raw in case.transactions:
        try:
            checked = check_transaction(decode_transaction(raw), fork, CHAIN_ID)
            result = apply_transaction(
                state,
                checked,
                context,
                machine,
                fork,
                gas_available=around.gas_limit - gas_used,
                blob_gas_available=blobs_left * GAS_PER_BLOB,
            )
        except Rejected as error:
            found.append(Refused(str(error)))
            continue
        gas_used += result.gas_used
        blobs_left -= len(checked.transaction.blob_hashes)
        found.append(
            Included(
                cumulative_gas=gas_used,
                succeeded=result.halt is None if fork.receipt_status else None,
                logs=tuple((log.address, log.topics, log.data) for log in result.logs),
            )
        )
    changes = commit(view, state.delta())
    return Result(
        transactions=found,
        accounts=_accounts(case, Overlay(view, changes)),
        state_root=changes.root,
    )


def _accounts(case: Case, after: Overlay) -> dict[bytes, Account]:
    """Every account of the view, found through the keys that its changes name."""
    addresses = set(case.accounts)
    slots: dict[bytes, set[int]] = {a: set(pre.storage) for a, pre in case.accounts.items()}
    for layer in after._layers:
        addresses |= set(layer.changes.accounts)
        for address, written in layer.changes.storage.items():
            slots.setdefault(address, set()).update(written)
    found: dict[bytes, Account] = {}
    for each in addresses:
        address = Address(each)
        account = after.account(address)
        if account is None:
            continue
        values = {slot: after.storage(address, slot) for slot in slots.get(address, ())}
        found[address] = Account(
            nonce=account.nonce,
            balance=account.balance,
            code=after.code(account.code_hash),
            storage={slot: value for slot, value in values.items() if value},
        )
    return found
