"""The links of a node: who is dialled, who is let in, and what is done to offenders.

Implements `node.net.network.Network` over TLS and WebSocket.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from random import Random
from typing import Final

from msgspec.structs import replace

from chain.errors import Fault, Reason, Rejected
from node.net.addresses import (
    Address,
    Reach,
    is_ip,
    is_node_id,
    parse_address,
    parse_node_id,
    parse_place,
    reach_of,
)
from node.net.bans import Ban, Bans
from node.net.book import Book
from node.net.certificate import dialling_context, listening_context
from node.net.dialing import DIALS_MAX, DialPlan
from node.net.dialler import Dialler
from node.net.exchange import Exchange
from node.net.greeting import greet
from node.net.handshake import NONCE_SIZE, Handshake, Identity, Proven
from node.net.kept import Kept
from node.net.link import Link, Traffic
from node.net.listening import Listener
from node.net.messages import GetPeers, Message, encode_message
from node.net.messages import Peers as PeersMessage
from node.net.network import Offence, Peer, PeerId, Receiver
from node.net.rates import kind_of
from node.net.sockets import FrameSocket
from node.net.welcome import Standing, Welcome
from node.settings import NetSettings

_log: Final = logging.getLogger("node.net")

_TICK_SECONDS: Final = 0.2
_STORE_SECONDS: Final = 60.0
_TOLD_MAX: Final = 256  # nodes whose refusal was logged already
# What no honest node does before it is proved; the host is scored, as there is no node yet.
_MALICE: Final = frozenset({Reason.BAD_HANDSHAKE, Reason.BAD_MESSAGE, Reason.TOO_LARGE})
_MALICE_POINTS: Final = 20
_FREE_BYTES: Final = 2**20  # of unfinished messages that every peer may have


class Peers:
    """The peers of this node. `start` once, `stop` once; all in one event loop's thread.

    The counters `traffic`, `bans_made`, `dials_failed` and `handshakes_refused` only grow.
    """

    def __init__(
        self,
        settings: NetSettings,
        identity: Identity,
        receiver: Receiver,
        *,
        clock: Callable[[], float],
        random: Random,
        folder: Path | None = None,
        allowed: Iterable[bytes] = (),
        favours: Callable[[Peer], bool] = lambda peer: False,
        broken: Callable[[Fault], None] = lambda fault: None,
    ) -> None:
        """`clock` gives seconds since 1970, `random` nonces as well and so must be a
        SystemRandom outside tests. `folder` keeps address book and bans; None: nobody does.
        `allowed` are the genesis' node ids, none of them: everybody may connect. `favours`
        says who is let in beyond `peers_in_max`: validators. `broken` hears of the fault of
        ours that ends all links.

        Rejected(BAD_PEER_ADDRESS) when the settings name a peer that can't be.
        """
        self.settings = settings
        self.identity = identity
        self.traffic = Traffic()
        self.bans = Bans(settings.ban_seconds)
        self.bans_made = 0
        self.dials_failed = 0
        self.handshakes_refused = 0
        self.failed: asyncio.Future[None] | None = None  # made by `start`; a Fault of ours
        self._receiver = receiver
        self._broken = broken
        self._clock = clock
        self._random = random
        self._plan = DialPlan(random)
        self._welcome = Welcome(
            identity.node,
            settings,
            self.bans,
            allowed=frozenset(allowed) | frozenset(map(parse_node_id, settings.allowed)),
            persistent=self._plan.persistent,
            favours=favours,
        )
        self.book = Book(identity.node, random.randbytes(32), random, settings.book_addresses_max)
        self._kept = Kept(folder, self.book, self.bans)
        self._exchange = Exchange(self.book, random)
        self._links: dict[PeerId, Link] = {}
        self._leaving: set[Link] = set()
        self._dialling: dict[PeerId, asyncio.Task[None]] = {}
        self._dialled: set[asyncio.Task[None]] = set()  # dials, and the links that came of them
        self._told: dict[str, None] = {}
        self._last: tuple[Message, bytes] | None = None  # encoded once for all peers
        self._jobs: list[asyncio.Task[None]] = []
        self._stopping = False
        self._listener: Listener | None = None
        self._dialler: Dialler | None = None
        self._fingerprint = b""
        for text in settings.trusted:
            self._trust(text)
        for text in settings.persistent:
            address = parse_address(text)
            self._plan.persistent[address.node] = address
        for text in settings.bootnodes:
            address = parse_address(text)
            self._plan.bootnodes[address.node] = address
        self._plan.persistent.pop(self.node, None)
        self._plan.bootnodes.pop(self.node, None)

    # -- life --------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen and dial. OSError when the address to listen on can't be had."""
        self.failed = asyncio.get_running_loop().create_future()
        self._kept.load()
        self._dialler = Dialler(dialling_context())
        if self.settings.host:
            context, self._fingerprint = listening_context()
            self._listener = Listener(
                self.settings, context, self._serve_inbound, self._host_refused
            )
            try:
                await self._listener.start()
            except OSError:
                await self._dialler.close()
                raise
            self.identity = replace(self.identity, port=self._announced_port())
        self._jobs = [
            asyncio.create_task(self._guarded(job))
            for job in (self._keep_dialling, self._keep_storing)
        ]

    async def run(self) -> None:
        """Start, go on until cancelled or failed, stop. Raises the Fault that ended it."""
        await self.start()
        try:
            assert self.failed is not None
            await self.failed
        finally:
            await self.stop()

    async def stop(self) -> None:
        """Say goodbye to everybody, free the port, store what is kept."""
        self._stopping = True
        for job in (*self._jobs, *self._dialling.values()):
            job.cancel()
        await asyncio.gather(*self._jobs, *self._dialling.values(), return_exceptions=True)
        why = Rejected(Reason.NODE_STOPS)
        ending = [*self._links.values(), *self._leaving]
        for link in ending:
            link.close(why)
        await asyncio.gather(*(link.gone.wait() for link in ending))
        if self._listener is not None:
            await self._listener.stop()
        if self._dialler is not None:
            await self._dialler.close()
        self._kept.store()

    async def _guarded(self, job: Callable[[], Awaitable[None]]) -> None:
        """Run a part of the links; its failure is ours, and ends the node."""
        try:
            await job()
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        fault = error if isinstance(error, Fault) else Fault(f"the links failed: {error!r}")
        _log.critical("the links failed", exc_info=error)
        self._broken(fault)
        if self.failed is not None and not self.failed.done():
            self.failed.set_exception(fault)

    # -- Network -----------------------------------------------------------------------------------

    def peers(self) -> Sequence[Peer]:
        return [link.peer for link in self._links.values()]

    def send(self, peer: PeerId, message: Message) -> bool:
        link = self._links.get(peer)
        if link is None:
            return False
        if self._last is None or self._last[0] is not message:
            self._last = message, encode_message(message)
        kind = kind_of(message)
        return link.send(kind.name, kind.level, self._last[1])

    def blame(self, peer: PeerId, offence: Offence, detail: str = "") -> None:
        link = self._links.get(peer)
        host = "" if link is None else link.socket.remote[0]
        _log.info("peer %s: %s %s", peer.hex()[:8], offence.value[0], detail)
        if self.excused(peer):
            return
        if self.bans.offend(peer, host, offence, detail, self._clock()):
            self.bans_made += 1
            _log.warning(
                "peer %s is banned for %d s: %s %s",
                peer.hex(), self.settings.ban_seconds, offence.value[0], detail,
            )  # fmt: skip
            if link is not None:
                link.close(Rejected(Reason.PEER_BANNED, offence.value[0]))

    # -- what operators ask for --------------------------------------------------------------------

    @property
    def node(self) -> PeerId:
        """This node's id."""
        return self.identity.node

    @property
    def port(self) -> int:
        """Where this node listens; 0 when it only dials."""
        return 0 if self._listener is None else self._listener.port

    @property
    def links(self) -> Sequence[Link]:
        """The links that stand, in the order of connecting."""
        return list(self._links.values())

    @property
    def half_open(self) -> int:
        """Connections that have not proved yet who they are."""
        return 0 if self._listener is None else self._listener.half_open

    @property
    def connections_refused(self) -> int:
        """Connections that were turned away before or instead of a handshake."""
        return 0 if self._listener is None else self._listener.refused + self._listener.expired

    @property
    def persistent(self) -> Sequence[Address]:
        return list(self._plan.persistent.values())

    @property
    def trusted(self) -> set[PeerId]:
        """Nodes that are let in beyond every limit."""
        return self._welcome.trusted

    def excused(self, node: PeerId) -> bool:
        """Whether a peer is never banned."""
        return self._welcome.excused(node)

    def add_peer(self, address: Address) -> None:
        """Stay connected with a peer from now on; a ban of it is lifted."""
        self.bans.unban(address.node.hex())
        self._plan.hurry(address.node)
        if address.node != self.node:
            self._plan.persistent[address.node] = address

    def remove_peer(self, node: PeerId) -> bool:
        """Disconnect a peer and no longer dial it; whether it was known."""
        known = self._plan.persistent.pop(node, None) is not None
        link = self._links.get(node)
        if link is not None:
            link.close(Rejected(Reason.PEER_REMOVED))
        return known or link is not None

    def add_trusted(self, node: PeerId) -> None:
        """Let a peer in beyond every limit, and never ban it."""
        self.trusted.add(node)
        self.bans.unban(node.hex())
        self._mark_trusted(node)

    def remove_trusted(self, node: PeerId) -> bool:
        known = node in self.trusted
        self.trusted.discard(node)
        self._mark_trusted(node)
        return known

    def ban(self, who: str, seconds: float | None = None) -> None:
        """Ban a node (its id in hex) or a host, and end its links; 0 seconds: for ever."""
        self.bans.ban(who, "by the operator", self._clock(), seconds)
        self.bans_made += 1
        if is_node_id(who):
            self._plan.persistent.pop(PeerId(bytes.fromhex(who)), None)
            self.trusted.discard(PeerId(bytes.fromhex(who)))
        for link in self.links:
            if who in (link.peer.id.hex(), link.socket.remote[0]):
                link.close(Rejected(Reason.PEER_BANNED, "by the operator"))

    def unban(self, who: str) -> bool:
        """Lift a ban; whether there was one."""
        return self.bans.unban(who)

    def banned(self) -> Sequence[Ban]:
        """The bans in force, the newest last."""
        return self.bans.everyone(self._clock())

    def score(self, node: PeerId) -> float:
        """Points for offences, as far as they are not forgotten yet."""
        return self.bans.score(node.hex(), self._clock())

    # -- dialling ----------------------------------------------------------------------------------

    async def _keep_dialling(self) -> None:
        while True:
            self._dial_due()
            if self.settings.discovery:
                self._ask_for_peers()
            await asyncio.sleep(_TICK_SECONDS)

    def _dial_due(self) -> None:
        out = sum(not link.peer.inbound for link in self._links.values())
        busy = {self.node, *self._links, *self._dialling, *self._kept_out()}
        due = self._plan.due(
            asyncio.get_running_loop().time(),
            busy,
            DIALS_MAX - len(self._dialling),
            self.settings.peers_out_max - out - len(self._dialling),
            self.book.pick,
        )
        for address in due:
            task = asyncio.create_task(self._dial(address))
            self._dialling[address.node] = task
            # The loop itself would not keep it from being collected.
            self._dialled.add(task)
            task.add_done_callback(self._dialled.discard)

    def _kept_out(self) -> list[PeerId]:
        """Nodes that it is no use to dial."""
        now = self._clock()
        return [
            PeerId(bytes.fromhex(ban.who)) for ban in self.bans.everyone(now) if is_node_id(ban.who)
        ]

    async def _dial(self, address: Address) -> None:
        assert self._dialler is not None
        loop = asyncio.get_running_loop()
        began: float | None = None
        try:
            async with asyncio.timeout(self.settings.handshake_timeout_ms / 1000):
                socket, fingerprint = await self._dialler.dial(address)
                try:
                    link = await self._prove(socket, fingerprint, address)
                except BaseException:  # being cancelled too: nobody else knows of the socket
                    socket.abort()
                    raise
            self._dialling.pop(address.node, None)
            self.book.succeeded(address, self._clock())
            began = loop.time()
            await self._serve(link)
            if link.ended is not None and link.ended.reason is Reason.DUPLICATE_LINK:
                return
            self._plan.ended(address.node, loop.time() - began, loop.time())
        except Rejected as rejected:
            self._refused(str(address), rejected)
            if rejected.reason is not Reason.DUPLICATE_LINK:
                self._dial_failed(address, rejected.reason)
        except (ConnectionError, TimeoutError):
            self._dial_failed(address, None)
        except Exception as error:
            self._fail(error)
        finally:
            if self._dialling.get(address.node) is asyncio.current_task():
                del self._dialling[address.node]

    def _dial_failed(self, address: Address, why: Reason | None) -> None:
        self.dials_failed += 1
        self._plan.failed(address.node, why, asyncio.get_running_loop().time())
        if why is Reason.SELF_CONNECTION:
            self.book.forget(address.node)
        self.book.failed(address, self._clock())

    # -- links -------------------------------------------------------------------------------------

    async def _serve_inbound(self, socket: FrameSocket) -> None:
        """A connection that somebody made to this node, from its hello to its end."""
        assert self._listener is not None
        try:
            link = await self._prove(socket, self._fingerprint, None)
        except Rejected as rejected:
            self._refused(socket.remote[0], rejected)
            if rejected.reason in _MALICE:
                self.bans.offend_host(
                    socket.remote[0], _MALICE_POINTS, str(rejected), self._clock()
                )
            return
        except ConnectionError:
            return  # it left in the middle of the handshake
        try:
            await self._serve(link)
        except Exception as error:
            self._fail(error)

    async def _prove(
        self, socket: FrameSocket, fingerprint: bytes, dialled: Address | None
    ) -> Link:
        """Shake hands; a link that may run. Rejected when it may not, and the peer is told why."""
        handshake = Handshake(
            self.identity,
            dialling=dialled is not None,
            nonce=self._random.randbytes(NONCE_SIZE),
            fingerprint=fingerprint,
            expected=None if dialled is None else dialled.node,
        )

        def welcome(proven: Proven) -> Link:
            link = self._link(proven, socket, dialled)
            self._check_welcome(link)
            return link

        try:
            link = await greet(handshake, socket, dialling=dialled is not None, welcome=welcome)
        except Rejected:
            self.handshakes_refused += 1
            raise
        if self._listener is not None:
            self._listener.proved(socket)
        return link

    def _link(self, proven: Proven, socket: FrameSocket, dialled: Address | None) -> Link:
        peer = Peer(
            id=proven.node,
            validator=proven.validator,
            inbound=dialled is None,
            trusted=proven.node in self.trusted,
        )
        return Link(
            peer,
            proven,
            socket,
            dialled=dialled,
            settings=self.settings,
            traffic=self.traffic,
            handle=self._handle,
            blame=self.blame,
            make_room=self._make_room,
        )

    def _check_welcome(self, link: Link) -> None:
        """Whether a node that has proved itself may have this link; Rejected if not."""
        if self._stopping:
            raise Rejected(Reason.NODE_STOPS)
        old = self._links.get(link.peer.id)
        self._welcome.check(
            link.peer,
            link.socket.remote[0],
            None if old is None else _standing(old),
            [_standing(other) for other in self._links.values()],
            self._clock(),
        )

    async def _serve(self, link: Link) -> None:
        """Run a link that is welcome, and tell the receiver of its beginning and end."""
        peer = link.peer.id
        old = self._links.pop(peer, None)
        if old is not None:
            self._leaving.add(old)
            old.close(Rejected(Reason.DUPLICATE_LINK))
            self._receiver.disconnected(peer)
        self._links[peer] = link
        self._note_address(link)
        _log.info("peer %s connected (%s)", peer.hex()[:8], link.socket.remote[0])
        try:
            self._receiver.connected(link.peer)
            await link.run()
        finally:
            self._leaving.discard(link)
            if self._links.get(peer) is link:
                del self._links[peer]
                self._exchange.forget(peer)
                self._receiver.disconnected(peer)
            link.gone.set()
            _log.info("peer %s disconnected: %s", peer.hex()[:8], link.ended)

    async def _handle(self, link: Link, message: Message) -> None:
        if self._links.get(link.peer.id) is not link:
            return  # another link took its place
        match message:
            case GetPeers(request):
                reach = reach_of(link.socket.remote[0]) or Reach.PUBLIC
                told = self._exchange.answer(link.peer.id, request, reach)
                self.send(link.peer.id, told)
            case PeersMessage():
                host = link.socket.remote[0]
                if not self._exchange.told(link.peer.id, message, host, self._clock()):
                    self.blame(link.peer.id, Offence.UNASKED, "Peers")
            case _:
                await self._receiver.received(link.peer.id, message)

    def _make_room(self, link: Link) -> None:
        """Keep unfinished messages of all peers within their limit: the oldest gives way."""
        links = [other for other in self._links.values() if other.bytes_unfinished > _FREE_BYTES]
        if sum(other.bytes_unfinished for other in links) <= self.settings.receive_bytes_max:
            return
        oldest = min(links, key=lambda other: other.unfinished_since)
        oldest.close(Rejected(Reason.TOO_SLOW, "its unfinished message is the oldest of too many"))

    # -- addresses ---------------------------------------------------------------------------------

    def _ask_for_peers(self) -> None:
        if len(self._links) == 0:
            return
        now = asyncio.get_running_loop().time()
        asked = self._exchange.due([link.peer.id for link in self._links.values()], now)
        if asked is not None:
            peer, request = asked
            self.send(peer, request)

    def _note_address(self, link: Link) -> None:
        """A node that dialled in says where it listens; that is hearsay until it was dialled."""
        host = link.socket.remote[0]
        if link.peer.inbound and link.proven.port:
            address = Address(link.peer.id, host, link.proven.port)
            self.book.add(address, host, self._clock())

    def _announced_port(self) -> int:
        """The port that peers are told."""
        if not self.settings.external:
            return self.port
        return parse_place(self.settings.external, self.port)[1]

    def address(self) -> Address:
        """Where this node is reached, as far as it knows."""
        settings = self.settings
        if settings.external:
            host, port = parse_place(settings.external, self.port or settings.port)
            return Address(self.node, host, port)
        host = settings.host if is_ip(settings.host) and reach_of(settings.host) else "127.0.0.1"
        return Address(self.node, host, self.port)

    # -- small things ------------------------------------------------------------------------------

    def _host_refused(self, host: str) -> bool:
        return self._stopping or self.bans.host_banned(host, self._clock()) is not None

    def _trust(self, text: str) -> None:
        """A trusted peer is a node id, or a whole address, which then is persistent too."""
        if "@" not in text:
            self.trusted.add(parse_node_id(text))
            return
        address = parse_address(text)
        self.trusted.add(address.node)
        self._plan.persistent[address.node] = address

    def _mark_trusted(self, node: PeerId) -> None:
        link = self._links.get(node)
        if link is not None:
            link.peer = replace(link.peer, trusted=node in self.trusted)

    def _refused(self, who: str, rejected: Rejected) -> None:
        """Log a refused handshake, once per peer and reason."""
        told = f"{who} {rejected.reason}"
        level = logging.DEBUG
        if told not in self._told and rejected.reason is not Reason.DUPLICATE_LINK:
            level = logging.INFO
            self._told[told] = None
            if len(self._told) > _TOLD_MAX:
                del self._told[next(iter(self._told))]
        _log.log(level, "no link with %s: %s", who, rejected)

    async def _keep_storing(self) -> None:
        while True:
            await asyncio.sleep(_STORE_SECONDS)
            if self._kept.changed:
                await asyncio.to_thread(self._kept.write, self._kept.encode())


def _standing(link: Link) -> Standing:
    return Standing(link.peer, link.socket.remote[0], link.age)
