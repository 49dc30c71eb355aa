"""Dumps: what a file holds goes on in another chain, and what makes no sense is refused."""

import gzip
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chain.errors import Reason, Rejected
from node.devchain import dump_file
from node.devchain.compose import Developing
from node.devchain.dump_file import read_dump
from tests.node.rpc.serving import COUNTER, COUNTER_INITCODE, OTHER, SENDER, Served

NOBODY = "0x" + "ab" * 20


def _document(file: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(gzip.decompress(bytes.fromhex(file[2:])))
    return found


def _file(document: dict[str, Any]) -> str:
    return "0x" + json.dumps(document).encode().hex()


def _refusal(document: dict[str, Any]) -> Rejected:
    with pytest.raises(Rejected) as caught:
        read_dump(json.dumps(document).encode())
    return caught.value


def _live(dev: Served) -> str:
    contract: str = dev.send(data=COUNTER_INITCODE)["contractAddress"]
    dev.send(to=contract, gas="0x30000")
    dev.send(to=OTHER, value="0x5", gasPrice=hex(3 * 10**9))
    dev.call("anvil_setStorageAt", NOBODY, "0x7", "0x8")
    dev.send(to=contract, gas="0x30000")
    return contract


def _state(dev: Served, contract: str, block: str) -> list[Any]:
    found: list[Any] = []
    for address in (SENDER, OTHER, NOBODY, contract):
        found += [
            dev.call("eth_getAccount", address, block),
            dev.call("eth_getCode", address, block),
            dev.call("eth_getStorageAt", address, "0x0", block),
            dev.call("eth_getStorageAt", address, "0x7", block),
        ]
    return found


def _picture(dev: Served, contract: str) -> list[Any]:
    """Blocks, receipts, logs, and who had to do with a contract."""
    found: list[Any] = []
    for height in range(int(dev.call("eth_blockNumber"), 16) + 1):
        found.append(dev.call("eth_getBlockByNumber", hex(height), True))
        found.append(dev.call("eth_getBlockReceipts", hex(height)))
    found.append(dev.call("eth_getLogs", {"fromBlock": "0x0", "address": contract}))
    found.append(dev.call("ots_searchTransactionsAfter", contract, 0, 10))
    return found


# -- there and back --------------------------------------------------------------------------------


def test_blocks_go_from_one_chain_to_another_by_file(dev: Served) -> None:
    contract = _live(dev)
    with Served(developing=Developing()) as other:
        other.call("anvil_mine", 2)
        name = other.call("evm_snapshot")
        watching = other.call("eth_newBlockFilter")
        assert other.call("anvil_loadState", dev.call("anvil_dumpState")) is True
        assert _picture(other, contract) == _picture(dev, contract)
        assert _state(other, contract, "latest") == _state(dev, contract, "latest")
        assert other.refusal("eth_getBalance", SENDER, "0x1").code == -32000
        assert other.call("evm_revert", name) is False
        block = other.send(to=contract, gas="0x30000")
        assert (block["blockNumber"], int(block["logs"][0]["data"], 16)) == ("0x5", 3)
        assert other.call("eth_getFilterChanges", watching)[-1] == block["blockHash"]


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["balance", "code", "slot", "pay", "mine"]),
            st.sampled_from([NOBODY, "0x" + "cd" * 20]),
            st.integers(0, 2),
        ),
        max_size=12,
    )
)
def test_every_height_of_a_dump_with_the_past_is_what_it_was(
    dev: Served, steps: list[tuple[str, str, int]]
) -> None:
    """Given any mix of blocks and direct changes, all states and proofs of the head are alike."""
    dev.call("anvil_reset")
    for step, address, value in steps:
        match step:
            case "balance":
                dev.call("anvil_setBalance", address, hex(value))
            case "code":
                dev.call("anvil_setCode", address, ["0x", "0x00", "0x" + COUNTER][value])
            case "slot":
                dev.call("anvil_setStorageAt", address, "0x7", hex(value))
            case "pay":
                dev.call("eth_sendTransaction", {"from": SENDER, "to": address, "gas": "0x30000"})
            case "mine":
                dev.call("anvil_mine", value)
    with Served(developing=Developing()) as other:
        other.call("anvil_loadState", dev.call("anvil_dumpState", True))
        for height in range(int(dev.call("eth_blockNumber"), 16) + 1):
            assert _state(other, NOBODY, hex(height)) == _state(dev, NOBODY, hex(height))
        for address in (NOBODY, OTHER, SENDER):
            proof = dev.call("eth_getProof", address, ["0x7"], "latest")
            assert other.call("eth_getProof", address, ["0x7"], "latest") == proof


