"""What travels between nodes: the messages, their limits and their bytes.

A message is one binary frame: a MessagePack array whose first element is the message's
number, and whose other elements are its fields in order (docs/protocol/wire.md). Decoding
proves shapes and limits, nothing more: what is inside - records, votes, certificates,
transactions - is decoded by whoever verifies it, with `chain`'s own strict decoders.
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from chain.errors import Reason, Rejected

PROTOCOL_VERSION: Final = 1
FRAME_BYTES_MAX: Final = 16 * 2**20  # of any message; most kinds have far lower limits of their own
CERTIFICATE_BYTES_MAX: Final = 128 * 2**10  # 1,024 signatures and what is around them

Fixed20 = Annotated[bytes, Meta(min_length=20, max_length=20)]
Fixed32 = Annotated[bytes, Meta(min_length=32, max_length=32)]
Short = Annotated[bytes, Meta(max_length=512)]  # a record, a vote
CertificateBytes = Annotated[bytes, Meta(max_length=CERTIFICATE_BYTES_MAX)]
HeaderBytes = Annotated[bytes, Meta(max_length=1024)]
TransactionBytes = Annotated[bytes, Meta(max_length=2 * 2**20)]  # with its blobs
BlockBytes = Annotated[bytes, Meta(max_length=12 * 2**20)]
Number = Annotated[int, Meta(ge=0, le=2**63 - 1)]
RequestId = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Text = Annotated[str, Meta(max_length=256)]


# -- consensus -------------------------------------------------------------------------------------


class Status(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=1):
    """Where the sender is; sent after the handshake, when it changes, and as a sign of life.

    `finalization` is the certificate of the final block at `height` (empty at genesis), so
    that a height is a claim with proof. `hears` is the bitmap of the epoch's validators whose
    node the sender has a link to: their votes need not be relayed to it.
    """

    epoch: Number
    view: Number
    height: Number
    block_hash: Fixed32
    finalization: CertificateBytes
    hears: Annotated[bytes, Meta(max_length=128)]


class CompactBlock(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A block as a receiver with a pool needs it.

    `entries` stand for the transactions in order: 8 bytes are a short id of a transaction that
    the receiver is thought to hold, anything longer is the transaction itself.
    """

    record: Short
    header: HeaderBytes
    salt: Annotated[bytes, Meta(min_length=8, max_length=8)]
    entries: Annotated[tuple[TransactionBytes, ...], Meta(max_length=65_536)]


class Proposal(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=2):
    """The leader's NOTARIZE and its block; no block when an epoch's last one is proposed again."""

    vote: Short
    block: CompactBlock | None


class Votes(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=3):
    """Signed ballots, RLP."""

    votes: Annotated[tuple[Short, ...], Meta(max_length=256)]


class Certificates(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=4):
    """Certificates; `request` is 0 when nobody asked."""

    request: RequestId
    certificates: Annotated[tuple[CertificateBytes, ...], Meta(max_length=64)]


class GetCertificates(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=5):
    """Asks for what the receiver holds of these views: at most 64 certificates come back."""

    request: RequestId
    epoch: Number
    first_view: Number
    last_view: Number


class Evidence(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=6):
    """Two votes of one signer that exclude each other."""

    first: Short
    second: Short


# -- blocks ----------------------------------------------------------------------------------------


class GetBlock(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=7):
    """Asks for a block, final or not, by its hash."""

    request: RequestId
    block_hash: Fixed32


class Block(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=8):
    """A block with its record; both empty when the sender has none."""

    request: RequestId
    record: Short
    block: BlockBytes


class GetBlockTransactions(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=9):
    """Asks for transactions of a compact block by their ascending indices."""

    request: RequestId
    block_hash: Fixed32
    indices: Annotated[tuple[Annotated[int, Meta(ge=0, le=65_535)], ...], Meta(max_length=65_536)]


class BlockTransactions(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=10):
    """The transactions asked for, in order; none when the sender does not have the block."""

    request: RequestId
    transactions: Annotated[tuple[TransactionBytes, ...], Meta(max_length=65_536)]


# -- transactions ----------------------------------------------------------------------------------


class TransactionHashes(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=11):
    """What the sender has pooled: hashes, with the bytes of each in its network form."""

    hashes: Annotated[tuple[Fixed32, ...], Meta(max_length=4096)]
    sizes: Annotated[tuple[Annotated[int, Meta(ge=1, le=2**24)], ...], Meta(max_length=4096)]


class GetTransactions(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=12):
    """Asks for pooled transactions by hash."""

    request: RequestId
    hashes: Annotated[tuple[Fixed32, ...], Meta(max_length=1024)]


class Transactions(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=13):
    """Pooled transactions in their network form; `request` is 0 when nobody asked."""

    request: RequestId
    transactions: Annotated[tuple[TransactionBytes, ...], Meta(max_length=1024)]


# -- sync ------------------------------------------------------------------------------------------


class GetHeaders(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=14):
    """Asks for final headers by ascending height, at most 512."""

    request: RequestId
    first: Number
    count: Annotated[int, Meta(ge=1, le=512)]


class FinalHeader(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A header with its record, and its own finalization when it has one."""

    header: HeaderBytes
    record: Short
    finalization: CertificateBytes


class Headers(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=15):
    """Consecutive final headers, as many as the sender has; the last one has its finalization."""

    request: RequestId
    headers: Annotated[tuple[FinalHeader, ...], Meta(max_length=512)]


class GetBodies(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=16):
    """Asks for the blocks at consecutive final heights, at most 128."""

    request: RequestId
    first: Number
    count: Annotated[int, Meta(ge=1, le=128)]


class Bodies(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=17):
    """Blocks in RLP from the first height asked for on, as many as fit the sender's limit."""

    request: RequestId
    blocks: Annotated[tuple[BlockBytes, ...], Meta(max_length=128)]


# -- peers -----------------------------------------------------------------------------------------


class PeerAddress(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Where a node listens. `node` is the address of its node key."""

    node: Fixed20
    host: Text
    port: Annotated[int, Meta(ge=1, le=65_535)]


class GetPeers(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=18):
    request: RequestId


class Peers(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=19):
    request: RequestId
    peers: Annotated[tuple[PeerAddress, ...], Meta(max_length=64)]


class Goodbye(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=20):
    """Why the sender closes the link; `reason` is machine-readable."""

    reason: Text
    detail: Text


class Ping(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=21):
    request: RequestId


class Pong(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=22):
    request: RequestId


Message = (
    Status
    | Proposal
    | Votes
    | Certificates
    | GetCertificates
    | Evidence
    | GetBlock
    | Block
    | GetBlockTransactions
    | BlockTransactions
    | TransactionHashes
    | GetTransactions
    | Transactions
    | GetHeaders
    | Headers
    | GetBodies
    | Bodies
    | GetPeers
    | Peers
    | Goodbye
    | Ping
    | Pong
)

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Message)


def encode_message(message: Message) -> bytes:
    """The frame of a message."""
    return _encoder.encode(message)


def decode_message(frame: bytes) -> Message:
    """Inverse of `encode_message`; Rejected(BAD_MESSAGE) for anything else."""
    if len(frame) > FRAME_BYTES_MAX:
        raise Rejected(Reason.TOO_LARGE, f"a frame of {len(frame)} bytes")
    try:
        message: Message = _decoder.decode(frame)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Rejected(Reason.BAD_MESSAGE, str(error)) from None
    return message
