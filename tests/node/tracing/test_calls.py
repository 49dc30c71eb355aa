"""The tree of messages: nested, flat, by selector, and as transfers."""

import pytest

from chain.forks import OSAKA, SHANGHAI
from chain.types import Address, Hash
from node.tracing import Place, choose
from node.tracing.transfers import ETHER as ETHER_ADDRESS
from tests.contracts.vm.laboratory import CALLER, ETHER, OTHER, TARGET, assemble
from tests.node.tracing.workbench import FIRST, SECOND, answer, send, shown, trace, transfers, world

# Reverts with Error("no").
REFUSING = (
    "PUSH4 0x08c379a0 224 SHL 0 MSTORE 32 4 MSTORE 2 36 MSTORE "
    "PUSH2 0x6e6f 240 SHL 68 MSTORE 100 0 REVERT"
)
LOGGING = "0 0 LOG0 "
IDENTITY = Address((4).to_bytes(20, "big"))


def test_messages_nest_with_their_gas_data_and_results() -> None:
    view = world(
        target=send("CALL", FIRST, value=3, size=5) + send("STATICCALL", SECOND) + "0 0 RETURN",
        first="7 0 MSTORE 32 0 RETURN",
        second="STOP",
    )
    root = trace(view, "callTracer", value=9, data=b"\x01\x02")
    assert {key: root[key] for key in ("type", "from", "to", "value", "gas", "input")} == {
        "type": "CALL",
        "from": shown(CALLER),
        "to": shown(TARGET),
        "value": "0x9",
        "gas": hex(5_000_000),
        "input": "0x0102",
    }
    first, second = root["calls"]
    assert first == {
        "type": "CALL",
        "from": shown(TARGET),
        "to": shown(FIRST),
        "value": "0x3",
        "gas": hex(100_000 + 2_300),
        "gasUsed": hex(3 * 4 + 2 * 3),
        "input": "0x" + "00" * 5,
        "output": "0x" + "7".rjust(64, "0"),
    }
    assert second["type"] == "STATICCALL"
    assert "value" not in second
    assert "output" not in second
    assert "error" not in root


def test_borrowed_code_is_called_by_the_contract_it_runs_in() -> None:
    view = world(target=send("DELEGATECALL", FIRST) + send("CALLCODE", FIRST), first="STOP")
    delegated, called = trace(view, "callTracer", value=9)["calls"]
    assert [(call["from"], call["to"]) for call in (delegated, called)] == [
        (shown(TARGET), shown(FIRST))
    ] * 2
    assert (delegated["value"], called["value"]) == ("0x9", "0x0")


def test_logs_know_how_many_calls_came_before_them() -> None:
    view = world(target=LOGGING + send("CALL", FIRST) + LOGGING, first="1 2 3 0 0 LOG3")
    root = trace(view, "callTracer", {"withLog": True})
    assert [(log["position"], log["index"]) for log in root["logs"]] == [
        ("0x0", "0x0"),
        ("0x1", "0x2"),
    ]
    assert root["calls"][0]["logs"] == [
        {
            "address": shown(FIRST),
            "topics": ["0x" + topic.rjust(64, "0") for topic in "321"],
            "data": "0x",
            "index": "0x1",
            "position": "0x0",
        }
    ]
    assert "logs" not in trace(view, "callTracer")


def test_a_failed_message_leaves_no_logs_of_its_own_or_below() -> None:
    view = world(
        target=LOGGING + send("CALL", FIRST) + LOGGING,
        first=LOGGING + send("CALL", SECOND) + REFUSING,
        second=LOGGING,
    )
    root = trace(view, "callTracer", {"withLog": True})
    first = root["calls"][0]
    assert first["error"] == "execution reverted"
    assert first["revertReason"] == "no"
    assert first["output"].startswith("0x08c379a0")
    assert "logs" not in first
    assert "logs" not in first["calls"][0]
    assert [log["index"] for log in root["logs"]] == ["0x0", "0x1"]


def test_only_the_top_call_is_kept_when_that_is_wanted() -> None:
    view = world(target=send("CALL", FIRST) + LOGGING, first=LOGGING)
    root = trace(view, "callTracer", {"onlyTopCall": True, "withLog": True})
    assert "calls" not in root
    assert [log["address"] for log in root["logs"]] == [shown(TARGET)]


