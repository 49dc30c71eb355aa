"""web3.py's way to a ledger in the same process.

web3.py finds what a provider can do in its classes: here inheritance is the interface.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec
from web3 import AsyncWeb3, Web3
from web3._utils.encoding import Web3JsonEncoder
from web3.providers.async_base import AsyncJSONBaseProvider
from web3.providers.base import JSONBaseProvider
from web3.types import RPCEndpoint, RPCResponse

_encode: Final = Web3JsonEncoder().encode
_decode: Final = msgspec.json.decode

if TYPE_CHECKING:
    from node.testing.ledger import Ledger


class Provider(JSONBaseProvider):
    """For `Web3`."""

    def __init__(self, ledger: "Ledger") -> None:
        super().__init__()
        self.ledger = ledger

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        body = self.encode_rpc_request(method, params)
        return cast(RPCResponse, _decode(self.ledger.answer(body)))

    def encode_rpc_request(self, method: RPCEndpoint, params: Any) -> bytes:
        return _encoded(self, super().encode_rpc_request, method, params)

    def make_batch_request(
        self, requests: list[tuple[RPCEndpoint, Any]]
    ) -> list[RPCResponse] | RPCResponse:
        answer = self.ledger.answer(self.encode_batch_rpc_request(requests))
        return _in_order(_decode(answer))


class AsyncProvider(AsyncJSONBaseProvider):
    """For `AsyncWeb3`."""

    def __init__(self, ledger: "Ledger") -> None:
        super().__init__()
        self.ledger = ledger

    async def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        body = self.encode_rpc_request(method, params)
        return cast(RPCResponse, _decode(await self.ledger.answer_async(body)))

    def encode_rpc_request(self, method: RPCEndpoint, params: Any) -> bytes:
        return _encoded(self, super().encode_rpc_request, method, params)

    async def make_batch_request(
        self, requests: list[tuple[RPCEndpoint, Any]]
    ) -> list[RPCResponse] | RPCResponse:
        items = (self.encode_rpc_request(method, params) for method, params in requests)
        answer = await self.ledger.answer_async(b"[" + b",".join(items) + b"]")
        return _in_order(_decode(answer))


def _encoded(
    provider: Provider | AsyncProvider,
    usual: Callable[[RPCEndpoint, Any], bytes],
    method: RPCEndpoint,
    params: Any,
) -> bytes:
    """As web3.py encodes it, without what it prepares for when that fails."""
    number = next(provider.request_counter)
    try:
        body = {"jsonrpc": "2.0", "method": method, "params": params or [], "id": number}
        return _encode(body).encode()
    except TypeError:
        return usual(method, params)  # which says what it is that can't be encoded


def _in_order(answer: Any) -> list[RPCResponse] | RPCResponse:
    """A batch's answers by their ids; one error for all of it as it is."""
    if isinstance(answer, list):
        return sorted(answer, key=lambda item: int(item["id"]))
    return cast(RPCResponse, answer)


def web3_on(ledger: "Ledger") -> Web3:
    """web3.py on a ledger, with its first account as the sender."""
    w3 = Web3(Provider(ledger))
    if ledger.accounts:
        w3.eth.default_account = Web3.to_checksum_address(ledger.accounts[0])
    return w3


def async_web3_on(ledger: "Ledger") -> "AsyncWeb3[Any]":
    """As `web3_on`, asynchronous."""
    w3 = AsyncWeb3(AsyncProvider(ledger))
    if ledger.accounts:
        w3.eth.default_account = Web3.to_checksum_address(ledger.accounts[0])
    return w3
