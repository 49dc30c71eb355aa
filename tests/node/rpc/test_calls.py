"""What calls, estimates and access lists give on a developer's chain, and how they fail."""

from typing import Any

import pytest
from eth_utils.address import to_checksum_address

from tests.node.rpc.serving import NOBODY, OTHER, SENDER, Served

FUNDS = "insufficient funds for gas * price + value"
ERROR = "0x08c379a0" + "20".rjust(64, "0") + "2".rjust(64, "0") + "6e6f".ljust(64, "0")


def test_a_call_returns_and_changes_nothing(served: Served, counter: str) -> None:
    before = served.call("eth_getStorageAt", counter, "0x0")
    assert int(served.call("eth_call", {"to": counter}), 16) == int(before, 16) + 1
    assert served.call("eth_getStorageAt", counter, "0x0") == before


def test_a_revert_has_code_3_its_reason_and_its_data(served: Served, counter: str) -> None:
    refused = served.refusal("eth_call", {"to": counter, "data": ERROR}, "latest")
    assert (refused.code, refused.message, refused.data) == (3, "execution reverted: no", ERROR)
    panic = "0x4e487b71" + "11".rjust(64, "0")
    refused = served.refusal("eth_estimateGas", {"to": counter, "input": panic})
    assert refused.code == 3
    assert refused.message == "execution reverted: arithmetic underflow or overflow"
    refused = served.refusal("eth_call", {"to": counter, "data": "0xdeadbeef"})
    assert (refused.code, refused.message, refused.data) == (3, "execution reverted", "0xdeadbeef")


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"data": "0xfe"}, "invalid opcode: INVALID"),
        ({"data": "0x0c"}, "invalid opcode: opcode 0xc not defined"),
        ({"data": "0x600001"}, "stack underflow (1 <=> 2)"),
        ({"data": "0x6000600082"}, "stack underflow (2 <=> 3)"),
        ({"data": "0x6000600092"}, "stack underflow (2 <=> 4)"),
        ({"data": "0x5b600080600056"}, "stack limit reached 1024 (1023)"),
        ({"data": "0x5b600056"}, "out of gas"),
        ({"data": "0x600156"}, "invalid jump destination"),
        (
            {"to": OTHER, "gas": "0x5"},
            "err: intrinsic gas too low: have 5, want 21000 (supplied gas 5)",
        ),
        (
            {"to": OTHER, "from": SENDER, "maxFeePerGas": "0x1"},
            "err: max fee per gas less than block base fee",
        ),
        (
            {"from": NOBODY, "to": OTHER, "value": "0x1"},
            f"err: {FUNDS}: address {NOBODY} have 0 want 1 (supplied gas 50000000)",
        ),
        (
            {"gasPrice": "0x1", "maxFeePerGas": "0x1"},
            "both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified",
        ),
        ({"to": OTHER, "chainId": "0x1"}, "chainId does not match node's (have=1, want=31337)"),
    ],
)
def test_a_call_that_fails_says_why_in_geths_words(
    served: Served, request_: dict[str, str], message: str
) -> None:
    refused = served.refusal("eth_call", {**request_, "gas": request_.get("gas", "0x2faf080")})
    assert refused.code == -32000
    assert refused.message.startswith(message)
    assert refused.data is None


