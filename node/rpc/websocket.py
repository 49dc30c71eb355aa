"""One WebSocket connection: requests answered as they come, subscriptions pushed.

Requests run side by side, so a slow call holds up no other; how many at once is
limited, and beyond that nothing is read. A client that does not read what it asked
for is cut off.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

from aiohttp import WSCloseCode, WSMsgType, web

from node.rpc.context import Context
from node.rpc.errors import LIMIT_EXCEEDED, RpcError
from node.rpc.incoming import CROWDED, Held, Incoming
from node.rpc.instant import Later, answer_at_once
from node.rpc.outgoing import LARGE, Outgoing
from node.rpc.protocol import Dispatcher, encode_error
from node.rpc.subscriptions import Subscriptions
from node.settings import RpcSettings

_REQUESTS_AT_ONCE_MAX: Final = 64
_SEND_TIMEOUT_SECONDS: Final = 30
_CROWDED: Final = encode_error(b"null", RpcError(LIMIT_EXCEEDED, CROWDED))


class Connection:
    """Serves one socket until either side closes it."""

    def __init__(
        self,
        socket: web.WebSocketResponse,
        transport: asyncio.Transport | None,
        settings: RpcSettings,
        shared: Context,
        dispatcher: Dispatcher,
        incoming: Incoming,
        outgoing: Outgoing,
    ) -> None:
        self._socket = socket
        self._transport = transport
        self._settings = settings
        self._dispatcher = dispatcher
        self._incoming = incoming
        self._outgoing = outgoing
        self._context = shared.of_connection(self)
        self._requests: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(_REQUESTS_AT_ONCE_MAX)
        self._pushing = asyncio.Lock()
        self.subscriptions = Subscriptions(settings, self._context, self._push, self.cut_off)

    async def serve(self) -> None:
        """Read and answer until the end; leaves no task behind."""
        try:
            async for message in self._socket:
                if message.type is WSMsgType.TEXT:
                    body = message.data.encode()
                elif message.type is WSMsgType.BINARY:
                    body = message.data
                else:
                    break
                await self._context.heavy.turns.take()
                held = self._incoming.request()
                if not held.take(len(body)):
                    await self._tell(_CROWDED)
                    continue
                await self._room.acquire()
                made = answer_at_once(body, self._context, self._settings, self._dispatcher.counts)
                if isinstance(made, bytes) and len(made) <= LARGE:
                    await self._answer(made, held)
                elif made is None or isinstance(made, Later):
                    self._begin(self._dispatcher.answer(body, self._context), held)
                else:
                    self._begin(made, held)
        finally:
            self.subscriptions.close()
            for task in tuple(self._requests):
                task.cancel()
            await asyncio.gather(*self._requests, return_exceptions=True)

    def _begin(self, made: bytes | Coroutine[Any, Any, bytes | None], held: Held) -> None:
        """Answer in a task of its own."""
        task = asyncio.create_task(self._answer(made, held))
        self._requests.add(task)
        task.add_done_callback(self._requests.discard)
        task.add_done_callback(lambda _: held.release())
        if not isinstance(made, bytes):  # which the task may not come to await
            task.add_done_callback(lambda _: made.close())

    async def _answer(self, made: bytes | Coroutine[Any, Any, bytes | None], held: Held) -> None:
        try:
            await self._tell(made if isinstance(made, bytes) else await made)
        finally:
            held.release()
            self._room.release()

    async def _tell(self, answer: bytes | None) -> None:
        if answer is not None:
            await self._send_answer(answer)
        # A subscription speaks only after its id was told.
        self.subscriptions.start_new()

    async def _push(self, news: bytes) -> None:
        """Send news; those of other subscriptions wait, so that what is not read is one message."""
        async with self._pushing:
            await self._context.heavy.turns.take()
            await self.send(news)

    async def _send_answer(self, answer: bytes) -> None:
        if len(answer) <= LARGE:
            await self.send(answer)
        elif self._outgoing.take(len(answer)):
            try:
                await self.send(answer)
            finally:
                self._outgoing.give_back(len(answer))
        else:  # too many large answers wait for those who do not read
            await self.cut_off()

    async def send(self, message: bytes) -> None:
        """Write a message, waiting for a client that reads slowly, but not for ever."""
        try:
            async with asyncio.timeout(_SEND_TIMEOUT_SECONDS):
                await self._socket.send_str(message.decode())
        except TimeoutError:
            await self.cut_off()
        except ConnectionError:
            return  # the reading side notices as well and ends the connection

    async def cut_off(self) -> None:
        """End a connection whose client does not keep up; nothing is buffered for it.

        It is not told why: what it does not read can't reach it.
        """
        if self._transport is not None:
            self._transport.abort()

    async def close(self) -> None:
        """End the connection because the server stops."""
        await self._socket.close(code=WSCloseCode.GOING_AWAY, message=b"server stops")
