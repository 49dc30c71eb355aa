"""Methods on a forked ledger: what was before the fork is its source's to answer.

Questions about a block before the fork go there as they came, with the source's words when it
refuses; those by hash go there when the hash is nobody's here. What happened on the source
after the fork has not happened here.
"""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, Final

from msgspec import Raw

from chain.errors import Rejected, SourceFailed
from chain.transactions import decode_network_transaction
from chain.types import EMPTY_CODE_HASH, Address, Hash, Height
from chain.validation import check_transaction
from node.devchain.fork.beginning import ForkPoint
from node.devchain.fork.origin import NotFetched, turn
from node.devchain.fork.source import Refusal
from node.rpc.context import Context
from node.rpc.errors import RpcError, invalid_params
from node.rpc.formats import data
from node.rpc.parameters import BlockHash, BlockNumber, BlockTag
from node.rpc.registry import Method

if TYPE_CHECKING:
    from node.rpc.trace_filter import TraceFilter

# At the fork's own block these are answered here, where accounts were changed on its state.
OF_STATE: Final = frozenset(
    {
        "debug_traceCall",
        "eth_call",
        "eth_createAccessList",
        "eth_estimateGas",
        "eth_getAccountInfo",
        "eth_getBalance",
        "eth_getCode",
        "eth_getStorageAt",
        "eth_getStorageValues",
        "eth_getTransactionCount",
        "eth_simulateV1",
        "ots_hasCode",
        "trace_call",
        "trace_callMany",
    }
)
BY_BLOCK_HASH: Final = frozenset(
    {
        "debug_traceBlockByHash",
        "erigon_getBlockReceiptsByBlockHash",
        "erigon_getHeaderByHash",
        "erigon_getLogsByHash",
        "eth_getBlockByHash",
        "eth_getBlockTransactionCountByHash",
        "eth_getHeaderByHash",
        "eth_getRawTransactionByBlockHashAndIndex",
        "eth_getTransactionByBlockHashAndIndex",
        "eth_getUncleByBlockHashAndIndex",
        "eth_getUncleCountByBlockHash",
        "ots_getBlockDetailsByHash",
    }
)
BY_TRANSACTION: Final = frozenset(
    {
        "debug_getRawTransaction",
        "debug_traceTransaction",
        "eth_getRawTransactionByHash",
        "eth_getTransactionByHash",
        "eth_getTransactionReceipt",
        "ots_getInternalOperations",
        "ots_getTransactionError",
        "ots_traceTransaction",
        "trace_get",
        "trace_replayTransaction",
        "trace_transaction",
    }
)
BY_NONCE: Final = frozenset(
    {"eth_getTransactionBySenderAndNonce", "ots_getTransactionBySenderAndNonce"}
)
_SENDING: Final = frozenset({"eth_sendRawTransaction", "eth_sendRawTransactionSync"})
_FETCHES_MAX: Final = 10_000  # of one call in the event loop


async def answer(ctx: Context, method: Method, arguments: list[Any], given: Sequence[Any]) -> Any:
    """The result of a method of the event loop, which goes on while the source is asked.

    `given` are the arguments as they came. Raises what the method raises, and `SourceFailed`.
    """
    with turn():
        if method.name in _SENDING:
            await _know_sender(ctx, arguments[0])
        for _ in range(_FETCHES_MAX):
            try:
                elsewhere = _from_source(ctx, method, arguments, given)
                if elsewhere is not None:
                    return elsewhere
                return await method.function(ctx, *arguments)
            except NotFetched as missing:
                await ctx.developer.fetch(missing.fetch)
    raise SourceFailed("", f"{method.name} needs more than {_FETCHES_MAX} answers")


def answer_in_thread(
    ctx: Context, method: Method, arguments: list[Any], given: Sequence[Any]
) -> Any:
    """As `answer`, for methods that run in threads."""
    elsewhere = _from_source(ctx, method, arguments, given)
    return method.function(ctx, *arguments) if elsewhere is None else elsewhere


async def _know_sender(ctx: Context, raw: bytes) -> None:
    """Have the account of a transaction's sender, which the pool reads while others wait."""

    fork, chain_id = ctx.node.next_fork(), ctx.ledger.config.chain_id

    def read() -> None:
        try:
            transaction, _ = decode_network_transaction(raw)
            checked = check_transaction(transaction, fork, chain_id)
        except Rejected:
            return  # it is refused where such things are checked
        ctx.ledger.view().account(checked.sender)

    await ctx.developer.fetch(read)


def _from_source(
    ctx: Context, method: Method, arguments: list[Any], given: Sequence[Any]
) -> Raw | None:
    """The source's answer where the question is about a time before the fork; else None."""
    fork = ctx.fork
    if fork is None or method.developer_only or not _is_earlier(ctx, fork, method, arguments):
        return None
    try:
        return Raw(fork.origin.ask_raw(method.name, *given))
    except Refusal as refusal:
        raise refused(refusal) from None


