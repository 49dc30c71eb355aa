"""A WebSocket as a link needs it: whole binary frames in and out, everything else refused.

Between TLS and aiohttp stands a sieve that sees every byte first, so that a frame which is
too long, in fragments or of a wrong kind is refused before aiohttp keeps any of it.
"""

import asyncio
import socket as sockets
from collections.abc import Callable
from typing import Final

from aiohttp import ClientWebSocketResponse, WSMsgType, web

from chain.errors import Reason, Rejected
from node.net.addresses import plain_host
from node.net.frames import FRAME_PAYLOAD_MAX, FrameScan
from node.net.handshake import HANDSHAKE_BYTES_MAX

# aiohttp's own limit is never reached: the sieve's is lower.
SOCKET_MESSAGE_MAX: Final = 2 * FRAME_PAYLOAD_MAX
CLOSE_SECONDS: Final = 1.0
_HEAD_BYTES_MAX: Final = 4096
_HEAD_END: Final = b"\r\n\r\n"
_BUFFER_BYTES: Final = 64 * 2**10  # written, but not yet with the kernel
_CONTROLS_MAX: Final = 64  # pings and pongs between two looks of the link, some seconds apart
_KERNEL_BYTES: Final = 128 * 2**10  # with the kernel, but not yet sent

WebSocket = web.WebSocketResponse | ClientWebSocketResponse


class Sieve(asyncio.Protocol):
    """Hands a connection's bytes on to `inner` as long as they are what a node sends.

    At first that is one HTTP head of a dialling node; after `expect_frames`, frames.
    """

    def __init__(self, inner: asyncio.Protocol, on_lost: Callable[[], None] | None = None) -> None:
        self.transport: asyncio.Transport | None = None
        self.violation: Rejected | None = None
        self.bytes_in = 0
        self.controls = 0  # pings and pongs since somebody last looked
        self._inner = inner
        self._on_lost = on_lost
        self._head = b""
        self._head_ended = False
        self._scan: FrameScan | None = None

    def expect_frames(self, *, masked: bool) -> None:
        """From here on come frames; small ones until `admit`."""
        self._scan = FrameScan(HANDSHAKE_BYTES_MAX, masked=masked)

    def admit(self) -> None:
        """The peer is proved: frames may be as long as parts are."""
        assert self._scan is not None
        self._scan.payload_max = FRAME_PAYLOAD_MAX

    def interpose(self, transport: asyncio.Transport) -> None:
        """Step between a connection that stands and its protocol."""
        self.transport = transport
        transport.set_protocol(self)

    def data_received(self, data: bytes) -> None:
        if self.violation is not None:
            return
        self.bytes_in += len(data)
        try:
            if self._scan is not None:
                self.controls += self._scan.feed(data)
                if self.controls > _CONTROLS_MAX:
                    raise Rejected(Reason.BAD_MESSAGE, "a flood of WebSocket pings")
            else:
                self._check_head(data)
        except Rejected as rejected:
            self.violation = rejected
            assert self.transport is not None
            self.transport.abort()
            return
        self._inner.data_received(data)

    def _check_head(self, data: bytes) -> None:
        self._head += data
        end = self._head.find(_HEAD_END)
        if self._head_ended or 0 <= end < len(self._head) - len(_HEAD_END):
            raise Rejected(Reason.BAD_MESSAGE, "bytes before the connection is a WebSocket")
        if len(self._head) > _HEAD_BYTES_MAX:
            raise Rejected(Reason.TOO_LARGE, "an HTTP head of too many bytes")
        self._head_ended = end >= 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._inner.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._inner.connection_lost(exc)
        if self._on_lost is not None:
            self._on_lost()

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()


class FrameSocket:
    """A connected WebSocket behind its sieve."""

    def __init__(self, socket: WebSocket, sieve: Sieve) -> None:
        assert sieve.transport is not None
        self.sieve = sieve
        self._socket = socket
        self._transport = transport = sieve.transport
        self.remote: tuple[str, int] = _place(transport.get_extra_info("peername"))
        self.local: tuple[str, int] = _place(transport.get_extra_info("sockname"))
        # Little waits below the queue, where nothing can overtake it any more.
        transport.set_write_buffer_limits(high=_BUFFER_BYTES)
        kernel = transport.get_extra_info("socket")
        if kernel is not None and hasattr(sockets, "TCP_NOTSENT_LOWAT"):
            kernel.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_NOTSENT_LOWAT, _KERNEL_BYTES)

    async def send(self, frame: bytes) -> None:
        """Write a frame, waiting while the peer reads slowly; ConnectionError when it is gone."""
        await self._socket.send_bytes(frame)

    async def receive(self) -> bytes | None:
        """The next frame; None at the end. Rejected when the peer broke the rules of frames."""
        message = await self._socket.receive()
        if self.sieve.violation is not None:
            raise self.sieve.violation
        if message.type is WSMsgType.BINARY:
            frame: bytes = message.data
            return frame
        if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED):
            return None
        if message.type is WSMsgType.ERROR and isinstance(message.data, ConnectionError | OSError):
            return None
        raise Rejected(Reason.BAD_MESSAGE, f"not a frame: {message.data!r:.100}")

    async def close(self) -> None:
        """Close politely, then for good."""
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._socket.close()
        except (TimeoutError, ConnectionError):
            pass  # it is closed hard below
        finally:
            self.abort()

    def abort(self) -> None:
        """Drop the connection at once."""
        self._transport.abort()


def _place(name: object) -> tuple[str, int]:
    """An address of the socket module as host and port."""
    if not isinstance(name, tuple) or len(name) < 2:
        return "", 0
    return plain_host(str(name[0])), int(name[1])
