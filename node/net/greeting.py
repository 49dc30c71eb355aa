"""The handshake over a socket: frames to and fro, and a word of farewell when it fails."""

from collections.abc import Callable
from typing import TypeVar

from chain.errors import Rejected
from node.net.handshake import Handshake, Proven, goodbye
from node.net.sockets import FrameSocket

Welcomed = TypeVar("Welcomed")


async def greet(
    handshake: Handshake,
    socket: FrameSocket,
    *,
    dialling: bool,
    welcome: Callable[[Proven], Welcomed],
) -> Welcomed:
    """Shake hands; what `welcome` makes of the other side once it has proved itself.

    Rejected, by the handshake, the frames or `welcome`: the other side was told, and the socket
    is closed. ConnectionError when it left in the middle.
    """
    try:
        for frame in handshake.start():
            await socket.send(frame)
        while True:
            received = await socket.receive()
            if received is None:
                raise ConnectionError("it closed in the middle of a handshake")
            answer = handshake.receive(received)
            proven = handshake.proven
            # A listening node proves itself to nobody whom it does not let in.
            welcomed = None if proven is None else welcome(proven)
            if answer and (dialling or welcomed is not None):
                # After this answer the other side, if all is well, may send what it likes.
                socket.sieve.admit()
            for frame in answer:
                await socket.send(frame)
            if welcomed is not None:
                return welcomed
    except Rejected as rejected:
        await _tell(socket, rejected)
        raise


async def _tell(socket: FrameSocket, rejected: Rejected) -> None:
    """Say why, if the connection still takes it, and close."""
    try:
        if socket.sieve.violation is None:
            await socket.send(goodbye(rejected))
    except ConnectionError:
        return
    finally:
        await socket.close()
