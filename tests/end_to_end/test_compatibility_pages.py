"""What docs/compatibility.md and docs/methods.md say is what there is."""

import pytest

from tests.support import compatibility, method_sets
from tests.support.capabilities import EXPECTATIONS, MEANINGS
from tests.support.clients import EVERY


def test_the_table_of_methods_is_that_of_the_registered_ones() -> None:
    """When this fails, run `python -m tests.support.method_sets`."""
    assert method_sets.PAGE.read_text(encoding="utf-8") == method_sets.page()


def test_every_capability_is_expected_and_has_a_name_in_the_table() -> None:
    asked = {capability for client in EVERY for capability in client.capabilities}
    assert asked <= EXPECTATIONS.keys()
    assert EXPECTATIONS.keys() == MEANINGS.keys()


def test_the_table_of_clients_has_them_all_with_what_they_were_asked() -> None:
    """When this fails, run `make compat`."""
    results = [
        {"client": client.name, "capability": capability, "chain": kind, "passed": True}
        for kind in ("dev", "network")
        for client in EVERY
        for capability in client.wanted(kind)
    ]
    assert compatibility.PAGE.read_text(encoding="utf-8") == compatibility.page(results)


def test_a_scenario_that_failed_is_told_and_counted() -> None:
    result = {"client": "x", "capability": "deploy", "chain": "dev"}
    text = compatibility.page([result | {"passed": False}, result | {"passed": True}])
    assert "| dev **no** |" in text
    assert "0 of 1 scenarios work" in text


def test_a_client_that_failed_a_capability_fails_its_test() -> None:
    with pytest.raises(AssertionError, match="it broke"):
        from tests.support.capabilities import expect

        expect("deploy", {"deploy": {"error": "it broke"}}, "0x", "0x")
