"""What a JSON-RPC method is given: the node, and the names of blocks resolved on its ledger."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from chain.blocks import Header
from chain.errors import Reason, Rejected
from chain.forks import Fork
from chain.machine import BlockContext
from chain.types import ZERO_HASH, Hash, Height
from chain.views import TrieView
from node.rpc.acceptance import Acceptance
from node.rpc.errors import server_error
from node.rpc.parameters import BlockHash, BlockTag
from node.rpc.remembered import Remembered

if TYPE_CHECKING:
    from chain.ledger import Ledger
    from node.devchain.chain import DevChain
    from node.devchain.fork.beginning import ForkPoint
    from node.node import Node
    from node.rpc.fees import TipOracle
    from node.rpc.filters import Filters
    from node.rpc.heavy import HeavyCalls
    from node.rpc.quick import QuickCalls
    from node.rpc.registry import Method
    from node.rpc.websocket import Connection


T = TypeVar("T")

# A block with this much gas takes some milliseconds to decode (about 240 transfers).
_SMALL_BLOCK_GAS: Final = 5_000_000


class PendingStates:
    """The last state after the pool's next block that somebody asked for."""

    def __init__(self) -> None:
        self.building = threading.Lock()
        self.head: tuple[Hash, int] | None = None  # what it stands on
        self.pool: tuple[int, int] | None = None  # what the pool was then
        self.view: TrieView | None = None
        self._made = 0.0

    def remember(
        self, head: tuple[Hash, int], pool: tuple[int, int], view: TrieView | None
    ) -> None:
        self.head, self.pool, self.view, self._made = head, pool, view, time.monotonic()

    def age(self) -> float:
        """Seconds since it was made."""
        return time.monotonic() - self._made


class WouldWait(Exception):
    """A method can't be answered at once."""


class Surroundings:
    """The block that calls ran in last, made once for as long as they run in the same.

    Machines know it again, and need not be told of it anew.
    """

    def __init__(self) -> None:
        self._last: tuple[Header, Fork, BlockContext] | None = None
        self.forgotten = 0  # times

    def of(
        self,
        header: Header,
        make: Callable[["Context", Header], tuple[Fork, BlockContext]],
        ctx: "Context",
    ) -> tuple[Fork, BlockContext]:
        """The fork and the block of a header of the ledger's; `make` gives them."""
        last = self._last
        if last is None or last[0] is not header:
            last = self._last = (header, *make(ctx, header))
        return last[1], last[2]

    def forget(self) -> None:
        """Have them made anew: the ledger's rules have changed."""
        self._last = None
        self.forgotten += 1


