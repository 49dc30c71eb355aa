"""Who attacks a running node: a link that proves itself as the rules have it, and then lies.

async with Intruder(net[0], identity_of(net)) as evil:
    await evil.say(Votes((forged,)))
    await evil.scored(100)
"""

import asyncio
import os
from asyncio import IncompleteReadError
from collections import deque
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Final

from chain.errors import Rejected
from chain.types import Hash
from node.keys import new_key
from node.net.frames import Joiner, cut
from node.net.handshake import Identity
from node.net.messages import (
    Goodbye,
    Message,
    Ping,
    Pong,
    Status,
    decode_message,
    encode_message,
)
from tests.end_to_end.network import NetworkNode, Testnet
from tests.node.net.attacker import Attacker, frame

_HEARD_MAX: Final = 1000
_SECONDS: Final = 120.0
_BULK: Final = 1  # the stream that long messages are cut for


def identity_of(
    net: Testnet, *, node_key: bytes | None = None, validator_key: bytes | None = None
) -> Identity:
    """A node of this network, by default a new one that nobody knows."""
    return Identity(
        node_key=node_key or new_key(),
        validator_key=validator_key,
        chain_id=net.chain_id,
        genesis_hash=Hash(bytes.fromhex(net[0].block_hash(0)[2:])),
        agent="intruder",
    )


class Intruder:
    """A proved link to a running node; use with `async with`."""

    def __init__(self, victim: NetworkNode, who: Identity) -> None:
        self.victim = victim
        self.who = who
        self.heard: deque[Message] = deque(maxlen=_HEARD_MAX)
        self.goodbye: Goodbye | None = None
        self.closed = asyncio.Event()
        self._link = Attacker(None, int(victim.p2p.rsplit(":", 1)[1]))
        self._pings = 0
        self._reader: asyncio.Task[None] | None = None

    @property
    def node_id(self) -> str:
        return self.who.node.hex()

    async def __aenter__(self) -> "Intruder":
        await self._link.__aenter__()
        await self._link.upgrade()
        await self._link.prove(self.who)
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
        await self._link.__aexit__(kind, error, trace)

    async def say(self, *messages: Message) -> None:
        """Nothing happens when the victim has hung up."""
        for message in messages:
            for part in cut(encode_message(message), _BULK):
                await self._link.send(frame(part))

    async def flood(self, messages: Iterable[Message]) -> None:
        """As many of them as the victim takes before it hangs up."""
        for message in messages:
            if self.closed.is_set():
                return
            await self.say(message)

    async def answered(self) -> None:
        """Until the victim has taken everything that was said, or hung up."""
        self._pings += 1
        await self.say(Ping(self._pings))
        wanted = Pong(self._pings)
        await until(lambda: wanted in self.heard or self.closed.is_set(), "no answer")

    async def scored(self, points: float) -> None:
        """Until the victim holds so much against this node; 100: it is banned."""

        async def score() -> bool:
            return await asyncio.to_thread(self.victim.score, self.node_id) >= points

        await until(score, f"{self.node_id} has less than {points} points")

    def last(self, kind: type) -> Any:
        """The last message of a kind that was heard; None: none was."""
        return next((each for each in reversed(self.heard) if isinstance(each, kind)), None)

    async def status(self) -> Status:
        """What the victim says of itself, with the proof of its height."""
        await until(lambda: getattr(self.last(Status), "finalization", b""), "no status")
        found: Status = self.last(Status)
        return found

    async def _read(self) -> None:
        joiner = Joiner()
        try:
            while True:
                whole = joiner.add(await self._link.receive_frame())
                if whole is None:
                    continue
                message = decode_message(whole)
                self.heard.append(message)
                if isinstance(message, Goodbye):
                    self.goodbye = message
                if isinstance(message, Ping):
                    await self.say(Pong(message.request))
        except (ConnectionError, IncompleteReadError, Rejected):
            return  # the victim hung up, its WebSocket's last frame included
        finally:
            self.closed.set()


async def until(condition: Callable[[], Any], what: str) -> None:
    """Poll until the condition, or what it gives to be awaited, is true."""
    deadline = asyncio.get_running_loop().time() + _SECONDS
    while True:
        found = condition()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return
        assert asyncio.get_running_loop().time() < deadline, what
        await asyncio.sleep(0.02)


def noise(size: int) -> bytes:
    """Bytes that mean nothing."""
    return os.urandom(size)
