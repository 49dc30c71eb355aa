"""One ledger in memory, for callers in any thread and any event loop."""

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
from msgspec.structs import replace

from chain.crypto.secp256k1 import address_of
from chain.genesis import DEV_CHAIN_ID, DEV_MNEMONIC, Genesis, dev_genesis
from chain.ledger import Ledger as StoredLedger
from chain.storage.memory import MemoryStore
from node.consensus.committed import Committed
from node.dev import checksummed
from node.devchain.aloud import Aloud, Ears
from node.devchain.chain import DevChain
from node.devchain.compose import Developing
from node.devchain.contracts import first_contracts
from node.devchain.fork.opening import NEWEST, Forking, open_fork
from node.environment import real_environment
from node.handing import InlineExecutor
from node.keys import dev_accounts, new_key
from node.node import Node
from node.rpc import methods as _methods  # noqa: F401 - registers them
from node.rpc.context import Context
from node.rpc.fees import TipOracle
from node.rpc.filters import Filters
from node.rpc.heavy import HeavyCalls
from node.rpc.instant import Later, answer_at_once, answer_heavy
from node.rpc.protocol import Dispatcher
from node.rpc.quick import QuickCalls
from node.settings import Settings
from node.testing.borrowed_loop import BorrowedLoop

if TYPE_CHECKING:
    from web3 import AsyncWeb3, Web3

_COIN: Final = 10**18
_ANSWER_SECONDS: Final = 300.0  # for one request; a hung one fails a test instead of stopping all

# Methods that mostly end without waiting, and after which the loop has nothing to do at once,
# unless there are filters to be fed.
_METHOD_WITHIN: Final = 128  # bytes of a request; where it comes later, the loop does
_BY_HAND: Final = re.compile(
    rb'"method": ?"(eth_send(Raw)?Transaction|(anvil|evm)_(mine|revert|snapshot))"'
)

T = TypeVar("T")


class RequestError(Exception):
    """A JSON-RPC error: `code`, `message`, and `data` where there is any."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data


def _inline(count: int, name: str) -> InlineExecutor:
    """Nobody is kept waiting here but the caller: no other threads are needed."""
    return InlineExecutor()


def _hex(value: object) -> str:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    raise TypeError(f"{value!r} is no JSON")


_encode: Final = json.JSONEncoder(default=_hex).encode


def _say(committed: Committed) -> None:
    """What contracts print goes to the program's output, where pytest shows it for failed tests."""
    for run in committed.runs:
        for line in run.prints:
            print(line)


def _say_call(call: Aloud) -> None:
    for line in call.lines:
        print(line)


