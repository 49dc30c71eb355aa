"""`statetest --trace`: a line before each opcode, the same from every tier."""

import json

import pytest

from contracts.vm import Interpreter
from node.conformance import fixtures, statetest
from node.conformance.steps import Traced
from node.conformance.tiers import TIERS, machine_of
from tests.contracts.vm.laboratory import assemble
from tests.differential_vm.compare import Observed, TooLong, differences, recorded
from tests.differential_vm.worlds import SENDER, SENDER_KEY, random_test

CALLEE = 0xC0DE
STORING = "CALLDATASIZE 3 ADD 5 SSTORE 5 SLOAD 0 MSTORE 7 1 TSTORE 32 0 RETURN"
CALLING = (
    f"0 1 SSTORE 32 0 0 0 0 {CALLEE} 60000 CALL 32 0 3 0 0 {CALLEE} 60000 CALL "
    f"RETURNDATASIZE 0 0 RETURNDATACOPY {CALLEE} BALANCE 1 5 0 CREATE GAS 0 0 REVERT"
)


def state_test(text, fork_name="Cancun"):
    test = {
        "env": {
            "currentCoinbase": "0x" + "cb" * 20,
            "currentGasLimit": "0x1c9c380",
            "currentNumber": "0x01",
            "currentTimestamp": "0x03e8",
            "currentRandom": "0x00",
            "currentBaseFee": "0x0a",
        },
        "pre": {
            "0x" + SENDER.hex(): {"balance": "0xffffffffffffffff", "nonce": "0x00", "code": "0x",
                                  "storage": {}},
            "0x" + "7a" * 20: {"balance": "0x64", "nonce": "0x01", "storage": {"0x01": "0x05"},
                               "code": "0x" + assemble(text).hex()},
            f"0x{CALLEE:040x}": {"balance": "0x05", "nonce": "0x01", "storage": {"0x05": "0x09"},
                                 "code": "0x" + assemble(STORING).hex()},
        },
        "transaction": {
            "nonce": "0x00",
            "gasPrice": "0x0a",
            "gasLimit": ["0x061a80"],
            "to": "0x" + "7a" * 20,
            "value": ["0x00"],
            "data": ["0x0102"],
            "secretKey": "0x" + SENDER_KEY.hex(),
        },
    }  # fmt: skip
    return recorded(test, fork_name, Observed("00" * 32, "00" * 32, "", ()))


def traced(test, tier):
    lines = []
    machine = Traced(machine_of(tier, traces=True), lines.append)
    file = fixtures.FileTests("test", {"test": test})
    (result,) = statetest.run_file(file, machine)
    return [json.loads(line) for line in lines], result


def test_a_step_tells_what_is_about_to_happen():
    steps, _ = traced(state_test(CALLING), "python")
    first = {
        "pc": 0, "op": 0x60, "gas": hex(400_000 - 21_032), "gasCost": "0x3", "memSize": 0,
        "stack": [], "depth": 1, "returnData": "0x", "refund": "0x0", "opName": "PUSH1",
    }  # fmt: skip
    assert steps[0] == first
    store = steps[2]
    assert store["opName"] == "SSTORE" and store["stack"] == ["0x0", "0x1"]
    assert store["gasCost"] == hex(5_000)
    assert steps[3]["refund"] == hex(4_800)
    assert {step.get("depth") for step in steps} == {1, 2, None}
    assert steps[-1]["error"] == "execution reverted" and steps[-1]["output"] == "0x"


@pytest.mark.parametrize("tier", [tier for tier in TIERS if tier != "python"])
@pytest.mark.parametrize("fork_name", ["Homestead", "Istanbul", "Berlin", "Cancun"])
def test_all_tiers_give_the_same_lines(tier, fork_name):
    test = state_test(CALLING, fork_name)
    assert traced(test, tier) == traced(test, "python")


@pytest.mark.parametrize(("tier", "seeds"), [("native", range(120)), ("jit", range(200, 240))])
def test_random_programs_give_the_same_lines(tier, seeds):
    """Compiled code comes from few of them, since each opcode is compiled apart."""
    compared = 0
    for seed in seeds:
        fork_name, test = random_test(seed)
        try:
            differences(test, fork_name, [])
        except TooLong:
            continue
        if int(test["transaction"]["gasLimit"][0], 16) > 500_000:
            continue
        test = recorded(test, fork_name, Observed("00" * 32, "00" * 32, "", ()))
        expected, result = traced(test, "python")
        got, result_natively = traced(test, tier)
        for mine, theirs in zip(expected, got):
            assert theirs == mine, seed
        assert (len(got), result_natively) == (len(expected), result)
        compared += len(got)
    assert compared > 1_000


def test_the_command_writes_lines_to_stderr(tmp_path, capsys):
    path = tmp_path / "test.json"
    path.write_text(json.dumps({"test": state_test("1 2 ADD")}))
    list(statetest.trace_path(str(path), tier="native"))
    names = [json.loads(line).get("opName") for line in capsys.readouterr().err.splitlines()]
    assert names == ["PUSH1", "PUSH1", "ADD", "STOP", None]
    assert next(iter(statetest.trace_path(str(path))))["stateRoot"]
    assert isinstance(machine_of("python", traces=True), Interpreter)