class Context:
    """One caller's access to the node. `connection` is None over HTTP."""

    __slots__ = (
        "_this_turn",
        "at_once",
        "connection",
        "filters",
        "heavy",
        "local",
        "node",
        "pending",
        "pending_states",
        "quick",
        "remembered",
        "signing",
        "surroundings",
        "tips",
    )

    def __init__(
        self,
        node: "Node",
        filters: "Filters",
        heavy: "HeavyCalls",
        tips: "TipOracle",
        connection: "Connection | None" = None,
        *,
        local: bool = False,
        quick: "QuickCalls | None" = None,
    ) -> None:
        """`local` says that the caller is on this machine, and nobody speaks through it.

        Without `quick` all heavy calls go to threads.
        """
        self.node = node
        self.filters = filters
        self.heavy = heavy
        self.tips = tips
        # Held from the choice of a nonce until its transaction is pooled.
        self.signing = asyncio.Lock()
        self.connection = connection
        self.local = local
        self.quick = quick
        self._this_turn: Context | None = None
        self.at_once = False  # whether there is no waiting for threads, but `WouldWait`
        self.pending: TrieView | None = None  # the state after the next block, once it is known
        self.pending_states = PendingStates()
        self.surroundings = Surroundings()
        self.remembered = Remembered()

    def of_connection(self, connection: "Connection") -> "Context":
        """The same context for the caller at the other end of a WebSocket."""
        return self._again(connection, local=self.local)

    def of_this_machine(self) -> "Context":
        """The same context for callers on this machine."""
        return self._again(self.connection, local=True)

    def of_pending(self, view: TrieView) -> "Context":
        """The same context, where "pending" is this state."""
        context = self._again(self.connection, local=self.local)
        context.pending = view
        return context

    def of_this_turn(self) -> "Context":
        """The same context for a method that is to be over at once, or not to begin."""
        context = self._this_turn
        if context is None:
            context = self._this_turn = self._again(self.connection, local=self.local)
            context.at_once = True
        return context

    def _again(self, connection: "Connection | None", *, local: bool) -> "Context":
        context = Context(
            self.node,
            self.filters,
            self.heavy,
            self.tips,
            connection,
            local=local,
            quick=self.quick,
        )
        context.signing = self.signing
        context.pending_states = self.pending_states
        context.surroundings = self.surroundings
        context.remembered = self.remembered
        return context

    def may_call(self, method: "Method") -> bool:
        """Whether there is such a method for this caller, on this ledger."""
        if method.local_only and not self.local:
            return False
        return not method.developer_only or self.node.developer is not None

    @property
    def developer(self) -> "DevChain":
        """The chain that developers' methods control; only they may ask."""
        developer = self.node.developer
        assert developer is not None
        return developer

    @property
    def fork(self) -> "ForkPoint | None":
        """Where this ledger left another one, if it did."""
        developer = self.node.developer
        return None if developer is None else developer.fork

    @property
    def acceptance(self) -> Acceptance:
        """What is taken from callers."""
        return Acceptance(self.node.settings.rpc, developer=self.node.developer is not None)

    @property
    def ledger(self) -> "Ledger":
        return self.node.ledger

    @property
    def lowest(self) -> Height:
        """The first height that there is something to say about.

        A forked ledger's source has the blocks before its first; those before a file's are nowhere.
        """
        return self.ledger.first if self.fork is None else Height(0)

    def find(self, block: BlockTag) -> Height | None:
        """The height that a block parameter names, or None when there is no such block.

        Every committed block is final, so "safe" and "finalized" are the head; so is
        "pending" wherever a block that does not exist yet can't be meant.
        """
        ledger = self.ledger
        if isinstance(block, str):
            return self.lowest if block == "earliest" else ledger.height
        if isinstance(block, int):
            return Height(block) if self.lowest <= block <= ledger.height else None
        return ledger.height_of(block.hash)

    def height(self, block: BlockTag) -> Height:
        """As `find`; RpcError (-32000) in geth's words when there is no such block."""
        found = self.find(block)
        if found is None:
            by_hash = isinstance(block, BlockHash)
            raise server_error("header for hash not found" if by_hash else "header not found")
        return found

    def header(self, height: Height) -> Header:
        """The header of a block that is there."""
        return self.ledger.header(height)

    async def read(self, height: Height, function: Callable[..., T], *arguments: Any) -> T:
        """The result of a function that reads the body of a block.

        A large block is decoded in a thread, so that nobody else waits for it.
        """
        if self.header(height).gas_used <= _SMALL_BLOCK_GAS:
            return function(*arguments)
        if self.at_once:
            raise WouldWait
        result: T = await self.heavy.read(function, *arguments)
        return result

    async def read_part(self, height: Height, function: Callable[..., T], *arguments: Any) -> T:
        """As `read`, for one that reads so little of the body that only decoding it takes long."""
        if self.ledger.is_decoded(height):
            return function(*arguments)
        return await self.read(height, function, *arguments)

    def block_hash(self, number: int) -> Hash:
        """The hash of an ancestor, for the BLOCKHASH opcode; zero when unknown."""
        ledger = self.ledger
        return ledger.hash_at(Height(number)) if 0 <= number <= ledger.height else ZERO_HASH

    def view(self, block: BlockTag) -> TrieView:
        """The state after a block; RpcError when the block or its state is not there.

        "pending" is the head's where nobody asked for more (`node.rpc.pending`).
        """
        if block == "pending" and self.pending is not None:
            return self.pending
        return self.view_at(self.height(block))

    def view_at(self, height: Height) -> TrieView:
        try:
            return self.ledger.view(height)
        except Rejected as rejected:
            if rejected.reason is not Reason.STATE_NOT_RETAINED:
                raise
            root = self.header(height).state_root
            raise server_error(f"historical state {root.hex()} is not available") from None

    def fork_of(self, header: Header) -> Fork:
        """The fork that the block with this header runs under."""
        # Every block from the merge on has no difficulty, and none before it has zero.
        return self.ledger.config.fork_at(
            header.number, header.timestamp, merged=header.difficulty == 0
        )
