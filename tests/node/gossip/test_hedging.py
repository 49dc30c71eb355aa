"""Asking one peer after another, without waiting for the slow."""

import asyncio

import pytest

from node.gossip.hedging import first_of
from node.net.network import PeerId
from tests.support.network import peer_id, virtually

PEERS = [peer_id(number) for number in range(1, 4)]


def test_the_next_is_asked_at_once_when_one_fails_and_soon_when_it_is_slow() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        asked: list[tuple[PeerId, float]] = []
        stopped: list[PeerId] = []

        async def ask(peer: PeerId) -> str | None:
            asked.append((peer, loop.time()))
            if peer == PEERS[0]:
                return None
            try:
                await asyncio.sleep(60 if peer == PEERS[1] else 0.1)
            except asyncio.CancelledError:
                stopped.append(peer)
                raise
            return "here"

        assert await first_of(PEERS, ask, 0.5) == (PEERS[2], "here")
        assert asked == [(PEERS[0], 0.0), (PEERS[1], 0.0), (PEERS[2], 0.5)]
        assert stopped == [PEERS[1]]

    virtually(main())


def test_nobody_has_it() -> None:
    async def main() -> None:
        async def ask(_: PeerId) -> str | None:
            await asyncio.sleep(1)
            return None

        assert await first_of(PEERS, ask, 0.1) is None
        assert await first_of([], ask, 0.1) is None

    virtually(main())


def test_a_failure_of_ours_is_not_hidden() -> None:
    async def main() -> None:
        async def ask(_: PeerId) -> str | None:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await first_of(PEERS, ask, 0.1)

    virtually(main())
