"""A node with its RPC server in a thread of its own, and a plain HTTP caller for it."""

import asyncio
import http.client
import json
import threading
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from msgspec.structs import replace

from chain.genesis import Genesis, dev_genesis
from chain.ledger import Ledger
from chain.storage.memory import MemoryStore
from node.keys import dev_accounts
from node.node import Node
from node.rpc.server import RpcServer
from node.settings import RpcSettings, Settings

MNEMONIC = "test test test test test test test test test test test junk"
ACCOUNTS = dev_accounts(MNEMONIC, 10)


class Refused(Exception):
    """An error object in an answer."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error["message"])
        self.code: int = error["code"]
        self.message: str = error["message"]
        self.data: Any = error.get("data")


class Served:
    """A developer's node that builds a block for every transaction, served on a free port."""

    def __init__(
        self,
        genesis: Genesis | None = None,
        *,
        ledger: Ledger | None = None,
        builds: bool = True,
        rpc: Mapping[str, Any] | None = None,
    ) -> None:
        self._genesis = genesis or dev_genesis()
        self._ledger = ledger
        self._builds = builds
        self._rpc = {"port": 0, **(rpc or {})}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.node: Node
        self.server: RpcServer

    def __enter__(self) -> "Served":
        self._thread.start()
        self.run(self._start)
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self._stop)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, function: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Run a coroutine in the node's event loop and wait for its result."""
        return asyncio.run_coroutine_threadsafe(function(), self._loop).result(60)

    async def _start(self) -> None:
        settings = replace(Settings(), rpc=replace(RpcSettings(), **self._rpc))
        ledger = self._ledger or Ledger.open(MemoryStore(), self._genesis)
        key = next(iter(ACCOUNTS.values())) if self._builds else None
        self.node = Node(settings, ledger, accounts=ACCOUNTS, validator_key=key, votes=None)
        self.server = RpcServer(settings.rpc, self.node)
        await self.node.start()
        await self.server.start()

    async def _stop(self) -> None:
        await self.server.stop()
        await self.node.stop()

    @property
    def port(self) -> int:
        return self.server.port

    def http(
        self,
        body: bytes | None,
        headers: Mapping[str, str] | None = None,
        *,
        verb: str = "POST",
        path: str = "/",
    ) -> tuple[int, Mapping[str, str], bytes]:
        """One HTTP request; status, headers and body of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            given = {"Content-Type": "application/json", **(headers or {})}
            connection.request(verb, path, body, given)
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()
        finally:
            connection.close()

    def post(self, body: bytes) -> Any:
        """The decoded answer to raw bytes; None when it has no body."""
        status, _, answer = self.http(body)
        assert status == 200, (status, answer)
        return json.loads(answer) if answer else None

    def call(self, method: str, *params: Any) -> Any:
        """A method's result; raises `Refused` for an error."""
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        answer = self.post(json.dumps(request).encode())
        if "error" in answer:
            raise Refused(answer["error"])
        return answer["result"]
