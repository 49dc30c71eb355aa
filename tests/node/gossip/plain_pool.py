"""A pool that keeps everything, and small signed transactions to fill it with."""

from collections.abc import Iterable, Sequence
from functools import cache

from chain.blobs import BlobSidecar
from chain.errors import Reason, Rejected
from chain.transactions import (
    Checked,
    build_transaction,
    decode_network_transaction,
    sign_transaction,
)
from chain.types import Address, Hash

KEY = b"\x46" * 32
SENDER = Address(b"\x55" * 20)


@cache
def transfer(nonce: int, data: bytes = b"") -> Checked:
    """A transaction of its own for each nonce."""
    transaction = build_transaction(
        kind=2,
        chain_id=1337,
        nonce=nonce,
        gas_limit=21_000,
        max_fee=10**9,
        max_priority_fee=1,
        to=Address(b"\x11" * 20),
        value=nonce,
        data=data,
    )
    return Checked(sign_transaction(transaction, KEY), SENDER)


class PlainPool:
    """Implements `node.gossip.index.Pool`."""

    def __init__(self) -> None:
        self.checked: dict[Hash, Checked] = {}
        self.sidecars: dict[Hash, BlobSidecar] = {}
        self.waiting: set[Hash] = set()  # for an earlier nonce

    def __len__(self) -> int:
        return len(self.checked)

    def __contains__(self, transaction_hash: object) -> bool:
        return transaction_hash in self.checked

    def get(self, transaction_hash: Hash) -> Checked | None:
        return self.checked.get(transaction_hash)

    def can_run(self, transaction_hash: Hash) -> bool:
        return transaction_hash in self.checked and transaction_hash not in self.waiting

    def sidecar(self, transaction_hash: Hash) -> BlobSidecar | None:
        return self.sidecars.get(transaction_hash)

    def everything(self) -> Iterable[Checked]:
        return list(self.checked.values())

    def admit(self, checked: Checked, sidecar: BlobSidecar | None = None) -> None:
        self.checked[checked.transaction.hash] = checked
        if sidecar is not None:
            self.sidecars[checked.transaction.hash] = sidecar

    def take(self, raws: Sequence[bytes]) -> list[Checked | Rejected]:
        """Pool what decodes; its signature is taken for granted."""
        return [self._take(raw) for raw in raws]

    def _take(self, raw: bytes) -> Checked | Rejected:
        try:
            transaction, sidecar = decode_network_transaction(raw)
        except Rejected as rejected:
            return rejected
        if transaction.hash in self.checked:
            return Rejected(Reason.ALREADY_KNOWN)
        checked = Checked(transaction, SENDER)
        self.admit(checked, sidecar)
        return checked
