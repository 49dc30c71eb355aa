"""titanoboa's way to a ledger in the same process.

    with Ledger() as ledger, boa.swap_env(network_env(ledger)):
        boa.load("Jar.vy").fill(value=1)

titanoboa tells its RPCs by their class: here inheritance is the interface.
"""

from typing import Any

from boa.network import NetworkEnv
from boa.rpc import RPC, RPCError
from eth_account import Account

from node.testing.ledger import Ledger, RequestError


class LedgerRpc(RPC):  # type: ignore[misc]  # titanoboa has no types
    """For `boa.NetworkEnv`."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    @property
    def identifier(self) -> str:
        """What titanoboa keys its caches by: no two ledgers have the same."""
        return f"ledger:{id(self.ledger)}"

    @property
    def name(self) -> str:
        return "a ledger in this process"

    def fetch(self, method: str, params: Any) -> Any:
        """A method's result; titanoboa's RPCError when it is refused."""
        try:
            return self.ledger.request(method, *params)
        except RequestError as error:
            raise RPCError(error.message, error.code) from error

    def fetch_multi(self, payloads: list[tuple[str, Any]]) -> list[Any]:
        """The results in order."""
        return [self.fetch(method, params) for method, params in payloads]


def network_env(ledger: Ledger) -> Any:
    """titanoboa's environment on a ledger, with its accounts; the first one sends."""
    environment = NetworkEnv(LedgerRpc(ledger))
    for name in ledger.accounts:
        environment.add_account(Account.from_key(ledger.keys[name]))
    return environment
