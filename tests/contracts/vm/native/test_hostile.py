"""Code that means harm: the limits of memory, depth, gas and data, each from both sides."""

import pytest

from chain.forks import BYZANTIUM, OSAKA
from chain.machine import Halt
from tests.contracts.vm.laboratory import OTHER, RETURN_TOP, View, assemble
from tests.contracts.vm.native.both import Case, agree, agree_in_steps, case_of

OTHER_WORD = int.from_bytes(OTHER, "big")
LIMIT = 0x1FFFFFFFE0  # bytes of memory that no gas pays for
FAR = [LIMIT - 33, LIMIT - 32, LIMIT - 31, LIMIT, 2**40 - 1, 2**40, 2**63 - 1, 2**63]
FAR += [2**64 - 33, 2**64 - 32, 2**64 - 1, 2**64, 2**64 + 1, 2**128, 2**255, 2**256 - 32]
FAR += [2**256 - 1]
CALLS = ["CALL", "CALLCODE", "DELEGATECALL", "STATICCALL"]
# How each opcode that reaches into memory takes an offset and a size.
REACHING = {
    "MLOAD": "{offset} MLOAD", "MSTORE": "7 {offset} MSTORE", "MSTORE8": "7 {offset} MSTORE8",
    "KECCAK256": "{size} {offset} KECCAK256", "MCOPY": "{size} 0 {offset} MCOPY",
    "MCOPY, from": "{size} {offset} 0 MCOPY", "CALLDATACOPY": "{size} 0 {offset} CALLDATACOPY",
    "CODECOPY": "{size} 0 {offset} CODECOPY", "LOG1": "5 {size} {offset} LOG1",
    "EXTCODECOPY": f"{{size}} 0 {{offset}} {OTHER_WORD} EXTCODECOPY",
    "CREATE": "{size} {offset} 0 CREATE", "RETURN": "{size} {offset} RETURN",
    "REVERT": "{size} {offset} REVERT",
    "CALL, data": f"0 0 {{size}} {{offset}} 0 {OTHER_WORD} 9000 CALL",
    "CALL, output": f"{{size}} {{offset}} 0 0 0 {OTHER_WORD} 9000 CALL",
}  # fmt: skip


def world() -> View:
    return View().put(OTHER, code=assemble("CALLDATASIZE 0 MSTORE 64 0 RETURN"), balance=5)


@pytest.mark.parametrize("text", REACHING.values(), ids=REACHING.keys())
def test_memory_that_nobody_can_pay_for_is_out_of_gas(text):
    """Whatever the size; unless it is 0, which reaches nowhere."""
    for place in FAR:
        for size in (0, 1, 32, 2**40, 2**64 - place if place < 2**64 else 1, 2**256 - 1):
            code = text.format(offset=place, size=size)
            outcome = agree(case_of(f"3 1 SSTORE {code}", view=world(), gas=10_000_000))
            assert outcome.halt in (Halt.OUT_OF_GAS, Halt.REVERT, None, Halt.INITCODE_TOO_LARGE)
            if size and place >= LIMIT and "CREATE" not in text:
                assert outcome.halt is Halt.OUT_OF_GAS and not outcome.gas_left


@pytest.mark.parametrize("text", REACHING.values(), ids=REACHING.keys())
def test_the_last_byte_of_gas_for_memory_counts(text):
    """One gas more or less around what the expansion costs."""
    code = assemble(text.format(offset=100_000, size=64))
    case = Case(code, world(), gas=10_000_000, data=b"")
    used = 10_000_000 - agree(case).gas_left
    for gas in range(used - 3, used + 3):
        agree(Case(code, world(), gas=gas, data=b""))


@pytest.mark.parametrize("places", [FAR, [0, 1, 31, 32, 33, 63, 64, 65]], ids=["far", "near"])
def test_data_is_zeros_behind_its_end(places):
    for place in places:
        text = f"{place} CALLDATALOAD 70 {place} 5 CALLDATACOPY 70 {place} 90 CODECOPY "
        text += f"70 {place} 180 {OTHER_WORD} EXTCODECOPY 300 0 KECCAK256 XOR {RETURN_TOP}"
        agree(case_of(text, view=world(), data=bytes(range(1, 65))))


