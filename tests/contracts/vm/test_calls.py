"""Messages between contracts: context, gas, value, depth, failure, delegation."""

import pytest

from chain import forks
from chain.forks import FORKS
from chain.machine import Halt
from contracts.vm import Interpreter
from tests.contracts.vm.laboratory import (
    BLOCK,
    CALLER,
    ETHER,
    OTHER,
    TARGET,
    TRANSACTION,
    View,
    assemble,
    begin,
    run,
)

TO = int.from_bytes(OTHER, "big")
CONTEXT = assemble(
    "ADDRESS 0 MSTORE CALLER 32 MSTORE CALLVALUE 64 MSTORE CALLDATASIZE 96 MSTORE 128 0 RETURN"
)
BACK = "RETURNDATASIZE 0 0 RETURNDATACOPY RETURNDATASIZE 0 RETURN"


def number(address: bytes) -> int:
    return int.from_bytes(address, "big")


def message(kind: str, *, value: int = 0, gas: int = 100_000, size: int = 0, to: int = TO) -> str:
    """Code that sends a message of `size` zero bytes and leaves its success on the stack."""
    middle = f"{value} " if kind in ("CALL", "CALLCODE") else ""
    return f"0 0 {size} 0 {middle}{to} {gas} {kind} "


@pytest.mark.parametrize(
    ("kind", "address", "caller", "value"),
    [
        ("CALL", OTHER, TARGET, 3),
        ("CALLCODE", TARGET, TARGET, 3),
        ("DELEGATECALL", TARGET, CALLER, 9),
        ("STATICCALL", OTHER, TARGET, 0),
    ],
)
def test_each_kind_of_call_gives_its_context(kind, address, caller, value):
    view = View().put(OTHER, code=CONTEXT)
    result = run(message(kind, value=3, size=5) + "POP " + BACK, view=view, value=9)
    assert result.words == [number(address), number(caller), value, 5]


def test_a_call_moves_its_value_and_callcode_only_needs_it():
    view = View().put(OTHER, code=b"")
    state = run(message("CALL", value=5), view=view, value=9).state
    assert (state.balance(TARGET), state.balance(OTHER)) == (4, 5)
    state = run(message("CALLCODE", value=5), view=view, value=9).state
    assert (state.balance(TARGET), state.balance(OTHER)) == (9, 0)


@pytest.mark.parametrize("kind", ["CALL", "CALLCODE"])
def test_a_call_that_cannot_be_paid_for_fails_and_keeps_its_gas(kind):
    view = View().put(OTHER, code=CONTEXT)
    result = run(f"{message(kind, value=5)} RETURNDATASIZE ADD 0 MSTORE 32 0 RETURN", view=view)
    assert result.word == 0
    assert result.gas_used < 2_600 + 9_000 + 100


def test_the_stipend_comes_on_top_of_the_gas_sent():
    view = View().put(OTHER, code=assemble("GAS 0 MSTORE 32 0 RETURN"))
    code = message("CALL", value=1, gas=0) + "POP " + BACK
    assert run(code, view=view, value=1).word == 2_300 - 2
    code = message("CALL", value=0, gas=50) + "POP " + BACK
    assert run(code, view=view).word == 50 - 2


def test_a_call_gets_at_most_all_but_one_64th():
    view = View().put(OTHER, code=assemble("GAS 0 MSTORE 32 0 RETURN"))
    code = assemble(message("CALL", gas=2**200) + "POP " + BACK)
    left = 1_000_000 - 7 * 3 - 2_600
    result = run(code, view=view, gas=1_000_000)
    assert result.word == left - left // 64 - 2


def test_before_the_64th_rule_too_much_gas_asked_for_halts():
    view = View().put(OTHER, code=CONTEXT)
    code = message("CALL", gas=2_000_000)
    assert run(code, view=view, gas=1_000_000, fork=forks.HOMESTEAD).halt is Halt.OUT_OF_GAS
    assert run(code, view=view, gas=1_000_000, fork=forks.TANGERINE_WHISTLE).halt is None


@pytest.mark.parametrize("kind", ["CALL", "CALLCODE", "DELEGATECALL", "STATICCALL"])
def test_calls_nest_to_depth_1024_and_no_deeper(kind):
    """Code that calls itself and counts how deep it came, with gas enough for more."""
    me = number(TARGET)
    middle = "0 " if kind in ("CALL", "CALLCODE") else ""
    # Each frame returns one more than its callee did, zero when it could not call.
    code = assemble(f"32 0 0 0 {middle}{me} GAS {kind} 0 MLOAD ADD 0 MSTORE 32 0 RETURN")
    result = run(code, view=View().put(TARGET, code=code), gas=2**60)
    assert result.halt is None
    assert result.word == 1_024


def test_creations_nest_to_depth_1024_and_no_deeper():
    """Initcode that deploys itself; the deepest one finds that CREATE gives 0."""
    body = "CODESIZE 0 0 CODECOPY CODESIZE 0 0 CREATE"
    # The created contract's code is what its own creation returned, plus one byte.
    code = assemble(f"{body} EXTCODESIZE 1 ADD 0 RETURN")
    result = run(code, gas=2**60, fork=forks.HOMESTEAD, view=View().put(TARGET, code=code))
    assert len(result.outcome.output) == 1_025


