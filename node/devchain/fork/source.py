"""Another ledger's JSON-RPC server, asked from threads: batches, tries, limits, plain refusals."""

import base64
import http.client
import json
import ssl
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from chain.errors import Reason, Rejected, SourceFailed

CALLS_MAX: Final = 100  # in one request
_ANSWER_BYTES_MAX: Final = 64 * 2**20
_SHOWN_MAX: Final = 100  # bytes of an answer that makes no sense
_TIMEOUT_SECONDS: Final = 20.0
_PAUSES: Final = (0.2, 0.8)  # seconds before another try
_BUSY_PAUSES: Final = (*_PAUSES, 2.0, 4.0)  # where the source is there: limits are per second
_BUSY: Final = frozenset({429, 500, 502, 503, 504})
# How servers of many kinds say that one asks too often.
_BUSY_CODES: Final = frozenset({-32005, 429})

Call = tuple[str, Sequence[Any]]


class Refusal(Exception):
    """The source's own error for a call: `error` as it came."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(str(error.get("message", error)))
        self.error = error


class Source:
    """A server by its URL. Each thread has a connection of its own."""

    def __init__(self, url: str, *, pause: Callable[[float], None]) -> None:
        """`pause` waits so many seconds. Raises `Rejected` (BAD_SETTING) for no such URL."""
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme not in ("http", "https") or not parts.hostname or port == -1:
            raise Rejected(Reason.BAD_SETTING, f"not a http or https URL to fork from: {url!r}")
        self.url = url
        # Without the path and the login, which may be keys.
        self.name = f"{parts.scheme}://{parts.hostname}" + ("" if port is None else f":{port}")
        self._secure = parts.scheme == "https"
        self._host, self._port = parts.hostname, port
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._headers = {"Content-Type": "application/json", "User-Agent": "chain-node"}
        if parts.username is not None:
            login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._headers["Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
        self.pause = pause
        self.reconnects = 0  # how often a connection was lost: another server may answer since
        self._own = threading.local()
        self._takes_batches = True

    def ask(self, method: str, *params: Any) -> Any:
        """A result. `Refusal` when the source says no, `SourceFailed` when it says nothing."""
        answer = self._one((method, params))
        return self._result(answer)

    def ask_all(self, calls: Sequence[Call]) -> list[Any]:
        """The results of many calls, in order; raises as `ask`, with the first refusal."""
        found: list[Any] = []
        for start in range(0, len(calls), CALLS_MAX):
            found += self._batch(calls[start : start + CALLS_MAX])
        return found

    def _batch(self, calls: Sequence[Call]) -> list[Any]:
        if len(calls) > 1 and self._takes_batches:
            answers = self._exchange([_body(call, index) for index, call in enumerate(calls)])
            if isinstance(answers, list):
                by_id = {each.get("id"): each for each in answers if isinstance(each, dict)}
                missing = next((i for i in range(len(calls)) if i not in by_id), None)
                if missing is not None:
                    raise SourceFailed(self.name, f"no answer to {calls[missing][0]} in a batch")
                if not any(_is_busy(each) for each in by_id.values()):
                    return [self._result(by_id[index]) for index in range(len(calls))]
            else:  # one error for all of them: it knows no batches
                self._takes_batches = False
        return [self.ask(method, *params) for method, params in calls]

    def _one(self, call: Call) -> Any:
        for pause in (*_BUSY_PAUSES, None):
            answer = self._exchange(_body(call, 0))
            if not _is_busy(answer) or pause is None:
                break
            self.pause(pause)
        return answer

    def _result(self, answer: Any) -> Any:
        if not isinstance(answer, dict):
            raise SourceFailed(self.name, f"no JSON-RPC answer: {str(answer)[:100]}")
        error = answer.get("error")
        if error is not None:
            raise Refusal(error if isinstance(error, dict) else {"code": -32000, "message": error})
        if "result" not in answer:
            raise SourceFailed(self.name, "an answer without a result")
        return answer["result"]

    # -- HTTP --------------------------------------------------------------------------------------

    def _exchange(self, body: Any) -> Any:
        """The answer to a request, tried again while the source is busy or can't be reached."""
        data = json.dumps(body).encode()
        tried = 0
        while True:
            pauses: Sequence[float] = _PAUSES
            try:
                status, answer = self._post(data)
            except (OSError, http.client.HTTPException) as error:
                self._drop()
                problem = f"{type(error).__name__}: {error}"
            else:
                problem = f"HTTP status {status}{_beginning(answer)}"
                # Servers answer errors of JSON-RPC with statuses of all kinds.
                if (found := _decoded(answer)) is not None and status not in _BUSY:
                    return found
                if status not in _BUSY:
                    raise SourceFailed(self.name, problem)
                pauses = _BUSY_PAUSES
            if tried >= len(pauses):
                raise SourceFailed(self.name, problem)
            self.pause(pauses[tried])
            tried += 1

    def _post(self, data: bytes) -> tuple[int, bytes]:
        connection: http.client.HTTPConnection | None = getattr(self._own, "connection", None)
        if connection is None:
            connection = self._own.connection = self._connect()
        try:
            connection.request("POST", self._path, data, self._headers)
            response = connection.getresponse()
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            # It was closed while nothing was asked; a new one tells whether it is reachable.
            connection.close()
            self.reconnects += 1
            connection.request("POST", self._path, data, self._headers)
            response = connection.getresponse()
        answer = response.read(_ANSWER_BYTES_MAX + 1)
        if len(answer) > _ANSWER_BYTES_MAX:
            self._drop()
            raise SourceFailed(self.name, f"an answer of more than {_ANSWER_BYTES_MAX} bytes")
        return response.status, answer

    def _connect(self) -> http.client.HTTPConnection:
        if self._secure:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(
                self._host, self._port, timeout=_TIMEOUT_SECONDS, context=context
            )
        return http.client.HTTPConnection(self._host, self._port, timeout=_TIMEOUT_SECONDS)

    def _drop(self) -> None:
        connection: http.client.HTTPConnection | None = getattr(self._own, "connection", None)
        if connection is not None:
            connection.close()
            self.reconnects += 1
            self._own.connection = None


def _body(call: Call, number: int) -> dict[str, Any]:
    method, params = call
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}


def _beginning(answer: bytes) -> str:
    """What stands first in an answer that is no JSON-RPC, on one line; nothing of an empty one."""
    text = " ".join(answer[:_SHOWN_MAX].decode(errors="replace").split())
    return ": " + "".join(filter(str.isprintable, text)) if text else ", and nothing else"


def _decoded(answer: bytes) -> Any:
    try:
        return json.loads(answer)
    except (ValueError, RecursionError):
        return None


def _is_busy(answer: Any) -> bool:
    error = answer.get("error") if isinstance(answer, dict) else None
    return isinstance(error, dict) and error.get("code") in _BUSY_CODES
