"""A server in front of a ledger's, that can be told to fail in the ways in which servers do."""

import http.client
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Mood = Callable[[bytes], tuple[int, bytes] | None]  # status and body; None: it hangs up


class Moody:
    """Passes requests on to the server at a port, or to `mood` while there is one."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.mood: Mood | None = None
        self.asked = 0  # requests so far
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 1 << 16  # head and body together, or the system waits with the body

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.asked += 1
                mood = outer.mood
                said = outer.passed_on(body) if mood is None else mood(body)
                if said is None:
                    self.close_connection = True
                    self.connection.close()
                    return
                status, answer = said
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "Moody":
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def passed_on(self, body: bytes) -> tuple[int, bytes]:
        """What the ledger's own server says."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("POST", "/", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()


def after(count: int, moody: Moody, then: Mood) -> Mood:
    """The ledger's answers to so many requests, then another mood."""
    left = iter(range(count))

    def mood(body: bytes) -> tuple[int, bytes] | None:
        return then(body) if next(left, None) is None else moody.passed_on(body)

    return mood
