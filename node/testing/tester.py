"""The places of web3.py's providers for eth-tester, with a developer's chain behind them.

    w3 = Web3(EthereumTesterProvider())
    w3.provider.ethereum_tester.mine_blocks(3)

The backend's own methods are those that test suites call; everything else goes by JSON-RPC.
"""

import weakref
from types import SimpleNamespace
from typing import Any, Final, cast

from web3.types import RPCEndpoint, RPCResponse

from chain.crypto.secp256k1 import address_of
from node.dev import checksummed
from node.testing.habits import Told, own_way, raise_failure
from node.testing.ledger import Ledger
from node.testing.providers import AsyncProvider, Provider

_BALANCE: Final = 1_000_000  # coins of each account, as suites for eth-tester reckon with


class Tester:
    """What `eth_tester.EthereumTester` is asked for, done by a ledger."""

    __test__ = False  # pytest takes classes of such names for its own

    def __init__(self, ledger: Ledger | None = None) -> None:
        """Without a `ledger` one is begun, which ends with this or with the program."""
        if ledger is None:
            ledger = Ledger(balance=_BALANCE).start()
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

    def get_balance(self, account: str, block_number: str = "latest") -> int:
        """Wei."""
        return int(self.ledger.request("eth_getBalance", account, block_number), 16)

    def get_nonce(self, account: str, block_number: str = "latest") -> int:
        """The nonce of the account's next transaction."""
        return int(self.ledger.request("eth_getTransactionCount", account, block_number), 16)

    def get_block_by_number(
        self, block_number: int | str = "latest", full_transactions: bool = True
    ) -> dict[str, Any]:
        """A block as JSON-RPC gives it, with its times and numbers as integers."""
        named = hex(block_number) if isinstance(block_number, int) else block_number
        block: dict[str, Any] = self.ledger.request(
            "eth_getBlockByNumber", named, full_transactions
        )
        for name in ("number", "timestamp", "gasLimit", "gasUsed"):
            block[name] = int(block[name], 16)
        return block

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
            raise ValueError(f"{to_timestamp} is not after {head['timestamp']}")
        self.ledger.request("evm_mine", to_timestamp)

    def take_snapshot(self) -> str:
        """Remember this moment; its name."""
        name = self.ledger.snapshot()
        self._names[name] = name
        return name

    def revert_to_snapshot(self, snapshot_id: str) -> None:
        """Go back, as often as one likes: the snapshot stays. ValueError when there is none."""
        self.ledger.revert(self._names.get(snapshot_id, snapshot_id))
        # Going back uses a snapshot up: a new one of the same moment takes its place.
        self._names[snapshot_id] = self.ledger.snapshot()

    def reset_to_genesis(self) -> None:
        """Begin again at the first block."""
        self.ledger.request("anvil_reset")


class EthereumTesterProvider(Provider):
    """For `Web3`, without eth-tester. The ledger ends with the tester, or with the program."""

    def __init__(self, ethereum_tester: Tester | None = None, api_endpoints: Any = None) -> None:
        """`api_endpoints` is taken for its place alone: every method is answered."""
        self.ethereum_tester = ethereum_tester or Tester()
        super().__init__(self.ethereum_tester.ledger)

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        params = own_way(self.ethereum_tester, method, params)
        if isinstance(params, Told):
            return _response(params)
        return raise_failure(super().make_request(method, params))


class AsyncEthereumTesterProvider(AsyncProvider):
    """As `EthereumTesterProvider`, for `AsyncWeb3`."""

    def __init__(self, ethereum_tester: Tester | None = None, api_endpoints: Any = None) -> None:
        self.ethereum_tester = ethereum_tester or Tester()
        super().__init__(self.ethereum_tester.ledger)

    async def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        params = own_way(self.ethereum_tester, method, params)
        if isinstance(params, Told):
            return _response(params)
        return raise_failure(await super().make_request(method, params))


def _response(told: Told) -> RPCResponse:
    return cast(RPCResponse, {"jsonrpc": "2.0", "id": 0, "result": told.result})
