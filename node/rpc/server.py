"""The JSON-RPC server: HTTP POST and WebSocket on one port.

Guards, in order: number of connections, Host header (DNS rebinding), origin, method,
content type, size, time. HTTP answers other than 200 follow geth's.
"""

import asyncio
import ipaddress
import json
import logging
import resource
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from node.net.addresses import Reach, reach_of
from node.rpc import methods as _methods  # noqa: F401 - registers them
from node.rpc.client import VERSION
from node.rpc.context import Context
from node.rpc.fees import TipOracle
from node.rpc.filters import Filters
from node.rpc.heavy import HeavyCalls
from node.rpc.outgoing import LARGE, PIECE, PIECE_SECONDS, Outgoing
from node.rpc.plain import Head, PlainConnections, read_fields
from node.rpc.protocol import Dispatcher
from node.rpc.websocket import Connection
from node.settings import RpcSettings
from node.watch.exposition import CONTENT_TYPE
from node.watch.health import health, readiness
from node.watch.metrics import exposition

if TYPE_CHECKING:
    from node.node import Node

_CONTENT_TYPES: Final = frozenset(
    {"application/json", "application/json-rpc", "application/jsonrequest"}
)
_PAGES: Final = frozenset({"/health", "/ready", "/metrics"})
# Whoever stands between caller and node adds one of these.
_PROXY_HEADERS: Final = (
    "Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP",
)  # fmt: skip
_PREFLIGHT_SECONDS: Final = 600
_SHUTDOWN_SECONDS: Final = 2.0  # that a request under way may hold up the end of the node
_NUDGE_SECONDS_MAX: Final = 0.25
_NUDGES_MIN: Final = 4  # within the time that a call has
_PLAIN_BYTES_MAX: Final = 2**20  # of a request that is kept in one piece as it comes
_BACKLOG: Final = 512  # connections that wait to be accepted
_OTHER_DESCRIPTORS: Final = 1024  # files that are not connections: the database's, mostly


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether an error is our own, not that of a caller who spoke no HTTP or went away."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError | ConnectionError)


