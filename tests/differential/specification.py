"""A case run by the executable specification of Ethereum (`ethereum-execution`)."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any, Final

from ethereum.exceptions import EthereumException
from ethereum_rlp import rlp
from ethereum_rlp.exceptions import RLPException
from ethereum_types.bytes import Bytes, Bytes32
from ethereum_types.numeric import U64, U256, Uint

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

_RECURSION_MAX: Final = 50_000  # 1,024 nested calls of some ten frames each


class _Fork:
    """The modules of one fork of the specification."""

    def __init__(self, name: str) -> None:
        package = "ethereum.forks." + {"petersburg": "constantinople"}.get(name, name)
        self.name = name
        self.fork = import_module(f"{package}.fork")
        self.state = import_module(f"{package}.state")
        self.types = import_module(f"{package}.fork_types")
        self.transactions = import_module(f"{package}.transactions")
        self.blocks = import_module(f"{package}.blocks")
        self.vm = import_module(f"{package}.vm")
        self.typed = hasattr(self.transactions, "decode_transaction")


@cache
def load(name: str) -> _Fork:
    """The fork's modules; importing them takes a while."""
    with _recursion_limit():
        return _Fork(name)


@contextmanager
def _recursion_limit() -> Iterator[None]:
    """What the specification needs for nested calls, and sets for the whole process, for a while.

    Left in force it would let C code in other tests recurse until the stack overflows.
    """
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(_RECURSION_MAX)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def run(case: Case) -> Result:
    """Run the transactions; what may not be in the block is refused and leaves no trace."""
    with _recursion_limit():
        return _run(load(case.fork), case)


def _run(spec: _Fork, case: Case) -> Result:
    state = _state(spec, case)
    environment = _environment(spec, case, state)
    output = spec.vm.BlockOutput()
    found: list[Included | Refused] = []
    for index, raw in enumerate(case.transactions):
        found.append(_apply(spec, environment, output, raw, index))
    return Result(
        transactions=found,
        accounts=_accounts(spec, state),
        state_root=bytes(spec.state.state_root(state)),
    )


def _apply(
    spec: _Fork, environment: Any, output: Any, raw: bytes, index: int
) -> Included | Refused:
    # Refusals come from the decoding and from two functions that change nothing;
    # calling them first tells a refusal from an error in the midst of execution.
    try:
        transaction = _decode(spec, raw)
        spec.transactions.validate_transaction(transaction)
        spec.fork.check_transaction(environment, output, transaction)
    except (EthereumException, RLPException) as error:
        return Refused(f"{type(error).__name__}: {error}")
    key = rlp.encode(Uint(index))
    spec.fork.process_transaction(environment, output, transaction, Uint(index))
    receipt: Any = output.receipts_trie._data[key]
    if isinstance(receipt, bytes):
        receipt = rlp.decode_to(spec.blocks.Receipt, receipt[1:])
    return Included(
        cumulative_gas=int(output.block_gas_used),
        succeeded=bool(receipt.succeeded) if hasattr(receipt, "succeeded") else None,
        logs=tuple(
            (bytes(log.address), tuple(bytes(topic) for topic in log.topics), bytes(log.data))
            for log in receipt.logs
        ),
    )


def _decode(spec: _Fork, raw: bytes) -> Any:
    module: ModuleType = spec.transactions
    if raw[:1] >= b"\xc0":
        legacy = module.LegacyTransaction if spec.typed else module.Transaction
        return rlp.decode_to(legacy, Bytes(raw))
    if not spec.typed:
        raise EthereumException("typed transactions are not known")
    return module.decode_transaction(Bytes(raw))


def _state(spec: _Fork, case: Case) -> Any:
    state = spec.state.State()
    for address, account in case.accounts.items():
        where = spec.types.Address(address)
        fields = {"nonce": Uint(account.nonce), "balance": U256(account.balance)}
        spec.state.set_account(state, where, spec.types.Account(**fields, code=Bytes(account.code)))
        for slot, value in account.storage.items():
            key = Bytes32(slot.to_bytes(32, "big"))
            spec.state.set_storage(state, where, key, U256(value))
    return state


def _environment(spec: _Fork, case: Case, state: Any) -> Any:
    around = case.surroundings
    fork = FORKS[case.fork]
    fields: dict[str, Any] = {
        "chain_id": U64(CHAIN_ID),
        "state": state,
        "block_gas_limit": Uint(around.gas_limit),
        "block_hashes": [Bytes32(block_hash(n)) for n in range(HEIGHT - 256, HEIGHT)],
        "coinbase": spec.types.Address(around.coinbase),
        "number": Uint(HEIGHT),
        "time": U256(around.timestamp),
    }
    if fork.merged:
        fields["prev_randao"] = Bytes32(around.randomness)
    else:
        fields["difficulty"] = Uint(int.from_bytes(around.randomness, "big"))
    if fork.base_fee:
        fields["base_fee_per_gas"] = Uint(around.base_fee)
    if fork.blobs:
        fields["excess_blob_gas"] = U64(around.excess_blob_gas)
        fields["parent_beacon_block_root"] = Bytes32(bytes(32))
    return spec.vm.BlockEnvironment(**fields)


def _accounts(spec: _Fork, state: Any) -> dict[bytes, Account]:
    found: dict[bytes, Account] = {}
    for address, account in state._main_trie._data.items():
        if account is None:
            continue
        trie = state._storage_tries.get(address)
        found[bytes(address)] = Account(
            nonce=int(account.nonce),
            balance=int(account.balance),
            code=bytes(account.code),
            storage={int.from_bytes(k, "big"): int(v) for k, v in trie._data.items()}
            if trie is not None
            else {},
        )
    return found
