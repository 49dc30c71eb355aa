"""Calls that are run in the event loop give what they give anywhere, and never hold it up."""

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from chain.genesis import GenesisAccount, dev_genesis
from chain.types import Address
from node.rpc import registry
from node.rpc.quick import Watchdog
from node.testing import Ledger
from tests.contracts.vm.laboratory import assemble
from tests.node.rpc.serving import Served

_STORE = 0xAA
# Each is called with nothing or with a word; all are at addresses of their own.
CODES = {
    "gives a word": "42 0 MSTORE 32 0 RETURN",
    "reverts": "7 0 MSTORE 32 0 REVERT",
    "runs out of gas": "JUMPDEST 0 JUMP",
    "has no such opcode": "INVALID",
    "stops": "STOP",
    "tells who calls": "CALLER 0 MSTORE ORIGIN 32 MSTORE 64 0 RETURN",
    "tells whether the caller exists": "CALLER EXTCODEHASH 0 MSTORE 32 0 RETURN",
    "tells its gas": "GAS 0 MSTORE 32 0 RETURN",
    "prices itself": "GAS ADDRESS BALANCE POP GAS SWAP1 SUB 0 MSTORE 32 0 RETURN",
    "prices a slot": "GAS 5 SLOAD POP GAS SWAP1 SUB 0 MSTORE 32 0 RETURN",
    "prices another": f"GAS {_STORE} BALANCE POP GAS SWAP1 SUB 0 MSTORE 32 0 RETURN",
    "prices the builder": "GAS COINBASE BALANCE POP GAS SWAP1 SUB 0 MSTORE 32 0 RETURN",
    "counts in storage": "5 SLOAD 1 ADD DUP1 5 SSTORE 0 MSTORE 32 0 RETURN",
    "counts in passing": "5 TLOAD 1 ADD DUP1 5 TSTORE 0 MSTORE 32 0 RETURN",
    "logs": "1 0 0 LOG1 STOP",
    "sees the block": "NUMBER 0 MSTORE TIMESTAMP 32 MSTORE BASEFEE 64 MSTORE 96 0 RETURN",
    "sees the price of blobs": "BLOBBASEFEE 0 MSTORE 32 0 RETURN",
    "sees its parent": "1 NUMBER SUB BLOCKHASH 0 MSTORE 32 0 RETURN",
    "creates": "0 0 0 CREATE 0 MSTORE 32 0 RETURN",
    "sends wei": f"0 0 0 0 1 {_STORE} GAS CALL 0 MSTORE 32 0 RETURN",
    "calls a short precompiled contract": "32 0 32 0 4 GAS STATICCALL 0 MSTORE 32 0 RETURN",
    "calls a long precompiled contract": "32 0 96 0 5 GAS STATICCALL 0 MSTORE 32 0 RETURN",
    "uses much memory": "1 4000000 MSTORE 32 4000000 RETURN",
    "destroys itself": "CALLER SELFDESTRUCT",
}


def address_of(name: str) -> str:
    return f"0x{0xC0DE00 + list(CODES).index(name):040x}"


@pytest.fixture(scope="module")
def ledger() -> Iterator[Ledger]:
    with Ledger() as begun:
        for name, code in CODES.items():
            begun.request("anvil_setCode", address_of(name), "0x" + assemble(code).hex())
        begun._node.machines.prepare()
        begun._node.machines._loader.submit(lambda: None).result()
        yield begun


def elsewhere(ledger: Ledger, *params: Any) -> dict[str, Any]:
    """The answer of a thread."""
    quick, ledger._context.quick = ledger._context.quick, None
    try:
        return asked(ledger, *params)
    finally:
        ledger._context.quick = quick


def asked(ledger: Ledger, *params: Any) -> dict[str, Any]:
    body = {"jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": params}
    answer: dict[str, Any] = json.loads(ledger.answer(json.dumps(body).encode()))
    return answer


