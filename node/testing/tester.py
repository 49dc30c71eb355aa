"""The places of web3.py's providers for eth-tester, with a developer's chain behind them.

    w3 = Web3(EthereumTesterProvider())
    w3.provider.ethereum_tester.mine_blocks(3)

The backend's own methods are those that test suites call; everything else goes by JSON-RPC.
"""

import weakref
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, Final, cast

from web3.types import RPCEndpoint, RPCResponse

from chain.crypto.secp256k1 import address_of
from chain.genesis import GenesisAccount, dev_genesis
from node.dev import checksummed
from node.devchain.contracts import first_contracts
from node.environment import real_environment
from node.testing.habits import Told, own_way, raise_failure, refusal
from node.testing.ledger import Ledger, RequestError
from node.testing.providers import AsyncProvider, Provider
from node.testing.spelling import (
    Fields,
    asked,
    spelled,
    spelled_block,
    spelled_logs,
    spelled_receipt,
    spelled_transaction,
)

_BALANCE: Final = 1_000_000  # coins of each account, as suites for eth-tester reckon with


class Tester:
    """What `eth_tester.EthereumTester` is asked for, done by a ledger."""

    __test__ = False  # pytest takes classes of such names for its own

    def __init__(self, ledger: Any = None) -> None:
        """On a `Ledger`, or on one that is begun for this and ends with it, or with the program.

        Of one of eth-tester's backends, which may be given in the ledger's place, it takes the
        accounts and what they have.
        """
        if not isinstance(ledger, Ledger):
            ledger = (Ledger(balance=_BALANCE) if ledger is None else _ledger_like(ledger)).start()
            weakref.finalize(self, ledger.close)
        self.ledger = ledger
        self._names: dict[str, str] = {}  # of snapshots: those given out, and the ledger's own

    def get_accounts(self) -> tuple[str, ...]:
        """The funded accounts, and those that were added."""
        return tuple(self.ledger.accounts)

    @property
    def backend(self) -> SimpleNamespace:
        """What is asked of eth-tester's backend: `account_keys`, in the accounts' order."""
        from eth_keys.datatypes import PrivateKey

        held = [PrivateKey(self.ledger.keys[name]) for name in self.ledger.accounts]
        return SimpleNamespace(account_keys=held)

    def add_account(self, private_key: str | bytes, password: str | None = None) -> str:
        """Let a key's account sign; its address. It has nothing at first."""
        text = private_key.hex() if isinstance(private_key, bytes) else private_key
        key = bytes.fromhex(text.removeprefix("0x"))
        address = checksummed(address_of(key))
        self.ledger.add_key(key)
        return address

    def _ask(self, method: str, *params: Any) -> Any:
        """A method's result. Raises as eth-tester where a contract fails, or else RequestError."""
        try:
            return self.ledger.request(method, *params)
        except RequestError as error:
            told = {"code": error.code, "message": error.message, "data": error.data}
            raise_failure(cast(RPCResponse, {"error": told}))
            raise

    # -- what is there -----------------------------------------------------------------------------

    def get_balance(self, account: str, block_number: int | str = "latest") -> int:
        """Wei."""
        return int(self._ask("eth_getBalance", account, asked(block_number)), 16)

    def get_nonce(self, account: str, block_number: int | str = "latest") -> int:
        """The nonce of the account's next transaction."""
        return int(self._ask("eth_getTransactionCount", account, asked(block_number)), 16)

    def get_code(self, account: str, block_number: int | str = "latest") -> str:
        found: str = self._ask("eth_getCode", account, asked(block_number))
        return found

    def get_storage_at(
        self, account: str, slot: int | str, block_number: int | str = "latest"
    ) -> str:
        """The slot's 32 bytes."""
        found: str = self._ask("eth_getStorageAt", account, asked(slot), asked(block_number))
        return found

    def get_block_by_number(
        self, block_number: int | str = "latest", full_transactions: bool = True
    ) -> Fields:
        """BlockNotFound when there is none, as for all that is looked for."""
        block = self._ask("eth_getBlockByNumber", asked(block_number), full_transactions)
        if block is None:
            raise refusal(
                LookupError, "BlockNotFound", f"No block found for block number: {block_number}"
            )
        return spelled_block(block)

    def get_block_by_hash(self, block_hash: str, full_transactions: bool = True) -> Fields:
        block = self._ask("eth_getBlockByHash", block_hash, full_transactions)
        if block is None:
            raise refusal(
                LookupError, "BlockNotFound", f"No block found for block hash: {block_hash}"
            )
        return spelled_block(block)

    def get_transaction_by_hash(self, transaction_hash: str) -> Fields:
        found = self._ask("eth_getTransactionByHash", transaction_hash)
        if found is None:
            raise _no_transaction(transaction_hash)
        return spelled_transaction(found)

    def get_transaction_receipt(self, transaction_hash: str) -> Fields:
        found = self._ask("eth_getTransactionReceipt", transaction_hash)
        if found is None:
            raise _no_transaction(transaction_hash)
        return spelled_receipt(found)

    def get_fee_history(
        self,
        block_count: int = 1,
        newest_block: int | str = "latest",
        reward_percentiles: Sequence[float] = (),
    ) -> Fields:
        found = self._ask(
            "eth_feeHistory", asked(block_count), asked(newest_block), list(reward_percentiles)
        )
        made: Fields = spelled(found)
        return made

    # -- what is done ------------------------------------------------------------------------------

    def send_transaction(self, transaction: Mapping[str, Any]) -> str:
        """Its hash; the account it is from must be the ledger's, or one that was added."""
        sent: str = self._ask("eth_sendTransaction", asked(transaction))
        return sent

    def send_raw_transaction(self, raw_transaction_hex: str) -> str:
        sent: str = self._ask("eth_sendRawTransaction", raw_transaction_hex)
        return sent

    def call(self, transaction: Mapping[str, Any], block_number: int | str = "latest") -> str:
        """What it returns."""
        returned: str = self._ask("eth_call", asked(transaction), asked(block_number))
        return returned

    def estimate_gas(
        self, transaction: Mapping[str, Any], block_number: int | str = "latest"
    ) -> int:
        return int(self._ask("eth_estimateGas", asked(transaction), asked(block_number)), 16)

    def unlock_account(
        self, account: str, password: str, unlock_seconds: int | None = None
    ) -> None:
        """Nothing: no account is ever locked."""

    # -- logs and filters --------------------------------------------------------------------------

    def get_logs(
        self,
        from_block: int | str | None = None,
        to_block: int | str | None = None,
        address: str | Sequence[str] | None = None,
        topics: Sequence[Any] | None = None,
    ) -> tuple[Any, ...]:
        wanted = {"from_block": from_block, "to_block": to_block, "address": address}
        return spelled_logs(self._ask("eth_getLogs", asked({**wanted, "topics": topics})))

    def create_block_filter(self) -> str:
        """The filter's name, as for all of them."""
        name: str = self._ask("eth_newBlockFilter")
        return name

    def create_pending_transaction_filter(self) -> str:
        name: str = self._ask("eth_newPendingTransactionFilter")
        return name

    def create_log_filter(
        self,
        from_block: int | str | None = None,
        to_block: int | str | None = None,
        address: str | Sequence[str] | None = None,
        topics: Sequence[Any] | None = None,
    ) -> str:
        wanted = {"from_block": from_block, "to_block": to_block, "address": address}
        name: str = self._ask("eth_newFilter", asked({**wanted, "topics": topics}))
        return name

    def get_only_filter_changes(self, filter_id: str) -> tuple[Any, ...]:
        """What is new since it was asked last."""
        return spelled_logs(self._ask("eth_getFilterChanges", filter_id))

    def get_all_filter_logs(self, filter_id: str) -> tuple[Any, ...]:
        return spelled_logs(self._ask("eth_getFilterLogs", filter_id))

    def delete_filter(self, filter_id: str) -> None:
        """FilterNotFound when there is none."""
        if not self._ask("eth_uninstallFilter", filter_id):
            raise refusal(LookupError, "FilterNotFound", "Unknown filter id")

    # -- blocks and time ---------------------------------------------------------------------------

    def mine_blocks(self, num_blocks: int = 1, coinbase: str | None = None) -> list[str]:
        """So many blocks; their hashes."""
        if coinbase is not None:
            self.ledger.request("anvil_setCoinbase", coinbase)
        mined = self.ledger.request("anvil_mine_detailed", {"blocks": num_blocks})
        return [block["hash"] for block in mined]

    def mine_block(self, coinbase: str | None = None) -> str:
        """A block; its hash."""
        return self.mine_blocks(1, coinbase)[0]

    def auto_mine_transactions(self, on: bool = True) -> None:
        """Whether a transaction is in a block as soon as it is sent."""
        self.ledger.request("evm_setAutomine", on)

    def enable_auto_mine_transactions(self) -> None:
        """Blocks come with transactions."""
        self.auto_mine_transactions(True)

    def disable_auto_mine_transactions(self) -> None:
        """Transactions wait for `mine_blocks`."""
        self.auto_mine_transactions(False)

    def time_travel(self, to_timestamp: int) -> None:
        """A block at this time. ValueError unless it is later than the last one's."""
        head = self.get_block_by_number("latest", False)
        if to_timestamp <= head["timestamp"]:
            late = f"{to_timestamp} is not after {head['timestamp']}"
            raise refusal(ValueError, "ValidationError", late)
        self.ledger.request("evm_mine", to_timestamp)

    def take_snapshot(self) -> str:
        """Remember this moment; its name."""
        name: str = self.ledger.snapshot()
        self._names[name] = name
        return name

    def revert_to_snapshot(self, snapshot_id: str) -> None:
        """Go back, as often as one likes: the snapshot stays. ValueError when there is none."""
        try:
            self.ledger.revert(self._names.get(snapshot_id, snapshot_id))
        except (RequestError, ValueError):  # no number, or no snapshot's
            told = f"No snapshot found for id: {snapshot_id}"
            raise refusal(ValueError, "SnapshotNotFound", told) from None
        # Going back uses a snapshot up: a new one of the same moment takes its place.
        self._names[snapshot_id] = self.ledger.snapshot()

    def reset_to_genesis(self) -> None:
        """Begin again at the first block."""
        self.ledger.request("anvil_reset")