class Ledger:
    """A developer's chain in memory. Use it in a `with`, or call `start` and `close`.

    May be called from any thread. What changes the chain is done when a call returns: a
    transaction that is sent is in a block.
    """

    def __init__(
        self,
        *,
        accounts: int = 10,
        balance: int = 10_000,
        chain_id: int = DEV_CHAIN_ID,
        mnemonic: str = DEV_MNEMONIC,
        genesis: Genesis | None = None,
        settings: Settings | None = None,
        fork_url: str = "",
        fork_height: int | None = None,
        fork_cache: Path | None = None,
    ) -> None:
        """`balance` is in coins for each account. `genesis` takes the place of the built-in one.

        With `fork_url` the ledger goes on from another one's block at `fork_height`, by default the
        newest, and what that one says is kept in the folder `fork_cache`, if there is one.
        """
        self.keys: dict[str, bytes] = {}  # private keys by checksummed address
        signers = dev_accounts(mnemonic, accounts)
        for address, key in signers.items():
            self.keys[checksummed(address)] = key
        self.accounts = list(self.keys)
        self.chain_id = chain_id if genesis is None else genesis.config.chain_id
        self._signers = signers
        self._genesis = genesis
        self._balance = balance * _COIN
        height = NEWEST if fork_height is None else fork_height
        self._forking = Forking(fork_url, height, fork_cache)
        self._settings = settings or Settings()
        self._loop: BorrowedLoop | None = None
        self._node: Node
        self._context: Context
        self._dispatcher: Dispatcher
        self._web3: Web3 | None = None
        self._async_web3: AsyncWeb3[Any] | None = None

    # -- life --------------------------------------------------------------------------------------

    def __enter__(self) -> "Ledger":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> "Ledger":
        """Begin at the first block. Once."""
        if self._loop is not None:
            raise RuntimeError("this ledger was started before")
        self._loop = BorrowedLoop(_ANSWER_SECONDS)
        with ExitStack() as undo:
            undo.callback(self._loop.close)
            self._loop.run(self._start())
            undo.pop_all()
        return self

    def close(self) -> None:
        """Let go of everything; a second time does nothing."""
        if self._loop is None or self._loop.is_closed:
            return
        try:
            self._loop.run(self._stop())
        finally:
            self._loop.close()

    async def _start(self) -> None:
        settings = replace(self._settings, pool=replace(self._settings.pool, journal=False))
        store = MemoryStore()
        environment = replace(real_environment(), threads=_inline)
        now = int(environment.clock())
        genesis, point = open_fork(store, self._forking, now, self._genesis_of)
        origin = None if point is None else point.origin
        self._node = Node(
            settings,
            StoredLedger.open(store, genesis, origin=origin),
            accounts=self._signers,
            validator_key=new_key(),
            votes=None,
            environment=environment,
            developing=Developing(fork=point, forks=self._forking.answers, ears=Ears(_say_call)),
            on_commit=_say,
        )
        await self._node.start()
        filters = Filters(settings.rpc, self._node)
        filters.start()
        heavy = HeavyCalls(settings.rpc, _inline)
        quick = QuickCalls(self._node.machines.new(), watched=False)
        self._context = Context(self._node, filters, heavy, TipOracle(), local=True, quick=quick)
        self._dispatcher = Dispatcher(settings.rpc)

    def _genesis_of(self, _: int | None, timestamp: int) -> Genesis:
        return self._genesis or dev_genesis(
            self.chain_id,
            accounts=list(self._signers),
            balance=self._balance,
            timestamp=timestamp,
            contracts=first_contracts(),
        )

    async def _stop(self) -> None:
        await self._context.filters.stop()
        await self._context.heavy.close()
        await self._node.stop()

    @property
    def _developer(self) -> DevChain:
        developer = self._node.developer
        assert developer is not None
        return developer

    def _begun(self) -> BorrowedLoop:
        if self._loop is None:
            raise RuntimeError("this ledger is not running")
        return self._loop

    # -- JSON-RPC ----------------------------------------------------------------------------------

    def answer(self, body: bytes) -> bytes:
        """The JSON-RPC answer to a request or a batch, in bytes; empty to notifications alone."""
        loop, by_hand = self._begun(), self._is_by_hand(body)
        if not by_hand:
            at_once = loop.call(lambda: self._answer_at_once(body))
            if at_once is not None:
                return at_once
        answer = loop.run(self._answer(body), by_hand=by_hand)
        if self._developer.producer.is_broken:
            loop.run(asyncio.sleep(0))  # so that the node hears of it
        if self._developer.producer.pace.interval:
            loop.take_thread()  # blocks come while nobody calls
        return answer

    async def answer_async(self, body: bytes) -> bytes:
        """As `answer`, for callers in an event loop."""
        loop, by_hand = self._begun(), self._is_by_hand(body)
        if not by_hand:
            at_once = loop.call(lambda: self._answer_at_once(body))
            if at_once is not None:
                return at_once
        answer = await loop.run_async(self._answer(body), by_hand=by_hand)
        if self._developer.producer.is_broken:
            await loop.run_async(asyncio.sleep(0))
        return answer

    def _is_by_hand(self, body: bytes) -> bool:
        found = _BY_HAND.search(body, 0, _METHOD_WITHIN)
        return found is not None and not len(self._context.filters)

    def _answer_at_once(self, body: bytes) -> bytes | None:
        """As `answer`, for single calls that wait for nothing; None: it takes the loop."""
        if b"Filter" in body:  # one is fed in the loop, and up to date after its turn only
            return None
        ctx, settings, counts = self._context, self._settings.rpc, self._dispatcher.counts
        made = answer_at_once(body, ctx, settings, counts)
        if isinstance(made, Later):
            return answer_heavy(made, ctx, counts)
        if made is None or isinstance(made, bytes):
            return made
        made.close()  # a long batch
        return None

    async def _answer(self, body: bytes) -> bytes:
        return await self._dispatcher.answer(body, self._context) or b""

    def request(self, method: str, *params: Any) -> Any:
        """A method's result; RequestError when it is refused. Bytes are sent as hex data."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = msgspec.json.decode(self.answer(_encode(body).encode()))
        if (error := answer.get("error")) is not None:
            raise RequestError(error["code"], error["message"], error.get("data"))
        return answer["result"]

    # -- what tests want most ----------------------------------------------------------------------

    def mine(self, blocks: int = 1) -> None:
        """So many blocks, of what waits."""
        self.request("anvil_mine", blocks)

    def snapshot(self) -> str:
        """Remember this moment; its name for `revert`."""
        name: str = self.request("evm_snapshot")
        return name

    def revert(self, snapshot: str) -> None:
        """Go back; the snapshot and all later ones are used up. ValueError when there is none."""
        if not self.request("evm_revert", snapshot):
            raise ValueError(f"there is no snapshot {snapshot}")

    @contextmanager
    def moment(self) -> Iterator[None]:
        """What happens inside is taken back at its end."""
        name = self.snapshot()
        try:
            yield
        finally:
            self.revert(name)

    def add_key(self, key: bytes) -> str:
        """Let the account of a private key sign as the others do; its checksummed address."""
        address = address_of(key)
        name = checksummed(address)
        if name not in self.keys:
            self.keys[name] = key
            self.accounts.append(name)
            self._signers[address] = key
        return name

    @property
    def web3(self) -> "Web3":
        """web3.py on this ledger; the first account sends unless another is named."""
        if self._web3 is None:
            from node.testing.providers import web3_on

            self._web3 = web3_on(self)
        return self._web3

    @property
    def async_web3(self) -> "AsyncWeb3[Any]":
        """web3.py's asynchronous side."""
        if self._async_web3 is None:
            from node.testing.providers import async_web3_on

            self._async_web3 = async_web3_on(self)
        return self._async_web3
