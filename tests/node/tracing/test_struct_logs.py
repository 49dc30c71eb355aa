"""Steps as they are written down, what is left out of them, and the limits of a trace."""

from functools import partial
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.forks import SHANGHAI
from chain.transition import TransactionResult
from chain.types import Address
from node.tracing import Budget, Stopped, choose
from node.tracing.struct_logs import StructLogOptions, StructLogTracer
from node.tracing.tracer import Limit, Subject
from tests.contracts.vm.laboratory import View
from tests.node.tracing.workbench import FIRST, answer, call, send, world


def steps(view: View, gas: int = 5_000_000, **options: Any) -> dict[str, Any]:
    make = partial(StructLogTracer, options=StructLogOptions(**options))
    found: dict[str, Any] = call(view, make, gas=gas)
    return found


def test_every_step_shows_what_it_met() -> None:
    answer = steps(world(target="3 2 ADD 0 MSTORE 32 0 RETURN"))
    assert answer["gas"] == 21_000 + 8 * 3
    assert answer["failed"] is False
    assert answer["returnValue"] == "0x" + "5".rjust(64, "0")
    first, _, third, *_ = answer["structLogs"]
    gas = 5_000_000 - 21_000
    assert first == {"pc": 0, "op": "PUSH1", "gas": gas, "gasCost": 3, "depth": 1, "stack": []}
    assert third["stack"] == ["0x3", "0x2"]
    mstore = answer["structLogs"][4]
    assert (mstore["op"], mstore["gasCost"]) == ("MSTORE", 6)


def test_memory_comes_in_words_and_only_when_wanted() -> None:
    view = world(target="1 0 MSTORE 2 33 MSTORE8 STOP")
    assert not any("memory" in step for step in steps(view)["structLogs"])
    last = steps(view, memory=True)["structLogs"][-1]
    assert last["memory"] == ["0x" + "1".rjust(64, "0"), "0x0002".ljust(66, "0")]


def test_storage_adds_up_where_it_is_touched() -> None:
    view = world(target="7 1 SSTORE 2 SLOAD POP")
    found = [step.get("storage") for step in steps(view)["structLogs"]]
    one, two = ("0x" + digit.rjust(64, "0") for digit in "12")
    seven, zero = ("0x" + digit.rjust(64, "0") for digit in "70")
    assert found == [None, None, {one: seven}, None, {one: seven, two: zero}, None, None]
    assert not any("storage" in step for step in steps(view, storage=False)["structLogs"])


def test_refunds_and_returned_data_are_shown_while_there_are_any() -> None:
    view = world(
        target="0 1 SSTORE " + send("CALL", FIRST) + "STOP", first="5 0 MSTORE8 1 0 RETURN"
    )
    view.slots[next(a for a in view.accounts if a == b"\x7a" * 20), 1] = 9
    last = steps(view, return_data=True, stack=False)["structLogs"][-1]
    assert last["refund"] == 4_800
    assert last["returnData"] == "0x05"
    assert "stack" not in last


def test_a_call_costs_what_it_hands_over_and_deepens() -> None:
    view = world(target=send("CALL", FIRST, gas=1_000), first="STOP")
    logs = steps(view)["structLogs"]
    (sent,) = [step for step in logs if step["op"] == "CALL"]
    assert sent["gasCost"] == 2_600 + 1_000
    assert [step["depth"] for step in logs if step["op"] == "STOP"] == [2, 1]


@pytest.mark.parametrize(
    ("code", "gas", "error"),
    [
        ("ADD", 50_000, "stack underflow (0 <=> 2)"),
        ("1 1 SSTORE", 25_000, "out of gas"),
    ],
)
def test_a_step_that_fails_says_why(code: str, gas: int, error: str) -> None:
    answer = steps(world(target=code), gas=gas)
    assert answer["structLogs"][-1]["error"] == error
    assert answer["failed"] is True
    assert answer["returnValue"] == "0x"


@pytest.mark.parametrize(("gas", "price"), [(6 + 2, 3), (6 + 3, 6), (6 + 6, 6)])
def test_without_gas_for_the_static_price_there_is_no_other(gas: int, price: int) -> None:
    logs = steps(world(target="1 0 MSTORE STOP"), gas=21_000 + gas)["structLogs"]
    assert logs[2]["gasCost"] == price
    assert ("error" in logs[2]) is (gas < 6 + 6)


def test_an_unknown_opcode_has_a_name() -> None:
    view = world()
    view.put(b"\x7a" * 20, code=b"\x0c")  # type: ignore[arg-type]
    assert steps(view)["structLogs"][-1]["op"] == "opcode 0xc not defined"


def test_reverted_data_is_returned() -> None:
    answer = steps(world(target="5 0 MSTORE8 1 0 REVERT"))
    assert (answer["failed"], answer["returnValue"]) == (True, "0x05")


def test_a_limit_cuts_the_steps_but_not_the_execution() -> None:
    """The limit is of bytes; the step that exceeds it is the last one."""
    view = world(target="1 POP 5 0 MSTORE8 1 0 RETURN")
    whole = steps(view)["structLogs"]
    first = len(msgspec.json.encode(whole[0]))
    for limit, count in ((1, 1), (first - 1, 1), (first, 2), (10**6, len(whole)), (0, len(whole))):
        answer = steps(view, limit=limit)
        assert answer["structLogs"] == whole[:count]
        assert answer["returnValue"] == "0x05"


def test_what_a_write_gives_back_counts_from_its_own_step_on() -> None:
    logs = steps(world(target="1 0 SSTORE 0 0 SSTORE STOP"))["structLogs"]
    assert [step.get("refund") for step in logs] == [None] * 5 + [19_900, 19_900]


