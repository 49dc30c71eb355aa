"""A load generator that costs little: ready-made HTTP requests on keep-alive connections.

Each connection has one request under way and sends the next when the answer is whole.
"""

import re
import select
import socket
from collections.abc import Iterable, Iterator
from time import perf_counter, process_time
from typing import Final, NamedTuple

import msgspec

CONNECTIONS: Final = 16
_PIECE: Final = 2**18
_WAIT_SECONDS: Final = 60.0
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Measured(NamedTuple):
    """What a run gave: requests answered, the seconds, and the generator's own processor time."""

    requests: int
    seconds: float
    own_seconds: float
    refused: int  # answers that hold an error


def post(body: bytes) -> bytes:
    """The bytes of the HTTP request for a JSON body."""
    return (
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    )


def call(method: str, *params: object, number: int = 1) -> bytes:
    """The JSON of one call."""
    return msgspec.json.encode({"jsonrpc": "2.0", "id": number, "method": method, "params": params})


def batch(calls: Iterable[bytes]) -> bytes:
    return b"[" + b",".join(calls) + b"]"


class _Connection:
    __slots__ = ("body", "buffer", "chunked", "socket", "whole")

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=_WAIT_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.whole = 0  # bytes of the answer under way, 0 before its head is here
        self.body = 0  # where it begins
        self.chunked = False

    def send(self, request: bytes) -> None:
        self.socket.sendall(request)

    def receive(self) -> bytes | None:
        """The answer (of chunked ones with their frames), None while it is not whole."""
        piece = self.socket.recv(_PIECE)
        if not piece:
            raise ConnectionError("the server hung up")
        buffer = self.buffer = self.buffer + piece if self.buffer else piece
        if not self.whole and not self.chunked:
            end = buffer.find(b"\r\n\r\n")
            if end < 0:
                return None
            self.body = end + 4
            length = _LENGTH.search(buffer, 0, end)
            if length is None:
                self.chunked = True
            else:
                self.whole = self.body + int(length[1])
        if self.chunked:
            if not buffer.endswith(b"0\r\n\r\n"):
                return None
        elif len(buffer) < self.whole:
            return None
        answer = buffer[self.body :]
        self.buffer, self.whole, self.chunked = b"", 0, False
        return answer


def drive(
    port: int,
    requests: Iterable[bytes],
    *,
    seconds: float | None = None,
    connections: int = CONNECTIONS,
) -> Measured:
    """Send all the requests, or as many as are answered in so many seconds."""
    waiting: Iterator[bytes] = iter(requests)
    poll = select.epoll()
    busy: dict[int, _Connection] = {}
    answered = refused = 0
    started, own = perf_counter(), process_time()
    end = None if seconds is None else started + seconds
    try:
        for _ in range(connections):
            request = next(waiting, None)
            if request is None:
                break
            connection = _Connection(port)
            busy[connection.socket.fileno()] = connection
            poll.register(connection.socket, select.EPOLLIN)
            connection.send(request)
        while busy:
            events = poll.poll(_WAIT_SECONDS)
            if not events:
                raise TimeoutError("the server does not answer")
            over = end is not None and perf_counter() > end
            for number, _ in events:
                connection = busy[number]
                answer = connection.receive()
                if answer is None:
                    continue
                answered += 1
                if b'"error"' in answer:
                    refused += 1
                request = None if over else next(waiting, None)
                if request is None:
                    del busy[number]
                    poll.unregister(number)
                    connection.socket.close()
                else:
                    connection.send(request)
    finally:
        poll.close()
        for connection in busy.values():
            connection.socket.close()
    return Measured(answered, perf_counter() - started, process_time() - own, refused)
