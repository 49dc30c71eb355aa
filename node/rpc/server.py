"""The JSON-RPC server: HTTP POST and WebSocket on one port.

Guards, in order: number of connections, Host header (DNS rebinding), origin, method,
content type, size, time. HTTP answers other than 200 follow geth's. Plain requests are
answered by `plain`; connections that bring others go over to `full`.
"""

import asyncio
import resource
from typing import TYPE_CHECKING, Final

from node.rpc import methods as _methods  # noqa: F401 - registers them
from node.rpc.context import Context
from node.rpc.fees import TipOracle
from node.rpc.filters import Filters
from node.rpc.guards import CONTENT_TYPES, Guards, called_locally
from node.rpc.heads import Head, read_fields
from node.rpc.heavy import HeavyCalls
from node.rpc.incoming import Incoming
from node.rpc.outgoing import Outgoing
from node.rpc.plain import PlainConnections
from node.rpc.protocol import Dispatcher
from node.rpc.quick import QuickCalls
from node.settings import RpcSettings

if TYPE_CHECKING:
    from node.node import Node
    from node.rpc.full import FullServer

_SHUTDOWN_SECONDS: Final = 2.0  # that a request under way may hold up the end of the node
_NUDGE_SECONDS_MAX: Final = 0.25
_NUDGES_MIN: Final = 4  # within the time that a call has
_PLAIN_BYTES_MAX: Final = 2**20  # of a request that is kept in one piece as it comes
_BACKLOG: Final = 512  # connections that wait to be accepted
_OTHER_DESCRIPTORS: Final = 1024  # files that are not connections: the database's, mostly


class _Turned(asyncio.Protocol):
    """Turns a connection away at once, so that it holds no descriptor."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        transport.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n")
        transport.write(b"Connection: close\r\n\r\n")
        transport.close()


def _allow_descriptors(wanted: int) -> None:
    """Raise the soft limit of open files as far as it is needed and allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


class RpcServer:
    """Serves a node. `start` once, `stop` once."""

    def __init__(self, settings: RpcSettings, node: "Node") -> None:
        self._settings = settings
        self._node = node
        self._heavy = HeavyCalls(settings)
        self._dispatcher = Dispatcher(settings)
        self._incoming, self._outgoing = Incoming(), Outgoing()
        self._filters = Filters(settings, node)
        self._quick = QuickCalls(node.machines.new())
        self._context = Context(node, self._filters, self._heavy, TipOracle(), quick=self._quick)
        self._local_context = self._context.of_this_machine()
        self._guards = Guards(settings)
        self._full: FullServer | None = None  # from the first connection on that needs it
        self._plain: PlainConnections | None = None  # while it listens
        self._arriving = 0  # accepted, and not yet among the server's connections
        self._listening: asyncio.Server | None = None
        self._nudging: asyncio.Task[None] | None = None
        self.port = settings.port

    async def start(self) -> None:
        """Listen. OSError when the address can't be had; afterwards `port` is the real one."""
        _allow_descriptors(self._settings.connections_max + _OTHER_DESCRIPTORS)
        loop = asyncio.get_running_loop()
        self._plain = PlainConnections(
            self._settings,
            self,
            self._dispatcher,
            self._incoming,
            self._outgoing,
            self._heavy.turns,
            self._take_over,
        )
        self._listening = await loop.create_server(
            self._accept, self._settings.host, self._settings.port, backlog=_BACKLOG
        )
        self.port = self._listening.sockets[0].getsockname()[1]
        self._plain.start()
        self._filters.start()
        self._nudging = loop.create_task(self._nudge())

    async def stop(self) -> None:
        """Close every connection and free the port."""
        await self._filters.stop()
        if self._listening is not None:
            self._listening.close()
        parts = [part for part in (self._full, self._plain) if part is not None]
        await asyncio.gather(*(part.stop(_SHUTDOWN_SECONDS) for part in parts))
        await self._heavy.close()
        self._quick.close()
        if self._nudging is not None:  # until now, since calls that run are waited for
            self._nudging.cancel()

    async def _nudge(self) -> None:
        """Calls that native code runs hear only so that their time is over."""
        pause = min(_NUDGE_SECONDS_MAX, self._settings.call_timeout_ms / 1000 / _NUDGES_MIN)
        while True:
            await asyncio.sleep(pause)
            self._node.machines.nudge()

    def _accept(self) -> asyncio.BaseProtocol:
        """Who talks on a new connection: nobody when there are enough of them."""
        assert self._plain is not None
        full = self._open + self._arriving >= self._settings.connections_max
        if full and not self._plain.make_room():
            return _Turned()
        # Connections come in bursts; a loop's turn passes before one is counted as open.
        self._arriving += 1
        asyncio.get_running_loop().call_soon(self._arrived)
        return self._plain()

    def _arrived(self) -> None:
        self._arriving -= 1

    @property
    def _open(self) -> int:
        """Connections that are open."""
        return sum(len(part) for part in (self._full, self._plain) if part is not None)

    @property
    def sockets(self) -> int:
        """WebSockets that are open."""
        return 0 if self._full is None else self._full.sockets

    def _take_over(self) -> asyncio.Protocol:
        """Who goes on with a connection that is no longer plain."""
        if self._full is None:
            from node.rpc.full import FullServer  # which says why it is loaded so late

            self._full = FullServer(
                self._settings,
                self._node,
                self._guards,
                self._dispatcher,
                self._incoming,
                self._outgoing,
                (self._local_context, self._context),
                lambda: self._open,
            )
        return self._full()

    def read_head(self, head: bytes, peer: str) -> Head | None:
        """The head of a request that is answered without aiohttp (`node.rpc.plain`), or None."""
        fields, guards = read_fields(head), self._guards
        if fields is None or not guards.host_allowed(fields.host):
            return None
        if fields.content_type.partition(";")[0].strip().lower() not in CONTENT_TYPES:
            return None
        if not 0 < fields.size <= min(self._settings.body_bytes_max, _PLAIN_BYTES_MAX):
            return None
        local = called_locally(peer, fields.others, fields.origin)
        shown = None
        if fields.origin is not None and guards.origin_allowed(fields.origin):
            shown = fields.origin.encode()
        context = self._local_context if local else self._context
        return Head(fields.size, context, fields.closes, shown)