@pytest.mark.parametrize(
    ("ending", "success", "keeps_gas", "output"),
    [
        ("STOP", 1, True, b""),
        ("32 0 RETURN", 1, True, bytes(32)),
        ("32 0 REVERT", 0, True, bytes(32)),
        ("INVALID", 0, False, b""),
        ("POP", 0, False, b""),
        ("JUMP", 0, False, b""),
        ("1 JUMP", 0, False, b""),
    ],
)
def test_a_callee_ends_in_success_revert_or_halt(ending, success, keeps_gas, output):
    view = View().put(OTHER, code=assemble("1 9 SSTORE " + ending))
    code = message("CALL") + "RETURNDATASIZE 32 MSTORE 0 MSTORE 64 0 RETURN"
    result = run(code, view=view)
    assert result.words == [success, len(output)]
    assert result.state.storage(OTHER, 9) == success
    assert (result.gas_used < 100_000) is keeps_gas


def test_output_goes_where_the_caller_wants_it_and_no_further():
    view = View().put(OTHER, code=assemble("0 NOT 0 MSTORE 32 0 RETURN"))
    code = f"4 2 0 0 0 {TO} 50000 CALL POP 32 0 RETURN"
    assert run(code, view=view).outcome.output == bytes(2) + b"\xff" * 4 + bytes(26)
    short = View().put(OTHER, code=assemble("0 NOT 0 MSTORE 1 0 RETURN"))
    assert run(code, view=short).outcome.output == bytes(2) + b"\xff" + bytes(29)


def test_nothing_below_a_static_call_writes():
    writes = assemble("1 0 SSTORE")
    code = message("STATICCALL") + "0 MSTORE 32 0 RETURN"
    assert run(code, view=View().put(OTHER, code=writes)).word == 0
    deeper = assemble(f"{message('CALL', to=0x99)} ISZERO 4 JUMPI")
    view = View().put(OTHER, code=deeper).put(bytes(19) + b"\x99", code=writes)
    result = run(code, view=view)
    assert result.state.storage(bytes(19) + b"\x99", 0) == 0


@pytest.mark.parametrize(
    ("code", "halts"),
    [
        (message("CALL", value=1), True),
        (message("CALL", value=0), False),
        (message("CALLCODE", value=1), False),
        ("0 SELFDESTRUCT", True),
        ("0 0 0 0 CREATE2", True),
    ],
)
def test_static_messages_refuse_what_changes_accounts(code, halts):
    result = run(code, static=True)
    assert (result.halt is Halt.WRITE_PROTECTION) is halts


def test_calling_nobody_costs_a_new_account_only_with_value_from_spurious_dragon_on():
    def cost(fork, value):
        return run(message("CALL", value=value, gas=0), fork=fork, value=1).gas_used - 7 * 3

    stipend = 2_300
    assert cost(forks.FRONTIER, 0) == 40 + 25_000
    assert cost(forks.FRONTIER, 1) == 40 + 25_000 + 9_000 - stipend
    assert cost(forks.SPURIOUS_DRAGON, 0) == 700
    assert cost(forks.SPURIOUS_DRAGON, 1) == 700 + 25_000 + 9_000 - stipend
    assert cost(forks.BERLIN, 0) == 2_600


def test_the_second_call_to_an_account_is_warm():
    twice = run(message("CALL") + message("CALL")).gas_used
    assert twice == 14 * 3 + 2_600 + 100


@pytest.mark.parametrize("kind", ["CALL", "CALLCODE", "DELEGATECALL", "STATICCALL"])
def test_a_delegation_runs_the_delegates_code_in_the_authoritys_name(kind):
    delegate = b"\xde" * 20
    designator = b"\xef\x01\x00" + delegate
    view = View().put(OTHER, code=designator).put(delegate, code=CONTEXT)
    result = run(message(kind) + "POP " + BACK, view=view)
    owner = OTHER if kind in ("CALL", "STATICCALL") else TARGET
    assert result.words[0] == number(owner)
    plain = run(message(kind), view=view).gas_used
    view.put(OTHER, code=CONTEXT)
    assert plain - run(message(kind), view=view).gas_used == 2_600  # the cold delegate


def test_delegations_are_followed_once_and_only_since_prague():
    end = b"\xde" * 20
    view = View().put(OTHER, code=b"\xef\x01\x00" + end)
    view.put(end, code=b"\xef\x01\x00" + OTHER)
    code = message("CALL") + "0 MSTORE 32 0 RETURN"
    assert run(code, view=view).word == 0  # 0xef is no opcode
    view.put(end, code=assemble("STOP"))
    assert run(code, view=view).word == 1
    assert run(code, view=view, fork=forks.CANCUN).word == 0


