"""Blobs in a request for a transaction: what proves them is made, or checked where it is given.

Source: geth's TransactionArgs, whose words these are.
"""

from typing import Final

from chain.blobs import (
    BLOB_PROOFS,
    CELL_PROOFS,
    CELLS_PER_BLOB,
    BlobSidecar,
    build_sidecar,
    check_blobs,
    versioned_hash,
)
from chain.errors import Reason, Rejected
from chain.forks import Fork
from chain.types import Hash
from node.rpc.errors import server_error
from node.rpc.requests import CallRequest

# Of the group whose scalars a blob is made of, big-endian.
_ORDER: Final = bytes.fromhex("73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001")


def sidecar_of(request: CallRequest, fork: Fork) -> BlobSidecar | None:
    """What is to travel beside the transaction that a request describes; slow with blobs.

    None where it has no blobs. RpcError (-32000) where the parts don't fit each other.
    """
    blobs = request.blobs
    if blobs is None:
        return None
    commitments, proofs = request.commitments, request.proofs
    if commitments is None and proofs is not None:
        raise server_error("blob proofs provided while commitments were not")
    if commitments is not None and proofs is None:
        raise server_error("blob commitments provided while proofs were not")
    version = CELL_PROOFS if fork.cell_proofs else BLOB_PROOFS
    count = len(blobs)
    _check_count("hashes", request.blob_hashes, count)
    _check_count("commitments", commitments, count)
    proofs_wanted = count * CELLS_PER_BLOB if version == CELL_PROOFS else count
    if proofs is not None and len(proofs) == count != proofs_wanted:
        commitments = proofs = None  # as they were before, and are made anew
    _check_count("proofs", proofs, proofs_wanted)
    if commitments is None or proofs is None:
        _check_scalars(blobs)
        sidecar = build_sidecar(blobs, version)
    else:
        sidecar = BlobSidecar(version, blobs, commitments, proofs)
        try:
            check_blobs(sidecar, [versioned_hash(item) for item in commitments])
        except Rejected as rejected:
            assert rejected.reason is Reason.BAD_BLOB_PROOF
            raise server_error(f"failed to verify blob proof: {rejected.detail}") from None
    _check_hashes(request.blob_hashes, sidecar)
    return sidecar


def _check_scalars(blobs: tuple[bytes, ...]) -> None:
    for index, blob in enumerate(blobs):
        # Compared as bytes, which is as numbers since all are of one length.
        if any(blob[at : at + 32] >= _ORDER for at in range(0, len(blob), 32)):
            raise server_error(
                f"blobs[{index}]: error computing commitment: scalar is not canonical when "
                "interpreted as a big integer in big-endian"
            )


def _check_count(what: str, items: tuple[bytes, ...] | None, wanted: int) -> None:
    if items is not None and len(items) != wanted:
        raise server_error(
            f"number of blobs and {what} mismatch (have={len(items)}, want={wanted})"
        )


def _check_hashes(hashes: tuple[Hash, ...] | None, sidecar: BlobSidecar) -> None:
    for have, commitment in zip(hashes or (), sidecar.commitments, strict=False):
        want = versioned_hash(commitment)
        if have != want:
            raise server_error(
                f"blob hash verification failed (have=0x{have.hex()}, want=0x{want.hex()})"
            )
