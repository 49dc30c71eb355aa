"""Dialling out: TCP, TLS, HTTP, WebSocket, and whose certificate that was."""

import asyncio
import ssl
from typing import Final

import aiohttp

from chain.errors import Reason, Rejected
from node.net.addresses import Address
from node.net.certificate import fingerprint_of
from node.net.sockets import CLOSE_SECONDS, SOCKET_MESSAGE_MAX, FrameSocket, Sieve

_HEAD_LINE_BYTES: Final = 1024


class Dialler:
    """Opens WebSockets to other nodes. Made in the event loop; `close` once."""

    def __init__(self, context: ssl.SSLContext) -> None:
        trace = aiohttp.TraceConfig()
        trace.on_request_redirect.append(_refuse_redirect)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context, limit=0, force_close=True),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            max_line_size=_HEAD_LINE_BYTES,
            max_field_size=_HEAD_LINE_BYTES,
            trace_configs=[trace],
        )

    async def close(self) -> None:
        await self._session.close()

    async def dial(self, address: Address) -> tuple[FrameSocket, bytes]:
        """The socket, and the fingerprint of the certificate that its other end showed.

        ConnectionError when nobody there speaks as a node does.
        """
        host = f"[{address.host}]" if ":" in address.host else address.host
        try:
            socket = await self._session.ws_connect(
                f"wss://{host}:{address.port}/",
                compress=0,
                max_msg_size=SOCKET_MESSAGE_MAX,
                timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_SECONDS),
            )
        except (aiohttp.ClientError, OSError, ValueError, Rejected) as error:
            raise ConnectionError(str(error) or type(error).__name__) from None
        # aiohttp has no public way to the transport of a WebSocket that it opened.
        connection = socket._response.connection
        shown = socket.get_extra_info("ssl_object")
        certificate = None if shown is None else shown.getpeercert(binary_form=True)
        if connection is None or connection.transport is None or certificate is None:
            raise ConnectionError("the connection was closed at once")
        transport = connection.transport
        inner = transport.get_protocol()
        assert isinstance(inner, asyncio.Protocol)
        sieve = Sieve(inner)
        sieve.expect_frames(masked=False)
        sieve.interpose(transport)
        return FrameSocket(socket, sieve), fingerprint_of(certificate)


async def _refuse_redirect(*_: object) -> None:
    """A node that sends its dialler elsewhere could have it ask anybody for anything."""
    raise Rejected(Reason.BAD_HANDSHAKE, "an HTTP redirect")
