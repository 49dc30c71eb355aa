"""The parts of Parity's traces: messages with the gas of execution, opcodes, changes of state."""

import json
from typing import Any

import pytest

from chain.types import Address
from node.tracing import Budget, Stopped
from node.tracing.parity import MESSAGES, parts
from tests.contracts.vm.laboratory import CALLER, ETHER, TARGET, View, assemble
from tests.node.tracing.workbench import FIRST, SECOND, answer, call, send, shown, world

IDENTITY = Address((4).to_bytes(20, "big"))


def word(value: int) -> str:
    return f"0x{value:064x}"


def opcodes(code: dict[str, Any]) -> list[int]:
    return [step["pc"] for step in code["ops"]]


# -- trace -----------------------------------------------------------------------------------------


def test_gas_is_that_of_execution_alone() -> None:
    """Given a contract that stops at once, it took no gas; what the transaction costs is not it."""
    (item,) = call(world(target="STOP"), MESSAGES, gas=100_000)
    assert item["action"]["gas"] == hex(100_000 - 21_000)
    assert item["result"] == {"gasUsed": "0x0", "output": "0x"}


def test_each_item_has_its_path_and_the_number_of_those_below() -> None:
    view = world(
        target=send("CALL", FIRST) + send("STATICCALL", SECOND), first=send("CALL", SECOND)
    )
    items = call(view, MESSAGES)
    assert [(item["traceAddress"], item["subtraces"]) for item in items] == [
        ([], 2), ([0], 1), ([0, 0], 0), ([1], 0),
    ]  # fmt: skip
    assert [item["action"].get("callType") for item in items] == [
        "call", "call", "call", "staticcall",
    ]  # fmt: skip
    assert "blockHash" not in items[0]


def test_creations_say_how_and_destructions_have_no_result() -> None:
    view = world(target=f"0 0 0 CREATE POP 0 0 0 0 CREATE2 POP PUSH20 0x{FIRST.hex()} SELFDESTRUCT")
    _, first, second, gone = call(view, MESSAGES)
    assert [item["action"]["creationMethod"] for item in (first, second)] == ["create", "create2"]
    assert (gone["type"], gone["result"]) == ("suicide", None)
    assert gone["action"]["refundAddress"] == shown(FIRST)


def test_failures_are_named_in_parity_s_words() -> None:
    (reverted,) = call(world(target="0 0 REVERT"), MESSAGES)
    assert (reverted["error"], reverted["result"]["output"]) == ("Reverted", "0x")
    (broken,) = call(world(target="INVALID"), MESSAGES)
    assert (broken["error"], broken["result"]) == ("Bad instruction", None)
    static = world(target=send("STATICCALL", FIRST), first="1 1 SSTORE")
    assert call(static, MESSAGES)[1]["error"] == "Mutable Call In Static Context"


def test_a_creation_that_reverts_tells_what_its_address_would_have_been() -> None:
    """And one that fails otherwise has no result."""
    (reverted,) = call(world(), MESSAGES, to=None, data=assemble("9 0 MSTORE8 1 0 REVERT"))
    assert (reverted["error"], reverted["result"]["code"]) == ("Reverted", "0x09")
    (made,) = call(world(), MESSAGES, to=None, data=assemble("STOP"))
    assert reverted["result"]["address"] == made["result"]["address"]
    (failed,) = call(world(), MESSAGES, to=None, data=assemble("INVALID"))
    assert failed["result"] is None


@pytest.mark.parametrize("kind", ["CALL", "CALLCODE", "STATICCALL", "DELEGATECALL"])
def test_precompiles_show_only_when_they_are_paid(kind: str) -> None:
    view = world(target=send(kind, IDENTITY) + send("CALL", IDENTITY, value=1))
    view.put(TARGET, code=view.codes[view.accounts[TARGET].code_hash], balance=1)
    whole, paid = call(view, MESSAGES)
    assert (whole["subtraces"], paid["traceAddress"]) == (1, [0])
    assert (paid["action"]["to"], paid["action"]["value"]) == (shown(IDENTITY), "0x1")


def test_who_inherits_may_be_a_precompile() -> None:
    _, gone = call(world(target=f"PUSH20 0x{IDENTITY.hex()} SELFDESTRUCT"), MESSAGES)
    assert gone["action"]["refundAddress"] == shown(IDENTITY)


# -- vmTrace ---------------------------------------------------------------------------------------


def vm_trace(view: View, **message: Any) -> Any:
    return call(view, parts(["vmTrace"]), **message)["vmTrace"]


