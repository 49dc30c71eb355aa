"""admin_*: the node's peers, for its operator on the same machine. geth's shapes where it has them.

A peer is `<node id>@host:port`; geth's `enode://` before it is passed over. Where a node
alone is meant, its id is enough.
"""

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from chain.errors import Rejected
from node.net.addresses import Address, is_ip, parse_address, parse_node_id, plain_host
from node.net.messages import PROTOCOL_VERSION
from node.net.network import PeerId
from node.rpc.context import Context
from node.rpc.errors import invalid_params, server_error
from node.rpc.formats import Json
from node.rpc.registry import method

if TYPE_CHECKING:
    from node.net.link import Link
    from node.net.peers import Peers

_SCHEME = "enode://"


@method("admin_peers", local_only=True)
async def get_peers(ctx: Context) -> list[Any]:
    """The peers that are connected, in the order of connecting."""
    peers = _peers(ctx)
    return [_shown(peers, link) for link in peers.links]


@method("admin_nodeInfo", local_only=True)
async def get_node_info(ctx: Context) -> Json:
    """Who this node is on the network, and where it listens."""
    peers = _peers(ctx)
    address = peers.address()
    ledger = ctx.ledger
    return {
        "id": address.node.hex(),
        "name": peers.identity.agent,
        "enode": _SCHEME + str(address),
        "address": str(address),
        "ip": address.host,
        "ports": {"discovery": peers.port, "listener": peers.port},
        "listenAddr": f"{peers.settings.host}:{peers.port}" if peers.port else "",
        "protocols": {
            "chain": {
                "version": PROTOCOL_VERSION,
                "network": ledger.config.chain_id,
                "genesis": "0x" + ledger.genesis_hash.hex(),
                "head": "0x" + ledger.head_hash.hex(),
            }
        },
    }


@method("admin_addPeer", local_only=True)
async def add_peer(ctx: Context, peer: str) -> bool:
    """Connect to a peer and stay connected, as with `net.persistent`, until the node stops."""
    _peers(ctx).add_peer(_address(peer))
    return True


@method("admin_removePeer", local_only=True)
async def remove_peer(ctx: Context, peer: str) -> bool:
    """Disconnect a peer and no longer dial it; false when it was not known."""
    return _peers(ctx).remove_peer(_node(peer))


@method("admin_addTrustedPeer", local_only=True)
async def add_trusted_peer(ctx: Context, peer: str) -> bool:
    """Let a peer in beyond every limit, and never ban it."""
    _peers(ctx).add_trusted(_node(peer))
    return True


@method("admin_removeTrustedPeer", local_only=True)
async def remove_trusted_peer(ctx: Context, peer: str) -> bool:
    """Treat a peer as any other again. It stays connected."""
    _peers(ctx).remove_trusted(_node(peer))
    return True


@method("admin_ban", local_only=True)
async def ban(ctx: Context, who: str, seconds: int | None = None) -> bool:
    """Disconnect a node, or all of an IP address, and refuse it; 0 seconds: for ever."""
    _peers(ctx).ban(_banned(who), None if seconds is None else float(seconds))
    return True


@method("admin_unban", local_only=True)
async def unban(ctx: Context, who: str) -> bool:
    """Lift a ban; false when there was none."""
    return _peers(ctx).unban(_banned(who))


@method("admin_bans", local_only=True)
async def get_bans(ctx: Context) -> list[Any]:
    """Who is refused, until when (null: for ever), and why."""
    return [
        {"who": ban.who, "until": _moment(ban.until), "reason": ban.why}
        for ban in _peers(ctx).banned()
    ]


def _peers(ctx: Context) -> "Peers":
    network = ctx.node.network
    if network is not None:
        from node.net.peers import Peers  # loads much that a ledger without a network never needs

        if isinstance(network.links, Peers):
            return network.links
    raise server_error("this node has no network")


def _shown(peers: "Peers", link: "Link") -> Json:
    peer, proven, socket = link.peer, link.proven, link.socket
    address = link.dialled or Address(peer.id, socket.remote[0], proven.port)
    return {
        "id": peer.id.hex(),
        "name": proven.agent,
        "enode": _SCHEME + str(address),
        "caps": [f"chain/{PROTOCOL_VERSION}"],
        "validator": "0x" + peer.validator.hex() if peer.validator else None,
        "network": {
            "localAddress": _place(socket.local),
            "remoteAddress": _place(socket.remote),
            "inbound": peer.inbound,
            "trusted": peer.trusted,
            "static": peer.id in {known.node for known in peers.persistent},
        },
        "protocols": {
            "chain": {
                "version": PROTOCOL_VERSION,
                "seconds": math.floor(link.age),
                "roundTripMs": None if link.round_trip is None else round(link.round_trip * 1e3, 1),
                "bytesWaiting": link.bytes_waiting,
                "score": round(peers.score(peer.id), 1),
            }
        },
    }


def _place(place: tuple[str, int]) -> str:
    host, port = place
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _moment(until: float) -> str | None:
    try:
        return datetime.fromtimestamp(until, UTC).isoformat(timespec="seconds")
    except (OverflowError, ValueError):
        return None  # beyond all calendars


def _address(text: str) -> Address:
    try:
        return parse_address(_plain(text))
    except Rejected as rejected:
        raise invalid_params(f"invalid peer: {rejected.detail}") from None


def _node(text: str) -> PeerId:
    try:
        return parse_node_id(_plain(text).partition("@")[0])
    except Rejected as rejected:
        raise invalid_params(f"invalid peer: {rejected.detail}") from None


def _banned(text: str) -> str:
    return plain_host(text) if is_ip(text) else _node(text).hex()


def _plain(text: str) -> str:
    return text.strip().removeprefix(_SCHEME).partition("?")[0]
