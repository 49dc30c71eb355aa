"""Metrics: the text is what Prometheus reads, the names are those documented, labels are few."""

import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from chain.types import ZERO_HASH, Address
from chain.validators import Validator
from node.settings import MetricsSettings
from node.watch.exposition import Histogram, Sample, counter, gauge, histogram, render
from node.watch.metrics import CallCounts, exposition
from node.watch.observation import VIEW_SETTLED_SECONDS, Measured, Observation, TierCount, Traffic
from tests.node.rpc.serving import OTHER, SENDER, Served

DOCUMENT = Path(__file__).parents[3] / "docs" / "metrics.md"
MEMBERS = tuple(Validator(Address(bytes((place,)) * 20), place) for place in (1, 2, 3, 4))
SEEN = Observation(
    chain_id=7,
    height=12,
    head_hash=ZERO_HASH,
    head_time_ms=1_500,
    head_gas_used=21_000,
    gas_limit=30_000_000,
    base_fee=7,
    epoch=1,
    view=40,
    validator=MEMBERS[0].address,
    validators=MEMBERS,
    heard={member.address: 40 for member in MEMBERS},
    pool_pending=3,
    pool_queued=2,
    pool_bytes=999,
    networked=True,
    peers_in=1,
    peers_out=2,
    traffic=(Traffic("Votes", 10, 20, 1, 2),),
    tiers=(TierCount("python", 2, 60), TierCount("native", 3, 70)),
    syncing=True,
    highest=20,
)


def parsed(page: bytes) -> dict[str, Metric]:
    """The families that Prometheus' own parser finds."""
    found = list(text_string_to_metric_families(page.decode()))
    names = [family.name for family in found]
    assert len(names) == len(set(names)), "a family is there once"
    return {family.name: family for family in found}


def page_of(seen: Observation = SEEN, measured: Measured | None = None) -> dict[str, Metric]:
    calls = CallCounts()
    calls.count("eth_call", False, 0.002)
    return parsed(
        exposition(seen, measured or Measured(), calls, version="1", connections=5, now=2.0)
    )


def value(page: dict[str, Metric], name: str, **labels: str) -> float:
    family = page[name.removesuffix("_total").removesuffix("_count")]
    found = [s.value for s in family.samples if s.labels == labels and s.name == name]
    assert len(found) == 1, (name, labels, family.samples)
    return float(found[0])


# -- the format ------------------------------------------------------------------------------------


@given(st.text(), st.text())
def test_labels_and_help_come_back_from_their_text(label: str, text: str) -> None:
    page = render([gauge("a", text, [Sample(1, (("b", label),))])])
    assert page.decode().count("\n") == 3
    if label == label.strip() and text == text.strip() and text:
        families = list(text_string_to_metric_families(page.decode()))
        assert families[0].samples[0].labels == {"b": label}


@given(st.floats(allow_nan=False) | st.integers(0, 2**200))
def test_values_come_back_from_their_text(number: float) -> None:
    assert value(parsed(render([gauge("a", "b", number)])), "a") == float(number)


def test_whole_numbers_are_written_exactly() -> None:
    assert render([counter("a_total", "b", 2**63 + 1)]).endswith(b"a_total 9223372036854775809\n")


def test_what_is_no_number_has_its_customary_names() -> None:
    page = render([gauge("a", "b", (Sample(v) for v in (math.inf, -math.inf, math.nan)))])
    assert page.splitlines()[2:] == [b"a +Inf", b"a -Inf", b"a NaN"]


def test_a_family_without_samples_is_left_out() -> None:
    assert render([gauge("a", "b", []), gauge("c", "d", 1)]).startswith(b"# HELP c ")


@given(st.lists(st.floats(-10, 10), max_size=50))
def test_buckets_count_what_is_at_most_their_bound(values: list[float]) -> None:
    counted = Histogram((-1.0, 0.0, 2.5))
    for each in values:
        counted.observe(each)
    page = parsed(render([histogram("a", "b", counted)]))
    for bound in (-1.0, 0.0, 2.5, math.inf):
        shown = "+Inf" if math.isinf(bound) else str(bound)
        found = [s.value for s in page["a"].samples if s.labels == {"le": shown}]
        assert found == [sum(each <= bound for each in values)]
    count = [s.value for s in page["a"].samples if s.name == "a_count"]
    total = [s.value for s in page["a"].samples if s.name == "a_sum"]
    assert count == [len(values)]
    assert total == [pytest.approx(sum(values))]


# -- the names -------------------------------------------------------------------------------------


def test_a_snapshot_is_shown_under_its_names() -> None:
    measured = Measured()
    measured.final(5, 105_000, 0.12)
    measured.final(1, 21_000, None)
    page = page_of(measured=measured)
    assert value(page, "chain_head_height") == 12
    assert value(page, "chain_head_age_seconds") == 0.5
    assert value(page, "chain_consensus_view") == 40
    assert value(page, "chain_consensus_epoch") == 1
    assert value(page, "chain_txpool_pending") == 3
    assert value(page, "chain_txpool_queued") == 2
    assert value(page, "chain_txpool_bytes") == 999
    assert value(page, "chain_p2p_peers", direction="inbound") == 1
    assert value(page, "chain_p2p_peers", direction="outbound") == 2
    assert value(page, "chain_p2p_ingress_bytes_total", kind="Votes") == 10
    assert value(page, "chain_p2p_egress_bytes_total", kind="Votes") == 20
    assert value(page, "chain_sync_remaining_blocks") == 8
    assert value(page, "chain_blocks_total") == 2
    assert value(page, "chain_vm_gas_total") == 126_000
    assert value(page, "chain_transactions_total") == 6
    latency = {s.name: s.value for s in page["chain_finality_latency_seconds"].samples}
    assert latency["chain_finality_latency_seconds_count"] == 1
    assert value(page, "chain_rpc_requests_total", method="eth_call", outcome="success") == 1
    assert value(page, "chain_rpc_connections") == 5
    assert value(page, "chain_vm_tier_messages_total", tier="native") == 3
    assert value(page, "chain_vm_tier_gas_total", tier="python") == 60
    assert value(page, "chain_build_info", **page["chain_build_info"].samples[0].labels) == 1


