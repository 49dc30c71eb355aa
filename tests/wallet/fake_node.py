"""A node that answers as it is told: the other side of the wallet's HTTP."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from chain.transactions import Transaction, decode_transaction

Answer = Callable[[list[Any]], Any]


class RpcError(Exception):
    """An answer that is a JSON-RPC error."""

    def __init__(self, code: int, message: str, data: object = None) -> None:
        super().__init__(message)
        self.body = {"code": code, "message": message} | ({"data": data} if data else {})


class FakeNode:
    """Answers by method name; remembers what it was asked and what it was sent."""

    def __init__(self) -> None:
        self.url = ""
        self.calls: list[tuple[str, list[Any]]] = []
        self.sent: list[Transaction] = []
        self.receipts_after = 0  # receipts are asked for in vain this many times
        self.status = "0x1"
        self.raw_reply: bytes | None = None  # instead of any answer
        self.http_status = 200
        self.answers: dict[str, Answer] = {
            "eth_chainId": lambda params: "0x7a69",
            "eth_getBlockByNumber": lambda params: {"baseFeePerGas": "0x3b9aca00"},
            "eth_maxPriorityFeePerGas": lambda params: "0x77359400",
            "eth_gasPrice": lambda params: "0x4a817c800",
            "eth_getTransactionCount": lambda params: "0x5",
            "eth_estimateGas": lambda params: "0x5208",
            "eth_getBalance": lambda params: "0x14d1120d7b160000",
            "eth_sendRawTransaction": self._accept,
            "eth_getTransactionByHash": lambda params: None,
            "eth_getTransactionReceipt": self._receipt,
        }

    def asked(self, method: str) -> list[list[Any]]:
        """The parameters of each call of `method`."""
        return [params for name, params in self.calls if name == method]

    def handle(self, body: bytes) -> bytes:
        if self.raw_reply is not None:
            return self.raw_reply
        request = json.loads(body)
        method, params = request["method"], request["params"]
        self.calls.append((method, params))
        reply: dict[str, Any] = {"jsonrpc": "2.0", "id": request["id"]}
        try:
            if method not in self.answers:
                raise RpcError(-32601, f"the method {method} does not exist/is not available")
            reply["result"] = self.answers[method](params)
        except RpcError as error:
            reply["error"] = error.body
        return json.dumps(reply).encode()

    def _accept(self, params: list[Any]) -> str:
        transaction = decode_transaction(bytes.fromhex(params[0][2:]))
        self.sent.append(transaction)
        return "0x" + transaction.hash.hex()

    def _receipt(self, params: list[Any]) -> dict[str, Any] | None:
        if len(self.asked("eth_getTransactionReceipt")) <= self.receipts_after:
            return None
        return {
            "transactionHash": params[0],
            "blockNumber": "0x10",
            "gasUsed": "0x5208",
            "effectiveGasPrice": "0x3b9aca01",
            "status": self.status,
        }


@contextmanager
def fake_node() -> Iterator[FakeNode]:
    """A FakeNode that listens on a free port of this machine."""
    node = FakeNode()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            reply = node.handle(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(node.http_status)
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, format: str, *args: object) -> None:
            """Stay silent: the tests read stderr."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    node.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield node
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
