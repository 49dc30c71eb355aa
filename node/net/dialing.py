"""Whom to dial next, and when again. Knows no clock or socket; randomness is handed in.

Times are seconds of a clock that never goes back.
"""

from collections import OrderedDict
from collections.abc import Callable, Container
from random import Random
from typing import Final

from chain.errors import Reason
from node.net.addresses import Address
from node.net.network import PeerId

DIALS_MAX: Final = 16  # at the same time
_PERSISTENT_SECONDS: Final = (0.25, 2.0)  # first wait and longest
_OTHERS_SECONDS: Final = (2.0, 600.0)
_PATIENCE_SECONDS: Final = 60.0  # when only the peer's operator can change anything
_ADDRESSES_MAX: Final = 1024  # whose failures are remembered

# A redial won't help soon after these.
_HOPELESS: Final = frozenset(
    {
        Reason.WRONG_PROTOCOL_VERSION,
        Reason.WRONG_CHAIN,
        Reason.PEER_NOT_ALLOWED,
        Reason.PEER_BANNED,
        Reason.WRONG_PEER,
        Reason.SELF_CONNECTION,
    }
)


class _Attempts:
    __slots__ = ("failures", "next")

    def __init__(self) -> None:
        self.failures = 0
        self.next = 0.0


class DialPlan:
    """The peers to keep links with, and the waits between attempts."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._attempts: OrderedDict[PeerId, _Attempts] = OrderedDict()
        self.persistent: OrderedDict[PeerId, Address] = OrderedDict()
        self.bootnodes: OrderedDict[PeerId, Address] = OrderedDict()

    def due(
        self,
        now: float,
        busy: Container[PeerId],
        room: int,
        wanted: int,
        pick: Callable[[Container[PeerId]], Address | None],
    ) -> list[Address]:
        """Whom to dial now: persistent peers always, others while `wanted` more are.

        `busy` are connected, being dialled, or not to be dialled; `room` is how many dials may
        begin. Others come from `pick` (the address book), bootnodes when it has nobody.
        """
        found: list[Address] = []
        for address in self.persistent.values():
            if len(found) < room and address.node not in busy and self._ready(address, now):
                found.append(address)
        taken = _Also(busy, {address.node for address in found} | set(self._waiting(now)))
        while wanted > 0 and len(found) < room:
            address_or_none = pick(taken) or self._bootnode(taken, now)
            if address_or_none is None:
                break
            found.append(address_or_none)
            taken.more.add(address_or_none.node)
            wanted -= 1
        return found

    def failed(self, node: PeerId, why: Reason | None, now: float) -> None:
        """A dial came to nothing, or its link was refused."""
        attempts = self._of(node)
        attempts.failures += 1
        first, longest = _PERSISTENT_SECONDS if node in self.persistent else _OTHERS_SECONDS
        wait = min(first * 2.0 ** min(attempts.failures - 1, 32), longest)
        if why in _HOPELESS:
            wait = max(wait, _PATIENCE_SECONDS)
        attempts.next = now + wait * self._random.uniform(0.75, 1.0)

    def ended(self, node: PeerId, lasted: float, now: float) -> None:
        """A link is over after so many seconds. One that lasted is no failure."""
        attempts = self._of(node)
        if lasted < _PERSISTENT_SECONDS[1]:
            self.failed(node, None, now)
            return
        attempts.failures = 0
        attempts.next = now + _PERSISTENT_SECONDS[0] * self._random.random()

    def hurry(self, node: PeerId) -> None:
        """Forget the failures of a peer that an operator has just named."""
        self._attempts.pop(node, None)

    def _ready(self, address: Address, now: float) -> bool:
        attempts = self._attempts.get(address.node)
        return attempts is None or attempts.next <= now

    def _waiting(self, now: float) -> list[PeerId]:
        return [node for node, attempts in self._attempts.items() if attempts.next > now]

    def _bootnode(self, taken: Container[PeerId], now: float) -> Address | None:
        ready = [
            address
            for address in self.bootnodes.values()
            if address.node not in taken and self._ready(address, now)
        ]
        return self._random.choice(ready) if ready else None

    def _of(self, node: PeerId) -> _Attempts:
        attempts = self._attempts.get(node)
        if attempts is None:
            attempts = self._attempts[node] = _Attempts()
        self._attempts.move_to_end(node)
        while len(self._attempts) > _ADDRESSES_MAX:
            self._attempts.popitem(last=False)
        return attempts


class _Also:
    """A container with some more in it."""

    def __init__(self, container: Container[PeerId], more: set[PeerId]) -> None:
        self._container = container
        self.more = more

    def __contains__(self, node: object) -> bool:
        return node in self.more or node in self._container
