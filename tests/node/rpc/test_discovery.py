"""rpc.discover describes what there is, and what there is answers as it is described."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from node.rpc.discovery import describe, schema_of
from node.rpc.registry import METHODS
from tests.node.rpc.serving import COUNTER_INITCODE, OTHER, SENDER, Served


@pytest.fixture(scope="module")
def document(served: Served) -> dict[str, Any]:
    found: dict[str, Any] = served.call("rpc.discover")
    return found


def test_each_method_that_may_be_called_is_described_once(
    served: Served, document: dict[str, Any]
) -> None:
    names = [item["name"] for item in document["methods"]]
    assert names == sorted(set(names))
    for name in ("eth_call", "trace_block", "ots_getApiLevel", "rpc.discover", "admin_peers"):
        assert name in names
    assert "rpc" in served.call("rpc_modules")


def test_a_caller_from_elsewhere_is_not_told_of_what_it_may_not_call(served: Served) -> None:
    body = b'{"jsonrpc":"2.0","id":1,"method":"rpc.discover"}'
    _, _, answer = served.http(body, {"X-Forwarded-For": "203.0.113.9"})
    names = {item["name"] for item in json.loads(answer)["result"]["methods"]}
    assert "eth_call" in names
    assert not {name for name in names if name.startswith("admin_")}


def test_every_schema_is_one_and_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for item in document["methods"]:
        for part in [*item["params"], item["result"]]:
            whole = {**part["schema"], "components": document["components"]}
            jsonschema.Draft202012Validator.check_schema(whole)
        assert item["summary"]
    text = json.dumps(document)
    for piece in text.split('"#/components/schemas/')[1:]:
        assert piece.partition('"')[0] in schemas


def test_parameters_are_told_with_their_order_and_whether_they_are_needed() -> None:
    shown = describe(METHODS["eth_getBalance"])
    assert [(item["name"], item["required"]) for item in shown["params"]] == [
        ("address", True), ("block", False),
    ]  # fmt: skip
    assert shown["result"]["schema"] == schema_of(int)
    shown = describe(METHODS["eth_getTransactionReceipt"])
    assert shown["params"][0]["name"] == "transactionHash"
    assert {"type": "null"} in shown["result"]["schema"]["anyOf"]


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("eth_blockNumber", []),
        ("eth_getBalance", [SENDER, "latest"]),
        ("eth_getCode", [OTHER, {"blockNumber": "0x0"}]),
        ("eth_getStorageAt", [OTHER, "0x0", "latest"]),
        ("eth_call", [{"to": OTHER, "value": "0x0"}, "latest", {SENDER: {"balance": "0x1"}}]),
        ("eth_getLogs", [{"fromBlock": "0x0", "address": [OTHER], "topics": []}]),
        ("eth_getBlockByNumber", ["latest", True]),
        ("eth_feeHistory", [4, "latest", [10]]),
        ("eth_accounts", []),
        ("eth_syncing", []),
        ("net_version", []),
        ("trace_call", [{"to": OTHER}, ["trace"]]),
        ("eth_fillTransaction", [{"from": SENDER, "data": COUNTER_INITCODE}]),
    ],
)
def test_requests_and_answers_fit_their_description(
    served: Served, document: dict[str, Any], method: str, params: list[Any]
) -> None:
    (item,) = (item for item in document["methods"] if item["name"] == method)
    components = {"components": document["components"]}
    result = served.call(method, *params)
    jsonschema.validate(result, {**item["result"]["schema"], **components})
    for value, parameter in zip(params, item["params"], strict=False):
        jsonschema.validate(value, {**parameter["schema"], **components})


def test_the_page_about_methods_names_discovery() -> None:
    page = Path(__file__).parents[3] / "docs" / "RPC.md"
    assert "rpc.discover" in page.read_text(encoding="utf-8")