def test_a_creation_has_an_address_only_when_it_succeeds() -> None:
    view = world(target="0 0 0 CREATE 1 0 MSTORE8 1 0 0 CREATE")
    made, failed = trace(view, "callTracer")["calls"]
    assert (made["type"], made["input"]) == ("CREATE", "0x")
    assert len(made["to"]) == 42
    assert failed["error"].startswith("stack underflow")
    assert "to" not in failed


def test_a_self_destruction_is_a_message_with_the_balance() -> None:
    view = world(target=f"PUSH20 0x{OTHER.hex()} SELFDESTRUCT")
    call = trace(view, "callTracer", value=4)["calls"][0]
    assert call == {
        "type": "SELFDESTRUCT",
        "from": shown(TARGET),
        "to": shown(OTHER),
        "value": "0x4",
        "gas": "0x0",
        "gasUsed": "0x0",
        "input": "0x",
    }


def test_a_thousand_nested_messages_can_be_answered() -> None:
    """Given a contract that calls itself to the depth limit, the answer nests as deep."""
    recursive = "0 0 0 0 0 ADDRESS GAS CALL"
    text = answer(world(target=recursive), choose("callTracer", {}), gas=2**40, fork=SHANGHAI)
    assert text.count(b'"calls":') == 1025
    assert b'"error":"max call depth exceeded"' in text


def test_the_flat_answer_gives_each_message_its_path_and_place() -> None:
    view = world(
        target=send("CALL", FIRST) + send("CALL", SECOND, value=1),
        first=send("STATICCALL", IDENTITY) + send("DELEGATECALL", SECOND),
        second="STOP",
    )
    place = Place(Hash(b"\x01" * 32), 12, Hash(b"\x02" * 32), 3)
    items = trace(view, "flatCallTracer", place=place, value=1)
    assert [(item["traceAddress"], item["subtraces"]) for item in items] == [
        ([], 2), ([0], 1), ([0, 0], 0), ([1], 0),
    ]  # fmt: skip
    last = items[-1]
    assert last["action"] == {
        "from": shown(TARGET),
        "to": shown(SECOND),
        "callType": "call",
        "gas": hex(102_300),
        "value": "0x1",
        "input": "0x",
    }
    assert last["result"] == {"gasUsed": "0x0", "output": "0x"}
    assert (last["type"], last["blockNumber"], last["transactionPosition"]) == ("call", 12, 3)
    assert (last["blockHash"], last["transactionHash"]) == ("0x" + "01" * 32, "0x" + "02" * 32)
    every = trace(view, "flatCallTracer", {"includePrecompiles": True})
    assert [item["traceAddress"] for item in every] == [[], [0], [0, 0], [0, 1], [1]]
    assert every[0]["blockHash"] is None


@pytest.mark.parametrize(
    ("code", "ours", "parity"),
    [
        ("INVALID", "invalid opcode: INVALID", "Bad instruction"),
        ("5 JUMP", "invalid jump destination", "Bad jump destination"),
        (REFUSING, "execution reverted", "Reverted"),
        ("POP", "stack underflow (0 <=> 1)", "Stack underflow"),
        ("JUMPDEST 0 0 JUMP", "stack limit reached 1024 (1023)", "Out of stack"),
    ],
)
def test_the_flat_answer_tells_failures_in_either_language(
    code: str, ours: str, parity: str
) -> None:
    view = world(target=code)
    assert trace(view, "flatCallTracer")[0]["error"] == ours
    item = trace(view, "flatCallTracer", {"convertParityErrors": True})[0]
    assert item["error"] == parity
    assert ("result" in item) == (code == REFUSING)


# Both leave one zero; the second often enough goes round for its code to run in pieces.
_PRELUDES = ("0 ", "300 JUMPDEST 1 SWAP1 SUB DUP1 3 JUMPI ")


