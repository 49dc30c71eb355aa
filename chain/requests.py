"""Requests to the consensus layer: how a block collects and commits to them (EIP-7685)."""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Final

from chain.blocks import Log
from chain.errors import Reason, Rejected
from chain.types import Address, Hash

DEPOSIT: Final = 0  # EIP-6110
WITHDRAWAL: Final = 1  # EIP-7002
CONSOLIDATION: Final = 2  # EIP-7251

# keccak256("DepositEvent(bytes,bytes,bytes,bytes,bytes)")
_DEPOSIT_TOPIC: Final = Hash(
    bytes.fromhex("649bbc62d0e31342afea4e5cd82d4049e7e1ee912fc0889aa790803be39038c5")
)
# The event's five byte strings, by ABI rules: where each one's length word stands, and its
# size: public key, withdrawal credentials, amount, signature, index.
_DEPOSIT_FIELDS: Final = ((160, 48), (256, 32), (320, 8), (384, 96), (512, 8))
_DEPOSIT_EVENT_BYTES: Final = 576

# sha256(b""): the requests hash of a block without requests.
EMPTY_REQUESTS_HASH: Final = Hash(sha256(b"").digest())


def deposits(logs: Iterable[Log], contract: Address) -> bytes:
    """The deposit requests that the contract's events among `logs` make, one after another.

    Raises WRONG_REQUESTS for an event of another layout, which makes the block invalid.
    """
    found: list[bytes] = []
    for log in logs:
        if log.address == contract and log.topics[:1] == (_DEPOSIT_TOPIC,):
            found.append(_deposit(log.data))
    return b"".join(found)


def _deposit(data: bytes) -> bytes:
    if len(data) != _DEPOSIT_EVENT_BYTES:
        raise Rejected(Reason.WRONG_REQUESTS, f"a deposit event of {len(data)} bytes")
    fields: list[bytes] = []
    for index, (at, size) in enumerate(_DEPOSIT_FIELDS):
        offset = int.from_bytes(data[32 * index : 32 * index + 32], "big")
        if offset != at or int.from_bytes(data[at : at + 32], "big") != size:
            raise Rejected(Reason.WRONG_REQUESTS, f"a deposit event whose field {index} is off")
        fields.append(data[at + 32 : at + 32 + size])
    return b"".join(fields)


def collect(deposits: bytes, withdrawals: bytes, consolidations: bytes) -> tuple[bytes, ...]:
    """The block's requests: a type byte and its data each, types without data left out."""
    return tuple(
        bytes((kind,)) + data
        for kind, data in (
            (DEPOSIT, deposits),
            (WITHDRAWAL, withdrawals),
            (CONSOLIDATION, consolidations),
        )
        if data
    )


def requests_hash(requests: Sequence[bytes]) -> Hash:
    """What a header commits its block's requests with: SHA-256 over their SHA-256 hashes."""
    if not requests:
        return EMPTY_REQUESTS_HASH
    hashes = (sha256(request).digest() for request in requests if len(request) > 1)
    return Hash(sha256(b"".join(hashes)).digest())
