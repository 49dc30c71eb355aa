"""Orders to a running `chain-node up`: from a second command, and from the keyboard.

A second command sends one JSON object over the socket in the network's folder, which only
its owner can open, and gets one back: {"ok": ..., "text": ...}.
"""

import asyncio
import contextlib
import json
import os
import socket
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from chain.errors import Reason, Rejected

SOCKET: Final = "up.sock"
KEYS: Final = {"k": "kill", "p": "pause", "c": "resume", "r": "restart", "q": "stop"}
ORDERS: Final = ("kill", "pause", "resume", "restart", "stop", "status")
_LINE_BYTES_MAX: Final = 64 * 1024
_READ_SECONDS: Final = 5.0
_ANSWER_SECONDS: Final = 120.0


class Order(Struct, frozen=True):
    """What to do. `node` is a name or a place, where the order is about one."""

    do: str
    node: str = ""


class Reply(Struct, frozen=True):
    """What came of it; `text` is for people, or JSON for `status`."""

    ok: bool
    text: str


Obey = Callable[[Order], Awaitable[Reply]]


@contextlib.asynccontextmanager
async def listening(folder: Path, obey: Obey) -> AsyncIterator[None]:
    """Take orders while the block runs. `folder` is locked: an old socket is nobody's."""
    link = socket.socket(socket.AF_UNIX)
    # A socket's whole path must be short, its name is.
    with contextlib.chdir(folder):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(SOCKET)
        before = os.umask(stat.S_IRWXG | stat.S_IRWXO)
        try:
            link.bind(SOCKET)
        finally:
            os.umask(before)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await asyncio.wait_for(reader.readline(), _READ_SECONDS)
            reply = await obey(msgspec.json.decode(line, type=Order))
        except msgspec.DecodeError as error:
            reply = Reply(False, f"not an order: {error}")
        except (TimeoutError, ValueError, OSError):  # too slow, too long, or gone
            writer.close()
            return
        with contextlib.suppress(OSError):
            writer.write(msgspec.json.encode(reply) + b"\n")
            await writer.drain()
            writer.close()

    server = await asyncio.start_unix_server(serve, sock=link, limit=_LINE_BYTES_MAX)
    try:
        yield
    finally:
        server.close()
        with contextlib.suppress(FileNotFoundError):
            (folder / SOCKET).unlink()


def send(folder: Path, order: Order) -> Reply:
    """Give an order to the `up` of a folder; Rejected(BAD_SETTING) when none runs."""
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(_ANSWER_SECONDS)
        try:
            with contextlib.chdir(folder):
                link.connect(SOCKET)
            link.sendall(msgspec.json.encode(order) + b"\n")
            with link.makefile("rb") as answer:
                return msgspec.json.decode(answer.readline(), type=Reply)
        except (FileNotFoundError, ConnectionError, msgspec.DecodeError):
            raise Rejected(
                Reason.BAD_SETTING, f"{folder.parent}: no network is up here (chain-node up)"
            ) from None
        except TimeoutError:
            raise Rejected(Reason.BAD_SETTING, "the network that is up does not answer") from None


class Keyboard:
    """Keys to orders: a letter, then a node's place. `q` needs none."""

    def __init__(self, nodes: int) -> None:
        self._nodes = nodes
        self._order = ""
        self._digits = ""

    def press(self, key: str) -> Order | None:
        """The order that a key completes, if it does."""
        if key in KEYS:
            self._order, self._digits = KEYS[key], ""
            return self._complete() if self._order == "stop" else None
        if not self._order:
            return None
        if key.isascii() and key.isdigit():
            self._digits += key
            # With ten nodes and more, "1" may go on: Enter says that it does not.
            if int(self._digits) * 10 >= self._nodes or len(self._digits) > 4:
                return self._complete()
            if self._digits == "0":
                return self._complete()
            return None
        if key in "\r\n" and self._digits:
            return self._complete()
        self._order = ""
        return None

    def _complete(self) -> Order:
        order = Order(self._order, self._digits)
        self._order = self._digits = ""
        return order


def status_text(states: list[dict[str, object]]) -> str:
    return json.dumps(states, indent=2)
