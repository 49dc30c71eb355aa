"""HTTP connections over which only plain requests come, which is nearly all of them.

A plain request (`node.rpc.heads`) is answered right here, in the turn in which it arrives when
its methods need not wait. With the first request that is anything else - refusals, pages,
preflights, WebSockets - the connection goes over to aiohttp for good, together with what was
read of it; so there is one set of words for refusals (decision 0012).
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from email.utils import formatdate
from functools import partial
from typing import Any, Final

from node.rpc.heads import Head, Rules
from node.rpc.incoming import CROWDED, Held, Incoming
from node.rpc.instant import Later, answer_at_once, begin
from node.rpc.outgoing import LARGE, PIECE, PIECE_SECONDS, Outgoing
from node.rpc.protocol import Dispatcher
from node.rpc.turns import Turns
from node.settings import RpcSettings

_KEPT_HEADS_MAX: Final = 512  # heads whose reading is remembered
_KEPT_HEAD_BYTES_MAX: Final = 1024
_AHEAD_BYTES_MAX: Final = 2**18  # that are read while an answer is made
_SWEEP_SECONDS: Final = 1.0
_IDLE_SECONDS: Final = 3600.0  # aiohttp's own is about as long
_YIELD_SECONDS: Final = 10.0  # who has asked nothing for so long makes room when there is none

_LATE_WORDS: Final = b"the request took too long to arrive\n"
_BUSY_WORDS: Final = b"too many large answers are waiting to be read, try again later\n"
_CROWDED_WORDS: Final = CROWDED.encode() + b"\n"
_REFUSAL: Final = (
    b"\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n"
    b"Connection: close\r\n\r\n"
)
_LATE: Final = b"HTTP/1.1 408 Request Timeout" + _REFUSAL
_BUSY: Final = b"HTTP/1.1 503 Service Unavailable" + _REFUSAL


class PlainConnections:
    """All of a server's, with what they share. `start` and `stop` once each."""

    def __init__(
        self,
        settings: RpcSettings,
        rules: Rules,
        dispatcher: Dispatcher,
        incoming: Incoming,
        outgoing: Outgoing,
        turns: Turns,
        other: Callable[[], asyncio.Protocol],
    ) -> None:
        """`other` gives the protocol that takes over from a connection's first other request."""
        self.settings = settings
        self.rules = rules
        self.dispatcher = dispatcher
        self.incoming = incoming
        self.outgoing = outgoing
        self.turns = turns
        self.other = other
        self.open: set[PlainConnection] = set()
        self.loop = asyncio.get_running_loop()
        self._heads: dict[tuple[bytes, str], Head] = {}
        self._date = (-1, b"")
        self._sweeping: asyncio.TimerHandle | None = None
        self._all_gone: asyncio.Event | None = None  # waited for at the end

    def __call__(self) -> asyncio.Protocol:
        return PlainConnection(self)

    def __len__(self) -> int:
        return len(self.open)

    def start(self) -> None:
        self._sweeping = self.loop.call_later(_SWEEP_SECONDS, self._sweep)

    async def stop(self, seconds: float) -> None:
        """Let answers under way be given for so long, then close everything."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        for connection in tuple(self.open):
            connection.finish()
        if self.open:
            self._all_gone = asyncio.Event()
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._all_gone.wait()
        for connection in tuple(self.open):
            connection.abort()

    def gone(self, connection: "PlainConnection") -> None:
        """A connection is closed, or no longer one of these."""
        self.open.discard(connection)
        if self._all_gone is not None and not self.open:
            self._all_gone.set()

    def make_room(self) -> bool:
        """Close the connection that has idled for longest, if one has for some time."""
        idle = [connection for connection in self.open if connection.idles]
        oldest = min(idle, key=lambda connection: connection.heard, default=None)
        if oldest is None or self.loop.time() - oldest.heard < _YIELD_SECONDS:
            return False
        self.gone(oldest)  # now, or the next newcomer would be let in for it as well
        oldest.abort()
        return True

    def _sweep(self) -> None:
        """Close what idles or never ends its request, once a second."""
        now = self.loop.time()
        for connection in tuple(self.open):
            connection.look(now)
        self.start()

    def head(self, head: bytes, peer: str) -> Head | None:
        """`Rules.read_head`, remembered: a client's heads are much the same each time."""
        found = self._heads.get((head, peer))
        if found is None:
            found = self.rules.read_head(head, peer)
            if found is not None and len(head) <= _KEPT_HEAD_BYTES_MAX:
                if len(self._heads) >= _KEPT_HEADS_MAX:
                    self._heads.clear()
                self._heads[head, peer] = found
        return found

    def date(self, now: float) -> bytes:
        """The Date header; `now` is in the loop's seconds, and it is made once in each."""
        second, text = self._date
        if second != int(now):
            text = b"Date: " + formatdate(usegmt=True).encode() + b"\r\n"
            self._date = int(now), text
        return text


