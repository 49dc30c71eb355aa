"""A node looked at: the snapshot that metrics, health and warnings are made of."""

from typing import TYPE_CHECKING

from chain.headers import base_fee
from chain.validators import Validator, decode_record
from node.watch.observation import Observation, Traffic

if TYPE_CHECKING:
    from node.net.link import Traffic as LinkTraffic
    from node.net.network import Network
    from node.net.peers import Peers
    from node.node import Node


def observe(node: "Node") -> Observation:
    """What the node shows of itself now."""
    ledger, head = node.ledger, node.ledger.head
    record = ledger.record(ledger.height)
    decoded = decode_record(record) if record else None
    consensus, network = node.consensus, node.network
    members: tuple[Validator, ...] = ()
    if consensus is not None:
        current = consensus.validators(consensus.epoch)
        members = current.validators if current is not None else ()
    pending, queued = node.mempool.status()
    peers = network.links.peers() if network is not None else ()
    inbound = sum(peer.inbound for peer in peers)
    links = _peers_of(network.links) if network is not None else None
    progress = network.progress if network is not None else None
    return Observation(
        chain_id=ledger.config.chain_id,
        height=ledger.height,
        head_hash=ledger.head_hash,
        head_time_ms=decoded.timestamp_ms if decoded else head.timestamp * 1000,
        head_gas_used=head.gas_used,
        gas_limit=head.gas_limit,
        base_fee=head.base_fee or 0,
        epoch=consensus.epoch if consensus is not None else 0,
        view=consensus.view if consensus is not None else 0,
        view_seconds=consensus.view_ms / 1000 if consensus is not None else 0.0,
        validator=node.validator,
        validators=members,
        heard=dict(consensus.heard) if consensus is not None else {},
        pool_pending=pending,
        pool_queued=queued,
        pool_bytes=node.mempool.holds(),
        work_waiting=node.mempool.has_ready(base_fee(head, node.next_fork())),
        networked=network is not None,
        peers_in=inbound,
        peers_out=len(peers) - inbound,
        peers_banned=len(links.bans.everyone(node.environment.clock())) if links is not None else 0,
        traffic=_traffic(links.traffic) if links is not None else (),
        syncing=progress is not None,
        highest=ledger.height if progress is None else progress.highest,
        tiers=node.machines.counts(),
        failed=repr(node.failed.exception()) if node.failed.done() else "",
    )


def _peers_of(links: "Network") -> "Peers | None":
    """The links over sockets; None for those of a simulated network."""
    from node.net.peers import Peers  # loads much that a ledger without a network never needs

    return links if isinstance(links, Peers) else None


def _traffic(counted: "LinkTraffic") -> tuple[Traffic, ...]:
    kinds = sorted(counted.messages_in.keys() | counted.messages_out.keys())
    return tuple(
        Traffic(
            kind,
            counted.kind_bytes_in[kind],
            counted.kind_bytes_out[kind],
            counted.messages_in[kind],
            counted.messages_out[kind],
        )
        for kind in kinds
    )
