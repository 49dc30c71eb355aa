"""What a JSON-RPC caller is told went wrong, in the words and codes that clients parse.

Codes below -32000 are JSON-RPC 2.0's; 3 and -32000 are geth's. Wallets and libraries
match on these messages, so they follow geth's, letter by letter where it matters.
"""

import re
from typing import Final

from chain.errors import Reason, Rejected
from chain.types import Address
from node.rpc.formats import checksummed

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
SERVER_ERROR: Final = -32000
TIMED_OUT: Final = -32002
RESPONSE_TOO_LARGE: Final = -32003
LIMIT_EXCEEDED: Final = -32005
CLIENT_LIMIT_EXCEEDED: Final = -38026
REVERTED: Final = 3
NOT_IN_TIME: Final = 4  # EIP-7966


class RpcError(Exception):
    """A request refused: `code`, `message` and `data` go to the caller as they are.

    `data` is a JSON value, or None for no data at all.
    """

    def __init__(self, code: int, message: str, data: object = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data


def invalid_params(message: str) -> RpcError:
    return RpcError(INVALID_PARAMS, message)


def server_error(message: str) -> RpcError:
    return RpcError(SERVER_ERROR, message)


# geth's words for each reason that a transaction or a call can be refused for.
_WORDS: Final[dict[Reason, str]] = {
    Reason.BAD_RLP: "rlp",
    Reason.BAD_TRANSACTION: "invalid transaction",
    Reason.TOO_LARGE: "oversized data",
    Reason.TYPE_NOT_SUPPORTED: "transaction type not supported",
    Reason.WRONG_CHAIN_ID: "invalid sender: invalid chain id for signer",
    Reason.BAD_SIGNATURE: "invalid sender: invalid transaction v, r, s values",
    Reason.INTRINSIC_GAS_TOO_LOW: "intrinsic gas too low",
    Reason.FLOOR_GAS_TOO_LOW: "insufficient gas for floor data gas cost",
    Reason.GAS_LIMIT_OVER_CAP: "transaction gas limit too high",
    Reason.INITCODE_TOO_LARGE: "max initcode size exceeded",
    Reason.NONCE_OVERFLOW: "nonce has max value",
    Reason.FEE_OVERFLOW: "max fee per gas higher than 2^256-1",
    Reason.TIP_ABOVE_FEE_CAP: "max priority fee per gas higher than max fee per gas",
    Reason.NO_BLOBS: "blob transaction missing blob hashes",
    Reason.TOO_MANY_BLOBS: "too many blobs in transaction",
    Reason.BAD_BLOB_HASH: "blob has invalid hash version",
    Reason.BAD_BLOB_PROOF: "invalid blob proof",
    Reason.BLOB_CREATES_CONTRACT: "blob transaction of type create",
    Reason.NO_AUTHORIZATIONS: "EIP-7702 transaction with empty auth list",
    Reason.AUTHORIZATION_CREATES_CONTRACT: "EIP-7702 transaction cannot be used to create contract",
    Reason.NONCE_TOO_LOW: "nonce too low",
    Reason.NONCE_TOO_HIGH: "nonce too high",
    Reason.INSUFFICIENT_FUNDS: "insufficient funds for gas * price + value",
    Reason.FEE_CAP_BELOW_BASE_FEE: "max fee per gas less than block base fee",
    Reason.BLOB_FEE_CAP_TOO_LOW: "max fee per blob gas less than block blob gas fee",
    Reason.SENDER_NOT_EOA: "sender not an eoa",
    Reason.BLOCK_GAS_EXCEEDED: "exceeds block gas limit",
    Reason.BLOB_GAS_EXCEEDED: "blob gas limit reached",
    Reason.ALREADY_KNOWN: "already known",
    Reason.REPLACEMENT_UNDERPRICED: "replacement transaction underpriced",
    Reason.UNDERPRICED: "transaction underpriced",
    Reason.FEE_ABOVE_CAP: "tx fee",
    Reason.NOT_REPLAY_PROTECTED: "only replay-protected (EIP-155) transactions allowed over RPC",
    Reason.POOL_FULL: "txpool is full",
    Reason.SENDER_LIMIT: "account limit exceeded",
    Reason.STATE_NOT_RETAINED: "historical state is not available",
    Reason.UNPROVABLE: "no proof to be had",
}


# Words that stand alone in geth: clients compare the whole message.
_ALONE: Final = (
    Reason.ALREADY_KNOWN,
    Reason.BAD_SIGNATURE,
    Reason.REPLACEMENT_UNDERPRICED,
    Reason.TYPE_NOT_SUPPORTED,
)
# Those that say more only of calls, whose sender is no secret.
_ALONE_WHEN_SENT: Final = (Reason.NONCE_OVERFLOW, Reason.TIP_ABOVE_FEE_CAP)
# Details that say all by themselves.
_SENTENCE: Final = re.compile("blob transaction has too many|blob [0-9]+ has invalid hash")
_ADDRESS: Final = re.compile(r"\b0x([0-9a-f]{40})\b")


def in_mixed_case(text: str) -> str:
    """A text with its addresses as geth writes them in errors (EIP-55)."""
    return _ADDRESS.sub(lambda found: checksummed(Address(bytes.fromhex(found[1]))), text)


def message_of(rejected: Rejected) -> str:
    """The refusal as geth words it, with its detail."""
    words = _WORDS.get(rejected.reason, rejected.reason.value.replace("_", " "))
    detail = rejected.detail
    sent = rejected.reason in _ALONE_WHEN_SENT and not detail.startswith("address ")
    if not detail or sent or rejected.reason in _ALONE:
        return words
    if detail.startswith("("):
        return in_mixed_case(f"{words} {detail}")
    whole = detail.startswith(words) or _SENTENCE.match(detail)
    return in_mixed_case(detail if whole else f"{words}: {detail}")


def error_of(rejected: Rejected) -> RpcError:
    """A refusal by the chain or the pool, as the RPC error that geth gives for it."""
    return server_error(message_of(rejected))