def test_every_metric_is_documented_and_nothing_else_is() -> None:
    page = exposition(SEEN, Measured(), CallCounts(), version="1", connections=0, now=0.0)
    calls = CallCounts()
    calls.count("other", True, 1.0)
    page += render(calls.families())
    shown = set(re.findall(r"^# TYPE (\S+)", page.decode(), re.MULTILINE))
    documented = set(re.findall(r"^\| `([a-z0-9_]+)", DOCUMENT.read_text(), re.MULTILINE))
    assert shown == documented


def test_conventions_of_names_are_kept() -> None:
    for name, family in page_of().items():
        assert name.startswith(("chain_", "process_"))
        assert family.documentation
        assert not (family.type != "counter" and name.endswith("_total"))


def test_without_a_network_there_are_no_peers_to_count() -> None:
    page = page_of(replace(SEEN, networked=False, traffic=()))
    assert "chain_p2p_peers" not in page


# -- who is missing --------------------------------------------------------------------------------


def names(seen: Observation) -> list[int]:
    return [member.address[0] for member in seen.missing]


def test_a_validator_that_was_silent_for_some_views_is_missing() -> None:
    heard = {MEMBERS[0].address: 40, MEMBERS[1].address: 38, MEMBERS[2].address: 37}
    assert names(replace(SEEN, heard=heard)) == [3, 4]


def test_in_a_view_that_does_not_end_everybody_without_a_vote_is_missing() -> None:
    heard = {MEMBERS[0].address: 40, MEMBERS[1].address: 39, MEMBERS[2].address: 40}
    assert names(replace(SEEN, heard=heard)) == [4]
    stuck = replace(SEEN, heard=heard, view_seconds=VIEW_SETTLED_SECONDS + 1)
    assert names(stuck) == [2, 4]
    page = page_of(stuck)
    for member, missing in zip(MEMBERS, (0, 1, 0, 1), strict=True):
        name = f"0x{member.address.hex()}"
        assert value(page, "chain_missing_validators", validator=name) == missing
    assert value(page, "chain_missing_validators_power") == 6


def test_in_a_resting_ledger_nobody_is_missing() -> None:
    heard = {member.address: 39 for member in MEMBERS}
    assert names(replace(SEEN, heard=heard, view_seconds=3600.0)) == []


def test_at_the_start_nobody_is_missing_yet_who_had_no_view_to_vote_in() -> None:
    assert names(replace(SEEN, view=1, heard={MEMBERS[0].address: 1})) == [2, 3, 4]
    assert names(replace(SEEN, view=1, heard={})) == []


# -- a node ----------------------------------------------------------------------------------------


def test_a_node_serves_its_metrics_to_prometheus() -> None:
    """Given a node that built a block, when it is scraped, then blocks, gas and calls show."""
    with Served() as served:
        served.call(
            "eth_sendTransaction", {"from": SENDER, "to": OTHER, "value": "0x1", "gas": "0x5208"}
        )
        while served.call("eth_blockNumber") == "0x0":
            pass
        served.refusal("eth_getBalance", "0x01", "latest")
        served.refusal("eth_nothing")
        status, headers, body = served.http(None, verb="GET", path="/metrics")
    assert status == 200
    assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    page = parsed(body)
    assert value(page, "chain_head_height") == 1
    assert value(page, "chain_vm_gas_total") == 21_000
    assert value(page, "chain_transactions_total") == 1
    for name in ("block_processing", "block_commit", "finality_latency"):
        assert value(page, f"chain_{name}_seconds_count") == 1, name
    requests = {"method": "eth_getBalance", "outcome": "failure"}
    assert value(page, "chain_rpc_requests_total", **requests) == 1
    assert value(page, "chain_rpc_requests_total", method="other", outcome="failure") == 1
    assert value(page, "chain_validator_active") == 1
    assert 0 < value(page, "process_resident_memory_bytes") < 2**40
    assert value(page, "process_open_fds") > 3
    assert value(page, "process_cpu_seconds_total") > 0
    assert value(page, "process_start_time_seconds") > 1.6e9


def test_a_flood_of_unknown_methods_makes_one_series() -> None:
    with Served() as served:
        batch = b",".join(
            b'{"jsonrpc":"2.0","id":1,"method":"eth_no%d"}' % place for place in range(500)
        )
        served.post(b"[" + batch + b"]")
        _, _, body = served.http(None, verb="GET", path="/metrics")
    page = parsed(body)
    methods = {sample.labels["method"] for sample in page["chain_rpc_requests"].samples}
    assert methods == {"other"}
    assert value(page, "chain_rpc_requests_total", method="other", outcome="failure") == 500


def test_metrics_can_be_switched_off() -> None:
    with Served() as served:
        settings = served.node.settings
        served.node.settings = replace(settings, metrics=MetricsSettings(enabled=False))
        assert served.http(None, verb="GET", path="/metrics")[0] == 404
        assert served.http(None, verb="GET", path="/health")[0] == 200
