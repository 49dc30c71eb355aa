"""/health and /ready: alive, and fit to be sent work."""

import json
from typing import Any

import pytest
from msgspec.structs import replace

from chain.errors import Fault
from chain.genesis import dev_genesis
from chain.ledger import Ledger
from chain.storage.memory import MemoryStore
from node.watch.health import health, readiness
from node.watch.observation import Observation
from tests.node.rpc.serving import Served


def ledger() -> Ledger:
    return Ledger.open(MemoryStore(), dev_genesis(accounts=[]))


def seen(**fields: Any) -> Observation:
    opened = ledger()
    return replace(
        Observation(
            chain_id=31337,
            height=0,
            head_hash=opened.head_hash,
            head_time_ms=1_000,
            head_gas_used=0,
            gas_limit=30_000_000,
            base_fee=0,
            epoch=0,
            view=0,
        ),
        **fields,
    )


def test_a_node_that_works_is_healthy() -> None:
    status, fields = health(seen(), ledger(), version="1.2", now=3.5)
    assert status == 200
    assert fields == {
        "status": "ok",
        "version": "1.2",
        "chain_id": 31337,
        "height": 0,
        "hash": f"0x{ledger().head_hash.hex()}",
        "block_age_seconds": 2.5,
        "syncing": False,
        "peers": None,
    }


def test_a_node_that_failed_is_not() -> None:
    status, fields = health(seen(failed="disk full"), ledger(), version="1", now=1.0)
    assert (status, fields["status"], fields["problem"]) == (503, "failed", "disk full")


def test_a_node_whose_ledger_can_not_be_read_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = ledger()

    def fail(height: int) -> None:
        raise Fault("the disk is gone")

    monkeypatch.setattr(broken, "senders", fail)
    status, fields = health(seen(), broken, version="1", now=1.0)
    assert (status, fields["problem"]) == (503, "the disk is gone")


def test_an_old_block_is_told_and_no_reason_to_restart() -> None:
    status, fields = health(seen(), ledger(), version="1", now=10_000.0)
    assert (status, fields["block_age_seconds"]) == (200, 9_999.0)


@pytest.mark.parametrize(
    ("fields", "reasons"),
    [
        ({}, []),
        ({"networked": True, "peers_in": 1, "peers_out": 1}, []),
        ({"networked": True, "peers_in": 1}, ["peers: 1 of at least 2"]),
        ({"syncing": True, "height": 5, "highest": 9}, ["syncing: height 5 of 9"]),
        (
            {"syncing": True, "highest": 9, "networked": True, "failed": "x"},
            ["failed: x", "syncing: height 0 of 9", "peers: 0 of at least 2"],
        ),
    ],
)
def test_ready_is_who_has_caught_up_and_has_peers(
    fields: dict[str, Any], reasons: list[str]
) -> None:
    status, answer = readiness(seen(**fields), peers_min=2)
    assert (status, answer["ready"], answer["reasons"]) == (
        503 if reasons else 200,
        not reasons,
        reasons,
    )


def get(served: Served, path: str, verb: str = "GET") -> tuple[int, Any]:
    status, headers, body = served.http(None, verb=verb, path=path)
    assert headers["Content-Type"].startswith("application/json") or status in (404, 405)
    return status, json.loads(body) if body[:1] == b"{" else None


def test_a_node_answers_both() -> None:
    with Served() as served:
        assert get(served, "/health")[0] == 200
        status, fields = get(served, "/ready")
        assert (status, fields["ready"], fields["reasons"]) == (200, True, [])
        assert get(served, "/health", "HEAD") == (200, None)


def test_only_get_and_head_are_answered() -> None:
    with Served() as served:
        for path in ("/health", "/ready", "/metrics"):
            status, headers, _ = served.http(b"{}", path=path)
            assert (status, headers["Allow"]) == (405, "GET, HEAD")
        assert get(served, "/healthz")[0] == 404


def test_a_foreign_host_name_is_turned_away_here_too() -> None:
    with Served() as served:
        foreign = {"Host": "evil.example"}
        assert served.http(None, foreign, verb="GET", path="/health")[0] == 403