_http_log: Final = logging.getLogger("node.rpc.http")
_http_log.addFilter(_is_ours)


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
        self._outgoing = Outgoing()
        self._filters = Filters(settings, node)
        self._context = Context(node, self._filters, self._heavy, TipOracle())
        self._local_context = self._context.of_this_machine()
        self._connections: set[Connection] = set()
        self._http = web.Server(
            self._handle,
            access_log=None,
            lingering_time=1.0,
            auto_decompress=False,
            logger=_http_log,
        )
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
            self._settings, self, self._dispatcher, self._outgoing, self._http
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
        await asyncio.gather(*(connection.close() for connection in tuple(self._connections)))
        if self._plain is not None:
            await self._plain.stop(_SHUTDOWN_SECONDS)
        self._http.pre_shutdown()
        await self._http.shutdown(_SHUTDOWN_SECONDS)
        await self._heavy.close()
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
        if self._open + self._arriving >= self._settings.connections_max:
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
        return len(self._http.connections) + (0 if self._plain is None else len(self._plain))

    # -- HTTP --------------------------------------------------------------------------------------

    def read_head(self, head: bytes, peer: str) -> Head | None:
        """The head of a request that is answered without aiohttp (`node.rpc.plain`), or None."""
        fields = read_fields(head)
        if fields is None or not self._host_allowed(fields.host):
            return None
        if fields.content_type.partition(";")[0].strip().lower() not in _CONTENT_TYPES:
            return None
        if not 0 < fields.size <= min(self._settings.body_bytes_max, _PLAIN_BYTES_MAX):
            return None
        local = (
            _is_loopback(peer)
            and not any(name.lower() in fields.others for name in _PROXY_HEADERS)
            and (fields.origin is None or _is_local(fields.origin))
        )
        shown = None
        if fields.origin is not None and self._origin_allowed(fields.origin):
            shown = fields.origin.encode()
        context = self._local_context if local else self._context
        return Head(fields.size, context, fields.closes, shown)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if not self._host_allowed(request.headers.get("Host", "")):
            return _refusal(403, "invalid host specified")
        if request.path != "/":
            return self._page(request)
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._serve_websocket(request)
        response = await self._answer(request)
        origin = request.headers.get("Origin")
        if origin is not None and self._origin_allowed(origin):
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Vary"] = "Origin"
        if isinstance(response.body, bytes) and len(response.body) > LARGE:
            return await self._send_large(request, response, response.body)
        return response

    async def _send_large(
        self, request: web.BaseRequest, response: web.Response, body: bytes
    ) -> web.StreamResponse:
        """Send a long answer piece by piece, as fast as it is read, but not for ever."""
        if not self._outgoing.take(len(body)):
            return _refusal(503, "too many large answers are waiting to be read, try again later")
        try:
            stream = web.StreamResponse(headers=response.headers)
            stream.content_length = len(body)
            await stream.prepare(request)
            view = memoryview(body)
            for start in range(0, len(body), PIECE):
                async with asyncio.timeout(PIECE_SECONDS):
                    await stream.write(view[start : start + PIECE])
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
        finally:
            self._outgoing.give_back(len(body))
        return stream

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        match request.method:
            case "POST":
                pass
            case "OPTIONS":
                return self._preflight(request)
            case "GET" if not request.content_length and not request.query_string:
                return web.Response()  # health checks of load balancers
            case "GET":
                return _refusal(415, "invalid content type, only application/json is supported")
            case _:
                return _refusal(405, "method not allowed")
        if request.content_type not in _CONTENT_TYPES:
            return _refusal(415, "invalid content type, only application/json is supported")
        limit = self._settings.body_bytes_max
        if (request.content_length or 0) > limit:
            return _refusal(413, f"content length too large ({request.content_length}>{limit})")
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if request.content_length is not None and request.content.is_eof():
            # All of it is here already, as it mostly is.
            body: bytes | None = await request.content.read()
        else:
            try:
                async with asyncio.timeout(self._settings.read_timeout_ms / 1000):
                    body = await _read_body(request, limit)
            except TimeoutError:
                return _refusal(408, "the request took too long to arrive")
        if body is None:
            return _refusal(413, f"content length too large (>{limit})")
        if not body:
            return web.Response(content_type="application/json")
        answer = await self._dispatcher.answer(body, self._context_of(request))
        return web.Response(body=answer, content_type="application/json")

    def _page(self, request: web.BaseRequest) -> web.Response:
        """What machines ask about the node itself: /health, /ready and /metrics."""
        enabled = self._node.settings.metrics.enabled
        if request.path not in _PAGES or (request.path == "/metrics" and not enabled):
            return _refusal(404, "404 page not found")
        if request.method not in ("GET", "HEAD"):
            refusal = _refusal(405, "method not allowed")
            refusal.headers["Allow"] = "GET, HEAD"
            return refusal
        seen, now = self._node.observation(), time.time()
        match request.path:
            case "/metrics":
                page = exposition(
                    seen,
                    self._node.measured,
                    self._dispatcher.counts,
                    version=VERSION,
                    connections=self._open,
                    now=now,
                )
                return web.Response(body=page, headers={"Content-Type": CONTENT_TYPE})
            case "/health":
                status, fields = health(seen, self._node.ledger, version=VERSION, now=now)
            case _:
                peers_min = self._node.settings.metrics.ready_peers_min
                status, fields = readiness(seen, peers_min=peers_min)
        return web.Response(
            status=status,
            text=json.dumps(fields) + "\n",
            content_type="application/json",
            headers={"Cache-Control": "no-store"},
        )

    def _preflight(self, request: web.BaseRequest) -> web.Response:
        """What a browser asks before it sends JSON from another origin."""
        origin = request.headers.get("Origin")
        if origin is None or not self._origin_allowed(origin):
            return web.Response(status=204)
        headers = {
            "Access-Control-Allow-Methods": "POST, GET",
            "Access-Control-Max-Age": str(_PREFLIGHT_SECONDS),
        }
        if wanted := request.headers.get("Access-Control-Request-Headers"):
            headers["Access-Control-Allow-Headers"] = wanted
        if request.headers.get("Access-Control-Request-Private-Network") == "true":
            headers["Access-Control-Allow-Private-Network"] = "true"
        return web.Response(status=204, headers=headers)

    # -- WebSocket ---------------------------------------------------------------------------------

    async def _serve_websocket(self, request: web.BaseRequest) -> web.StreamResponse:
        origin = request.headers.get("Origin")
        # Browsers always send an origin; programs usually send none.
        if origin is not None and not self._origin_allowed(origin):
            return _refusal(403, "origin not allowed")
        socket = web.WebSocketResponse(
            max_msg_size=self._settings.body_bytes_max, heartbeat=30.0, compress=False
        )
        if not socket.can_prepare(request):
            return _refusal(400, "bad WebSocket handshake")
        await socket.prepare(request)
        connection = Connection(
            socket,
            request.transport,
            self._settings,
            self._context_of(request),
            self._dispatcher,
            self._outgoing,
        )
        self._connections.add(connection)
        try:
            await connection.serve()
        finally:
            self._connections.discard(connection)
        return socket

    def _context_of(self, request: web.BaseRequest) -> Context:
        return self._local_context if _called_locally(request) else self._context

    # -- who may call ------------------------------------------------------------------------------

    def _host_allowed(self, host: str) -> bool:
        """Whether the Host header is an IP address or a name we are known by.

        A page of another site that makes its own name resolve to us (DNS rebinding)
        still sends that name.
        """
        if not host:
            return True  # no browser leaves it out
        name = _without_port(host).lower()
        allowed = self._settings.hosts
        return name in allowed or "*" in allowed or _is_address(name)

    def _origin_allowed(self, origin: str) -> bool:
        """Whether pages of this origin may call; those of this machine when none are named."""
        allowed = self._settings.cors_origins
        return "*" in allowed or origin in allowed or (not allowed and _is_local(origin))


def _called_locally(request: web.BaseRequest) -> bool:
    """Whether a program of this machine calls for itself: no proxy, no page of another site."""
    headers = request.headers
    if any(name in headers for name in _PROXY_HEADERS):
        return False
    origin = headers.get("Origin")
    if origin is not None and not _is_local(origin):
        return False
    name = request.transport.get_extra_info("peername") if request.transport else None
    return isinstance(name, tuple) and _is_loopback(str(name[0]))


@lru_cache(maxsize=256)
def _is_loopback(host: str) -> bool:
    return reach_of(host) is Reach.LOOPBACK


async def _read_body(request: web.BaseRequest, limit: int) -> bytes | None:
    """The whole body, or None when it is longer than `limit`."""
    if request.content_length is not None:
        return await request.content.read()
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.content.iter_any():
        size += len(chunk)
        if size > limit:
            return None
        chunks.append(chunk)
    return b"".join(chunks)


def _refusal(status: int, text: str) -> web.Response:
    response = web.Response(status=status, text=text + "\n")
    if status in (408, 413):
        response.force_close()  # what is left of the request is not read
    return response


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if host.count(":") == 1 else host


@lru_cache(maxsize=256)
def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_local(origin: str) -> bool:
    """Whether an origin is a page of this machine."""
    try:
        name = urlsplit(origin).hostname or ""
    except ValueError:
        return False
    if name == "localhost":
        return True
    return _is_address(name) and ipaddress.ip_address(name).is_loopback