class PlainConnection(asyncio.Protocol):
    """One connection. Requests are answered one after another, in their order."""

    __slots__ = (
        "_all", "_buffer", "_busy", "_closing", "_full", "_head", "_held", "_peer", "_room",
        "_since", "_transport", "heard", "task",
    )  # fmt: skip

    def __init__(self, connections: PlainConnections) -> None:
        self._all = connections
        self._transport: asyncio.Transport
        self._peer = ""
        self._buffer = b""  # what is read and not yet taken
        self._held: Held | None = None  # of a large request
        self._head: Head | None = None  # of the request whose body is being read
        self.heard = connections.loop.time()
        self._since = 0.0  # when the request that is not whole began to arrive; 0: there is none
        self._full = 0.0  # since when the other side reads too slowly; 0: it does not
        self._room: asyncio.Future[None] | None = None
        self._closing = False
        self._busy = False  # an answer is being made or sent
        self.task: asyncio.Task[None] | None = None  # that does so, where it takes one

    @property
    def idles(self) -> bool:
        """Whether there is no request, not even a part of one."""
        return not (self._busy or self._full or self._buffer or self._since)

    # -- what the transport tells ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        name = transport.get_extra_info("peername")
        self._peer = str(name[0]) if isinstance(name, tuple) else ""
        self._all.open.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._closing = True
        self._all.gone(self)
        if not self._busy:
            self._release()
        if self.task is not None:  # nobody is there to be answered
            self.task.cancel()
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def pause_writing(self) -> None:
        self._full = self._all.loop.time()

    def resume_writing(self) -> None:
        self._full = 0.0
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        self._go_on()

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        if not self._busy and not self._full:
            self._take()
        elif len(self._buffer) > _AHEAD_BYTES_MAX:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """The other side says no more; it still gets the answer that is being made."""
        self._closing = True
        return self._busy

    # -- requests ----------------------------------------------------------------------------------

    def _later(self) -> None:
        """Take the next request when it is this connection's turn again."""
        self._busy = True
        self._all.turns.later(self._resumed)

    def _resumed(self) -> None:
        self._busy = False
        if self._closing and not self._buffer:
            self._transport.close()
        self._go_on()

    def _go_on(self) -> None:
        """Take what came while an answer was made or sent."""
        if self._busy or self._full or self._transport.is_closing():
            return
        if self._buffer:
            self._take()
        if self in self._all.open and not self._busy and not self._full:
            self._transport.resume_reading()

    def _take(self) -> None:
        """Answer the requests that are whole."""
        while self._buffer and not self._busy and not self._full:
            head, buffer = self._head, self._buffer
            if head is None:
                end = buffer.find(b"\r\n\r\n") + 4
                head = None if end < 4 else self._all.head(buffer[:end], self._peer)
                if head is None:
                    return self._hand_over()
                buffer = self._buffer = buffer[end:]
                if head.size > LARGE and not self._has_room(head.size):
                    return None
            if len(buffer) < head.size:
                self._head = head
                if not self._since:
                    self._since = self._all.loop.time()
                return None
            self._head, self._since = None, 0.0
            if len(buffer) == head.size:
                self._buffer = b""
                self._serve(head, buffer)
            else:
                self._buffer = buffer[head.size :]
                self._serve(head, buffer[: head.size])
            if self._transport.is_closing():
                self._buffer = b""
            elif self._buffer and not self._busy and self._all.turns.over():
                self._later()
        return None

    def _has_room(self, size: int) -> bool:
        """Whether a large request may come; else the connection ends."""
        self._held = self._all.incoming.request()
        if self._held.take(size):
            return True
        self._refuse(_BUSY, _CROWDED_WORDS)
        return False

    def _release(self) -> None:
        """The request is answered, or won't be."""
        if self._held is not None:
            self._held.release()
            self._held = None

    def _refuse(self, head: bytes, words: bytes) -> None:
        """Say why, and end the connection."""
        self._buffer = b""
        self._transport.write(head % len(words) + words)
        self._transport.close()

    def _serve(self, head: Head, body: bytes) -> None:
        shared, context = self._all, head.context
        made = answer_at_once(body, context, shared.settings, shared.dispatcher.counts)
        if isinstance(made, bytes) and len(made) <= LARGE:
            self._answer(head, made)
            self._release()
            return
        self._busy = True
        if isinstance(made, Later):
            answered = partial(self._answered, head)
            if begin(made, context, shared.dispatcher.counts, shared.loop, answered):
                return
            made = None
        waiting = shared.dispatcher.answer(body, context) if made is None else made
        self.task = shared.loop.create_task(self._serve_later(head, waiting))

    def _answered(self, head: Head, answer: bytes) -> None:
        """What a thread was asked for is there."""
        if len(answer) > LARGE:
            self.task = self._all.loop.create_task(self._serve_later(head, answer))
            return
        self._busy = False
        self._release()
        self._answer(head, answer)
        self._go_on()

    async def _serve_later(
        self, head: Head, made: bytes | Coroutine[Any, Any, bytes | None]
    ) -> None:
        """Answer when the answer is made; afterwards what came meanwhile is read."""
        try:
            answer = made if isinstance(made, bytes) else await made or b""
            if len(answer) <= LARGE:
                self._answer(head, answer)
            else:
                await self._answer_large(head, answer)
        finally:
            self.task = None
            self._busy = False
            self._release()
        self._go_on()

    # -- answers -----------------------------------------------------------------------------------

    def _first_lines(self, head: Head, size: int) -> bytes:
        self.heard = now = self._all.loop.time()
        lines = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%b" % (
            size,
            self._all.date(now),
        )
        if head.origin is not None:
            lines += b"Access-Control-Allow-Origin: %b\r\nVary: Origin\r\n" % head.origin
        if head.closes:
            lines += b"Connection: close\r\n"
        return lines + b"\r\n"

    def _answer(self, head: Head, answer: bytes) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(self._first_lines(head, len(answer)) + answer)
        self._end_if_last(head)

    def _end_if_last(self, head: Head) -> None:
        if head.closes or (self._closing and not self._buffer):
            self._transport.close()

    async def _answer_large(self, head: Head, answer: bytes) -> None:
        """Send a long answer piece by piece, as fast as it is read, but not for ever."""
        outgoing, transport = self._all.outgoing, self._transport
        if not outgoing.take(len(answer)):
            self._refuse(_BUSY, _BUSY_WORDS)
            return
        try:
            transport.write(self._first_lines(head, len(answer)))
            view = memoryview(answer)
            for start in range(0, len(answer), PIECE):
                transport.write(view[start : start + PIECE])
                async with asyncio.timeout(PIECE_SECONDS):
                    await self._until_room()
                if transport.is_closing():
                    return
        except TimeoutError:
            transport.abort()
        finally:
            outgoing.give_back(len(answer))
        self._end_if_last(head)

    async def _until_room(self) -> None:
        while self._full and not self._transport.is_closing():
            self._room = self._all.loop.create_future()
            await self._room

    # -- ends --------------------------------------------------------------------------------------

    def _hand_over(self) -> None:
        """Let the full server have the connection, with what was read and not answered."""
        read, self._buffer = self._buffer, b""
        self._transport.resume_reading()
        self._all.gone(self)
        other = self._all.other()
        self._transport.set_protocol(other)
        other.connection_made(self._transport)
        other.data_received(read)
        if self._closing:
            other.eof_received()

    def look(self, now: float) -> None:
        """End the connection if it idles, or waits for too long for the other side."""
        settings = self._all.settings
        if self._transport.is_closing():  # and what was answered is not taken
            self._full = self._full or now
        if self._since and now - self._since > settings.read_timeout_ms / 1000:
            self._since = 0.0
            self._refuse(_LATE, _LATE_WORDS)
        elif self._full and now - self._full > PIECE_SECONDS:
            self._transport.abort()
        elif not self._busy and now - self.heard > _IDLE_SECONDS:
            self._transport.close()

    def finish(self) -> None:
        """Take no more requests; close unless an answer is being made."""
        self._closing = True
        self._buffer = b""
        self._transport.pause_reading()
        if not self._busy:
            self._transport.close()

    def abort(self) -> None:
        self._transport.abort()