def test_which_opcode_it_was_is_not_looked_for_too_long(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    thousand_times_and_invalid = "0x6103e85b6001900380600357fe"
    for method in ("eth_call", "eth_estimateGas"):
        refused = served.refusal(method, {"data": thousand_times_and_invalid})
        assert refused.message == "invalid opcode: INVALID"
    monkeypatch.setattr("node.rpc.calls.EXPLAINING_SECONDS", -1)
    refused = served.refusal("eth_call", {"data": thousand_times_and_invalid})
    assert (refused.code, refused.message) == (-32000, "invalid opcode")


def test_state_can_be_overridden_for_a_call(served: Served, counter: str) -> None:
    word = "0x" + "7".rjust(64, "0")
    overrides = {counter: {"stateDiff": {"0x" + "0" * 64: word}}}
    assert int(served.call("eth_call", {"to": counter}, "latest", overrides), 16) == 8
    overrides = {counter: {"state": {}}}
    assert int(served.call("eth_call", {"to": counter}, "latest", overrides), 16) == 1
    returns_balance_and_nonce = "0x" + "33316000526020" + "6000f3"  # CALLER BALANCE MSTORE RETURN
    overrides = {
        NOBODY: {"code": returns_balance_and_nonce},
        OTHER: {"balance": "0x5"},
    }
    call = {"from": OTHER, "to": NOBODY}
    assert int(served.call("eth_call", call, "latest", overrides), 16) == 5
    overrides = {counter: {"code": "0x"}}
    assert served.call("eth_call", {"to": counter}, "latest", overrides) == "0x"


def test_a_precompile_can_be_moved_and_replaced_for_a_call(served: Served) -> None:
    sha256, elsewhere = "0x" + "2".rjust(40, "0"), "0x" + "cc" * 20
    digest = served.call("eth_call", {"to": sha256, "data": "0x01"})
    overrides = {sha256: {"code": "0x60015f5260205ff3", "movePrecompileToAddress": elsewhere}}
    assert served.call("eth_call", {"to": elsewhere, "data": "0x01"}, "latest", overrides) == digest
    assert (
        int(served.call("eth_call", {"to": sha256, "data": "0x01"}, "latest", overrides), 16) == 1
    )
    refused = served.refusal("eth_call", {}, "latest", {OTHER: {"movePrecompileToAddress": sha256}})
    assert refused.message == f"account {to_checksum_address(OTHER)} is not a precompile"


@pytest.mark.parametrize(
    ("opcode", "field", "value"),
    [
        ("43", "number", "0x1234"),
        ("42", "time", "0x77777777"),
        ("45", "gasLimit", "0x1111111"),
        ("41", "feeRecipient", "0x" + "12" * 20),
        ("44", "prevRandao", "0x" + "34" * 32),
        ("4a", "blobBaseFee", "0x99"),
    ],
)
def test_the_block_can_be_overridden_for_a_call(
    served: Served, opcode: str, field: str, value: str
) -> None:
    call = {"data": f"0x{opcode}60005260206000f3"}
    answer = served.call("eth_call", call, "latest", {}, {field: value})
    assert int(answer, 16) == int(value, 16)


def test_a_call_may_pay_and_then_sees_the_base_fee(served: Served) -> None:
    base_fee = {"data": "0x4860005260206000f3", "from": SENDER}
    assert int(served.call("eth_call", base_fee), 16) == 0
    answer = served.call("eth_call", {**base_fee, "gas": "0xffff", "maxFeePerGas": hex(10**12)})
    assert answer == "0x" + served.call("eth_getBlockByNumber", "latest")["baseFeePerGas"][
        2:
    ].rjust(64, "0")


def test_a_call_that_takes_too_long_is_ended_and_frees_its_thread() -> None:
    """It calls the identity contract for ever: far longer than allowed for its gas.

    Natively too; but what a transaction may use at most is used up natively within the time.
    """
    endless = {"data": "0x5b5f5f5f5f60045afa505f56", "gas": hex(10**12)}
    limits = {"call_timeout_ms": 50, "calls_parallel_max": 1, "call_gas_max": 10**12}
    with Served(rpc=limits) as served:
        served.node.machines.prepare()
        for method in ("eth_call", "eth_createAccessList", "eth_call"):
            assert served.refusal(method, endless).code == -32002
        assert served.refusal("eth_estimateGas", endless).code in (-32002, -32000)
        assert served.refusal("eth_call", endless).code == -32002
        assert served.call("eth_call", {"to": OTHER}) == "0x"


def test_an_estimate_is_enough_and_hardly_more(served: Served, counter: str) -> None:
    assert served.call("eth_estimateGas", {"from": SENDER, "to": OTHER, "value": "0x1"}) == "0x5208"
    estimate = int(served.call("eth_estimateGas", {"from": SENDER, "to": counter}), 16)
    used = int(served.send(to=counter, gas=hex(estimate))["gasUsed"], 16)
    assert used <= estimate <= used * 1.015 + 1
    tight = served.send(to=counter, gas=hex(used - 1))
    assert tight["status"] == "0x0"


def test_an_estimate_finds_what_a_refund_gives_back_only_at_the_end(served: Served) -> None:
    """A contract that clears a slot needs more gas than it is charged for."""
    # initcode: sstore(0, 1); runtime: sstore(0, 0)
    runtime = "600060005500"
    address = served.send(data=f"0x600160005560068060106000396000f3{runtime}")["contractAddress"]
    estimate = int(served.call("eth_estimateGas", {"from": SENDER, "to": address}), 16)
    receipt = served.send(to=address, gas=hex(estimate))
    assert receipt["status"] == "0x1"
    assert estimate > int(receipt["gasUsed"], 16)


@pytest.mark.parametrize(
    ("request_", "code", "message"),
    [
        (
            {"data": "0x5b600056", "from": SENDER},
            -32000,
            "gas required exceeds allowance (16777216)",
        ),
        (
            {"from": SENDER, "to": OTHER, "value": hex(10**30)},
            -32000,
            f"failed with 16777216 gas: {FUNDS}: address {to_checksum_address(SENDER)} have ",
        ),
        (
            {"from": NOBODY, "to": OTHER, "value": "0x1", "maxFeePerGas": hex(10**12)},
            -32000,
            "insufficient funds for transfer",
        ),
        (
            {"from": NOBODY, "to": OTHER, "maxFeePerGas": hex(10**12)},
            -32000,
            "insufficient funds for transfer",
        ),
        ({"data": "0x60006000fd", "from": SENDER}, 3, "execution reverted"),
    ],
)
def test_an_estimate_that_can_not_be_made_says_why(
    served: Served, request_: dict[str, str], code: int, message: str
) -> None:
    refused = served.refusal("eth_estimateGas", request_)
    assert refused.code == code
    assert refused.message.startswith(message)


def test_an_access_list_holds_what_a_call_touches(served: Served, counter: str) -> None:
    # BALANCE(NOBODY) SLOAD(5) of a fresh contract that is created
    data = f"0x73{NOBODY[2:]}3150600554505f5ff3"
    answer = served.call("eth_createAccessList", {"from": SENDER, "data": data})
    assert {entry["address"] for entry in answer["accessList"]} >= {NOBODY}
    answer = served.call("eth_createAccessList", {"from": SENDER, "to": counter})
    assert answer["accessList"] == [{"address": counter, "storageKeys": ["0x" + "0" * 64]}]
    assert "error" not in answer
    answer = served.call("eth_createAccessList", {"from": SENDER, "to": counter, "data": ERROR})
    assert answer["error"] == "execution reverted: no"
    answer = served.call("eth_createAccessList", {"from": SENDER, "to": OTHER, "value": "0x1"})
    assert answer == {"accessList": [], "gasUsed": "0x5208"}


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (
            {"to": OTHER, "from": SENDER, "maxPriorityFeePerGas": "0x1"},
            "err: max priority fee per gas higher than max fee per gas: address",
        ),
        ({"to": OTHER, "authorizationList": []}, "err: EIP-7702 transaction with empty auth list"),
        (
            {"authorizationList": []},
            "err: EIP-7702 transaction cannot be used to create contract (sender 0x",
        ),
        ({"blobVersionedHashes": []}, "err: blob transaction of type create"),
        ({"to": OTHER, "blobVersionedHashes": []}, "err: blob transaction missing blob hashes"),
        (
            {"to": OTHER, "blobVersionedHashes": ["0x01" + "00" * 31] * 7},
            "err: blob transaction has too many blobs",
        ),
        (
            {"to": OTHER, "blobVersionedHashes": ["0x01" + "00" * 31, "0x02" + "00" * 31]},
            "err: blob 1 has invalid hash version",
        ),
        (
            {"to": OTHER, "from": SENDER, "maxFeePerGas": hex(2**256 - 1)},
            f"err: {FUNDS}: address",
        ),
        ({"to": "0x" + "00" * 19 + "09"}, "invalid input length"),
    ],
)
def test_what_no_transaction_can_be_like_is_refused_in_geths_words(
    served: Served, request_: dict[str, Any], message: str
) -> None:
    refused = served.refusal("eth_call", request_)
    assert (refused.code, refused.message[: len(message)]) == (-32000, message)


@pytest.mark.parametrize("name", ["beaconRoot", "withdrawals"])
def test_blocks_of_calls_have_no_beacon_root_and_no_withdrawals(served: Served, name: str) -> None:
    around = {name: "0x" + "11" * 32 if name == "beaconRoot" else []}
    refused = served.refusal("eth_call", {"to": OTHER}, "latest", {}, around)
    assert (refused.code, refused.message) == (
        -32000,
        f'block override "{name}" is not supported for this RPC method',
    )


def test_storage_is_replaced_or_patched_but_not_both(served: Served) -> None:
    for method in ("eth_call", "eth_estimateGas"):
        both = {OTHER: {"state": {}, "stateDiff": {}}}
        refused = served.refusal(method, {"to": OTHER}, "latest", both)
        assert refused.code == -32000
        assert refused.message.endswith("has both 'state' and 'stateDiff'")
