"""The node's metrics by name (docs/metrics.md), from a snapshot and from what was measured.

Labels have few values: kinds of messages, validators of the set, RPC methods that exist.
"""

import sys
from collections.abc import Iterator
from typing import Final

from node.net.messages import PROTOCOL_VERSION
from node.watch.exposition import Family, Histogram, Sample, counter, gauge, histogram, render
from node.watch.observation import Measured, Observation
from node.watch.process import process_families

OTHER_METHODS: Final = "other"  # of requests that name no method of ours
_CALL_BOUNDS: Final = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
)  # fmt: skip


class CallCounts:
    """RPC calls by method: how many succeeded and failed, and how long they took."""

    def __init__(self) -> None:
        self._by_method: dict[str, tuple[list[int], Histogram]] = {}

    def count(self, method: str, failed: bool, seconds: float, times: int = 1) -> None:
        """So many calls of as many seconds each.

        `method` is a registered name or OTHER_METHODS, so that there are few.
        """
        found = self._by_method.get(method)
        if found is None:
            found = self._by_method[method] = ([0, 0], Histogram(_CALL_BOUNDS))
        outcomes, duration = found
        outcomes[failed] += times
        duration.observe(seconds, times)

    def families(self) -> Iterator[Family]:
        methods = sorted(self._by_method.items())
        yield counter(
            "chain_rpc_requests_total",
            "JSON-RPC calls by method and outcome.",
            (
                Sample(count, (("method", name), ("outcome", outcome)))
                for name, (outcomes, _) in methods
                for outcome, count in zip(("success", "failure"), outcomes, strict=True)
            ),
        )
        yield histogram(
            "chain_rpc_duration_seconds",
            "Time from reading a call to having its result; in a batch an equal share each.",
            (
                sample
                for name, (_, duration) in methods
                for sample in duration.samples((("method", name),))
            ),
        )


def exposition(
    observation: Observation,
    measured: Measured,
    calls: CallCounts,
    *,
    version: str,
    connections: int,
    now: float,
) -> bytes:
    """The whole page. `now` in seconds since 1970."""
    return render(_families(observation, measured, calls, version, connections, now))


def _families(
    seen: Observation,
    measured: Measured,
    calls: CallCounts,
    version: str,
    connections: int,
    now: float,
) -> Iterator[Family]:
    build = (
        ("version", version),
        ("protocol", str(PROTOCOL_VERSION)),
        ("python", ".".join(map(str, sys.version_info[:3]))),
    )
    yield gauge("chain_build_info", "1, with what runs as labels.", [Sample(1, build)])
    yield from _head(seen, measured, now)
    yield from _consensus(seen, measured)
    yield gauge("chain_txpool_pending", "Transactions that could run now.", seen.pool_pending)
    yield gauge("chain_txpool_queued", "Transactions that wait for a nonce.", seen.pool_queued)
    yield gauge("chain_txpool_bytes", "Bytes of the pooled transactions.", seen.pool_bytes)
    yield from _network(seen)
    yield from calls.families()
    yield gauge("chain_rpc_connections", "Open connections of the RPC port.", connections)
    yield from process_families()


def _head(seen: Observation, measured: Measured, now: float) -> Iterator[Family]:
    yield gauge("chain_id", "The chain id.", seen.chain_id)
    yield gauge("chain_head_height", "Height of the last final block.", seen.height)
    yield gauge(
        "chain_head_timestamp_seconds",
        "Time of the last final block, by itself, since 1970.",
        seen.head_time_ms / 1000,
    )
    age = max(now - seen.head_time_ms / 1000, 0.0)
    yield gauge("chain_head_age_seconds", "Time since then.", age)
    yield gauge("chain_head_gas_used", "Gas used in the last final block.", seen.head_gas_used)
    yield gauge("chain_head_gas_limit", "Gas limit of the last final block.", seen.gas_limit)
    yield gauge("chain_head_base_fee_wei", "Base fee of the last final block.", seen.base_fee)
    yield counter("chain_blocks_total", "Final blocks since the start.", measured.blocks)
    yield counter(
        "chain_transactions_total",
        "Transactions in final blocks since the start.",
        measured.transactions,
    )
    yield counter("chain_vm_gas_total", "Gas used in final blocks since the start.", measured.gas)
    yield counter(
        "chain_vm_tier_messages_total",
        "Transactions' and callers' messages that ran code, by the VM that ran them.",
        (Sample(item.messages, (("tier", item.tier),)) for item in seen.tiers),
    )
    yield counter(
        "chain_vm_tier_gas_total",
        "Gas that they used, refunds not taken off.",
        (Sample(item.gas, (("tier", item.tier),)) for item in seen.tiers),
    )
    yield histogram(
        "chain_block_processing_seconds",
        "Time to execute a block, own or of others.",
        measured.block_processing,
    )
    yield histogram(
        "chain_block_commit_seconds",
        "Time to write a final block to disk.",
        measured.block_commit,
    )


def _consensus(seen: Observation, measured: Measured) -> Iterator[Family]:
    yield gauge("chain_consensus_epoch", "The epoch that is voted in.", seen.epoch)
    yield gauge("chain_consensus_view", "The view that is voted in.", seen.view)
    yield gauge("chain_consensus_view_age_seconds", "Time in this view.", seen.view_seconds)
    yield histogram(
        "chain_finality_latency_seconds",
        "From a block's own time to its being final on this disk; not of synced blocks.",
        measured.finality_latency,
    )
    missing = {member.address for member in seen.missing}
    total = sum(member.power for member in seen.validators)
    yield gauge("chain_validators", "Validators of the epoch.", len(seen.validators))
    yield gauge("chain_validators_power", "Their power together.", total)
    yield gauge(
        "chain_validator_active",
        "1 while this node's key is a validator of the epoch.",
        int(any(member.address == seen.validator for member in seen.validators)),
    )
    yield gauge(
        "chain_missing_validators",
        "1 for each validator that is not heard of, 0 for the others.",
        (
            Sample(int(member.address in missing), (("validator", f"0x{member.address.hex()}"),))
            for member in seen.validators
        ),
    )
    yield gauge(
        "chain_missing_validators_power",
        "Power of the validators that are not heard of.",
        sum(member.power for member in seen.missing),
    )


def _network(seen: Observation) -> Iterator[Family]:
    if seen.networked:
        yield gauge(
            "chain_p2p_peers",
            "Links to peers by who opened them.",
            [
                Sample(seen.peers_in, (("direction", "inbound"),)),
                Sample(seen.peers_out, (("direction", "outbound"),)),
            ],
        )
        yield gauge("chain_p2p_banned", "Nodes that are banned.", seen.peers_banned)
    for name, text, field in (
        ("chain_p2p_ingress_bytes_total", "Bytes received", "received_bytes"),
        ("chain_p2p_egress_bytes_total", "Bytes sent", "sent_bytes"),
        ("chain_p2p_ingress_messages_total", "Messages received", "received"),
        ("chain_p2p_egress_messages_total", "Messages sent", "sent"),
    ):
        yield counter(
            name,
            f"{text} by kind of message.",
            (Sample(getattr(item, field), (("kind", item.kind),)) for item in seen.traffic),
        )
    yield gauge("chain_sync_active", "1 while final blocks are fetched.", int(seen.syncing))
    yield gauge(
        "chain_sync_highest_height",
        "The highest final height that is known of.",
        max(seen.highest, seen.height),
    )
    yield gauge(
        "chain_sync_remaining_blocks",
        "Final blocks that are still to be fetched.",
        max(seen.highest - seen.height, 0),
    )