def test_delegating_to_a_precompile_runs_nothing():
    sha256 = bytes(19) + b"\x02"
    view = View().put(OTHER, code=b"\xef\x01\x00" + sha256)
    result = run(message("CALL", size=3) + "POP RETURNDATASIZE 0 MSTORE 32 0 RETURN", view=view)
    assert result.word == 0


def test_code_introspection_sees_the_designator():
    designator = b"\xef\x01\x00" + b"\xde" * 20
    view = View().put(OTHER, code=designator).put(b"\xde" * 20, code=CONTEXT)
    code = f"23 0 0 {TO} EXTCODECOPY {TO} EXTCODESIZE 32 MSTORE 64 0 RETURN"
    output = run(code, view=view).outcome.output
    assert output[:23] == designator and output[-1] == 23


def test_self_destruction_of_an_old_contract_only_moves_the_balance_since_cancun():
    code = assemble(f"{TO} SELFDESTRUCT")
    for fork, dies in ((forks.SHANGHAI, True), (forks.CANCUN, False)):
        view = View().put(TARGET, code=code, balance=5)
        state = run(code, view=view, fork=fork).state
        assert state.balance(OTHER) == 5
        state.end_transaction(fork)
        assert state.exists(TARGET) is not dies


def test_naming_oneself_as_heir_burns_the_balance_only_with_the_contract():
    code = assemble("ADDRESS SELFDESTRUCT")
    for fork, left in ((forks.SHANGHAI, 0), (forks.CANCUN, 5)):
        view = View().put(TARGET, code=code, balance=5)
        assert run(code, view=view, fork=fork).state.balance(TARGET) == left


@pytest.mark.parametrize(
    ("fork", "gas", "refund"),
    [
        (forks.FRONTIER, 0, 24_000),
        (forks.TANGERINE_WHISTLE, 30_000, 24_000),
        (forks.SPURIOUS_DRAGON, 30_000, 24_000),
        (forks.BERLIN, 32_600, 24_000),
        (forks.LONDON, 32_600, 0),
    ],
)
def test_self_destruction_costs_and_refunds_by_fork(fork, gas, refund):
    code = assemble(f"{TO} SELFDESTRUCT")
    result = run(code, view=View().put(TARGET, code=code, balance=5), fork=fork)
    assert result.gas_used - 3 == gas
    assert result.state.refund == refund


@pytest.mark.parametrize("fork", FORKS, ids=lambda fork: fork.name)
def test_a_failed_message_leaves_the_state_as_it_was(fork):
    code = assemble(message("CALL", value=1, gas=1_000) + "1 0 SSTORE INVALID")
    result = run(code, view=View().put(TARGET, code=code, storage={0: 7}), value=9, fork=fork)
    assert result.halt is not None
    delta = result.state.delta()
    assert not delta.accounts and not delta.storage


def test_the_environment_of_block_and_transaction_is_visible():
    names = "ORIGIN GASPRICE COINBASE TIMESTAMP NUMBER PREVRANDAO GASLIMIT CHAINID BASEFEE"
    names += " BLOBBASEFEE SELFBALANCE"
    code = " ".join(f"{name} {32 * place} MSTORE" for place, name in enumerate(names.split()))
    result = run(f"{code} {32 * len(names.split())} 0 RETURN", value=11)
    assert result.words == [
        number(CALLER), 10, number(BLOCK.coinbase), BLOCK.timestamp, BLOCK.number,
        BLOCK.randomness, BLOCK.gas_limit, BLOCK.chain_id, BLOCK.base_fee, BLOCK.blob_base_fee, 11,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "known"), [(999, True), (744, True), (743, False), (1_000, False), (2**255, False)]
)
def test_block_hashes_reach_back_256_blocks(asked, known):
    word = run(f"{asked} BLOCKHASH 0 MSTORE 32 0 RETURN").word
    assert word == (number(BLOCK.block_hash(asked)) if known else 0)


def test_blob_hashes_are_the_transactions():
    for index, word in ((0, number(b"\x01" * 32)), (1, number(b"\x02" * 32)), (2, 0), (2**200, 0)):
        assert run(f"{index} BLOBHASH 0 MSTORE 32 0 RETURN").word == word


def test_code_hash_is_zero_only_for_empty_accounts():
    view = View().put(OTHER, nonce=0, balance=0)
    assert run(f"{TO} EXTCODEHASH 0 MSTORE 32 0 RETURN", view=view).word == 0
    view.put(OTHER, nonce=0, balance=ETHER)
    assert run(f"{TO} EXTCODEHASH 0 MSTORE 32 0 RETURN", view=view).word >> 224 == 0xC5D24601


def test_a_call_to_the_machine_keeps_nothing_of_the_one_before():
    """Given one interpreter, when a message fails, then the next one starts afresh."""
    machine = Interpreter()
    assert run("1 0 MSTORE INVALID", machine=machine).halt is Halt.BAD_OPCODE
    assert run("MSIZE RETURNDATASIZE ADD 0 MSTORE 32 0 RETURN", machine=machine).word == 0
    assert begin(View()).logs == [] and TRANSACTION.origin == CALLER
