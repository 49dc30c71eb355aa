"""Clients that send transfers to nodes and want to see receipts."""

import asyncio
from collections.abc import Callable, Sequence
from random import Random
from typing import Final, Protocol

from msgspec import Struct

from chain.crypto.secp256k1 import address_of
from chain.errors import Fault, Reason, Rejected
from chain.execution import Executed
from chain.transactions import build_transaction, sign_transaction
from chain.types import Address, Hash
from node.simulator.invariants import Invariants, Location

_GAS: Final = 21_000
_FEE: Final = 100 * 10**9
_TIP: Final = 10**9
_PATIENCE_S: Final = 5.0  # then the same transaction goes to another node
_WAITING_MAX: Final = 64  # of one client
_LATENCIES_MAX: Final = 100_000


class Entrance(Protocol):
    """A node as clients see it."""

    @property
    def name(self) -> str: ...
    @property
    def serving(self) -> bool: ...
    async def submit(self, raw: bytes) -> Hash: ...
    def next_nonce(self, account: Address) -> int: ...


class _Sent(Struct):
    """A transaction that has no receipt yet."""

    raw: bytes
    nonce: int
    first_at: float  # when it was first accepted
    tried_at: float
    entrance: str


class Client:
    """One account. Its transactions go out in the order of their nonces."""

    def __init__(self, key: bytes, chain_id: int, random: Random) -> None:
        self.address = address_of(key)
        self.waiting: dict[Hash, _Sent] = {}
        self._key = key
        self._chain_id = chain_id
        self._random = random
        self._nonce = 0

    def next_transfer(self, recipients: Sequence[Address]) -> tuple[Hash, bytes, int]:
        transaction = sign_transaction(
            build_transaction(
                kind=2,
                chain_id=self._chain_id,
                nonce=self._nonce,
                gas_limit=_GAS,
                max_fee=_FEE,
                max_priority_fee=_TIP,
                to=self._random.choice(recipients),
                value=self._random.randint(1, 10**12),
            ),
            self._key,
        )
        self._nonce += 1
        return transaction.hash, transaction.raw, transaction.nonce


class Workload:
    """All clients together, `rate` transfers per second, until cancelled."""

    def __init__(
        self,
        keys: Sequence[bytes],
        chain_id: int,
        rate: float,
        entrances: Callable[[], Sequence[Entrance]],
        invariants: Invariants,
        random: Random,
    ) -> None:
        self.clients = [Client(key, chain_id, random) for key in keys]
        self.latencies: list[float] = []  # seconds from submission to receipt, at one node
        self.receipts = 0
        self._rate = rate
        self._entrances = entrances
        self._invariants = invariants
        self._random = random
        self._recipients = [client.address for client in self.clients]
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Send until cancelled; what waits too long is sent again elsewhere."""
        loop = asyncio.get_running_loop()
        while self._rate > 0:
            await asyncio.sleep(self._random.expovariate(self._rate))
            open_doors = [entrance for entrance in self._entrances() if entrance.serving]
            if not open_doors:
                continue
            client = self._random.choice(self.clients)
            entrance = self._random.choice(open_doors)
            self._send_again(client, entrance, loop.time())
            if len(client.waiting) < _WAITING_MAX:
                transaction, raw, nonce = client.next_transfer(self._recipients)
                now = loop.time()
                client.waiting[transaction] = _Sent(raw, nonce, now, now, entrance.name)
                self._submit(entrance, raw)

    def _send_again(self, client: Client, entrance: Entrance, now: float) -> None:
        for sent in client.waiting.values():
            if now - sent.tried_at > _PATIENCE_S:
                sent.tried_at = now
                sent.entrance = ""  # its latency is no longer one node's
                self._submit(entrance, sent.raw)

    def _submit(self, entrance: Entrance, raw: bytes) -> None:
        task = asyncio.get_running_loop().create_task(self._deliver(entrance, raw))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, entrance: Entrance, raw: bytes) -> None:
        try:
            await entrance.submit(raw)
        except Rejected as rejected:
            if rejected.reason not in _BEARABLE:
                self._invariants.broken(f"{entrance.name} refused a transfer: {rejected}")
        except Fault:
            return  # the node is going down; the client tries another one later

    def committed(self, name: str, executed: Executed, now: float) -> None:
        """A node has a block on disk: clients that wait for something in it ask for receipts."""
        header = executed.block.header
        location = Location(header.number, executed.hash)
        for transaction in executed.block.transactions:
            self._invariants.answered(transaction.hash, location, name)
            for client in self.clients:
                sent = client.waiting.get(transaction.hash)
                if sent is not None and sent.entrance in (name, ""):
                    del client.waiting[transaction.hash]
                    self.receipts += 1
                    if sent.entrance and len(self.latencies) < _LATENCIES_MAX:
                        self.latencies.append(now - sent.first_at)


# What an honest client may hear when it sends again, or when the node is behind or full.
_BEARABLE: Final = frozenset(
    {Reason.ALREADY_KNOWN, Reason.NONCE_TOO_LOW, Reason.NONCE_TOO_HIGH, Reason.POOL_FULL}
)