@pytest.mark.parametrize("prelude", _PRELUDES)
@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("fe", "invalid opcode: INVALID"),
        ("5f50fe", "invalid opcode: INVALID"),
        ("0c", "invalid opcode: opcode 0xc not defined"),
        ("5001", "stack underflow (0 <=> 2)"),
    ],
)
@pytest.mark.parametrize("beside", [None, "prestateTracer"])
def test_failed_messages_name_the_opcode_that_ended_them(
    code: str, words: str, prelude: str, beside: str | None
) -> None:
    """Also where all steps are watched besides."""
    view = world(target=send("CALL", FIRST) * 2 + send("CALL", SECOND), second="STOP")
    view.put(FIRST, code=assemble(prelude) + bytes.fromhex(code))
    if beside is None:
        root = trace(view, "callTracer")
    else:
        root = trace(view, "muxTracer", {"callTracer": None, beside: None})["callTracer"]
    assert [call.get("error") for call in root["calls"]] == [words, words, None]


def test_refused_input_of_a_precompile_is_told_in_geths_words() -> None:
    view = world(target=send("CALL", Address((9).to_bytes(20, "big"))))
    (call,) = trace(view, "callTracer")["calls"]
    assert call["error"] == "invalid input length"
    options = {"includePrecompiles": True, "convertParityErrors": True}
    assert trace(view, "flatCallTracer", options)[1]["error"] == "Built-in failed"


def test_the_flat_answer_shows_creations_and_self_destructions() -> None:
    initcode = assemble(f"PUSH20 0x{OTHER.hex()} SELFDESTRUCT")
    created, died = trace(world(), "flatCallTracer", to=None, data=initcode, value=2)
    assert created["type"] == "create"
    assert created["action"]["init"] == "0x" + initcode.hex()
    assert created["action"]["creationMethod"] == "create"
    assert died["type"] == "suicide"
    assert died["action"] == {
        "address": created["result"]["address"],
        "balance": "0x2",
        "refundAddress": shown(OTHER),
    }


def test_selectors_are_counted_with_the_size_of_their_arguments() -> None:
    view = world(
        target="PUSH4 0xa1b2c3d4 224 SHL 0 MSTORE "
        + send("CALL", FIRST, size=36) * 2
        + send("DELEGATECALL", FIRST, size=4)
        + send("CALL", FIRST, size=3)
        + send("STATICCALL", IDENTITY, size=4),
        first="STOP",
    )
    counts = trace(view, "4byteTracer", data=bytes.fromhex("00000001ff"))
    assert counts == {"0x00000001-1": 1, "0xa1b2c3d4-32": 2, "0xa1b2c3d4-0": 1}


def test_transfers_stand_among_the_logs_in_the_order_of_events() -> None:
    """Given value that moves before, between and after logs, and some that comes back."""
    view = world(
        target=LOGGING + send("CALL", FIRST, value=2) + send("CALL", SECOND, value=5) + LOGGING,
        first=LOGGING,
        second=send("CALL", OTHER, value=1) + REFUSING,
    )
    tracer, outcome = transfers(view, value=7)
    found = [(log.address, int.from_bytes(log.data, "big")) for log in tracer.merged(outcome.logs)]
    assert found == [
        (ETHER_ADDRESS, 7), (TARGET, 0), (ETHER_ADDRESS, 2), (FIRST, 0), (TARGET, 0),
    ]  # fmt: skip


def test_borrowed_code_transfers_nothing_and_self_destruction_does() -> None:
    view = world(target=send("DELEGATECALL", FIRST), first=f"PUSH20 0x{OTHER.hex()} SELFDESTRUCT")
    tracer, outcome = transfers(view, value=ETHER)
    assert [log.topics[1:] for log in tracer.merged(outcome.logs)] == [
        tuple(Hash(address.rjust(32, b"\0")) for address in pair)
        for pair in ((CALLER, TARGET), (TARGET, OTHER))
    ]


def test_a_tracer_of_messages_changes_no_result() -> None:
    view = world(target=send("CALL", FIRST) + "GAS 0 MSTORE 32 0 RETURN", first="1 1 SSTORE")
    quick = trace(view, "callTracer", fork=OSAKA)
    stepwise = trace(view, "muxTracer", {"callTracer": {}, "prestateTracer": {}})["callTracer"]
    assert quick == stepwise
