"""What was read of the newest state is read again only when something has changed."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.rpc import registry, remembered
from node.rpc.instant import Later, answer_at_once, answer_heavy
from node.testing import Ledger
from node.watch.metrics import CallCounts
from tests.contracts.vm.laboratory import assemble

CONTRACT = "0x" + "c0" * 20
OTHER = "0x" + "0f" * 20
# Its slot 5, the block's number, time, builder, gas limit, base fee and randomness, and what a
# signature of OTHER's choice recovers to.
SEES = assemble(
    "5 SLOAD 0 MSTORE NUMBER 32 MSTORE TIMESTAMP 64 MSTORE COINBASE 96 MSTORE GASLIMIT 128 MSTORE"
    " BASEFEE 160 MSTORE PREVRANDAO 192 MSTORE CHAINID 256 MSTORE 27 32 MSTORE8"
    " 32 224 128 256 1 GAS STATICCALL POP 288 0 RETURN"
)
READS: list[tuple[str, list[Any]]] = [
    ("eth_blockNumber", []),
    ("eth_getBalance", [OTHER, "latest"]),
    ("eth_getBalance", [OTHER, "pending"]),
    ("eth_getTransactionCount", ["SENDER", "latest"]),
    ("eth_getTransactionCount", ["SENDER", "pending"]),
    ("eth_getCode", [CONTRACT]),
    ("eth_getStorageAt", [CONTRACT, "0x5", "latest"]),
    ("eth_getHeaderByNumber", ["latest"]),
    ("eth_getBlockByNumber", ["latest", False]),
    ("eth_getBlockByNumber", ["latest", True]),
    ("eth_getBlockByNumber", ["pending", False]),
    ("eth_getBlockTransactionCountByNumber", ["latest"]),
    ("eth_getBlockReceipts", ["latest"]),
    ("eth_feeHistory", ["0x4", "latest", [20, 80]]),
    ("eth_getLogs", [{"fromBlock": "0x0", "address": CONTRACT}]),
    ("eth_getProof", [CONTRACT, ["0x5"], "latest"]),
    ("eth_getTransactionByBlockNumberAndIndex", ["latest", "0x0"]),
    ("eth_getRawTransactionByBlockNumberAndIndex", ["latest", "0x0"]),
    ("eth_call", [{"to": CONTRACT, "data": "0x"}, "latest"]),
    ("eth_call", [{"to": CONTRACT, "data": "0x"}, "0x1"]),
]
CHANGES: list[tuple[str, list[Any]]] = [
    ("anvil_setBalance", [OTHER, "0x77"]),
    ("anvil_setCode", [CONTRACT, "0x6001600055"]),
    ("anvil_setCode", [CONTRACT, "0x" + SEES.hex()]),
    ("anvil_setStorageAt", [CONTRACT, "0x5", "0x" + "09" * 32]),
    ("anvil_setNonce", ["SENDER", "0x99"]),
    ("anvil_setCoinbase", [OTHER]),
    ("anvil_setNextBlockBaseFeePerGas", ["0x7777777"]),
    ("evm_setBlockGasLimit", ["0x1c9c3ff"]),
    ("hardhat_setPrevRandao", ["0x" + "07" * 32]),
    ("evm_increaseTime", [1000]),
    ("evm_mine", []),
    ("evm_snapshot", []),
    ("evm_revert", ["0x1"]),
    ("evm_setAutomine", [False]),
    ("evm_setAutomine", [True]),
    ("eth_sendTransaction", [{"from": "SENDER", "to": OTHER, "value": "0x1", "gas": "0x5208"}]),
    ("anvil_dropAllTransactions", []),
    ("anvil_setChainId", ["0x539"]),
    ("anvil_reset", []),
]


@pytest.fixture(scope="module")
def ledger() -> Iterator[Ledger]:
    with Ledger() as begun:
        begun.request("anvil_setCode", CONTRACT, "0x" + SEES.hex())
        yield begun


def encoded(ledger: Ledger, method: str, params: list[Any]) -> bytes:
    text = json.dumps(params).replace("SENDER", str(ledger.accounts[0]))
    return f'{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{text}}}'.encode()


def at_once(ledger: Ledger, body: bytes) -> bytes | None:
    """The answer of the event loop, by itself or in turns."""
    made = answer_at_once(body, ledger._context, ledger._settings.rpc, CallCounts())
    if asyncio.iscoroutine(made):
        answer: bytes = ledger._begun().run(made)
        return answer
    if isinstance(made, Later):
        return answer_heavy(made, ledger._context, CallCounts())
    return made if isinstance(made, bytes) else None


def elsewhere(ledger: Ledger, body: bytes) -> bytes | None:
    """The answer by the definition."""
    answer: bytes = ledger._begun().run(ledger._answer(body))
    return answer


def check_reads(ledger: Ledger) -> None:
    for method, params in READS:
        body = encoded(ledger, method, params)
        expected = elsewhere(ledger, body)
        for _ in range(2):  # the second time it may be remembered
            assert at_once(ledger, body) in (expected, None), (method, params)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(changes=st.lists(st.sampled_from(CHANGES), max_size=12))
def test_whatever_changes_reads_give_what_is_there_now(
    ledger: Ledger, changes: list[tuple[str, list[Any]]]
) -> None:
    check_reads(ledger)
    for method, params in changes:
        ledger.answer(encoded(ledger, method, params))
        check_reads(ledger)


@pytest.mark.parametrize(("method", "params"), CHANGES)
def test_each_change_is_seen(ledger: Ledger, method: str, params: list[Any]) -> None:
    ledger.request("anvil_reset")
    ledger.request("anvil_setCode", CONTRACT, "0x" + SEES.hex())
    ledger.request("evm_mine")
    check_reads(ledger)
    ledger.answer(encoded(ledger, method, params))
    check_reads(ledger)
    ledger.request("evm_setAutomine", True)


def test_what_was_read_is_not_read_again(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    body = encoded(ledger, "eth_getBalance", [OTHER])
    before = at_once(ledger, body)

    async def crash(*_: object) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr(registry.METHODS["eth_getBalance"], "function", crash)
    assert at_once(ledger, body) == before
    ledger.request("evm_mine")
    assert b"crashed" in (at_once(ledger, body) or b"")


def test_batches_mix_what_is_remembered_with_what_is_not(ledger: Ledger) -> None:
    calls = [encoded(ledger, "eth_getBalance", [f"0x{number:040x}"]) for number in range(300)]
    at_once(ledger, calls[7])
    body = b"[" + b",".join(calls[:100]) + b"]"
    assert at_once(ledger, body) == elsewhere(ledger, body)
    assert at_once(ledger, body) == elsewhere(ledger, body)


def test_a_result_that_is_forgotten_while_its_batch_waits_is_read_again(ledger: Ledger) -> None:
    calls = [encoded(ledger, "eth_getBalance", [f"0x{number:040x}"]) for number in range(300)]
    for call in calls:
        at_once(ledger, call)
    waiting = answer_at_once(
        b"[" + b",".join(calls) + b"]", ledger._context, ledger._settings.rpc, CallCounts()
    )
    assert asyncio.iscoroutine(waiting)
    ledger.request("anvil_setBalance", f"0x{299:040x}", "0x5555")
    answers = json.loads(ledger._begun().run(waiting))
    assert answers[299]["result"] == "0x5555"


def test_an_impersonated_signature_is_seen_by_calls_that_were_made_before(ledger: Ledger) -> None:
    recovers = assemble(
        "0 CALLDATALOAD 0 MSTORE 32 CALLDATALOAD 32 MSTORE 64 CALLDATALOAD 64 MSTORE"
        " 96 CALLDATALOAD 96 MSTORE 32 128 128 0 1 GAS STATICCALL POP 32 128 RETURN"
    )
    ledger.request("anvil_setCode", CONTRACT, "0x" + recovers.hex())
    signature = "11" * 32 + "22" * 32 + "1b"
    data = "0x" + "00" * 32 + f"{27:064x}" + "11" * 32 + "22" * 32
    body = encoded(ledger, "eth_call", [{"to": CONTRACT, "data": data}])
    for _ in range(2):
        assert OTHER[2:].encode() not in ledger.answer(body)
    ledger.request("anvil_impersonateSignature", "0x" + signature, OTHER)
    assert OTHER[2:].encode() in ledger.answer(body)
    ledger.request("anvil_reset")


def test_a_tag_that_is_written_with_escapes_is_a_tag(ledger: Ledger) -> None:
    ledger.request("evm_setAutomine", False)
    body = encoded(ledger, "eth_getTransactionCount", ["SENDER", "pending"])
    body = body.replace(b"pending", b"pend\\u0069ng")
    before = json.loads(ledger.answer(body))["result"]
    ledger.request(
        "eth_sendTransaction", {"from": ledger.accounts[0], "to": OTHER, "gas": hex(21_000)}
    )
    assert int(json.loads(ledger.answer(body))["result"], 16) == int(before, 16) + 1
    ledger.request("evm_setAutomine", True)


def test_no_more_is_remembered_than_there_is_room_for(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembered, "_BYTES_MAX", 10_000)
    ledger.request("evm_mine")
    for number in range(100):
        body = encoded(ledger, "eth_getBalance", [f"0x{number:040x}"])
        assert at_once(ledger, body) == elsewhere(ledger, body)
        assert len(ledger._context.remembered.results(ledger._context)) < 40


def test_long_results_are_not_remembered(ledger: Ledger) -> None:
    ledger.request("anvil_setCode", CONTRACT, "0x" + "5b" * 5_000)
    body = encoded(ledger, "eth_getCode", [CONTRACT])
    assert at_once(ledger, body) == at_once(ledger, body)
    assert ("eth_getCode", json.dumps([CONTRACT]).encode()) not in (
        ledger._context.remembered.results(ledger._context)
    )


def test_a_receipt_is_the_one_among_its_blocks(ledger: Ledger) -> None:
    """Also where logs of other transactions come before its own."""
    ledger.request("anvil_setCode", CONTRACT, "0x" + assemble("1 0 0 LOG1 2 0 0 LOG1").hex())
    ledger.request("evm_setAutomine", False)
    hashes = [
        ledger.request("eth_sendTransaction", {"from": sender, "to": to, "gas": hex(60_000)})
        for sender, to in zip(ledger.accounts, [CONTRACT, OTHER, CONTRACT, CONTRACT], strict=False)
    ]
    ledger.request("evm_mine")
    ledger.request("evm_setAutomine", True)
    together = ledger.request("eth_getBlockReceipts", "latest")
    alone = [ledger.request("eth_getTransactionReceipt", each) for each in hashes]
    assert sorted(together, key=str) == sorted(alone, key=str)
    assert [int(log["logIndex"], 16) for each in together for log in each["logs"]] == list(range(6))
