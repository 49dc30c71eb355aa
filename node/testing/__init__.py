"""A developer's chain inside a Python program: no process, no port, no files.

    from node.testing import Ledger

    with Ledger() as ledger:
        ledger.request("anvil_setBalance", ledger.accounts[0], hex(10**24))
        ledger.web3.eth.send_transaction({"to": ledger.accounts[1], "value": 1})

`Ledger` answers the whole JSON-RPC. `Provider` and `AsyncProvider` are web3.py's way to it,
`EthereumTesterProvider` and `AsyncEthereumTesterProvider` take the places of its own ones for
eth-tester, and `node.testing.plugin` gives pytest its fixtures. docs/testing.md has a whole
project.
"""

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from node.testing.ledger import Ledger, RequestError
    from node.testing.providers import AsyncProvider, Provider
    from node.testing.tester import AsyncEthereumTesterProvider, EthereumTesterProvider, Tester

__all__ = [
    "AsyncEthereumTesterProvider",
    "AsyncProvider",
    "EthereumTesterProvider",
    "Ledger",
    "Provider",
    "RequestError",
    "Tester",
]

_MODULES: Final = {
    "AsyncEthereumTesterProvider": "tester",
    "AsyncProvider": "providers",
    "EthereumTesterProvider": "tester",
    "Ledger": "ledger",
    "Provider": "providers",
    "RequestError": "ledger",
    "Tester": "tester",
}


def __getattr__(name: str) -> Any:
    """Loaded when asked for: pytest's plugin costs nothing, a ledger needs no web3.py."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