def quickly(ledger: Ledger, call: dict[str, Any], block: str = "latest") -> Any:
    """What the method gives in the event loop; None where it does not."""
    method = registry.METHODS["eth_call"]
    assert method.quickly is not None
    return method.quickly(ledger._context, *method.bind([call, block]))


@pytest.mark.parametrize("name", CODES)
@pytest.mark.parametrize("sender", [None, f"0x{0xFEE:040x}", "funded", "itself"])
def test_a_quick_call_gives_what_a_thread_gives(
    ledger: Ledger, name: str, sender: str | None
) -> None:
    if sender == "funded":
        sender = ledger.accounts[3]
    elif sender == "itself":
        sender = address_of(name)
    for gas in (None, "0x7a120", "0x5300", "0x5208", "0x10"):
        call = {"to": address_of(name), "from": sender, "gas": gas}
        call = {key: value for key, value in call.items() if value is not None}
        first = asked(ledger, call, "latest")
        assert first == asked(ledger, call, "latest") == elsewhere(ledger, call, "latest")


def test_most_are_quick_and_what_may_take_long_is_not(ledger: Ledger) -> None:
    slow = {
        "has no such opcode",
        "creates",
        "sends wei",
        "calls a long precompiled contract",
        "destroys itself",
    }
    for name in CODES:
        call = {"to": address_of(name), "gas": "0x7a120"}
        try:
            found = quickly(ledger, call)
        except Exception:  # a failure is an answer
            found = b""
        assert (found is None) == (name in slow), name


@pytest.mark.parametrize(
    "unusual",
    [
        {"value": "0x1"},
        {"gasPrice": "0x1"},
        {"maxFeePerGas": "0x77359400"},
        {"accessList": []},
        {"to": None},
        {"chainId": "0x7a69"},
    ],
)
def test_a_call_with_more_than_a_question_goes_to_a_thread(
    ledger: Ledger, unusual: dict[str, Any]
) -> None:
    call = {"to": address_of("gives a word")} | unusual
    assert quickly(ledger, call) is None


def test_so_do_calls_on_other_blocks(ledger: Ledger) -> None:
    ledger.mine()
    call = {"to": address_of("gives a word")}
    assert quickly(ledger, call, "earliest") is None
    assert quickly(ledger, call, "0x0") is None
    for head in ("latest", "safe", "finalized", hex(ledger._context.ledger.height)):
        assert quickly(ledger, call, head) == (42).to_bytes(32, "big")


def test_what_changes_in_between_is_seen(ledger: Ledger) -> None:
    call = {"to": address_of("counts in storage")}
    with ledger.moment():
        for value in (7, 0, 2**255):
            ledger.request(
                "anvil_setStorageAt", call["to"], "0x5", f"0x{value:064x}"
            )  # of the head, in place
            assert int.from_bytes(quickly(ledger, call), "big") == value + 1
        ledger.request("eth_sendTransaction", {"from": ledger.accounts[0], **call})
        assert int.from_bytes(quickly(ledger, call), "big") == 2**255 + 2
    assert int.from_bytes(quickly(ledger, call), "big") == 1
    other = {"to": address_of("gives a word")}
    with ledger.moment():
        ledger.request(
            "anvil_setCode", other["to"], "0x" + assemble("9 0 MSTORE 32 0 RETURN").hex()
        )
        assert int.from_bytes(quickly(ledger, other), "big") == 9
    assert int.from_bytes(quickly(ledger, other), "big") == 42


def test_more_slots_than_there_is_room_for_are_read_all_the_same(ledger: Ledger) -> None:
    to = f"0x{0xF111:040x}"
    ledger.request(
        "anvil_setCode", to, "0x" + assemble("0 CALLDATALOAD SLOAD 0 MSTORE 32 0 RETURN").hex()
    )
    ledger.request("anvil_setStorageAt", to, hex(17_000), f"0x{5:064x}")
    for slot in range(17_010):
        found = quickly(ledger, {"to": to, "data": f"0x{slot:064x}"})
        assert found is not None  # what was read before is forgotten when there is no room
        assert int.from_bytes(found, "big") == (5 if slot == 17_000 else 0)


