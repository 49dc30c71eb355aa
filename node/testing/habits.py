"""What tests are used to of web3.py's providers for eth-tester, beyond JSON-RPC.

eth-tester's control methods take other arguments than everybody else's, transactions and calls
come from the first account when nobody is named, and what fails raises `TransactionFailed`.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from web3._utils.error_formatters_utils import raise_contract_logic_error_on_revert
from web3.exceptions import ContractCustomError, ContractLogicError, OffchainLookup
from web3.types import RPCResponse

from node.devchain.chain import MINED_MAX

if TYPE_CHECKING:
    from node.testing.tester import Tester

_FROM_SOMEBODY: Final = frozenset(
    {"eth_call", "eth_createAccessList", "eth_estimateGas", "eth_sendTransaction"}
)
_FAILURES: Final = (
    "execution reverted",
    "invalid opcode",
    "invalid jump destination",
    "out of gas",
    "stack limit reached",
    "stack underflow",
)


class Told:
    """A result that needed no JSON-RPC."""

    __slots__ = ("result",)

    def __init__(self, result: Any) -> None:
        self.result = result


def own_way(tester: "Tester", method: str, params: Any) -> Told | Any:
    """The outcome of a method that eth-tester has its own way with; else the parameters to send."""
    match method, list(params):
        case "evm_mine", [int(count)] if count <= MINED_MAX:  # what is more is a time
            return Told(tester.mine_blocks(count))
        case "evm_snapshot", []:
            return Told(tester.take_snapshot())
        case "evm_revert", [name]:
            tester.revert_to_snapshot(name)
            return Told(None)
        case "evm_reset", []:
            tester.reset_to_genesis()
            return Told(None)
        case "testing_timeTravel", [timestamp]:
            tester.time_travel(timestamp)
            return Told(None)
        case "eth_coinbase", []:
            return Told(next(iter(tester.get_accounts()), None))
        case name, [Mapping() as request, *rest] if name in _FROM_SOMEBODY:
            accounts = tester.get_accounts()
            if accounts and request.get("from") is None:
                return [{**request, "from": accounts[0]}, *rest]
    return params


def raise_failure(response: RPCResponse) -> RPCResponse:
    """The response, unless it tells of a contract's failure and eth-tester is installed.

    Then what web3.py raises for it is raised, and is eth-tester's `TransactionFailed` as well.
    """
    error = response.get("error")
    if not isinstance(error, dict) or not str(error.get("message")).startswith(_FAILURES):
        return response
    try:
        from eth_tester.exceptions import TransactionFailed  # type: ignore[import-untyped]
    except ImportError:
        return response
    try:
        raise_contract_logic_error_on_revert(response)
        failure = ContractLogicError(str(error.get("message")))
    except OffchainLookup:
        return response  # which is a question, and web3.py's to answer
    except ContractLogicError as found:
        failure = found
    message, data = failure.message, failure.data
    if isinstance(failure, ContractCustomError) and isinstance(data, str):
        message = f"execution reverted: {bytes.fromhex(data[2:])!r}"  # as eth-tester shows it
    raise _both(type(failure), TransactionFailed)(message, data=data)


def refusal(usual: type[Exception], theirs: str, message: str) -> Exception:
    """An exception to raise, which is also eth-tester's of this name where it is installed."""
    try:
        from eth_tester import exceptions  # type: ignore[import-untyped]
    except ImportError:
        return usual(message)
    made: Exception = _both(usual, getattr(exceptions, theirs))(message)
    return made


def _both(one: type[Exception], other: type[Exception]) -> Any:
    """A kind of exception that is caught as either."""
    return type(one.__name__, (one, other), {})
