"""Questions to peers: each gets one answer, or none in time.

A question is bound to the peer that it was put to and to the kind of its answer. What
comes without a question, or a second time, is an offence; so is silence.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from node.net.messages import (
    Block,
    BlockTransactions,
    Bodies,
    Certificates,
    GetBlock,
    GetBlockTransactions,
    GetBodies,
    GetCertificates,
    GetHeaders,
    GetPeers,
    GetTransactions,
    Headers,
    Message,
    Peers,
    Ping,
    Pong,
    Transactions,
)
from node.net.network import Network, Offence, PeerId

OPEN_PER_PEER_MAX: Final = 64
SILENCE_PAUSE_S: Final = 20.0  # a peer is blamed for silence once in so long: its link may hang
_CLOSED_PER_PEER_MAX: Final = 256  # ids whose late answer is no offence
_ID_MAX: Final = 2**32 - 1

Answer = Certificates | Block | BlockTransactions | Transactions | Headers | Bodies | Peers | Pong
_ANSWERS: Final[dict[type[Message], type[Answer]]] = {
    GetCertificates: Certificates,
    GetBlock: Block,
    GetBlockTransactions: BlockTransactions,
    GetTransactions: Transactions,
    GetHeaders: Headers,
    GetBodies: Bodies,
    GetPeers: Peers,
    Ping: Pong,
}


class _Open:
    """A question that waits."""

    __slots__ = ("answered", "expects")

    def __init__(self, expects: type[Answer]) -> None:
        self.expects = expects
        self.answered: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()


class Requests:
    """All open questions of this node. Of the event loop's thread only."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._open: dict[PeerId, dict[int, _Open]] = {}
        # Per peer: questions that ran out or were answered, and may yet bring one message.
        self._closed: dict[PeerId, OrderedDict[int, None]] = {}
        self._blamed: dict[PeerId, float] = {}  # when for silence, last
        self._last = 0

    def open(self, peer: PeerId) -> int:
        """How many questions this peer has not answered yet."""
        return len(self._open.get(peer, ()))

    async def ask(
        self,
        peer: PeerId,
        make: Callable[[int], Message],
        *,
        timeout: float,  # noqa: ASYNC109
    ) -> Answer | None:
        """Send `make(id)` and wait `timeout` seconds for its answer.

        None when none came in time, which is counted against the peer (NO_ANSWER), but not
        every time: whoever is behind a bad link is silent in everything at once. None as well
        when the peer is gone, its queue full, or `OPEN_PER_PEER_MAX` reached.
        """
        waiting = self._open.get(peer, {})
        if len(waiting) >= OPEN_PER_PEER_MAX:
            return None
        self._last = request = self._last % _ID_MAX + 1  # never 0: that is "nobody asked"
        message = make(request)
        question = _Open(_ANSWERS[type(message)])
        if not self._network.send(peer, message):
            return None
        self._open.setdefault(peer, {})[request] = question
        try:
            async with asyncio.timeout(timeout):
                return await question.answered
        except TimeoutError:
            self._blame_silence(peer, type(message).__name__)
            return None
        finally:
            self._close(peer, request)

    def _blame_silence(self, peer: PeerId, what: str) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._blamed.get(peer, -SILENCE_PAUSE_S) + SILENCE_PAUSE_S:
            self._blamed[peer] = now
            self._network.blame(peer, Offence.NO_ANSWER, what)

    def _close(self, peer: PeerId, request: int) -> None:
        waiting = self._open.get(peer)
        if waiting is None or waiting.pop(request, None) is None:
            return  # the peer was forgotten
        if not waiting:
            del self._open[peer]
        closed = self._closed.setdefault(peer, OrderedDict())
        closed[request] = None
        if len(closed) > _CLOSED_PER_PEER_MAX:
            closed.popitem(last=False)

    def answer(self, peer: PeerId, message: Answer) -> bool:
        """Hand an answer to whoever asked; False when nobody did.

        An answer to no question, or of another kind than asked for, is an offence
        (UNASKED). One that is late, or comes twice, is dropped once without one.
        """
        question = self._open.get(peer, {}).get(message.request)
        if question is not None and isinstance(message, question.expects):
            if not question.answered.done():
                question.answered.set_result(message)
                return True
            self._closed.setdefault(peer, OrderedDict())[message.request] = None
            return False
        closed = self._closed.get(peer, OrderedDict())
        if question is None and message.request in closed:
            del closed[message.request]
            return False
        self._network.blame(peer, Offence.UNASKED, type(message).__name__)
        return False

    def forget(self, peer: PeerId) -> None:
        """The peer is gone: whoever waits for it gets None."""
        self._closed.pop(peer, None)
        self._blamed.pop(peer, None)
        for question in self._open.pop(peer, {}).values():
            if not question.answered.done():
                question.answered.set_result(None)