def test_each_opcode_tells_what_it_pushed_and_the_gas_left() -> None:
    code = vm_trace(world(target="PUSH1 2 PUSH1 3 ADD STOP"), gas=121_000)
    assert code["code"] == "0x" + assemble("PUSH1 2 PUSH1 3 ADD STOP").hex()
    assert [(step["cost"], step["ex"]["push"], step["ex"]["used"]) for step in code["ops"]] == [
        (3, ["0x2"], 99_997), (3, ["0x3"], 99_994), (3, ["0x5"], 99_991), (0, [], 99_991),
    ]  # fmt: skip
    assert all(step["sub"] is None for step in code["ops"])


def test_memory_and_storage_that_were_written_are_shown() -> None:
    code = vm_trace(world(target="PUSH1 7 PUSH1 32 MSTORE PUSH1 9 PUSH1 1 SSTORE"))
    memory = [step["ex"]["mem"] for step in code["ops"]]
    assert memory[2] == {"data": word(7), "off": 32}
    assert [step["ex"]["store"] for step in code["ops"]][5] == {"key": "0x1", "val": "0x9"}
    assert memory[:2] == [None, None]


def test_a_called_code_stands_in_the_opcode_that_called_it() -> None:
    """What the call left behind is told after it: its result on the stack, its output in memory."""
    calling = f"32 0 0 0 0 PUSH20 0x{FIRST.hex()} GAS CALL STOP"
    code = vm_trace(world(target=calling, first="5 0 MSTORE 32 0 RETURN"))
    step = code["ops"][-2]
    assert (step["op"], code["ops"][-1]["op"]) == ("CALL", "STOP")
    assert step["sub"]["code"] == "0x" + assemble("5 0 MSTORE 32 0 RETURN").hex()
    assert len(step["sub"]["ops"]) == 6
    assert step["ex"]["push"] == ["0x1"]
    assert step["ex"]["mem"] == {"data": word(5), "off": 0}


def test_what_runs_no_code_is_an_empty_one() -> None:
    """So are calls to accounts without code and to precompiles; one that can't be paid has none."""
    code = vm_trace(world(target=send("CALL", SECOND) + send("STATICCALL", IDENTITY)))
    empty = {"code": "0x", "ops": []}
    assert [step["sub"] for step in code["ops"] if step["op"].endswith("CALL")] == [empty, empty]
    assert vm_trace(world(), to=SECOND) == empty
    unpaid = vm_trace(world(target=send("CALL", SECOND, value=5)))
    assert [step["sub"] for step in unpaid["ops"] if step["op"] == "CALL"] == [None]
    heir = vm_trace(world(target=f"PUSH20 0x{FIRST.hex()} SELFDESTRUCT"))
    assert heir["ops"][-1]["sub"] is None


def test_an_opcode_that_failed_has_no_effect_and_a_revert_has() -> None:
    failed = vm_trace(world(target="1 1 SSTORE"), gas=21_100)
    assert [step["ex"] is None for step in failed["ops"]] == [False, False, True]
    reverted = vm_trace(world(target="0 0 REVERT"))
    assert reverted["ops"][-1]["ex"] is not None
    inner = vm_trace(world(target=send("STATICCALL", FIRST), first="1 1 SSTORE"))
    (sub,) = [step["sub"] for step in inner["ops"] if step["sub"]]
    assert sub["ops"][-1]["ex"] is None


@pytest.mark.parametrize("wrong", ["INVALID", "POP", "ADD", "JUMP"])
def test_opcodes_that_can_t_begin_are_left_out(wrong: str) -> None:
    code = vm_trace(world(target="JUMPDEST 0 POP " + wrong))
    assert [step["op"] for step in code["ops"]] == ["JUMPDEST", "PUSH1", "POP"]
    alone = vm_trace(world(target=wrong))
    assert (alone["code"], alone["ops"]) == ("0x" + assemble(wrong).hex(), [])


def test_a_jump_to_nowhere_has_still_jumped() -> None:
    code = vm_trace(world(target="0xff JUMP"), gas=121_000)
    assert code["ops"][-1] == {
        "cost": 8, "pc": 2, "op": "JUMP", "sub": None,
        "ex": {"mem": None, "push": [], "store": None, "used": 99_989},
    }  # fmt: skip


def test_the_end_of_code_is_no_opcode() -> None:
    """Its last one shows what it did all the same, also when it was a call."""
    code = vm_trace(world(target="7 9 SSTORE"))
    assert [step["op"] for step in code["ops"]] == ["PUSH1", "PUSH1", "SSTORE"]
    assert code["ops"][-1]["ex"]["store"] == {"key": "0x9", "val": "0x7"}
    calling = vm_trace(world(target=send("CALL", FIRST).removesuffix("POP "), first="7"))
    assert calling["ops"][-1]["ex"]["push"] == ["0x1"]
    assert [step["op"] for step in calling["ops"][-1]["sub"]["ops"]] == ["PUSH1"]
    assert [step["op"] for step in vm_trace(world(target="STOP"))["ops"]] == ["STOP"]


