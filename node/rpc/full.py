"""HTTP beyond plain requests: refusals, pages, preflights, odd requests, WebSockets.

Loaded with the first connection that brings one of these: aiohttp takes a fifth of the time
in which a developer's chain starts, and most connections never need it.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from node import VERSION
from node.rpc.context import Context
from node.rpc.guards import CONTENT_TYPES, Guards, called_locally
from node.rpc.incoming import CROWDED, Held, Incoming
from node.rpc.outgoing import LARGE, PIECE, PIECE_SECONDS, Outgoing
from node.rpc.protocol import Dispatcher
from node.rpc.websocket import Connection
from node.settings import RpcSettings
from node.watch.exposition import CONTENT_TYPE
from node.watch.health import health, readiness
from node.watch.metrics import exposition

if TYPE_CHECKING:
    from node.node import Node

_PAGES: Final = frozenset({"/health", "/ready", "/metrics"})
_PREFLIGHT_SECONDS: Final = 600
_IDLE_SECONDS: Final = 300.0  # between requests, parts of the next one's headers included
_SWEEP_SECONDS: Final = 1.0


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether an error is our own, not that of a caller who spoke no HTTP or went away."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError | ConnectionError)


_http_log: Final = logging.getLogger("node.rpc.http")
_http_log.addFilter(_is_ours)


class FullServer:
    """Takes connections over with what was read of them. `stop` once."""

    def __init__(
        self,
        settings: RpcSettings,
        node: "Node",
        guards: Guards,
        dispatcher: Dispatcher,
        incoming: Incoming,
        outgoing: Outgoing,
        contexts: tuple[Context, Context],
        connections_open: Callable[[], int],
    ) -> None:
        """`contexts` are those of callers on this machine and of all others; `connections_open`
        counts the whole server's.
        """
        self._settings = settings
        self._node = node
        self._guards = guards
        self._dispatcher = dispatcher
        self._incoming = incoming
        self._outgoing = outgoing
        self._local_context, self._context = contexts
        self._connections_open = connections_open
        self._sockets: set[Connection] = set()
        self._http = web.Server(
            self._handle,
            access_log=None,
            keepalive_timeout=_IDLE_SECONDS,
            lingering_time=1.0,
            auto_decompress=False,
            logger=_http_log,
        )
        self._loop = asyncio.get_running_loop()
        # Since when connections have said nothing that is a request; those that have: None.
        self._waiting: dict[asyncio.Protocol, float | None] = {}
        self._sweeping = self._loop.call_later(_SWEEP_SECONDS, self._sweep)

    def __call__(self) -> asyncio.Protocol:
        """The protocol of one connection."""
        return self._http()

    def __len__(self) -> int:
        return len(self._http.connections)

    @property
    def sockets(self) -> int:
        """WebSockets that are open."""
        return len(self._sockets)

    async def stop(self, seconds: float) -> None:
        """Close WebSockets, let answers under way be given for so long, close the rest."""
        self._sweeping.cancel()
        await asyncio.gather(*(socket.close() for socket in tuple(self._sockets)))
        self._http.pre_shutdown()
        await self._http.shutdown(seconds)

    def _sweep(self) -> None:
        """Close what never ends its first headers, for which aiohttp knows no limit."""
        now = self._loop.time()
        known = self._waiting
        self._waiting = {each: known.get(each, now) for each in self._http.connections}
        oldest = now - self._settings.read_timeout_ms / 1000
        for each in self._http.connections:
            since = self._waiting[each]
            if since is not None and since < oldest and each.transport is not None:
                each.transport.abort()
        self._sweeping = self._loop.call_later(_SWEEP_SECONDS, self._sweep)

    # -- HTTP --------------------------------------------------------------------------------------

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self._waiting[request.protocol] = None
        for host in _hosts_of(request):
            if not self._guards.host_allowed(host):
                return _refusal(403, "invalid host specified")
        if request.path != "/":
            return self._page(request)
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._serve_websocket(request)
        response = await self._answer(request)
        origin = request.headers.get("Origin")
        if origin is not None and self._guards.origin_allowed(origin):
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
        if request.content_type not in CONTENT_TYPES:
            return _refusal(415, "invalid content type, only application/json is supported")
        limit = self._settings.body_bytes_max
        if (request.content_length or 0) > limit:
            return _refusal(413, f"content length too large ({request.content_length}>{limit})")
        held = self._incoming.request()
        try:
            return await self._answer_body(request, held)
        finally:
            held.release()

    async def _answer_body(self, request: web.BaseRequest, held: Held) -> web.Response:
        limit = self._settings.body_bytes_max
        if not held.take(request.content_length or 0):
            return _refusal(503, CROWDED)
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if request.content_length is not None and request.content.is_eof():
            # All of it is here already, as it mostly is.
            body: bytes | None = await request.content.read()
        else:
            try:
                async with asyncio.timeout(self._settings.read_timeout_ms / 1000):
                    body = await _read_body(request, limit, held)
            except TimeoutError:
                return _refusal(408, "the request took too long to arrive")
            except _CrowdedError:
                return _refusal(503, CROWDED)
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
                    connections=self._connections_open(),
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
        if origin is None or not self._guards.origin_allowed(origin):
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
        if origin is not None and not self._guards.origin_allowed(origin):
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
            self._incoming,
            self._outgoing,
        )
        self._sockets.add(connection)
        try:
            await connection.serve()
        finally:
            self._sockets.discard(connection)
        return socket

    def _context_of(self, request: web.BaseRequest) -> Context:
        return self._local_context if _called_locally(request) else self._context


def _hosts_of(request: web.BaseRequest) -> Iterator[str]:
    """Where a request says it goes: in its header, and in its target if that is a whole URL."""
    yield request.headers.get("Host", "")
    _, absolute, rest = request.raw_path.partition("://")
    if absolute and not request.raw_path.startswith("/"):
        yield rest.partition("/")[0]


def _called_locally(request: web.BaseRequest) -> bool:
    name = request.transport.get_extra_info("peername") if request.transport else None
    peer = str(name[0]) if isinstance(name, tuple) else ""
    return called_locally(peer, request.headers, request.headers.get("Origin"))


class _CrowdedError(Exception):
    """There is no room for more of a request."""


async def _read_body(request: web.BaseRequest, limit: int, held: Held) -> bytes | None:
    """The whole body, or None when it is longer than `limit`."""
    if request.content_length is not None:
        return await request.content.read()
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.content.iter_any():
        size += len(chunk)
        if size > limit:
            return None
        if not held.take(len(chunk)):
            raise _CrowdedError
        chunks.append(chunk)
    return b"".join(chunks)


def _refusal(status: int, text: str) -> web.Response:
    response = web.Response(status=status, text=text + "\n")
    if status in (408, 413, 503):
        response.force_close()  # what is left of the request is not read
    return response
