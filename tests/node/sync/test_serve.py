"""What a ledger gives to those behind it, and how much of it."""

import asyncio
from typing import Any

from node.handing import InlineExecutor
from node.net.messages import Bodies, GetBodies, GetHeaders, Headers
from node.net.network import Offence
from node.sync import serve
from node.sync.headers import check_headers
from node.sync.serve import Serving, final_bodies, final_headers
from tests.node.sync.chains import Chain, Copy
from tests.support.network import Hub, peer_id, virtually


def heights(answer: Headers, chain: Chain, first: int) -> list[int]:
    if not answer.headers:
        return []
    return [proved.height for proved in check_headers(answer.headers, first, chain.trust())]


def test_headers_end_where_there_is_a_certificate() -> None:
    chain = Chain(100, certified_every=16)
    ledger = Copy(chain, 90).ledger
    answer = final_headers(ledger, GetHeaders(5, 10, 40), 0)
    assert answer.request == 5
    assert heights(answer, chain, 10) == list(range(10, 49))
    assert [bool(item.finalization) for item in answer.headers].count(True) == 1
    assert heights(final_headers(ledger, GetHeaders(5, 50, 512), 0), chain, 50) == list(
        range(50, 81)
    )
    assert final_headers(ledger, GetHeaders(5, 49, 10), 0).headers == ()


def test_certificates_at_the_ends_of_epochs_go_along() -> None:
    chain = Chain(40, epoch_length=10, certified_every=7)
    answer = final_headers(Copy(chain, 40).ledger, GetHeaders(1, 3, 30), 10)
    certified = [height for height, item in enumerate(answer.headers, 3) if item.finalization]
    assert certified == [10, 20, 30]


def test_what_is_beyond_the_head_or_before_the_first_block_is_not_there() -> None:
    chain = Chain(20)
    ledger = Copy(chain, 10).ledger
    assert final_headers(ledger, GetHeaders(1, 11, 5), 0).headers == ()
    assert final_bodies(ledger, GetBodies(1, 11, 5)).blocks == ()
    assert len(final_headers(ledger, GetHeaders(1, 0, 5), 0).headers) == 4
    assert len(final_bodies(ledger, GetBodies(1, 8, 128)).blocks) == 3


def test_blocks_that_nobody_agreed_on_are_not_served_as_final() -> None:
    """A developer's chain that was imported has no records."""
    chain = Chain(20)
    copy = Copy(chain, 20)
    chain.records[5] = None
    assert len(final_headers(copy.ledger, GetHeaders(1, 1, 20), 0).headers) == 4


def test_bodies_stay_below_their_limit_but_for_the_first(monkeypatch: Any) -> None:
    chain = Chain(20)
    ledger = Copy(chain, 20).ledger
    each = len(ledger.raw_block(ledger.height))
    monkeypatch.setattr(serve, "ANSWER_BYTES_MAX", 3 * each)
    assert len(final_bodies(ledger, GetBodies(1, 10, 10)).blocks) == 3
    monkeypatch.setattr(serve, "ANSWER_BYTES_MAX", 1)
    assert len(final_bodies(ledger, GetBodies(1, 10, 10)).blocks) == 1


def test_headers_stay_below_their_limit(monkeypatch: Any) -> None:
    chain = Chain(20)
    monkeypatch.setattr(serve, "HEADERS_BYTES_MAX", 3_000)
    answer = final_headers(Copy(chain, 20).ledger, GetHeaders(1, 1, 20), 0)
    assert 0 < len(answer.headers) < 20
    assert answer.headers[-1].finalization


class Sink:
    """A node that asks and listens."""

    def __init__(self) -> None:
        self.got: list[Any] = []

    def connected(self, peer: Any) -> None:
        pass

    async def received(self, peer: Any, message: Any) -> None:
        self.got.append(message)

    def disconnected(self, peer: Any) -> None:
        pass


def test_a_peer_that_asks_without_end_floods_and_the_others_are_answered() -> None:
    async def scenario() -> None:
        hub = Hub()
        server = hub.end(0)
        sinks = {}
        for number in (0, 1, 2):
            end = server if number == 0 else hub.end(number)
            sinks[number] = end.receiver = Sink()
        for number in (1, 2):
            hub.connect(server.id, peer_id(number))
        chain = Chain(30)
        serving = Serving(server, Copy(chain, 30).ledger, InlineExecutor())
        for request in range(50):
            serving.asked(peer_id(1), GetBodies(request, 1, 30))
        serving.asked(peer_id(2), GetHeaders(9, 1, 30))
        await asyncio.sleep(1)
        assert len(sinks[1].got) == 8
        assert [type(message) for message in sinks[2].got] == [Headers]
        assert {(peer, offence) for peer, offence, _ in server.blamed} == {
            (peer_id(1), Offence.FLOOD)
        }
        await serving.stop()

    virtually(scenario())


def test_what_a_peer_gets_in_a_second_is_bounded(monkeypatch: Any) -> None:
    monkeypatch.setattr(serve, "_BURST_BYTES", 20_000)
    monkeypatch.setattr(serve, "_BYTES_PER_SECOND", 20_000)

    async def scenario() -> None:
        hub = Hub()
        server, asker = hub.end(0), hub.end(1)
        server.receiver, asker.receiver = Sink(), (sink := Sink())
        hub.connect(server.id, asker.id)
        serving = Serving(server, Copy(Chain(30), 30).ledger, InlineExecutor())
        seconds = 0
        for request in range(10):
            serving.asked(asker.id, GetBodies(request, 1, 30))
            await asyncio.sleep(1)
            seconds += 1
        size = sum(len(block) for answer in sink.got for block in answer.blocks)
        assert isinstance(sink.got[0], Bodies)
        assert size <= 20_000 * (seconds + 2)
        await serving.stop()

    virtually(scenario())