def test_duplicates_and_exchanges_show_all_words_that_they_moved() -> None:
    code = vm_trace(world(target="1 2 DUP2 SWAP2"))
    assert [step["ex"]["push"] for step in code["ops"][2:]] == [
        ["0x1", "0x2", "0x1"], ["0x1", "0x2", "0x1"],
    ]  # fmt: skip


def test_the_price_of_a_creation_has_the_gas_of_its_code_in_it() -> None:
    initcode = int.from_bytes(assemble("1 0 RETURN"), "big")
    making = f"PUSH5 {initcode} 0 MSTORE 5 27 0 CREATE"
    *_, step = vm_trace(world(target=making))["ops"]
    given = step["sub"]["ops"][0]["ex"]["used"] + 3
    assert step["sub"]["code"] == f"0x{initcode:010x}"
    assert step["cost"] == 32_000 + 2 + given
    assert [inner["op"] for inner in step["sub"]["ops"]][-1] == "RETURN"


def test_code_that_is_refused_was_returned_all_the_same() -> None:
    code = vm_trace(world(), to=None, data=assemble("0xef 0 MSTORE8 1 0 RETURN"))
    assert code["ops"][-1]["ex"] is not None


def test_deeply_nested_codes_are_valid_and_not_copied_at_each_level() -> None:
    """Given a contract that calls itself until its gas is over, the text stays linear."""
    loop = f"0 0 0 0 0 PUSH20 0x{TARGET.hex()} GAS CALL"
    text = answer(world(target=loop), parts(["vmTrace"]), gas=30_000_000)
    assert text.count(b'"code"') == text.count(b'"ops":[') > 100


def test_a_trace_beyond_its_size_is_stopped() -> None:
    with pytest.raises(Stopped):
        vm_trace(world(target="JUMPDEST 0 JUMP"), budget=Budget(60, 10_000))


# -- stateDiff -------------------------------------------------------------------------------------


def state_diff(view: View, **message: Any) -> Any:
    return call(view, parts(["stateDiff"]), **message)["stateDiff"]


def test_a_transfer_changes_balances_and_the_sender_s_nonce() -> None:
    view = world()
    view.put(SECOND, balance=1)
    diff = state_diff(view, to=SECOND, value=5)
    assert diff == {
        shown(CALLER): {
            "balance": {"*": {"from": hex(100 * ETHER), "to": hex(100 * ETHER - 5)}},
            "code": "=",
            "nonce": {"*": {"from": "0x5", "to": "0x6"}},
            "storage": {},
        },
        shown(SECOND): {
            "balance": {"*": {"from": "0x1", "to": "0x6"}},
            "code": "=",
            "nonce": "=",
            "storage": {},
        },
    }


def test_a_new_account_came_into_being_whole() -> None:
    code = assemble("7 3 SSTORE PUSH1 0xfe 0 MSTORE8 1 0 RETURN")
    diff = state_diff(world(), to=None, data=code)
    (born,) = (entry for entry in diff.values() if "+" in entry["balance"])
    assert born == {
        "balance": {"+": "0x0"},
        "code": {"+": "0xfe"},
        "nonce": {"+": "0x1"},
        "storage": {word(3): {"+": word(7)}},
    }


def test_slots_show_both_sides_and_what_was_undone_does_not_show() -> None:
    view = world(target="9 1 SSTORE 8 2 SSTORE", first="9 1 SSTORE 0 0 REVERT")
    view.put(TARGET, code=assemble("9 1 SSTORE 8 2 SSTORE 8 2 SSTORE"), storage={1: 4, 2: 8})
    diff = state_diff(view)
    assert diff[shown(TARGET)]["storage"] == {word(1): {"*": {"from": word(4), "to": word(9)}}}
    assert shown(FIRST) not in state_diff(world(first="9 1 SSTORE 0 0 REVERT"), to=FIRST)


def test_an_account_that_destroys_itself_at_birth_leaves_nothing() -> None:
    diff = state_diff(world(), to=None, data=assemble("CALLER SELFDESTRUCT"))
    assert list(diff) == [shown(CALLER)]


def test_all_parts_come_together_and_none_is_only_the_output() -> None:
    view = world(target="5 0 MSTORE 32 0 RETURN")
    whole = json.loads(answer(view, parts(["trace", "vmTrace", "stateDiff"])))
    assert whole["output"] == word(5)
    assert whole["trace"][0]["result"]["output"] == word(5)
    assert len(whole["vmTrace"]["ops"]) == 6
    assert shown(CALLER) in whole["stateDiff"]
    assert call(view, parts([])) == {
        "output": word(5), "trace": [], "vmTrace": None, "stateDiff": None,
    }  # fmt: skip
