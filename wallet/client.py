"""A node's JSON-RPC over HTTP: one request, one answer, typed results or a clear failure."""

import http.client
import json
import re
from itertools import count
from typing import Any, Final
from urllib.parse import urlsplit

from wallet.outcome import Exit, Failed

DEFAULT_URL: Final = "http://127.0.0.1:8545"

_REPLY_BYTES_MAX: Final = 16 * 1024 * 1024
_SHOWN_CHARS_MAX: Final = 300  # of a text the node sent; it is not ours to trust
_QUANTITY = re.compile(r"0x(0|[1-9a-fA-F][0-9a-fA-F]*)", re.ASCII)
_METHOD_NOT_FOUND: Final = -32601


class RpcRefused(Exception):
    """The node answered with an error: JSON-RPC's code, message and data."""

    def __init__(self, method: str, code: int, message: str, data: object = None) -> None:
        super().__init__(f"{method}: {message} (code {code})")
        self.method = method
        self.code = code
        self.message = message
        self.data = data

    @property
    def is_unknown_method(self) -> bool:
        return self.code == _METHOD_NOT_FOUND


class Client:
    """A connection to one node. Not for use by several threads at once.

    Every call raises RpcRefused for an error the node answers, and Failed(UNREACHABLE)
    when there is no answer within `timeout_seconds`, or none that is JSON-RPC. Proxies
    of the environment are not used: keys should not depend on who answers for the node.
    """

    def __init__(self, url: str = DEFAULT_URL, timeout_seconds: float = 30.0) -> None:
        parts = urlsplit(url if "://" in url else "http://" + url)
        try:
            port = parts.port
        except ValueError as error:
            raise Failed(Exit.USAGE, f"{url!r} has no usable port: {error}") from error
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Failed(Exit.USAGE, f"{url!r} is not an http:// or https:// address")
        self.url = url
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        secure = parts.scheme == "https"
        connect = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        self._timeout_seconds = timeout_seconds
        self._connection = connect(parts.hostname, port, timeout=timeout_seconds)
        self._ids = count(1)

    def close(self) -> None:
        self._connection.close()

    def call(self, method: str, *params: object) -> Any:
        """The `result` of a call, as JSON values."""
        number = next(self._ids)
        request = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        body = json.dumps(request).encode()
        reply = self._decode(self._exchange(body), number)
        error = reply.get("error")
        if error is None:
            return reply.get("result")
        code, message = error.get("code"), error.get("message")
        raise RpcRefused(
            method,
            code if type(code) is int else 0,
            _printable(message if isinstance(message, str) else "an error without a message"),
            error.get("data"),
        )

    def quantity(self, method: str, *params: object) -> int:
        """The result of a call that answers with an integer."""
        return self.integer(self.call(method, *params), method)

    def integer(self, value: object, what: str) -> int:
        """A quantity of a reply: 0x and hexadecimal digits. Failed(UNREACHABLE) otherwise."""
        if not isinstance(value, str) or not _QUANTITY.fullmatch(value):
            raise self._nonsense(f"{what} is {_printable(repr(value))}, not an integer")
        return int(value, 16)

    def _exchange(self, body: bytes) -> bytes:
        headers = {"Content-Type": "application/json"}
        connection = self._connection
        try:
            reused = connection.sock is not None
            try:
                connection.request("POST", self._path, body, headers)
                response = connection.getresponse()
            except (ConnectionError, http.client.RemoteDisconnected):
                # A kept-alive connection may have been closed by the node meanwhile. All
                # calls may be repeated: a raw transaction sent twice is one transaction.
                connection.close()
                if not reused:
                    raise
                connection.request("POST", self._path, body, headers)
                response = connection.getresponse()
            reply = response.read(_REPLY_BYTES_MAX + 1)
        except TimeoutError as error:
            connection.close()
            message = f"no answer from {self.url} within {self._timeout_seconds:g} s"
            raise Failed(Exit.UNREACHABLE, message) from error
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            problem = error.strerror if isinstance(error, OSError) and error.strerror else error
            message = f"no node answers at {self.url}: {problem or type(error).__name__}"
            raise Failed(Exit.UNREACHABLE, message) from error
        if len(reply) > _REPLY_BYTES_MAX:
            connection.close()
            raise self._nonsense(f"the reply is larger than {_REPLY_BYTES_MAX} bytes")
        if response.status != http.client.OK and not reply.lstrip().startswith(b"{"):
            raise self._nonsense(f"HTTP status {response.status} {_printable(response.reason)}")
        return reply

    def _decode(self, reply: bytes, number: int) -> dict[str, Any]:
        try:
            decoded = json.loads(reply)
        except (ValueError, RecursionError) as problem:
            raise self._nonsense("the reply is not JSON") from problem
        if not isinstance(decoded, dict) or not {"result", "error"} & decoded.keys():
            raise self._nonsense("the reply is not a JSON-RPC reply")
        error = decoded.get("error")
        if error is not None and not isinstance(error, dict):
            raise self._nonsense("the reply's error is not an object")
        # An error may come without the id, when the node could not read the request.
        if decoded.get("id") != number and not (error and decoded.get("id") is None):
            raise self._nonsense("the reply answers another request")
        return decoded

    def _nonsense(self, detail: str) -> Failed:
        return Failed(Exit.UNREACHABLE, f"{self.url} does not answer as a node does: {detail}")


def _printable(text: str) -> str:
    """A node's text fit for a terminal: one line, no control characters, bounded."""
    line = "".join(char if char.isprintable() else " " for char in text)
    return line if len(line) <= _SHOWN_CHARS_MAX else line[:_SHOWN_CHARS_MAX] + "..."
