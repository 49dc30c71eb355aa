"""Which validators decide on which heights (section 5 of docs/protocol/consensus.md).

An epoch is a fixed number of heights. The sets of epochs 0 and 1 are the genesis'; the
set of epoch e + 1 is read from the validator contract's state after the last block of
epoch e - 1, and kept in the ledger from that block's commit on.
"""

from typing import Final

from chain import staking
from chain.activation import ChainConfig
from chain.crypto.keccak import keccak
from chain.errors import Fault, Rejected
from chain.ledger import Ledger
from chain.machine import Machine
from chain.types import Hash, Height
from chain.validators import ValidatorSet, decode_validators
from chain.views import TrieView
from node.consensus.core import Epoch

_SEED_TAG: Final = b"chain-node/epoch/1"
_KEPT: Final = 16  # decoded sets


class Epochs:
    """The epochs of a ledger. `genesis_set` is who validates epochs 0 and 1."""

    def __init__(self, ledger: Ledger, genesis_set: ValidatorSet) -> None:
        self._ledger = ledger
        self._config: ChainConfig = ledger.config
        self._length = ledger.config.ledger.epoch_length
        self._genesis_set = genesis_set
        self._sets: dict[int, ValidatorSet] = {}

    def of_height(self, height: int) -> int:
        """The epoch that the block at `height` belongs to; `height` is at least 1."""
        return (height - 1) // self._length if self._length else 0

    def last_height(self, epoch: int) -> int | None:
        """The height at which the epoch ends; None when it never does."""
        return (epoch + 1) * self._length if self._length else None

    def set_of(self, epoch: int) -> ValidatorSet | None:
        """The validators of an epoch; None while the block that decides is not committed."""
        if epoch <= 1 or not self._length:
            return self._genesis_set
        found = self._sets.get(epoch)
        if found is None:
            stored = self._ledger.validators(epoch)
            if stored is None:
                return None
            try:
                found = decode_validators(stored)
            except Rejected as error:
                raise Fault(
                    f"the stored validators of epoch {epoch} are corrupt: {error}"
                ) from None
            while len(self._sets) >= _KEPT:
                self._sets.pop(next(iter(self._sets)), None)  # the writer's thread asks too
            self._sets[epoch] = found
        return found

    def decided_by(
        self, height: int, view: TrieView, machine: Machine
    ) -> tuple[int, ValidatorSet] | None:
        """The epoch and set that the block at `height` decides on, whose state is `view`.

        None for a block that does not end its epoch.
        """
        if not self._length or height % self._length:
            return None
        epoch = height // self._length - 1  # that ends with this block
        current = self._known(epoch + 1)
        decided = epoch + 2
        return decided, staking.read_set(view, machine, self._config, current)

    def current(self) -> Epoch:
        """The epoch of the block after the ledger's head."""
        head = self._ledger.height
        number = self.of_height(head + 1)
        before = Height(number * self._length)  # the last block of the epoch before
        base = self._ledger.hash_at(before)
        seed = Hash(keccak(_SEED_TAG + base + number.to_bytes(8, "big")))
        return Epoch(number, self._known(number), seed, self.last_height(number))

    def _known(self, epoch: int) -> ValidatorSet:
        found = self.set_of(epoch)
        if found is None:
            raise Fault(f"the validators of epoch {epoch} are not in the ledger")
        return found
