"""The blobs of a developer's blocks, which no block holds: the newest, while the process runs."""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from chain.blobs import CELL_PROOFS, CELLS_PER_BLOB, BlobSidecar
from chain.types import Hash

KEPT_MAX: Final = 256  # 32 MiB; the oldest goes first


class Blob(Struct, frozen=True):
    """A blob with its commitment and what proves it."""

    data: bytes  # 131072 bytes
    commitment: bytes  # 48 bytes
    proofs: tuple[bytes, ...]  # 48 bytes each: one, or one for each of 128 cells


class Blobs:
    """Blobs by versioned hash."""

    def __init__(self) -> None:
        self._kept: dict[Hash, Blob] = {}

    def keep(self, names: Sequence[Hash], sidecar: BlobSidecar) -> None:
        """Keep a transaction's blobs, whose versioned hashes are `names`."""
        each = CELLS_PER_BLOB if sidecar.version == CELL_PROOFS else 1
        for index, name in enumerate(names):
            proofs = sidecar.proofs[index * each : (index + 1) * each]
            self._kept.pop(name, None)
            self._kept[name] = Blob(sidecar.blobs[index], sidecar.commitments[index], proofs)
        while len(self._kept) > KEPT_MAX:
            del self._kept[next(iter(self._kept))]

    def get(self, name: Hash) -> Blob | None:
        return self._kept.get(name)
