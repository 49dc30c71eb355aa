"""What a transaction touched, and what it changed."""

from chain.crypto.keccak import keccak
from tests.contracts.vm.laboratory import CALLER, COINBASE, ETHER, OTHER, TARGET, View, assemble
from tests.node.tracing.workbench import FIRST, send, shown, trace, world


def slot(number: int) -> str:
    return f"0x{number:064x}"


def storing(code: str, storage: dict[int, int]) -> View:
    view = world()
    return view.put(TARGET, code=assemble(code), balance=3, nonce=1, storage=storage)


CODE = "1 SLOAD POP 0 2 SSTORE 9 3 SSTORE"


def test_everything_touched_is_shown_as_it_was_before() -> None:
    found = trace(storing(CODE, {1: 7, 2: 8}), "prestateTracer", value=1)
    assert found[shown(CALLER)] == {"balance": hex(100 * ETHER), "nonce": 5}
    code = assemble(CODE)
    assert found[shown(TARGET)] == {
        "balance": "0x3",
        "nonce": 1,
        "code": "0x" + code.hex(),
        "codeHash": "0x" + keccak(code).hex(),
        "storage": {slot(1): slot(7), slot(2): slot(8), slot(3): slot(0)},
    }
    assert shown(COINBASE) not in found  # there was nothing
    with_empty = trace(storing(CODE, {}), "prestateTracer", {"includeEmpty": True})
    assert with_empty[shown(COINBASE)] == {"balance": "0x0"}


def test_changes_are_shown_before_and_after() -> None:
    """Given a slot read, one cleared and one set: the first is left out, a 0 is not shown."""
    view = storing(CODE, {1: 7, 2: 8})
    found = trace(view, "prestateTracer", {"diffMode": True}, value=1)
    assert found["pre"][shown(TARGET)]["storage"] == {slot(2): slot(8)}
    assert found["post"][shown(TARGET)] == {"balance": "0x4", "storage": {slot(3): slot(9)}}
    assert found["post"][shown(CALLER)] == {"balance": hex(100 * ETHER - 1), "nonce": 6}
    assert found["pre"].keys() == found["post"].keys() == {shown(CALLER), shown(TARGET)}


def test_a_contract_whose_slots_were_all_cleared_has_changed() -> None:
    found = trace(storing("0 2 SSTORE", {2: 8}), "prestateTracer", {"diffMode": True})
    assert found["post"][shown(TARGET)] == {}
    assert found["pre"][shown(TARGET)]["storage"] == {slot(2): slot(8)}


def test_what_could_not_be_paid_for_was_not_touched() -> None:
    view = world(target=f"9 PUSH20 0x{OTHER.hex()} BALANCE STOP")
    view.put(OTHER, balance=1)
    for gas, touched in ((21_000 + 2_605, False), (21_000 + 2_606, True)):
        assert (shown(OTHER) in trace(view, "prestateTracer", gas=gas)) is touched


def test_fees_show_in_the_changes() -> None:
    found = trace(world(target="STOP"), "prestateTracer", {"diffMode": True}, max_fee=7)
    assert found["post"][shown(CALLER)]["balance"] == hex(100 * ETHER - 7 * 21_000)


def test_code_and_storage_can_be_left_out() -> None:
    config = {"disableCode": True, "disableStorage": True}
    found = trace(storing(CODE, {1: 7}), "prestateTracer", config)[shown(TARGET)]
    assert found.keys() == {"balance", "nonce", "codeHash"}


def test_accounts_that_opcodes_name_are_shown() -> None:
    view = world(
        target=f"PUSH20 0x{OTHER.hex()} BALANCE POP " + send("STATICCALL", FIRST), first="STOP"
    )
    view.put(OTHER, balance=11)
    found = trace(view, "prestateTracer")
    assert found[shown(OTHER)]["balance"] == "0xb"
    assert shown(FIRST) in found


def test_a_new_contract_is_only_in_the_state_after() -> None:
    found = trace(
        world(), "prestateTracer", {"diffMode": True}, to=None, data=assemble("1 0 RETURN"), value=2
    )
    (address,) = found["post"].keys() - {shown(CALLER)}
    assert address not in found["pre"]
    after = found["post"][address]
    assert (after["balance"], after["nonce"], after["code"]) == ("0x2", 1, "0x00")


def test_contracts_made_by_contracts_are_found() -> None:
    view = world(target="0 0 0 CREATE 5 0 0 0 CREATE2")
    found = trace(view, "prestateTracer", {"diffMode": True})
    made = found["post"].keys() - {shown(CALLER), shown(TARGET)}
    assert [found["post"][address] for address in sorted(made)] == [{"nonce": 1}] * 2


def test_an_account_that_dies_has_no_state_after() -> None:
    """Given a contract that destroys itself as it is made, then its heir alone has changed."""
    data = assemble(f"PUSH20 0x{OTHER.hex()} SELFDESTRUCT")
    found = trace(world(), "prestateTracer", {"diffMode": True}, to=None, data=data, value=2)
    assert found["post"].keys() == {shown(CALLER), shown(OTHER)}


def test_a_delegated_account_brings_the_one_whose_code_it_runs() -> None:
    view = world(first="STOP")
    view.put(TARGET, code=b"\xef\x01\x00" + FIRST)
    assert shown(FIRST) in trace(view, "prestateTracer")
