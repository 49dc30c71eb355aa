"""A peer that need not keep to any rule: raw TLS, HTTP and WebSocket frames, by hand."""

import asyncio
import os
import struct
from types import TracebackType

from node.net.certificate import dialling_context, fingerprint_of
from node.net.handshake import Handshake, Identity
from node.net.messages import Message, decode_message, encode_message
from tests.node.net.net_nodes import PATIENCE, NetNode

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


def frame(payload: bytes, first: int = 0x82, length: int | None = None) -> bytes:
    """A masked frame; `length` is what its header claims."""
    size = len(payload) if length is None else length
    if size < 126:
        head = bytes((first, 0x80 | size))
    elif size < 65_536:
        head = struct.pack(">BBH", first, 0xFE, size)
    else:
        head = struct.pack(">BBQ", first, 0xFF, size)
    return head + bytes(4) + payload


class Attacker:
    """One connection to a node; use with `async with`."""

    def __init__(self, victim: NetNode | None, port: int | None = None) -> None:
        """A node of this process, or the port of any other one."""
        self._victim = victim
        self._port = port or (0 if victim is None else victim.peers.port)
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter

    async def __aenter__(self) -> "Attacker":
        self.reader, self.writer = await asyncio.open_connection(
            "127.0.0.1", self._port, ssl=dialling_context()
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.writer.transport.abort()

    async def send(self, data: bytes) -> None:
        """Write bytes as they are; nothing happens when the victim has hung up."""
        try:
            self.writer.write(data)
            await self.writer.drain()
        except ConnectionError:
            return

    async def upgrade(self) -> None:
        """Become a WebSocket."""
        await self.send(UPGRADE)
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), PATIENCE)
        assert head.startswith(b"HTTP/1.1 101"), head

    async def prove(self, identity: Identity) -> None:
        """Shake hands as the rules have it."""
        shown = self.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        handshake = Handshake(
            identity, dialling=True, nonce=os.urandom(32), fingerprint=fingerprint_of(shown)
        )
        for data in handshake.start():
            await self.send(frame(data))
        while handshake.proven is None:
            for data in handshake.receive(await self.receive_frame()):
                await self.send(frame(data))

    async def receive_frame(self) -> bytes:
        """The payload of the next frame; IncompleteReadError or ConnectionError at the end."""
        async with asyncio.timeout(PATIENCE):
            _, length = await self.reader.readexactly(2)
            if length == 126:
                (length,) = struct.unpack(">H", await self.reader.readexactly(2))
            elif length == 127:
                (length,) = struct.unpack(">Q", await self.reader.readexactly(8))
            return await self.reader.readexactly(length)

    async def say(self, message: Message) -> None:
        await self.send(frame(encode_message(message)))

    async def hear(self, kind: type) -> Message:
        """The next message of a kind; others are passed over."""
        while True:
            message = decode_message(await self.receive_frame())
            if isinstance(message, kind):
                return message

    async def hung_up(self) -> None:
        """Wait until the victim has closed; AssertionError when it does not."""
        try:
            async with asyncio.timeout(PATIENCE):
                while await self.reader.read(65_536):
                    pass
        except ConnectionError:
            return
        except TimeoutError:
            raise AssertionError("the victim did not hang up") from None
