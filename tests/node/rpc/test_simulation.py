"""eth_simulateV1 beyond the recorded samples: what carries over, and every refusal's code."""

import itertools
from typing import Any

import pytest

from tests.node.rpc.serving import COUNTER, COUNTER_INITCODE, OTHER, SENDER, Refused, Served

POOR = "0x" + "77" * 20
RICH = "0x" + "88" * 20
CONTRACT = "0x" + "c1" * 20
ECRECOVER = "0x" + "01".rjust(40, "0")
IDENTITY = "0x" + "04".rjust(40, "0")
FUNDED = {RICH: {"balance": hex(10**20)}}


def simulate(served: Served, *blocks: dict[str, Any], **options: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = served.call(
        "eth_simulateV1", {"blockStateCalls": list(blocks), **options}, "latest"
    )
    return found


def refused(served: Served, *blocks: dict[str, Any], **options: Any) -> int:
    payload = {"blockStateCalls": list(blocks), **options}
    return served.refusal("eth_simulateV1", payload, "latest").code


def calls(*items: dict[str, Any], **block: Any) -> dict[str, Any]:
    return {"calls": list(items), **block}


def test_blocks_build_on_each_other_and_nothing_is_kept(served: Served) -> None:
    count = {"from": RICH, "to": CONTRACT}
    first = calls(count, count, stateOverrides={CONTRACT: {"code": "0x" + COUNTER}})
    one, two = simulate(served, first, calls(count))
    assert [int(call["returnData"], 16) for call in one["calls"] + two["calls"]] == [1, 2, 3]
    assert two["parentHash"] == one["hash"]
    assert [log["logIndex"] for call in one["calls"] for log in call["logs"]] == ["0x0", "0x1"]
    assert one["calls"][0]["logs"][0]["blockHash"] == one["hash"]
    assert served.call("eth_getCode", CONTRACT) == "0x"


def test_a_simulated_block_knows_the_hashes_before_it(served: Served) -> None:
    # NUMBER 1 SWAP1 SUB BLOCKHASH, returned
    code = {"code": "0x4360019003406000526020" + "6000f3"}
    request = {"to": CONTRACT}
    one, two = simulate(served, calls(request, stateOverrides={CONTRACT: code}), calls(request))
    assert one["calls"][0]["returnData"] == served.call("eth_getBlockByNumber", "latest")["hash"]
    assert two["calls"][0]["returnData"] == one["hash"]


def test_a_creation_gives_the_deployed_code(served: Served) -> None:
    (block,) = simulate(served, calls({"from": RICH, "input": COUNTER_INITCODE}))
    assert block["calls"][0]["returnData"] == "0x" + COUNTER


def test_the_base_fee_is_seen_even_by_those_who_pay_none(served: Served) -> None:
    code = {"code": "0x486000526020" + "6000f3"}  # BASEFEE
    block = calls(
        {"to": CONTRACT},
        stateOverrides={CONTRACT: code},
        blockOverrides={"baseFeePerGas": "0x2a"},
    )
    (found,) = simulate(served, block)
    assert int(found["calls"][0]["returnData"], 16) == 42


def test_withdrawals_are_credited(served: Served) -> None:
    withdrawal = {"index": "0x0", "validatorIndex": "0x1", "address": POOR, "amount": "0x5"}
    spend = {"from": POOR, "to": OTHER, "value": hex(5 * 10**9)}
    one, two = simulate(served, {"blockOverrides": {"withdrawals": [withdrawal]}}, calls(spend))
    assert one["withdrawals"] == [withdrawal]
    assert two["calls"][0]["status"] == "0x1"


def test_transfers_are_told_as_logs_when_asked_for(served: Served) -> None:
    send = {"from": RICH, "to": OTHER, "value": "0x9"}
    (block,) = simulate(served, calls(send, stateOverrides=FUNDED), traceTransfers=True)
    (log,) = block["calls"][0]["logs"]
    assert (log["address"], int(log["data"], 16)) == ("0x" + "ee" * 20, 9)
    (quiet,) = simulate(served, calls(send, stateOverrides=FUNDED))
    assert quiet["calls"][0]["logs"] == []
    assert quiet["stateRoot"] == block["stateRoot"]


def test_a_precompile_can_be_replaced_and_moved(served: Served) -> None:
    ask = {"to": IDENTITY, "input": "0x1234"}
    replaced = calls(ask, stateOverrides={IDENTITY: {"code": "0x60016000526020" + "6000f3"}})
    (block,) = simulate(served, replaced)
    assert int(block["calls"][0]["returnData"], 16) == 1
    moved = calls(
        ask,
        {**ask, "to": CONTRACT},
        stateOverrides={IDENTITY: {"movePrecompileToAddress": CONTRACT}},
    )
    one, two = simulate(served, moved, calls(ask))
    assert [call["returnData"] for call in one["calls"] + two["calls"]] == [
        "0x",
        "0x1234",
        "0x1234",
    ]


def test_storage_can_be_replaced_or_patched(served: Served) -> None:
    zero, one = (f"{number:064x}" for number in (0, 1))
    counter = served.send(data=COUNTER_INITCODE)["contractAddress"]
    served.send(to=counter)
    ask = {"to": counter}
    overrides: list[dict[str, Any]] = [{}, {"stateDiff": {"0x" + zero: "0x" + "0f".rjust(64, "0")}},
                                       {"state": {"0x" + one: "0x" + one}}]  # fmt: skip
    found = [
        int(
            simulate(served, calls(ask, stateOverrides={counter: item}))[0]["calls"][0][
                "returnData"
            ],
            16,
        )
        for item in overrides
    ]
    assert found == [2, 16, 1]


SEND = {"from": RICH, "to": OTHER}
FEES = {"maxFeePerGas": hex(10**10), "maxPriorityFeePerGas": "0x0"}


@pytest.mark.parametrize(
    ("code", "call"),
    [
        (-38010, {**SEND, **FEES, "nonce": "0x0"}),
        (-38011, {**SEND, **FEES, "nonce": "0x9"}),
        (-38012, SEND),
        (-38013, {**SEND, **FEES, "gas": "0x5207"}),
        (-38014, {**SEND, **FEES, "value": hex(10**21)}),
        (-38015, {**SEND, **FEES, "gas": hex(10**12)}),
        (-32602, {**SEND, "maxFeePerGas": hex(10**10), "maxPriorityFeePerGas": hex(10**11)}),
        (-38025, {"from": RICH, **FEES, "input": "0x" + "00" * 49_153}),
    ],
)
def test_a_transaction_that_no_block_would_take_is_refused(
    served: Served, code: int, call: dict[str, Any]
) -> None:
    state = {RICH: {"balance": hex(10**20), "nonce": "0x1"}}
    assert refused(served, calls(call, stateOverrides=state), validation=True) == code


def test_senders_need_not_be_accounts_of_people(served: Served) -> None:
    state = {RICH: {"balance": hex(10**20), "code": "0x00"}}
    (block,) = simulate(served, calls({**SEND, **FEES}, stateOverrides=state), validation=True)
    assert block["calls"][0]["status"] == "0x1"


@pytest.mark.parametrize(
    ("code", "blocks"),
    [
        (-38020, [{"blockOverrides": {"number": "0x0"}}]),
        (-38021, [{"blockOverrides": {"time": "0x0"}}]),
        (-38022, [{"stateOverrides": {ECRECOVER: {"movePrecompileToAddress": ECRECOVER}}}]),
        (
            -38023,
            [
                {
                    "stateOverrides": {
                        ECRECOVER: {"movePrecompileToAddress": CONTRACT},
                        IDENTITY: {"movePrecompileToAddress": CONTRACT},
                    }
                }
            ],
        ),
        (-38026, [{"blockOverrides": {"number": hex(10**9)}}]),
        (-38026, [{}] * 257),
        (-38026, [{"calls": [SEND] * 1001}]),
        (-32000, [{"stateOverrides": {RICH: {"movePrecompileToAddress": CONTRACT}}}]),
        (-32602, []),
        (-32602, [{"calls": {}}, {"calls": "x"}]),
        (-32000, [{"stateOverrides": {RICH: {"state": {}, "stateDiff": {}}}}]),
        (-32602, [{"calls": [{"to": "0x1"}]}]),
    ],
)
def test_blocks_that_can_not_be_are_refused(
    served: Served, code: int, blocks: list[dict[str, Any]]
) -> None:
    assert refused(served, *blocks) == code


@pytest.mark.parametrize(
    "payload", [None, [], "x", {"blockStateCalls": "x"}, {"blockStateCalls": [1]}]
)
def test_payloads_of_another_shape_are_refused(served: Served, payload: Any) -> None:
    assert served.refusal("eth_simulateV1", payload, "latest").code == -32602


def test_gaps_are_filled_with_empty_blocks(served: Served) -> None:
    height = int(served.call("eth_blockNumber"), 16)
    blocks = simulate(served, {"blockOverrides": {"number": hex(height + 3)}}, {})
    assert [int(block["number"], 16) - height for block in blocks] == [1, 2, 3, 4]
    times = [int(block["timestamp"], 16) for block in blocks]
    assert [after - before for before, after in itertools.pairwise(times)] == [12, 12, 12]


def test_failures_are_told_per_call(served: Served) -> None:
    """Given a call that reverts and one that runs out of gas, both are in the block."""
    state = {CONTRACT: {"code": "0x" + COUNTER}, POOR: {"code": "0x5b600056"}}
    block = calls({"to": CONTRACT, "input": "0xabcd"}, {"to": POOR, "gas": "0x7530"},
                  {"from": SENDER, "to": OTHER}, stateOverrides=state)  # fmt: skip
    (found,) = simulate(served, block)
    reverted, exhausted, fine = found["calls"]
    assert reverted["error"] == {"code": 3, "message": "execution reverted", "data": "0xabcd"}
    assert exhausted["error"] == {"code": -32015, "message": "out of gas"}
    assert [call["status"] for call in found["calls"]] == ["0x0", "0x0", "0x1"]
    assert "error" not in fine


def test_failed_calls_name_what_ended_them(served: Served) -> None:
    """The opcode or the input, as outside of simulations."""
    pairing = "0x" + "00" * 19 + "08"
    found = simulate(
        served,
        calls(
            {"from": SENDER, "input": "0xfe", "gas": "0x20000"},
            {"from": SENDER, "input": "0x600001", "gas": "0x20000"},
            {"from": SENDER, "to": pairing, "input": "0x00", "gas": "0x20000"},
        ),
    )
    assert [call["error"]["message"] for call in found[0]["calls"]] == [
        "invalid opcode: INVALID",
        "stack underflow (1 <=> 2)",
        "bad elliptic curve pairing size",
    ]


@pytest.mark.parametrize(
    ("call", "code", "message"),
    [
        ({"maxPriorityFeePerGas": "0x1"}, -32602, "max priority fee per gas higher than max fee"),
        ({"blobVersionedHashes": []}, -32603, "blob transaction missing blob hashes"),
        ({"blobVersionedHashes": ["0x02" + "00" * 31]}, -32603, "blob 0 has invalid hash version"),
        ({"authorizationList": []}, -32603, "EIP-7702 transaction with empty auth list (sender"),
    ],
)
def test_what_no_transaction_can_be_like_is_refused(
    served: Served, call: dict[str, Any], code: int, message: str
) -> None:
    with pytest.raises(Refused) as refused:
        simulate(served, calls({"from": SENDER, "to": OTHER, **call}))
    assert refused.value.code == code
    assert refused.value.message.startswith(f"err: {message}")
