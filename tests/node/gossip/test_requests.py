"""Questions to peers: one answer each, in time, of the right kind."""

import asyncio

from node.gossip.requests import OPEN_PER_PEER_MAX, SILENCE_PAUSE_S, Answer, Requests
from node.net.messages import (
    Block,
    GetBlock,
    GetTransactions,
    Message,
    Ping,
    Pong,
    Transactions,
)
from node.net.network import Offence, Peer, PeerId
from tests.support.network import End, Hub, peer_id, until, virtually


class Asker:
    """Takes answers; `behaviour` of the other side is in the test."""

    def __init__(self, hub: Hub, number: int) -> None:
        self.end = hub.end(number)
        self.end.receiver = self
        self.requests = Requests(self.end)
        self.got: list[Message] = []
        self.accepted: list[bool] = []

    def connected(self, peer: Peer) -> None:
        pass

    async def received(self, peer: PeerId, message: Message) -> None:
        self.got.append(message)
        if isinstance(message, Answer):
            self.accepted.append(self.requests.answer(peer, message))

    def disconnected(self, peer: PeerId) -> None:
        self.requests.forget(peer)


def pair() -> tuple[Hub, Asker, Asker]:
    hub = Hub()
    one, two = Asker(hub, 1), Asker(hub, 2)
    hub.connect(one.end.id, two.end.id)
    return hub, one, two


async def until_received(asker: Asker, count: int) -> None:
    await until(lambda: len(asker.got) >= count)


def offences(end: End) -> list[Offence]:
    return [offence for _, offence, _ in end.blamed]


def test_an_answer_comes_back_to_whoever_asked() -> None:
    async def main() -> None:
        _, one, two = pair()
        first = asyncio.create_task(one.requests.ask(two.end.id, Ping, timeout=1))
        second = asyncio.create_task(one.requests.ask(two.end.id, Ping, timeout=1))
        await until_received(two, 2)
        for message in reversed(two.got):
            assert isinstance(message, Ping)
            two.end.send(one.end.id, Pong(message.request))
        replies = await asyncio.gather(first, second)
        asked = [message.request for message in two.got if isinstance(message, Ping)]
        assert [reply.request for reply in replies if reply is not None] == asked
        assert len(set(asked)) == 2 and 0 not in asked
        assert not one.end.blamed
        assert one.requests.open(two.end.id) == 0

    virtually(main())


def test_silence_is_none_and_an_offence() -> None:
    async def main() -> None:
        _, one, two = pair()
        assert await one.requests.ask(two.end.id, Ping, timeout=1) is None
        assert offences(one.end) == [Offence.NO_ANSWER]

    virtually(main())


def test_a_peer_behind_a_bad_link_is_blamed_once_in_a_while_not_for_every_question() -> None:
    """Many unanswered questions at once are one offence: its link hangs, it does not lie."""

    async def main() -> None:
        _, one, two = pair()
        questions = [one.requests.ask(two.end.id, Ping, timeout=1) for _ in range(20)]
        assert await asyncio.gather(*questions) == [None] * 20
        assert offences(one.end) == [Offence.NO_ANSWER]
        await asyncio.sleep(SILENCE_PAUSE_S)
        assert await one.requests.ask(two.end.id, Ping, timeout=1) is None
        assert len(one.end.blamed) == 2

    virtually(main())


def test_a_late_answer_is_dropped_without_an_offence_once() -> None:
    async def main() -> None:
        _, one, two = pair()
        assert await one.requests.ask(two.end.id, Ping, timeout=0.5) is None
        for _ in range(2):
            two.end.send(one.end.id, Pong(1))
        await until_received(one, 2)
        assert one.accepted == [False, False]
        assert offences(one.end) == [Offence.NO_ANSWER, Offence.UNASKED]

    virtually(main())


def test_an_answer_to_no_question_is_an_offence() -> None:
    async def main() -> None:
        _, one, two = pair()
        two.end.send(one.end.id, Pong(77))
        await until_received(one, 1)
        assert one.accepted == [False]
        assert offences(one.end) == [Offence.UNASKED]

    virtually(main())


def test_an_answer_of_another_kind_is_an_offence_and_the_question_stays_open() -> None:
    async def main() -> None:
        _, one, two = pair()
        asking = asyncio.create_task(
            one.requests.ask(two.end.id, lambda n: GetBlock(n, bytes(32)), timeout=1)
        )
        await until_received(two, 1)
        two.end.send(one.end.id, Transactions(1, ()))
        two.end.send(one.end.id, Block(1, b"", b""))
        assert await asking == Block(1, b"", b"")
        assert offences(one.end) == [Offence.UNASKED]

    virtually(main())


def test_another_peer_can_not_answer() -> None:
    async def main() -> None:
        hub, one, two = pair()
        third = Asker(hub, 3)
        hub.connect(one.end.id, third.end.id)
        asking = asyncio.create_task(
            one.requests.ask(two.end.id, lambda n: GetTransactions(n, ()), timeout=1)
        )
        await until_received(two, 1)
        third.end.send(one.end.id, Transactions(1, (b"forged",)))
        await until_received(one, 1)
        assert not asking.done()
        two.end.send(one.end.id, Transactions(1, (b"right",)))
        assert await asking == Transactions(1, (b"right",))
        assert one.end.points() == {third.end.id: Offence.UNASKED.points}

    virtually(main())


def test_questions_to_one_peer_are_limited() -> None:
    async def main() -> None:
        _, one, two = pair()
        tasks = [
            asyncio.create_task(one.requests.ask(two.end.id, Ping, timeout=1))
            for _ in range(OPEN_PER_PEER_MAX)
        ]
        await until_received(two, OPEN_PER_PEER_MAX)
        assert await one.requests.ask(two.end.id, Ping, timeout=1) is None
        assert len(two.got) == OPEN_PER_PEER_MAX
        assert not one.end.blamed
        await asyncio.gather(*tasks)
        assert one.requests.open(two.end.id) == 0

    virtually(main())


def test_who_waits_for_a_peer_that_leaves_gets_none_at_once_and_nobody_is_blamed() -> None:
    async def main() -> None:
        hub, one, two = pair()
        asking = asyncio.create_task(one.requests.ask(two.end.id, Ping, timeout=60))
        await until_received(two, 1)
        hub.disconnect(one.end.id, two.end.id)
        assert await asking is None
        assert asyncio.get_running_loop().time() < 1
        assert not one.end.blamed

    virtually(main())


def test_a_peer_whose_queue_is_full_is_not_waited_for() -> None:
    async def main() -> None:
        hub, one, two = pair()
        hub.way(one.end.id, two.end.id).full = True
        assert await one.requests.ask(two.end.id, Ping, timeout=60) is None
        assert await one.requests.ask(peer_id(9), Ping, timeout=60) is None
        assert asyncio.get_running_loop().time() < 1
        assert not one.end.blamed

    virtually(main())
