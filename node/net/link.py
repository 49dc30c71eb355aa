"""One link: reads, writes and watches over a connection whose other end has proved itself."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

from chain.errors import Reason, Rejected
from node.net.addresses import Address
from node.net.frames import Joiner
from node.net.handshake import Proven, goodbye
from node.net.messages import Goodbye, Message, Ping, Pong, decode_message, encode_message
from node.net.network import Offence, Peer, PeerId
from node.net.rates import URGENT, Rates, kind_of_frame
from node.net.send_queue import SendQueue
from node.net.sockets import CLOSE_SECONDS, FrameSocket
from node.settings import NetSettings

_UNFINISHED_SECONDS: Final = 60.0  # for a message in parts to be whole
_LONG_FRAME_BYTES: Final = 16 * 2**10  # after so much, others get a turn


class Traffic:
    """What went through all links since the start: by kind of message, and bytes on the wire."""

    def __init__(self) -> None:
        self.messages_in: Counter[str] = Counter()
        self.messages_out: Counter[str] = Counter()
        self.kind_bytes_in: Counter[str] = Counter()
        self.kind_bytes_out: Counter[str] = Counter()
        self.bytes_in = 0
        self.bytes_out = 0


class Link:
    """A peer's link. `run` once; `send` and `close` at any time in the loop's thread."""

    def __init__(
        self,
        peer: Peer,
        proven: Proven,
        socket: FrameSocket,
        *,
        dialled: Address | None,
        settings: NetSettings,
        traffic: Traffic,
        handle: Callable[["Link", Message], Awaitable[None]],
        blame: Callable[[PeerId, Offence, str], None],
        make_room: Callable[["Link"], None],
    ) -> None:
        """`handle` takes each message but pings. `make_room` is told when an unfinished message
        grows, and sees to it that all links together keep within their limit.
        """
        self.peer = peer
        self.proven = proven
        self.socket = socket
        self.dialled = dialled
        self.round_trip: float | None = None  # seconds, of the latest ping
        self.since = self._now()
        self.ended: Rejected | None = None  # why
        self.gone = asyncio.Event()  # set by its owner when all is over
        self._settings = settings
        self._traffic = traffic
        self._handle = handle
        self._blame = blame
        self._make_room = make_room
        self._queue = SendQueue(settings.send_bytes_max)
        self._filled = asyncio.Event()
        self._ending = asyncio.Event()
        self._joiner = Joiner()
        self._rates = Rates(settings.receive_rate_max, self.since)
        self._unfinished_since: float | None = None
        self._waits_since: float | None = None  # for the peer to say something
        self._writes_since: float | None = None
        self._pings: dict[int, float] = {}
        self._ping = 0

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    @property
    def age(self) -> float:
        """Seconds since it was proved."""
        return self._now() - self.since

    @property
    def bytes_unfinished(self) -> int:
        """Bytes of messages whose last part is still to come."""
        return self._joiner.bytes_held

    @property
    def unfinished_since(self) -> float:
        """Since when, by the loop's clock."""
        return self._unfinished_since or self._now()

    @property
    def bytes_waiting(self) -> int:
        """Bytes that wait to be sent."""
        return self._queue.bytes_held

    def send(self, name: str, level: int, frame: bytes) -> bool:
        """Queue an encoded message of the kind `name`; False when the link ends or is full."""
        if self.ended is not None or not self._queue.put(level, frame):
            return False
        self._traffic.messages_out[name] += 1
        self._traffic.kind_bytes_out[name] += len(frame)
        self._filled.set()
        return True

    def close(self, why: Rejected) -> None:
        """End the link; the peer is told why if it still listens."""
        if self.ended is None:
            self.ended = why
            self._ending.set()

    async def run(self) -> None:
        """Until the link ends; `ended` says why. Raises only what `handle` raises on its own."""
        tasks = [asyncio.create_task(job) for job in (self._read(), self._write(), self._watch())]
        tasks.append(asyncio.create_task(self._wait_for_end()))
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            await self._part()
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    async def _wait_for_end(self) -> None:
        await self._ending.wait()

    async def _part(self) -> None:
        """Say goodbye, where it was this side that ended, and close."""
        why = self.ended
        if why is None:
            self.ended = Rejected(Reason.PEER_REMOVED, "the peer closed")
            self.socket.abort()
            return
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self.socket.send(goodbye(why))
        except (TimeoutError, ConnectionError):
            self.socket.abort()  # it does not listen any more
            return
        await self.socket.close()

    # -- reading -----------------------------------------------------------------------------------

    async def _read(self) -> None:
        try:
            while await self._read_frame():
                pass
        except Rejected as rejected:
            self._blame(self.peer.id, Offence.MALFORMED, str(rejected))
            self.close(rejected)

    async def _read_frame(self) -> bool:
        """Take a frame, and the message that it completes; False at the end."""
        self._waits_since = self._now()
        seen = self.socket.sieve.bytes_in
        frame = await self.socket.receive()
        self._waits_since = None
        self._traffic.bytes_in += self.socket.sieve.bytes_in - seen
        if frame is None:
            return False
        now = self._now()
        wait = self._rates.bytes_came(len(frame), now)
        whole = self._joiner.add(frame)
        if whole is None:
            if self._unfinished_since is None:
                self._unfinished_since = now
            self._make_room(self)
            await asyncio.sleep(wait)
            return True
        if not self._joiner.bytes_held:
            self._unfinished_since = None
        kind = kind_of_frame(whole)
        self._traffic.messages_in[kind.name] += 1
        self._traffic.kind_bytes_in[kind.name] += len(whole)
        wait = max(wait, self._rates.message_came(kind, now))
        if self._rates.flooded():
            self._blame(self.peer.id, Offence.FLOOD, kind.name)
        if wait:
            await asyncio.sleep(wait)
        await self._take(decode_message(whole))
        return True

    async def _take(self, message: Message) -> None:
        match message:
            case Ping(request):
                self._send_own(Pong(request))
            case Pong(request):
                sent = self._pings.pop(request, None)
                if sent is not None:
                    self.round_trip = self._now() - sent
            case Goodbye(reason, detail):
                known = {item.value: item for item in Reason}
                self.ended = Rejected(
                    known.get(reason, Reason.PEER_REMOVED), f"said by the peer: {detail}"
                )
                self._ending.set()
            case _:
                await self._handle(self, message)

    # -- writing -----------------------------------------------------------------------------------

    async def _write(self) -> None:
        try:
            while True:
                frame = self._queue.take()
                if frame is None:
                    self._filled.clear()
                    await self._filled.wait()
                    continue
                self._writes_since = self._now()
                await self.socket.send(frame)
                self._writes_since = None
                self._traffic.bytes_out += len(frame)
                if len(frame) >= _LONG_FRAME_BYTES:
                    await asyncio.sleep(0)
        except ConnectionError:
            return  # the peer is gone

    def _send_own(self, message: Message) -> None:
        """Queue one of the link's own messages; a peer that reads nothing gets none of them."""
        self.send(type(message).__name__, URGENT, encode_message(message))

    # -- watching ----------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Give signs of life, and end the link when the peer gives none."""
        silence = self._settings.silence_max_ms / 1000
        while True:
            await asyncio.sleep(self._settings.ping_interval_ms / 1000)
            now = self._now()
            self.socket.sieve.controls = 0
            if _longer(self._waits_since, now, silence):
                self.close(Rejected(Reason.TOO_SLOW, "no message for too long"))
            elif _longer(self._writes_since, now, silence):
                self.close(Rejected(Reason.TOO_SLOW, "nothing was read for too long"))
            elif _longer(self._unfinished_since, now, _UNFINISHED_SECONDS):
                self.close(Rejected(Reason.TOO_SLOW, "a message was not finished in time"))
            self._ping = (self._ping + 1) % 2**32
            self._pings = {self._ping: now}
            self._send_own(Ping(self._ping))


def _longer(since: float | None, now: float, limit: float) -> bool:
    return since is not None and now - since > limit