def test_a_call_that_reads_more_than_there_is_room_for_goes_to_a_thread(ledger: Ledger) -> None:
    to = f"0x{0xF112:040x}"
    reads = assemble("20000 JUMPDEST DUP1 SLOAD POP 1 SWAP1 SUB DUP1 3 JUMPI STOP")
    ledger.request("anvil_setCode", to, "0x" + reads.hex())
    assert quickly(ledger, {"to": to}) is None
    assert asked(ledger, {"to": to}, "latest")["result"] == "0x"
    assert quickly(ledger, {"to": address_of("stops")}) == b""


# -- the event loop --------------------------------------------------------------------------------


def test_a_watchdog_ends_what_lasts_and_nothing_else() -> None:
    ended = threading.Event()
    watchdog = Watchdog(ended.set)
    try:
        for _ in range(3):  # it falls asleep in between
            watchdog.begin()
            assert ended.wait(20)
            watchdog.over()
            ended.clear()
            while not watchdog._asleep:
                threading.Event().wait(0.001)
            assert not ended.is_set()
    finally:
        watchdog.close()
    assert watchdog._thread is not None and not watchdog._thread.is_alive()


async def until_native(served: Served) -> None:
    machines = served.node.machines
    machines.prepare()
    assert machines._loader is not None
    await asyncio.wrap_future(machines._loader.submit(lambda: None))


def test_an_endless_call_is_given_up_soon_and_others_are_not_tried_for_a_while() -> None:
    accounts = {
        Address(b"\xee" * 20): GenesisAccount(code=assemble("JUMPDEST 0 JUMP")),
        Address(b"\xef" * 20): GenesisAccount(code=assemble(CODES["gives a word"])),
    }
    method = registry.METHODS["eth_call"]
    assert method.quickly is not None

    async def scene() -> None:
        await until_native(served)
        ctx = served.server._context
        endless, short = (
            method.bind([{"to": "0x" + address.hex(), "gas": hex(2**40)}, "latest"])
            for address in accounts
        )
        assert method.quickly(ctx, *endless) is None
        assert method.quickly(ctx, *short) is None
        found = None
        for _ in range(10_000):
            if (found := method.quickly(ctx, *short)) is not None:
                break
            await asyncio.sleep(0.001)
        assert found is not None
        assert int.from_bytes(found, "big") == 42

    with Served(dev_genesis(contracts=accounts), rpc={"call_gas_max": 2**41}) as served:
        served.run(scene)


def test_a_batch_with_endless_calls_is_answered_in_its_order() -> None:
    accounts = {
        Address(b"\xee" * 20): GenesisAccount(code=assemble("JUMPDEST 0 JUMP")),
        Address(b"\xef" * 20): GenesisAccount(code=assemble(CODES["gives a word"])),
    }
    endless, short = ({"to": "0x" + address.hex()} for address in accounts)
    with Served(dev_genesis(contracts=accounts)) as served:
        served.run(lambda: until_native(served))
        calls = [short, short, endless, short, {}, endless, short]
        answers = served.post(
            json.dumps(
                [
                    {"jsonrpc": "2.0", "id": at, "method": "eth_call", "params": [call, "latest"]}
                    if call
                    else {"jsonrpc": "2.0", "id": at, "method": "eth_chainId", "params": []}
                    for at, call in enumerate(calls)
                ]
            ).encode()
        )
    assert [answer["id"] for answer in answers] == list(range(len(calls)))
    for call, answer in zip(calls, answers, strict=True):
        if call is endless:
            assert answer["error"]["message"] == "out of gas"
        elif call:
            assert int(answer["result"], 16) == 42
        else:
            assert answer["result"] == "0x7a69"
