"""Developers' methods: the blobs that came with transactions, which a beacon node would keep."""

from collections.abc import Iterable
from typing import Any

from chain.types import Hash, Height
from node.devchain.blobs import Blob
from node.rpc.context import Context
from node.rpc.dev_registry import OWN, control
from node.rpc.errors import invalid_params
from node.rpc.formats import Json, data
from node.rpc.parameters import BlockTag, parse_hash


@control({"anvil_getBlobByHash": OWN})
async def blob_by_hash(ctx: Context, versioned_hash: Hash) -> str | None:
    """A blob by its versioned hash; null when it is not, or no longer, kept."""
    found = ctx.developer.producer.blobs.get(versioned_hash)
    return None if found is None else data(found.data)


@control({"anvil_getBlobsByTransactionHash": OWN})
async def blobs_by_transaction(ctx: Context, transaction_hash: Hash) -> list[str] | None:
    """The blobs of a mined transaction; null when there is none such, or it has none."""
    place = ctx.ledger.locate(transaction_hash)
    if place is None:
        return None
    height, index = place
    names = ctx.ledger.block(height).transactions[index].blob_hashes
    return [data(blob.data) for blob in _kept(ctx, names)] if names else None


@control({"anvil_getBlobsByBlockId": OWN})
async def blobs_by_block(
    ctx: Context, block: BlockTag, versioned_hashes: list[Any] | None = None
) -> list[str] | None:
    """The blobs of a block's transactions, or those of them that are named."""
    height = ctx.find(block)
    if height is None:
        return None
    try:
        wanted = {parse_hash(name) for name in versioned_hashes or ()}
    except ValueError as error:
        raise invalid_params(f"invalid argument 1: {error}") from None
    names = (name for name in _names(ctx, height) if not wanted or name in wanted)
    return [data(blob.data) for blob in _kept(ctx, names)]


@control({"anvil_getBlobSidecarsByBlockId": OWN})
async def sidecars_by_block(ctx: Context, block: BlockTag) -> Json | None:
    """The blobs of a block's transactions with their commitments and proofs, as in a sidecar."""
    height = ctx.find(block)
    if height is None:
        return None
    found = list(_kept(ctx, _names(ctx, height)))
    return {
        "blobs": [data(blob.data) for blob in found],
        "commitments": [data(blob.commitment) for blob in found],
        "proofs": [data(proof) for blob in found for proof in blob.proofs],
    }


def _names(ctx: Context, height: Height) -> Iterable[Hash]:
    """The versioned hashes of a block's blobs, in order."""
    for transaction in ctx.ledger.block(height).transactions:
        yield from transaction.blob_hashes


def _kept(ctx: Context, names: Iterable[Hash]) -> Iterable[Blob]:
    kept = ctx.developer.producer.blobs
    return (blob for name in names if (blob := kept.get(name)) is not None)