@pytest.mark.parametrize(
    ("code", "price"),
    [("64 0 LOG0", 375 + 8 * 64 + 6), ("1 0 SSTORE", 22_100), ("5 0 0 RETURNDATACOPY", 3 + 3 + 3)],
)
def test_what_is_forbidden_has_its_price_all_the_same(code: str, price: int) -> None:
    """Given writes in a static call, and more read than was returned."""
    logs = steps(world(target=send("STATICCALL", FIRST), first=code))["structLogs"]
    (last,) = [step for step, after in pairwise(logs) if step["depth"] > after["depth"]]
    assert last["gasCost"] == price
    assert "error" not in last


LOOP = "JUMPDEST 0 JUMP"


def test_a_trace_that_grows_too_large_is_stopped() -> None:
    make = partial(StructLogTracer, options=StructLogOptions())
    with pytest.raises(Stopped) as stopped:
        call(world(target=LOOP), make, budget=Budget(60, 10_000))
    assert stopped.value.limit is Limit.SIZE


def test_deep_paths_count_as_part_of_a_flat_trace() -> None:
    """Given a recursion whose nested trace is small enough, its paths alone are too much."""
    view = world(target="0 0 0 0 0 ADDRESS GAS CALL")
    for name, fits in (("callTracer", True), ("flatCallTracer", False)):
        try:
            answer(view, choose(name, {}), gas=2**40, fork=SHANGHAI, budget=Budget(60, 10**6))
        except Stopped as stopped:
            assert (stopped.limit, fits) == (Limit.SIZE, False)
        else:
            assert fits


@pytest.mark.parametrize("name", ["callTracer", "prestateTracer", "4byteTracer"])
def test_a_trace_that_takes_too_long_is_stopped(name: str) -> None:
    """Given a clock that jumps at every look, then no tracer reaches the end."""
    times = iter(range(10**9))
    budget = Budget(1, 10**9, clock=lambda: next(times))
    view = world(target="JUMPDEST " + send("CALL", FIRST) + "0 JUMP", first="STOP")
    with pytest.raises(Stopped) as stopped:
        call(view, choose(name, {}), budget=budget)
    assert stopped.value.limit is Limit.TIME


def test_tracers_combine() -> None:
    view = world(target="STOP")
    config: dict[str, Any] = {
        "callTracer": {"onlyTopCall": True},
        "noopTracer": None,
        "muxTracer": {"4byteTracer": {}},
    }
    answer = call(view, choose("muxTracer", config), data=b"\1\2\3\4")
    assert answer["callTracer"]["type"] == "CALL"
    assert answer["noopTracer"] == {}
    assert answer["muxTracer"] == {"4byteTracer": {"0x01020304-0": 1}}


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("nonsenseTracer", {}),
        ("{step: function() {}}", {}),
        ("callTracer", {"withLog": "yes"}),
        ("callTracer", {"onlyTopCall": 1}),
        ("prestateTracer", {"diffMode": []}),
        ("prestateTracer", {"diffMode": True, "includeEmpty": True}),
        ("muxTracer", {"callTracer": "x"}),
        ("muxTracer", {"unknown": {}}),
        ("muxTracer", {"muxTracer": {"muxTracer": {"muxTracer": {str(n): {} for n in range(99)}}}}),
    ],
)
def test_wrong_names_and_options_are_refused(name: str, config: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        choose(name, config)


class Watching:
    """A tracer of steps that notes by itself what is on the stack."""

    wants_steps = True

    def __init__(self, subject: Subject, budget: Budget) -> None:
        self._steps = StructLogTracer(subject, budget, StructLogOptions())
        self._stacks: list[list[str]] = []
        self.on_enter, self.on_exit = self._steps.on_enter, self._steps.on_exit

    def on_step(self, pc: int, opcode: int, gas: int, cost: int, frame: Any) -> None:
        self._stacks.append([hex(word) for word in frame.stack])
        self._steps.on_step(pc, opcode, gas, cost, frame)

    def result(self, outcome: TransactionResult) -> Any:
        return self._steps.result(outcome), self._stacks


_PRECOMPILED = Address(b"\4".rjust(20, b"\0"))
_DOINGS = [
    "1", "0xffffffffffffffff", "DUP1", "DUP2", "DUP5", "SWAP1", "SWAP4", "POP", "ADD", "ISZERO",
    "GAS", "0 MLOAD", "7 0 MSTORE", "1 5 SSTORE", "5 SLOAD", "0 0 0 CREATE",
    send("CALL", FIRST), send("STATICCALL", _PRECOMPILED),
]  # fmt: skip


@given(st.lists(st.sampled_from(_DOINGS), max_size=60), st.lists(st.sampled_from(_DOINGS)))
def test_stacks_are_what_they_are_whatever_happens(outer: list[str], inner: list[str]) -> None:
    view = world(target="1 2 3 4 5 " + " ".join(outer), first="6 7 8 9 " + " ".join(inner))
    shown, stacks = call(view, Watching, gas=3_000_000)
    assert [step["stack"] for step in shown["structLogs"]] == stacks


def test_many_steps_are_all_there_in_their_order() -> None:
    view = world(target="300 JUMPDEST 1 SWAP1 SUB DUP1 3 JUMPI STOP")
    logs = steps(view)["structLogs"]
    assert len(logs) == 1 + 300 * 7 + 1
    assert sorted((step["gas"] for step in logs), reverse=True) == [step["gas"] for step in logs]
