"""A node with its RPC server in a thread of its own, and a plain HTTP caller for it."""

import asyncio
import http.client
import json
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import ExitStack
from typing import Any

from msgspec.structs import replace

from chain.genesis import Genesis, dev_genesis
from chain.ledger import Ledger
from chain.storage.memory import MemoryStore
from node.devchain.compose import Developing
from node.keys import dev_accounts
from node.node import Node
from node.rpc.server import RpcServer
from node.settings import RpcSettings, Settings, VmSettings

MNEMONIC = "test test test test test test test test test test test junk"
ACCOUNTS = dev_accounts(MNEMONIC, 10)
NOBODY = "0x" + "99" * 20  # who has nothing
SENDER, OTHER = ("0x" + address.hex() for address in list(ACCOUNTS)[:2])

# A contract that counts its calls in slot 0, logs and returns the count (topic 0xaa), and
# reverts with its input when it has any:
#   calldatasize push1 0x1d jumpi
#   push1 0 sload push1 1 add dup1 push1 0 sstore push1 0 mstore
#   push1 0xaa push1 32 push1 0 log1 push1 32 push1 0 return
#   jumpdest calldatasize push1 0 push1 0 calldatacopy calldatasize push1 0 revert
COUNTER = "36601d576000546001018060005560005260aa60206000a160206000f35b366000600037366000fd"
# What deploys it: codecopy the rest and return it.
COUNTER_INITCODE = f"0x60{len(COUNTER) // 2:02x}80600b6000396000f3{COUNTER}"
COUNTED = "0x" + "00" * 31 + "aa"  # the topic


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
        developing: Developing | None = None,
        vm: str = "auto",
    ) -> None:
        self._genesis = genesis or dev_genesis()
        self._ledger = ledger
        self._builds = builds
        self._developing = developing
        self._vm = VmSettings(tier=vm)
        self._rpc = {"port": 0, **(rpc or {})}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.node: Node
        self.server: RpcServer

    def __enter__(self) -> "Served":
        self._thread.start()
        with ExitStack() as undo:
            undo.callback(self._end_loop)
            self.run(self._start)
            undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.run(self._stop)
        finally:
            self._end_loop()

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, function: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Run a coroutine in the node's event loop and wait for its result."""
        return asyncio.run_coroutine_threadsafe(function(), self._loop).result(60)

    async def _start(self) -> None:
        rpc = replace(RpcSettings(), **self._rpc)
        settings = replace(Settings(), rpc=rpc, vm=self._vm)
        ledger = self._ledger or Ledger.open(MemoryStore(), self._genesis)
        key = next(iter(ACCOUNTS.values())) if self._builds else None
        self.node = Node(
            settings,
            ledger,
            accounts=ACCOUNTS,
            validator_key=key,
            votes=None,
            developing=self._developing,
        )
        self.server = RpcServer(settings.rpc, self.node)
        await self.node.start()
        try:
            await self.server.start()
        except OSError:
            await self.node.stop()
            raise

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

    def refusal(self, method: str, *params: Any) -> Refused:
        """The error of a call that must fail."""
        try:
            result = self.call(method, *params)
        except Refused as refused:
            return refused
        raise AssertionError(f"{method} gave {result}")

    def receipt(self, transaction_hash: str) -> dict[str, Any]:
        """The receipt of a transaction that was sent, once it is in a block."""
        give_up = time.monotonic() + 30
        while time.monotonic() < give_up:
            receipt = self.call("eth_getTransactionReceipt", transaction_hash)
            if receipt is not None:
                found: dict[str, Any] = receipt
                return found
        raise AssertionError(f"no receipt for {transaction_hash}")

    def send(self, **fields: Any) -> dict[str, Any]:
        """Have the first account send a transaction; its receipt."""
        fields.setdefault("from", SENDER)
        return self.receipt(self.call("eth_sendTransaction", fields))