def _ledger_like(backend: Any) -> Ledger:
    """A ledger with the accounts of one of eth-tester's backends. TypeError for anything else."""
    if not hasattr(backend, "account_keys"):
        raise TypeError(
            f"{backend!r} is neither a Ledger nor a backend; node.testing.Tester "
            "takes the place of eth_tester.EthereumTester"
        )
    keys = [key.to_bytes() for key in backend.account_keys]
    funds = {
        address: GenesisAccount(backend.get_balance(address)) for address in map(address_of, keys)
    }
    genesis = dev_genesis(
        accounts=(),
        timestamp=int(real_environment().clock()),
        contracts={**first_contracts(), **funds},
    )
    ledger = Ledger(accounts=0, genesis=genesis)
    for key in keys:
        ledger.add_key(key)
    return ledger


def _tester(given: Any) -> Tester:
    return given if isinstance(given, Tester) else Tester(given)


def _no_transaction(transaction_hash: str) -> Exception:
    return refusal(
        LookupError,
        "TransactionNotFound",
        f"No transaction found for transaction hash: {transaction_hash}",
    )


class EthereumTesterProvider(Provider):
    """For `Web3`, without eth-tester. The ledger ends with the tester, or with the program."""

    def __init__(self, ethereum_tester: Any = None, api_endpoints: Any = None) -> None:
        """On a `Tester`, or whatever one can be made of.

        `api_endpoints` is taken for its place alone: every method is answered.
        """
        self.ethereum_tester = _tester(ethereum_tester)
        super().__init__(self.ethereum_tester.ledger)

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        params = own_way(self.ethereum_tester, method, params)
        if isinstance(params, Told):
            return _response(params)
        return raise_failure(super().make_request(method, params))


class AsyncEthereumTesterProvider(AsyncProvider):
    """As `EthereumTesterProvider`, for `AsyncWeb3`."""

    def __init__(self, ethereum_tester: Any = None, api_endpoints: Any = None) -> None:
        self.ethereum_tester = _tester(ethereum_tester)
        super().__init__(self.ethereum_tester.ledger)

    async def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        params = own_way(self.ethereum_tester, method, params)
        if isinstance(params, Told):
            return _response(params)
        return raise_failure(await super().make_request(method, params))


def _response(told: Told) -> RPCResponse:
    return cast(RPCResponse, {"jsonrpc": "2.0", "id": 0, "result": told.result})
