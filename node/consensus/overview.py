"""What RPC, metrics and warnings may know of the agreement."""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final

from chain.types import Address
from chain.validators import ValidatorSet
from node.consensus.committed import Committed
from node.consensus.driver import Driver

_LATENCIES_KEPT: Final = 256


class Overview:
    """A read-only window on a driver."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._latencies: deque[int] = deque(maxlen=_LATENCIES_KEPT)

    def committed(self, committed: Committed) -> None:
        """A block is on disk."""
        if committed.finality_ms is not None:
            self._latencies.append(committed.finality_ms)

    @property
    def validator(self) -> Address | None:
        return self._driver.validator

    @property
    def epoch(self) -> int:
        return self._driver.core.epoch.number

    @property
    def view(self) -> int:
        return self._driver.core.view

    @property
    def view_ms(self) -> int:
        """How long ago the view was entered."""
        return self._driver.pacemaker.view_ms

    @property
    def leader(self) -> Address:
        core = self._driver.core
        return core.leader(core.view)

    @property
    def finality_ms(self) -> Sequence[int]:
        """Of the last blocks, from a block's own time to its commit here; oldest first."""
        return tuple(self._latencies)

    @property
    def heard(self) -> Mapping[Address, int]:
        """The last view in which each member's vote was seen."""
        return self._driver.core.heard

    def missing(self) -> Mapping[Address, int]:
        """Members that were not heard lately, with the last view they were heard in."""
        return self._driver.core.missing()

    def epoch_of(self, height: int) -> int:
        return self._driver.epochs.of_height(height)

    def last_height(self, epoch: int) -> int | None:
        return self._driver.epochs.last_height(epoch)

    def validators(self, epoch: int) -> ValidatorSet | None:
        return self._driver.epochs.set_of(epoch)
