"""Where other nodes dial in: TCP, TLS, one HTTP head, WebSocket; within limits at each step.

Anybody can open connections and say nothing. So a connection has a deadline to prove who
it is, and when too many have not yet, the one that has tried longest gives way: an honest
one needs a few round trips, far less than a flood takes to come round.
"""

import asyncio
import ssl
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from node.net.addresses import plain_host
from node.net.sockets import CLOSE_SECONDS, SOCKET_MESSAGE_MAX, FrameSocket, Sieve
from node.settings import NetSettings

_BACKLOG: Final = 256
_SHUTDOWN_SECONDS: Final = 1.0

Serve = Callable[[FrameSocket], Awaitable[None]]


class Listener:
    """Accepts connections and serves each that became a WebSocket. `start` once, `stop` once."""

    def __init__(
        self,
        settings: NetSettings,
        context: ssl.SSLContext,
        serve: Serve,
        refuses: Callable[[str], bool],
    ) -> None:
        """`serve` runs for as long as the connection stands, and calls `proved` on the way.
        `refuses` says whether a host is turned away without a word.
        """
        self.port = 0
        self.refused = 0  # connections, since the start
        self.expired = 0
        self._settings = settings
        self._context = context
        self._serve = serve
        self._refuses = refuses
        self._half_open: OrderedDict[asyncio.Transport, str] = OrderedDict()  # to their hosts
        self._hosts: Counter[str] = Counter()
        self._deadlines: dict[asyncio.Transport, asyncio.TimerHandle] = {}
        self._under: dict[Sieve, asyncio.Transport] = {}  # the TCP connection under each sieve
        self._securing: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._http = web.Server(
            self._handle, access_log=None, keepalive_timeout=0.0, lingering_time=0.0
        )

    @property
    def half_open(self) -> int:
        """Connections that have not proved yet who they are."""
        return len(self._half_open)

    async def start(self) -> None:
        """Listen. OSError when the address can't be had; afterwards `port` is the real one."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Arrival(self._arrived), self._settings.host, self._settings.port,
            backlog=_BACKLOG,
        )  # fmt: skip
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Free the port and drop what is not proved; links end by their owner."""
        if self._server is not None:
            self._server.close()
        for transport in tuple(self._half_open):
            transport.abort()
        for task in tuple(self._securing):
            task.cancel()
        await asyncio.gather(*self._securing, return_exceptions=True)
        self._http.pre_shutdown()
        await self._http.shutdown(_SHUTDOWN_SECONDS)

    def proved(self, socket: FrameSocket) -> None:
        """A connection has proved who it is and is no longer counted, nor watched, here."""
        transport = self._under.get(socket.sieve)
        if transport is not None:
            self._settle(transport)

    # -- connections -------------------------------------------------------------------------------

    def _arrived(self, transport: asyncio.Transport) -> None:
        name = transport.get_extra_info("peername")
        host = plain_host(str(name[0])) if name else ""
        settings = self._settings
        if self._refuses(host) or self._hosts[host] >= settings.host_handshakes_max:
            self.refused += 1
            transport.abort()
            return
        if len(self._half_open) >= settings.handshakes_max:
            oldest = next(iter(self._half_open))
            self._settle(oldest)
            oldest.abort()
            self.refused += 1
        transport.pause_reading()
        self._half_open[transport] = host
        self._hosts[host] += 1
        loop = asyncio.get_running_loop()
        self._deadlines[transport] = loop.call_later(
            settings.handshake_timeout_ms / 1000, self._expire, transport
        )
        task = asyncio.create_task(self._secure(transport))
        self._securing.add(task)
        task.add_done_callback(self._securing.discard)

    def _expire(self, transport: asyncio.Transport) -> None:
        self.expired += 1
        self._settle(transport)
        transport.abort()

    def _settle(self, transport: asyncio.Transport) -> None:
        """Stop counting a connection, whatever became of it."""
        host = self._half_open.pop(transport, None)
        if host is None:
            return
        self._deadlines.pop(transport).cancel()
        self._hosts[host] -= 1
        if not self._hosts[host]:
            del self._hosts[host]

    async def _secure(self, transport: asyncio.Transport) -> None:
        """Put TLS, the sieve and HTTP on a TCP connection."""

        def lost() -> None:
            self._under.pop(sieve, None)
            self._settle(transport)

        sieve = Sieve(self._http(), lost)
        try:
            secured = await asyncio.get_running_loop().start_tls(
                transport,
                sieve,
                self._context,
                server_side=True,
                ssl_handshake_timeout=self._settings.handshake_timeout_ms / 1000,
                ssl_shutdown_timeout=CLOSE_SECONDS,
            )
        except (OSError, TimeoutError):  # ssl's errors are OSErrors
            self._settle(transport)
            transport.abort()
            return
        if secured is None or transport not in self._half_open:
            self._settle(transport)
            transport.abort()
            return
        self._under[sieve] = transport
        sieve.connection_made(secured)

    # -- HTTP --------------------------------------------------------------------------------------

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        transport = request.transport
        socket = web.WebSocketResponse(
            compress=False, max_msg_size=SOCKET_MESSAGE_MAX, timeout=CLOSE_SECONDS
        )
        if transport is None or request.path != "/" or not socket.can_prepare(request):
            refusal = web.Response(status=426, text="nodes speak WebSocket here\n")
            refusal.force_close()
            return refusal
        sieve = transport.get_protocol()
        assert isinstance(sieve, Sieve)
        # From here on only frames may come, and none before the dialling node has its answer.
        sieve.expect_frames(masked=True)
        await socket.prepare(request)
        await self._serve(FrameSocket(socket, sieve))
        return socket


class _Arrival(asyncio.Protocol):
    """Has a new TCP connection looked at before a byte of it is read."""

    def __init__(self, arrived: Callable[[asyncio.Transport], None]) -> None:
        self._arrived = arrived

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._arrived(transport)
