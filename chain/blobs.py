"""Blobs on their way to a block: what travels beside a blob transaction, and its proofs.

Sources: EIP-4844 (one proof per blob), EIP-7594 (128 cell proofs per blob).
"""

from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from typing import Any, Final

from msgspec import Struct

from chain.errors import Reason, Rejected
from chain.types import Hash

BLOB_BYTES: Final = 4096 * 32
COMMITMENT_BYTES: Final = 48
PROOF_BYTES: Final = 48
CELLS_PER_BLOB: Final = 128
VERSION_BYTE: Final = 0x01  # of a versioned hash: a KZG commitment

BLOB_PROOFS: Final = 0  # sidecar versions: one proof per blob
CELL_PROOFS: Final = 1  # 128 proofs per blob


class BlobSidecar(Struct, frozen=True):
    """Blobs with what proves that they are the ones the transaction names."""

    version: int  # BLOB_PROOFS or CELL_PROOFS
    blobs: tuple[bytes, ...]  # 131072 bytes each
    commitments: tuple[bytes, ...]  # 48 bytes each
    proofs: tuple[bytes, ...]  # 48 bytes each


def versioned_hash(commitment: bytes) -> Hash:
    """What a transaction and the BLOBHASH opcode call a blob."""
    return Hash(bytes((VERSION_BYTE,)) + sha256(commitment).digest()[1:])


def build_sidecar(blobs: Sequence[bytes], version: int) -> BlobSidecar:
    """The sidecar of blobs whose field elements are all canonical, else BAD_BLOB_PROOF."""
    import ckzg

    setup = _trusted_setup()
    commitments: list[bytes] = []
    proofs: list[bytes] = []
    for blob in blobs:
        try:
            commitment = ckzg.blob_to_kzg_commitment(blob, setup)
            commitments.append(commitment)
            if version == CELL_PROOFS:
                proofs.extend(ckzg.compute_cells_and_kzg_proofs(blob, setup)[1])
            else:
                proofs.append(ckzg.compute_blob_kzg_proof(blob, commitment, setup))
        except (RuntimeError, ValueError) as error:
            raise Rejected(Reason.BAD_BLOB_PROOF, f"not a blob: {error}") from error
    return BlobSidecar(version, tuple(blobs), tuple(commitments), tuple(proofs))


def check_blobs(sidecar: BlobSidecar, hashes: Sequence[Hash]) -> None:
    """Prove that the sidecar holds exactly the blobs that `hashes` name, in their order.

    Raises BAD_BLOB_HASH for a commitment that hashes to something else, and
    BAD_BLOB_PROOF for wrong counts, wrong sizes and proofs that do not hold.
    """
    count = len(hashes)
    proofs = count * CELLS_PER_BLOB if sidecar.version == CELL_PROOFS else count
    found = len(sidecar.blobs), len(sidecar.commitments), len(sidecar.proofs)
    if found != (count, count, proofs):
        raise Rejected(
            Reason.BAD_BLOB_PROOF,
            f"{found[0]} blobs, {found[1]} commitments, {found[2]} proofs for {count} hashes",
        )
    for name, items, size in (
        ("blob", sidecar.blobs, BLOB_BYTES),
        ("commitment", sidecar.commitments, COMMITMENT_BYTES),
        ("proof", sidecar.proofs, PROOF_BYTES),
    ):
        if any(len(item) != size for item in items):
            raise Rejected(Reason.BAD_BLOB_PROOF, f"a {name} is not {size} bytes")
    for index, (commitment, expected) in enumerate(zip(sidecar.commitments, hashes, strict=True)):
        if versioned_hash(commitment) != expected:
            raise Rejected(Reason.BAD_BLOB_HASH, f"commitment {index} is not that of the hash")
    if not _proofs_hold(sidecar):
        raise Rejected(Reason.BAD_BLOB_PROOF, "the proofs do not hold")


def _proofs_hold(sidecar: BlobSidecar) -> bool:
    import ckzg

    setup = _trusted_setup()
    try:
        if sidecar.version == BLOB_PROOFS:
            return bool(
                ckzg.verify_blob_kzg_proof_batch(
                    b"".join(sidecar.blobs),
                    b"".join(sidecar.commitments),
                    b"".join(sidecar.proofs),
                    setup,
                )
            )
        commitments: list[bytes] = []
        cells: list[bytes] = []
        for blob, commitment in zip(sidecar.blobs, sidecar.commitments, strict=True):
            cells.extend(ckzg.compute_cells(blob, setup))
            commitments.extend([commitment] * CELLS_PER_BLOB)
        indices = list(range(CELLS_PER_BLOB)) * len(sidecar.blobs)
        return bool(
            ckzg.verify_cell_kzg_proof_batch(
                commitments, indices, cells, list(sidecar.proofs), setup
            )
        )
    except (RuntimeError, ValueError):
        return False  # a field element or a point that is none: ckzg raises for these


@cache
def _trusted_setup() -> Any:
    """The result of Ethereum's KZG ceremony. Reading it takes a second, once.

    The file is the trusted_setup_4096 of the consensus specifications, in ckzg's form.
    """
    from importlib.resources import as_file, files

    import ckzg

    with as_file(files("chain") / "kzg_trusted_setup.txt") as path:
        return ckzg.load_trusted_setup(str(path), 0)
