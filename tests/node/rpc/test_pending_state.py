"""What "pending" shows of the state: that after the pool's executable transactions."""

from collections.abc import Iterator

import pytest

from node.devchain.compose import Developing
from node.testing import Ledger
from tests.node.rpc.serving import COUNTER, COUNTER_INITCODE, OTHER, SENDER, Served

NOBODY = "0x" + "ab" * 20


@pytest.fixture
def waiting() -> Iterator[Served]:
    """A chain on which nothing is built by itself."""
    with Served(developing=Developing()) as served:
        served.call("evm_setAutomine", False)
        yield served


def _send(served: Served, **fields: str) -> str:
    sent: str = served.call("eth_sendTransaction", {"from": SENDER, **fields})
    return sent


def test_balances_code_and_storage_are_those_after_what_waits(waiting: Served) -> None:
    _send(waiting, to=NOBODY, value="0x5", gas="0x5208")
    created = _created(waiting, _send(waiting, data=COUNTER_INITCODE))
    for _ in range(2):
        _send(waiting, to=created, gas="0x30000")
    pending = (
        waiting.call("eth_getBalance", NOBODY, "pending"),
        waiting.call("eth_getBalance", SENDER, "pending"),
        waiting.call("eth_getCode", created, "pending"),
        waiting.call("eth_getStorageAt", created, "0x0", "pending"),
        waiting.call("eth_getStorageValues", {created: ["0x" + "00" * 32]}, "pending"),
        waiting.call("eth_getAccountInfo", created, "pending"),
        waiting.call("eth_call", {"to": created}, "pending"),
        waiting.call("eth_getTransactionCount", SENDER, "pending"),
    )
    assert pending[0] == "0x5"
    assert pending[2] == "0x" + COUNTER
    assert int(pending[3], 16) == 2
    assert int(pending[6], 16) == 3
    assert waiting.call("eth_getBalance", NOBODY, "latest") == "0x0"
    assert waiting.call("eth_getCode", created, "latest") == "0x"
    waiting.call("evm_mine")
    assert pending == (
        waiting.call("eth_getBalance", NOBODY, "latest"),
        waiting.call("eth_getBalance", SENDER, "latest"),
        waiting.call("eth_getCode", created, "latest"),
        waiting.call("eth_getStorageAt", created, "0x0", "latest"),
        waiting.call("eth_getStorageValues", {created: ["0x" + "00" * 32]}, "latest"),
        waiting.call("eth_getAccountInfo", created, "latest"),
        waiting.call("eth_call", {"to": created}, "latest"),
        waiting.call("eth_getTransactionCount", SENDER, "latest"),
    )


def test_what_waits_has_its_place_in_the_next_block_and_no_receipt(waiting: Served) -> None:
    sent = [_send(waiting, to=NOBODY, value=value, gas="0x5208") for value in ("0x1", "0x2")]
    for index, transaction_hash in enumerate([*sent, None]):
        place = ("pending", hex(index))
        found = waiting.call("eth_getTransactionByBlockNumberAndIndex", *place)
        raw = waiting.call("eth_getRawTransactionByBlockNumberAndIndex", *place)
        if transaction_hash is None:
            assert (found, raw) == (None, "0x")
        else:
            assert found == waiting.call("eth_getTransactionByHash", transaction_hash)
            assert raw == waiting.call("eth_getRawTransactionByHash", transaction_hash)
    assert waiting.call("eth_getBlockReceipts", "pending") == []


def _created(served: Served, sent: str) -> str:
    """The address of the contract that a waiting transaction makes."""
    block = served.call("eth_getBlockByNumber", "pending", True)
    assert sent in [transaction["hash"] for transaction in block["transactions"]]
    address = "0x5fbdb2315678afecb367f032d93f642f64180aa3"  # of the first account's nonce 0
    second = "0xe7f1725e7734ce288f8367e1bb143e90bb3f0512"  # and 1
    found: str = second if served.call("eth_getCode", address, "pending") == "0x" else address
    return found


def test_gas_is_estimated_on_what_waits(waiting: Served) -> None:
    """A call of a contract that is not mined yet can be filled in and sent."""
    created = _created(waiting, _send(waiting, data=COUNTER_INITCODE))
    request = {"from": SENDER, "to": created}
    assert int(waiting.call("eth_estimateGas", request, "pending"), 16) > 40_000
    assert int(waiting.call("eth_estimateGas", request, "latest"), 16) < 30_000
    assert waiting.call("eth_createAccessList", request, "pending")["accessList"]
    sent = _send(waiting, to=created)
    waiting.call("evm_mine")
    assert waiting.receipt(sent)["status"] == "0x1"


def test_what_leaves_the_pool_or_comes_to_it_is_seen_at_once(waiting: Served) -> None:
    def pending() -> int:
        return int(waiting.call("eth_getBalance", NOBODY, "pending"), 16)

    first = _send(waiting, to=NOBODY, value="0x1")
    assert pending() == 1
    _send(waiting, to=NOBODY, value="0x2")
    assert pending() == 3
    waiting.call("anvil_setBalance", NOBODY, "0x64")
    assert pending() == 103
    waiting.call("anvil_dropTransaction", first)
    assert pending() == 100  # the second waits for a nonce now
    waiting.call("anvil_dropAllTransactions")
    assert pending() == 100
    waiting.call("eth_sendTransaction", {"from": OTHER, "to": NOBODY, "value": "0x1"})
    body = b"[" + b",".join([_asked(NOBODY)] * 3) + b"]"
    assert {each["result"] for each in waiting.post(body)} == {"0x65"}


def _asked(account: str) -> bytes:
    return (
        b'{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":["%b","pending"]}'
        % account.encode()
    )


def test_a_ledger_in_the_process_shows_it_as_well() -> None:
    with Ledger() as ledger:
        ledger.request("evm_setAutomine", False)
        ledger.request("eth_sendTransaction", {"from": SENDER, "to": NOBODY, "value": "0x5"})
        assert ledger.request("eth_getBalance", NOBODY, "pending") == "0x5"
        assert ledger.request("eth_call", {"to": NOBODY}, "pending") == "0x"
        assert ledger.request("eth_getBalance", NOBODY, "latest") == "0x0"