def refused(refusal: Refusal) -> RpcError:
    """The source's refusal as ours."""
    error = refusal.error
    code = error.get("code")
    return RpcError(code if isinstance(code, int) else -32000, str(refusal), error.get("data"))


def _is_earlier(ctx: Context, fork: ForkPoint, method: Method, arguments: list[Any]) -> bool:
    from node.rpc.erigon import AnyBlock, NamedBlock  # which lead back here

    if not arguments:
        return False
    name = method.name
    if name in BY_BLOCK_HASH:
        return _of_source(ctx, fork, arguments[0])
    if name in BY_TRANSACTION:
        return _ran_on_source(ctx, fork, arguments[0])
    if name in BY_NONCE:
        return _sent_on_source(fork, *arguments)
    if name == "ots_getContractCreator":
        account = fork.origin.account(arguments[0])
        return account is not None and account.code_hash != EMPTY_CODE_HASH
    if name == "trace_filter":
        return _traced_by_source(ctx, fork, arguments[0])
    if name == "erigon_blockNumber":
        return False
    last = fork.height - 1 if name in OF_STATE else fork.height
    for given, parameter in zip(arguments, method.parameters, strict=False):
        if parameter.annotation in (BlockTag, BlockNumber):
            argument = given
        elif isinstance(given, NamedBlock):
            argument = given.number
        elif isinstance(given, AnyBlock):
            argument = given.tag
        else:
            continue
        if argument == "earliest":
            return last >= 0
        if isinstance(argument, int):
            return argument <= last
        if isinstance(argument, BlockHash):
            height = ctx.ledger.height_of(argument.hash)
            if height is None:
                return _of_source(ctx, fork, argument.hash)
            return height <= last
    return False


def _sent_on_source(fork: ForkPoint, sender: Address, nonce: int) -> bool:
    account = fork.origin.account(sender)
    return account is not None and nonce < account.nonce


def _traced_by_source(ctx: Context, fork: ForkPoint, wanted: "TraceFilter") -> bool:
    """Whether all of a range is; an error for one on both sides of the fork."""
    last = ctx.find(wanted.last) if wanted.last != "earliest" else Height(0)
    first = ctx.find(wanted.first) if wanted.first != "earliest" else Height(0)
    if last is not None and last <= fork.height:
        return True
    if first is not None and first <= fork.height:
        height = fork.height
        raise invalid_params(
            f"the ledger was forked at height {height}: ask for traces up to it, and for those "
            f"from {height + 1} on"
        )
    return False


def _of_source(ctx: Context, fork: ForkPoint, block_hash: Hash) -> bool:
    """Whether a block is one of the source's, up to the fork."""
    height = ctx.ledger.height_of(block_hash)
    if height is not None:
        return height <= fork.height
    return _is_before(fork, "eth_getBlockByHash", "number", data(block_hash), False)


def _ran_on_source(ctx: Context, fork: ForkPoint, transaction_hash: Hash) -> bool:
    if ctx.ledger.locate(transaction_hash) or ctx.node.mempool.get(transaction_hash):
        return False
    return _is_before(fork, "eth_getTransactionByHash", "blockNumber", data(transaction_hash))


def _is_before(fork: ForkPoint, method: str, field: str, *params: Any) -> bool:
    """Whether the source's answer tells of a block up to the fork."""
    try:
        found = fork.origin.ask(method, *params)
        number = found.get(field) if isinstance(found, dict) else None
        return number is not None and int(number, 16) <= fork.height
    except Refusal as refusal:
        raise refused(refusal) from None
    except (TypeError, ValueError):
        raise SourceFailed(fork.origin.source.name, f"{method} without {field}") from None


def earlier_logs(
    fork: ForkPoint,
    addresses: Collection[Address],
    topics: Sequence[Collection[Hash]],
    first: int,
    last: int,
) -> list[dict[str, Any]]:
    """The logs of the source's blocks from `first` to `last`, which are not after the fork's.

    A group without alternatives stands for all. RpcError with the source's refusal.
    """
    wanted: dict[str, Any] = {
        "fromBlock": hex(first),
        "toBlock": hex(last),
        "topics": [sorted(map(data, group)) or None for group in topics],
    }
    if addresses:
        wanted["address"] = sorted(map(data, addresses))
    try:
        found = fork.origin.ask("eth_getLogs", wanted)
    except Refusal as refusal:
        raise refused(refusal) from None
    if not isinstance(found, list):
        raise SourceFailed(fork.origin.source.name, "eth_getLogs gave no list")
    return found


def height_of_source(fork: ForkPoint, block_hash: Hash) -> Height | None:
    """The height of a block of the source's, up to the fork; None when it has none such."""
    try:
        found = fork.origin.ask("eth_getBlockByHash", data(block_hash), False)
        height = int(found["number"], 16) if isinstance(found, dict) else None
    except Refusal as refusal:
        raise refused(refusal) from None
    except (KeyError, TypeError, ValueError):
        raise SourceFailed(fork.origin.source.name, "a block without a number") from None
    return None if height is None or height > fork.height else Height(height)
