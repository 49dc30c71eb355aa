"""`/health` and `/ready`: is the process alive, and should it be sent work.

For whoever restarts what is not healthy and keeps traffic away from what is not ready.
Both answer with JSON and with 200 or 503.
"""

from typing import Any

from chain.errors import Fault
from chain.ledger import Ledger
from chain.types import Height
from node.watch.observation import Observation

Answer = tuple[int, dict[str, Any]]


def health(seen: Observation, ledger: Ledger, *, version: str, now: float) -> Answer:
    """200 while the process works and the ledger can be read. `now` in seconds since 1970.

    The age of the last block is told but is no reason to restart: a ledger without
    transactions may rest, and one that lacks a quorum is not helped by it.
    """
    problem = seen.failed or _unreadable(ledger, seen.height)
    return 503 if problem else 200, {
        "status": "failed" if problem else "ok",
        **({"problem": problem} if problem else {}),
        "version": version,
        "chain_id": seen.chain_id,
        "height": seen.height,
        "hash": f"0x{seen.head_hash.hex()}",
        "block_age_seconds": round(max(now - seen.head_time_ms / 1000, 0.0), 3),
        "syncing": seen.syncing,
        "peers": seen.peers if seen.networked else None,
    }


def _unreadable(ledger: Ledger, height: int) -> str:
    """What keeps the last block from being read; empty when nothing does."""
    try:
        ledger.senders(Height(height))  # from the store itself, and small
    except Fault as fault:
        return str(fault)
    return ""


def readiness(seen: Observation, *, peers_min: int) -> Answer:
    """200 when the node has caught up and, where there is a network, enough peers."""
    reasons: list[str] = []
    if seen.failed:
        reasons.append(f"failed: {seen.failed}")
    if seen.syncing:
        reasons.append(f"syncing: height {seen.height} of {seen.highest}")
    if seen.networked and seen.peers < peers_min:
        reasons.append(f"peers: {seen.peers} of at least {peers_min}")
    return 503 if reasons else 200, {
        "ready": not reasons,
        "reasons": reasons,
        "height": seen.height,
        "highest": max(seen.highest, seen.height),
        "peers": seen.peers if seen.networked else None,
        "peers_min": peers_min if seen.networked else None,
    }
