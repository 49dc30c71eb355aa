"""JSON-RPC 2.0 as clients really speak it: ids, batches, notifications, nonsense."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.node.rpc.serving import Served

CALL = {"jsonrpc": "2.0", "method": "net_version"}


def error_code(answer: Any) -> int:
    code: int = answer["error"]["code"]
    return code


@pytest.mark.parametrize(
    "written",
    ["1", "0", "-7", "1.0", "1.50", "1e400", "2.5e-3", str(2**70), "null", '"a"', '""', '"\\u00e9"',
     '"5"', "true"],
)  # fmt: skip
def test_an_id_comes_back_as_it_was_written(served: Served, written: str) -> None:
    body = f'{{"jsonrpc":"2.0","id": {written} ,"method":"net_version","params":[]}}'
    status, _, answer = served.http(body.encode())
    assert status == 200
    assert answer.decode() == f'{{"jsonrpc":"2.0","id":{written},"result":"31337"}}'


@pytest.mark.parametrize("written", ["{}", "[1]", '{"a":1}'])
def test_an_id_that_is_an_object_or_a_list_is_refused(served: Served, written: str) -> None:
    answer = served.post(f'{{"jsonrpc":"2.0","id":{written},"method":"net_version"}}'.encode())
    assert error_code(answer) == -32600
    assert answer["id"] is None


@pytest.mark.parametrize(
    "body",
    [b"{", b"nonsense", b"[1,", b'{"jsonrpc":"2.0","id":1,"method":"net_version"}x', b'{"id":NaN}',
     b"\xff\xfe", b'{"jsonrpc":"2.0","id":"\xff","method":"net_version"}', b"[" * 100_000,
     b'{"id":' + b"[" * 100_000, b'{"a":' * 50_000],
)  # fmt: skip
def test_what_is_not_json_or_nests_too_deeply_is_a_parse_error(served: Served, body: bytes) -> None:
    answer = served.post(body)
    assert error_code(answer) == -32700
    assert answer["id"] is None


@pytest.mark.parametrize(
    ("body", "wanted_id"),
    [
        (b"1", None),
        (b'"text"', None),
        (b"null", None),
        (b"{}", None),
        (b'{"id":3}', 3),
        (b'{"id":3,"method":"net_version"}', 3),
        (b'{"jsonrpc":"1.0","id":3,"method":"net_version"}', 3),
        (b'{"jsonrpc":2.0,"id":3,"method":"net_version"}', 3),
        (b'{"jsonrpc":"2.0","id":3,"method":5}', 3),
        (b'{"jsonrpc":"2.0","id":3,"method":null}', 3),
        (b'{"jsonrpc":"2.0","id":3,"method":""}', 3),
    ],
)
def test_what_is_no_request_is_refused_with_its_id(
    served: Served, body: bytes, wanted_id: int | None
) -> None:
    answer = served.post(body)
    assert error_code(answer) == -32600
    assert answer["id"] == wanted_id


def test_an_unknown_method_is_named(served: Served) -> None:
    answer = served.post(b'{"jsonrpc":"2.0","id":1,"method":"eth_fooBar"}')
    assert answer["error"] == {
        "code": -32601,
        "message": "the method eth_fooBar does not exist/is not available",
    }


_GO_ERROR = "json: cannot unmarshal non-string into Go value of type common.Address"


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ('{"address":"0x"}', "non-array args"),
        ('"0x"', "non-array args"),
        ("[]", "missing value for required argument 0"),
        (
            '["0x"]',
            "invalid argument 0: hex string has length 0, want 40 for common.Address",
        ),
        ("[null]", "invalid argument 0: " + _GO_ERROR),
        ("[1,2,3]", "too many arguments, want at most 2"),
        ('["0x12"]', "invalid argument 0: hex string has length 2, want 40 for common.Address"),
        (
            f'["0x{"00" * 20}","5"]',
            "invalid argument 1: hex string without 0x prefix",
        ),
    ],
)
def test_wrong_parameters_are_refused_in_geths_words(
    served: Served, params: str, message: str
) -> None:
    body = f'{{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":{params}}}'
    assert served.post(body.encode())["error"] == {"code": -32602, "message": message}


def test_parameters_nested_too_deeply_are_refused(served: Served) -> None:
    nested = "[" * 900 + "]" * 900
    answer = served.post(
        f'{{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[{nested}]}}'.encode()
    )
    assert error_code(answer) in (-32602, -32700)


@pytest.mark.parametrize("number", ["9" * 5000, "1e400", "-" + "9" * 400, "0." + "1" * 400])
def test_numbers_beyond_all_bounds_are_wrong_parameters(served: Served, number: str) -> None:
    body = f'{{"jsonrpc":"2.0","id":1,"method":"eth_feeHistory","params":[{number},"latest",[]]}}'
    assert error_code(served.post(body.encode())) == -32602


def test_null_stands_for_a_parameter_left_out(served: Served) -> None:
    assert served.call("eth_getBalance", "0x" + "99" * 20, None) == "0x0"


def test_a_notification_gets_no_answer(served: Served) -> None:
    assert served.post(b'{"jsonrpc":"2.0","method":"net_version"}') is None
    assert served.post(b'{"jsonrpc":"2.0","method":"eth_nothing"}') is None
    assert served.post(b'[{"jsonrpc":"2.0","method":"net_version"}]') is None


def test_a_batch_is_answered_in_order_item_by_item(served: Served) -> None:
    batch = [{**CALL, "id": "a"}, CALL, 5, {**CALL, "id": 2, "method": "no"}, {**CALL, "id": None}]
    answers = served.post(json.dumps(batch).encode())
    assert [answer["id"] for answer in answers] == ["a", None, 2, None]
    assert answers[0]["result"] == "31337"
    assert error_code(answers[1]) == -32600
    assert error_code(answers[2]) == -32601
    assert answers[3]["result"] == "31337"


def test_an_empty_batch_is_refused(served: Served) -> None:
    answer = served.post(b" [ ] ")
    assert answer["error"] == {"code": -32600, "message": "empty batch"}


def test_a_batch_with_too_many_items_is_refused_as_one(served: Served) -> None:
    limit = served.node.settings.rpc.batch_items_max
    batch = [{**CALL, "id": index} for index in range(limit + 1)]
    answers = served.post(json.dumps(batch).encode())
    assert answers == [
        {"jsonrpc": "2.0", "id": 0, "error": {"code": -32600, "message": "batch too large"}}
    ]


def test_a_batch_as_long_as_allowed_is_answered(served: Served) -> None:
    limit = served.node.settings.rpc.batch_items_max
    batch = [{**CALL, "id": index} for index in range(limit)]
    answers = served.post(json.dumps(batch).encode())
    assert [answer["id"] for answer in answers] == list(range(limit))


def test_the_answer_to_a_batch_stops_growing_at_its_limit() -> None:
    with Served(rpc={"response_bytes_max": 2000}) as small:
        request = {**CALL, "method": "eth_getBlockByNumber", "params": ["0x0"]}
        batch = [{**request, "id": index} for index in range(10)] + [request]
        answers = small.post(json.dumps(batch).encode())
    assert len(answers) == 10
    assert "result" in answers[0]
    assert {error_code(answer) for answer in answers[5:]} == {-32003}
    assert answers[-1]["error"]["message"] == "response too large"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=60) | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_get_an_orderly_answer(served: Served, body: bytes) -> None:
    """Whatever comes in, what goes out is a JSON-RPC error, or nothing for nothing."""
    answer = served.post(body)
    if answer is None:
        assert not body
        return
    answers = answer if isinstance(answer, list) else [answer]
    assert {error_code(item) for item in answers} <= {-32700, -32600}


METHODS_TAKING_ANYTHING = [
    "eth_call", "eth_estimateGas", "eth_getLogs", "eth_getProof", "eth_feeHistory", "eth_newFilter",
    "eth_getStorageAt", "eth_getBlockByNumber", "eth_sendRawTransaction", "eth_sendTransaction",
    "eth_createAccessList", "eth_getStorageValues", "eth_getFilterChanges", "eth_signTransaction",
]  # fmt: skip


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(method=st.sampled_from(METHODS_TAKING_ANYTHING), params=st.lists(json_values, max_size=4))
def test_no_parameters_crash_a_method(served: Served, method: str, params: list[Any]) -> None:
    """Wrong parameters are the caller's mistake (-32602), never ours (-32603)."""
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    answer = served.post(json.dumps(request).encode())
    if "error" in answer:
        assert error_code(answer) != -32603, answer