def test_a_loaded_chain_can_be_amended_rolled_back_and_left(dev: Served) -> None:
    """Snapshots, roll-backs to any height with a state, traces; a reset begins anew."""
    first = dev.call("eth_getBlockByNumber", "0x0", False)
    contract = _live(dev)
    file = dev.call("anvil_dumpState", True)
    before = _state(dev, contract, "0x2")
    hashes = dev.call("eth_getBlockByNumber", "0x2", False)["transactions"]
    with Served(developing=Developing()) as other:
        other.call("anvil_loadState", file)
        picture = _state(other, contract, "latest")
        name = other.call("evm_snapshot")
        other.call("anvil_setBalance", NOBODY, "0x99")
        other.send(to=NOBODY, value="0x1")
        assert other.call("evm_revert", name) is True
        assert _state(other, contract, "latest") == picture
        assert other.call("debug_traceTransaction", hashes[0])["failed"] is False
        other.call("anvil_rollback", 2)
        assert _state(other, contract, "latest") == before
        other.call("anvil_reset")
        assert other.call("eth_getBlockByNumber", "latest", False) == first
        assert other.call("eth_getTransactionCount", SENDER, "latest") == "0x0"


def test_what_a_file_does_not_name_stays(dev: Served) -> None:
    """Accounts and slots of the head's state; of two nonces the higher one."""
    file = dev.call("anvil_dumpState")
    with Served(developing=Developing()) as other:
        contract = _live(other)
        held = _state(other, contract, "latest")
        other.call("anvil_loadState", file)
        assert other.call("eth_blockNumber") == "0x0"
        assert _state(other, contract, "latest")[8:] == held[8:]
        assert other.call("eth_getTransactionCount", SENDER, "latest") == "0x4"


def test_a_file_without_blocks_changes_the_state_alone(dev: Served) -> None:
    dev.call("anvil_mine", 3)
    head = dev.call("eth_getBlockByNumber", "latest", False)
    document = {"accounts": {NOBODY: {"nonce": 1, "balance": "0x7", "code": "0x", "storage": {}}}}
    assert dev.call("anvil_loadState", _file(document)) is True
    assert dev.call("eth_getBlockByNumber", "latest", False) == head
    assert dev.call("eth_getBalance", NOBODY, "latest") == "0x7"


def test_an_impersonated_transaction_is_found_under_the_hash_that_the_file_has(
    dev: Served,
) -> None:
    """anvil's has another one, since it does not hash the sender as we do."""
    dev.call("anvil_impersonateAccount", NOBODY)
    dev.call("anvil_setBalance", NOBODY, hex(10**18))
    dev.receipt(dev.call("eth_sendTransaction", {"from": NOBODY, "to": OTHER, "value": "0x1"}))
    document = _document(dev.call("anvil_dumpState"))
    known = "0x" + "77" * 32
    document["transactions"][0]["info"]["transaction_hash"] = known
    with Served(developing=Developing()) as other:
        other.call("anvil_loadState", _file(document))
        told = other.call("eth_getTransactionByHash", known)
        assert (told["from"], told["to"], told["blockNumber"]) == (NOBODY, OTHER, "0x1")
        assert other.call("eth_getTransactionReceipt", known)["status"] == "0x1"


# -- what makes no sense ---------------------------------------------------------------------------


def test_blocks_that_are_no_chain_end_where_it_breaks(dev: Served) -> None:
    """Blocks beside the chain, as anvil's files have them after a reorganization, are left out."""
    _live(dev)
    document = _document(dev.call("anvil_dumpState", True))
    aside = json.loads(json.dumps(document["blocks"][4]))
    aside["header"]["extraData"] = "0x01"
    aside["header"]["number"] = "0x3"
    document["blocks"].insert(0, aside)
    assert len(read_dump(json.dumps(document).encode()).blocks) == 5
    del document["blocks"][2]
    file = read_dump(json.dumps(document).encode())
    assert [told.block.header.number for told in file.blocks] == [2, 3, 4]
    with Served(developing=Developing()) as other:
        other.call("anvil_loadState", _file(document))
        assert other.call("eth_getBlockByNumber", "earliest", False)["number"] == "0x2"
        assert other.call("eth_getBlockByNumber", "0x1", False) is None
        mined = other.call("eth_getLogs", {"fromBlock": "earliest"})
        assert {log["blockNumber"] for log in mined} == {"0x2", "0x4"}
        assert other.call("eth_getLogs", {"fromBlock": "0x0"}) == mined
        assert other.call("eth_getLogs", {"fromBlock": "0x0", "toBlock": "0x1"}) == []
        assert other.call("eth_feeHistory", "0x9", "latest", [])["oldestBlock"] == "0x2"
        assert other.call("eth_config")["current"] is not None
        found = other.call("ots_searchTransactionsAfter", SENDER, 0, 10)["txs"]
        assert sorted(each["blockNumber"] for each in found) == ["0x2", "0x3", "0x4"]
        other.send(to=OTHER)