@pytest.mark.parametrize("fork", [BYZANTIUM, OSAKA], ids=["byzantium", "osaka"])
def test_reading_behind_what_was_returned_fails(fork):
    """64 bytes were returned, first by Python's help, then natively."""
    call = f"0 0 0 0 0 {OTHER_WORD} 9000 CALL POP"
    for start in (0, 1, 32, 64, 65, *FAR):
        for size in (0, 1, 32, 64, 65, 2**64 - start if start < 2**64 else 1, *FAR[-4:]):
            text = f"{call} {call} {size} {start} 0 RETURNDATACOPY MSIZE {RETURN_TOP}"
            outcome = agree(case_of(text, view=world(), fork=fork, gas=1_000_000))
            inside = start + size <= 64
            assert (outcome.halt is Halt.RETURN_DATA_OUT_OF_BOUNDS) is not inside


@pytest.mark.parametrize("first", CALLS)
@pytest.mark.parametrize("second", CALLS)
def test_two_accounts_call_each_other_to_depth_1024(first, second):
    """All kinds in turn; what failed at the bottom is told to the top."""

    def calling(name, to):
        value = "0 " if name in ("CALL", "CALLCODE") else ""
        return f"32 0 32 0 {value}{to} GAS {name} 1 ADD 0 MLOAD ADD {RETURN_TOP}"

    there = 0x7A7A7A7A7A7A7A7A7A7A7A7A7A7A7A7A7A7A7A7A
    view = View().put(OTHER, code=assemble(calling(second, there)))
    outcome = agree(case_of(calling(first, OTHER_WORD), view=view, gas=2**60))
    assert outcome.halt is None


@pytest.mark.parametrize("name", ["CREATE", "CREATE2"])
def test_creations_and_calls_share_the_depth(name):
    """Initcode that calls the creator again, which creates again."""
    salt = "GAS " if name == "CREATE2" else ""
    initcode = assemble("0 0 0 0 0 CALLER GAS CALL 0 MSTORE 32 0 RETURN")
    word = int.from_bytes(initcode.ljust(32, b"\0"), "big")
    text = f"PUSH32 {word} 0 MSTORE {salt}{len(initcode)} 0 0 {name} GAS {RETURN_TOP}"
    assert agree(case_of(text, gas=2**60)).halt is None


@pytest.mark.parametrize("gas", [2**62, 2**63 - 1, 2**63, 2**64 - 2**32 - 1, 2**64 - 1])
def test_sums_of_gas_do_not_turn_negative(gas):
    """Gas asked for near 2^63 and above, given or not, and what comes back of it."""
    for wanted in (2**62, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 1, 2**64, 2**255, 2**256 - 1):
        call = f"0 0 0 0 0 {OTHER_WORD} {wanted} CALL"
        text = f"{call} {call} ADD GAS XOR {RETURN_TOP}"
        agree(case_of(text, view=world(), gas=gas))
        agree(case_of(text, view=world(), gas=gas, fork=BYZANTIUM))


def test_a_loop_that_only_leaves_native_code_is_traced_the_same():
    text = f"JUMPDEST {OTHER_WORD} BALANCE POP 0 0 0 0 1 {OTHER_WORD} GAS CALL POP 0 JUMP"
    agree_in_steps(case_of(text, view=world(), gas=60_000))


DELEGATES = {bytes([0xD0 + n]) * 20: n for n in range(5)}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("gas", [30_000, 500_000])
def test_delegated_accounts_run_their_delegates_code_and_no_further(name, gas):
    """To a contract, to another delegated account, itself, a precompiled contract, and nobody."""
    own = list(DELEGATES)
    targets = [OTHER, own[0], own[2], (2).to_bytes(20, "big"), b"\x99" * 20]
    code = "ADDRESS 0 MSTORE CODESIZE 32 MSTORE 5 SLOAD CALLER ADD 64 MSTORE GAS 96 MSTORE"
    view = View().put(OTHER, code=assemble(f"{code} 128 0 RETURN"), balance=5)
    for account, target in zip(own, targets):
        view.put(account, code=b"\xef\x01\x00" + target, balance=3)
    for value in ("0 ", "1 ") if name in ("CALL", "CALLCODE") else ("",):
        calls = [
            f"128 0 0 0 {value}{int.from_bytes(to, 'big')} {asked} {name} GAS RETURNDATASIZE"
            f" ADD ADD 128 0 KECCAK256 XOR {int.from_bytes(to, 'big')} EXTCODEHASH XOR"
            for to in (*own, own[0])
            for asked in (9_000, 100, 2_600)
        ]
        for fork in (OSAKA, BYZANTIUM):
            text = calls[0] + "".join(f" {call} XOR" for call in calls[1:])
            agree(case_of(f"0 {text} XOR {RETURN_TOP}", view=view, gas=gas, fork=fork))