@pytest.mark.parametrize("kind", ["blob", "legacy", "authorized"])
def test_every_kind_of_transaction_is_read(kind: str) -> None:
    """What is told of a transaction makes the same transaction again, by its hash."""
    from chain.transactions import Authorization, Kind, build_transaction, sign_transaction
    from chain.types import Address, Hash
    from node.devchain.bodies import parse_transaction
    from node.rpc.formats import transaction_json

    target = Address(bytes(19) + b"\x01")
    common: dict[str, Any] = {"nonce": 3, "gas_limit": 50_000, "max_fee": 10**9, "to": target}
    unsigned = {
        "blob": build_transaction(
            kind=Kind.BLOB,
            chain_id=5,
            max_priority_fee=7,
            max_blob_fee=9,
            blob_hashes=[Hash(b"\x01" + bytes(31))],
            access_list=((target, (Hash(bytes(32)),)),),
            **common,
        ),
        "legacy": build_transaction(kind=Kind.LEGACY, chain_id=None, data=b"\x01", **common),
        "authorized": build_transaction(
            kind=Kind.SET_CODE,
            chain_id=5,
            authorizations=[Authorization(0, target, 1, 1, 2, 3)],
            **common,
        ),
    }[kind]
    signed = sign_transaction(unsigned, bytes(31) + b"\x01")
    assert parse_transaction(transaction_json(signed)) == signed


def test_files_whose_blocks_make_no_sense_are_refused(dev: Served) -> None:
    _live(dev)
    good = _document(dev.call("anvil_dumpState", True))

    def wrong(change: Any) -> Rejected:
        document = json.loads(json.dumps(good))
        change(document)
        return _refusal(document)

    for change in (
        lambda it: it["blocks"][1]["header"].pop("gasLimit"),
        lambda it: it["blocks"][1].update(header=7),
        lambda it: it["blocks"][1]["transactions"][0]["transaction"].update(value="x"),
        lambda it: it["transactions"].pop(0),
        lambda it: it["transactions"][0].pop("info"),
        lambda it: it["transactions"][0]["info"].update({"from": "0x12"}),
        lambda it: it["transactions"][0]["receipt"].update(status="0x7"),
        lambda it: it.update(best_block_number=[]),
        lambda it: it.update(historical_states=7),
        lambda it: it["historical_states"][0][1]["accounts"].update({NOBODY: {"nonce": -1}}),
        lambda it: it["historical_states"][0][1]["accounts"].update({"0x1": {}}),
    ):
        assert wrong(change).reason is Reason.BAD_GENESIS
    head = dev.call("eth_getBlockByNumber", "latest", False)
    good["transactions"].pop()
    assert dev.refusal("anvil_loadState", _file(good)).code == -32602
    assert dev.call("eth_getBlockByNumber", "latest", False) == head


def test_a_file_has_limits(dev: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of entries, when it is read; of the past, which is left out from where it is too much."""
    _live(dev)
    whole = _document(dev.call("anvil_dumpState", True))
    assert len(whole["historical_states"]) == 4
    entries = len(whole["accounts"])
    monkeypatch.setattr(dump_file, "ENTRIES_MAX", 3 * entries)
    assert _refusal(whole).reason is Reason.TOO_LARGE
    size = len(json.dumps(whole["historical_states"][0]))
    monkeypatch.setattr("node.devchain.dump._PAST_BYTES_MAX", 2 * size)
    less = _document(dev.call("anvil_dumpState", True))["historical_states"]
    assert 0 < len(less) < 4
    assert less == whole["historical_states"][: len(less)]
