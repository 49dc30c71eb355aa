"""What the methods answer on a developer's chain."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from eth_utils.address import to_checksum_address

from chain import codec
from chain.crypto.keccak import keccak
from chain.crypto.secp256k1 import recover
from chain.messages import typed_data_hash
from chain.transactions import Kind, build_transaction, decode_transaction, sign_transaction
from chain.trie import verify_proof
from chain.types import Address, Hash
from tests.node.rpc.serving import (
    ACCOUNTS,
    COUNTED,
    COUNTER,
    COUNTER_INITCODE,
    NOBODY,
    OTHER,
    SENDER,
    Served,
)

KEYS = list(ACCOUNTS.values())
FUNDS = "insufficient funds for gas * price + value"
ERROR = "0x08c379a0" + "20".rjust(64, "0") + "2".rjust(64, "0") + "6e6f".ljust(64, "0")


def signed(
    nonce: int, *, key: int = 0, max_fee: int = 10**10, value: int = 1, gas: int = 21_000
) -> str:
    unsigned = build_transaction(
        kind=Kind.DYNAMIC_FEE,
        chain_id=31_337,
        nonce=nonce,
        gas_limit=gas,
        max_fee=10**10,
        max_priority_fee=10**9,
        to=Address(bytes.fromhex(OTHER[2:])),
        value=value,
    )
    return "0x" + sign_transaction(unsigned, KEYS[key]).raw.hex()


def nonce_of(served: Served, key: int = 0) -> int:
    address = "0x" + list(ACCOUNTS)[key].hex()
    return int(served.call("eth_getTransactionCount", address, "pending"), 16)


# -- state -----------------------------------------------------------------------------------------


def test_balances_nonces_code_and_storage_are_read(served: Served, counter: str) -> None:
    assert int(served.call("eth_getBalance", SENDER), 16) > 0
    assert served.call("eth_getBalance", NOBODY) == "0x0"
    assert served.call("eth_getTransactionCount", NOBODY, "pending") == "0x0"
    assert served.call("eth_getCode", counter) == "0x" + COUNTER
    assert served.call("eth_getCode", NOBODY, "latest") == "0x"
    assert served.call("eth_getStorageAt", counter, "0x0") == "0x" + "2".rjust(64, "0")
    assert served.call("eth_getStorageAt", counter, "0x1") == "0x" + "0" * 64


def test_old_state_is_read_at_its_height_hash_or_tag(served: Served, counter: str) -> None:
    receipt = served.send(to=counter)
    height = int(receipt["blockNumber"], 16)
    before, after = hex(height - 1), hex(height)
    storage = [served.call("eth_getStorageAt", counter, "0x0", at) for at in (before, after)]
    assert int(storage[1], 16) == int(storage[0], 16) + 1
    by_hash = {"blockHash": receipt["blockHash"], "requireCanonical": True}
    assert served.call("eth_getStorageAt", counter, "0x0", by_hash) == storage[1]
    assert served.call("eth_getStorageAt", counter, "0x0", receipt["blockHash"]) == storage[1]
    assert served.call("eth_getStorageAt", counter, "0x0", {"blockNumber": before}) == storage[0]
    assert served.call("eth_getCode", counter, "earliest") == "0x"
    call = {"to": counter}
    assert served.call("eth_call", call, before) == storage[1]


@pytest.mark.parametrize("tag", ["latest", "safe", "finalized", "pending"])
def test_every_tag_of_the_head_names_it(served: Served, tag: str) -> None:
    assert served.call("eth_getBalance", OTHER, tag) == served.call("eth_getBalance", OTHER)


def test_a_block_that_is_not_there_has_no_state(served: Served) -> None:
    refused = served.refusal("eth_getBalance", OTHER, "0xffffff")
    assert (refused.code, refused.message) == (-32000, "header not found")
    refused = served.refusal("eth_getBalance", OTHER, {"blockHash": "0x" + "12" * 32})
    assert (refused.code, refused.message) == (-32000, "header for hash not found")


def test_a_proof_holds_under_the_state_root(served: Served, counter: str) -> None:
    proof = served.call("eth_getProof", counter, ["0x0", "0x" + "0" * 63 + "5"], "latest")
    root = bytes.fromhex(served.call("eth_getBlockByNumber", "latest")["stateRoot"][2:])
    nodes = [bytes.fromhex(node[2:]) for node in proof["accountProof"]]
    leaf = verify_proof(Hash(root), keccak(bytes.fromhex(counter[2:])), nodes)
    assert leaf is not None
    fields = codec.decode(leaf)
    assert fields[2].hex() == proof["storageHash"][2:]
    assert fields[3] == keccak(bytes.fromhex(COUNTER))
    assert [entry["key"] for entry in proof["storageProof"]] == ["0x0", "0x" + "0" * 63 + "5"]
    nodes = [bytes.fromhex(node[2:]) for node in proof["storageProof"][0]["proof"]]
    value = verify_proof(Hash(fields[2]), keccak(bytes(32)), nodes)
    assert value is not None
    assert codec.decode(value) == codec.int_bytes(int(proof["storageProof"][0]["value"], 16))


def test_a_proof_of_nobody_shows_that_there_is_nobody(served: Served) -> None:
    proof = served.call("eth_getProof", NOBODY, ["0x0"])
    root = bytes.fromhex(served.call("eth_getBlockByNumber", "latest")["stateRoot"][2:])
    nodes = [bytes.fromhex(node[2:]) for node in proof["accountProof"]]
    assert verify_proof(Hash(root), keccak(bytes.fromhex(NOBODY[2:])), nodes) is None
    assert proof["storageProof"] == [{"key": "0x0", "value": "0x0", "proof": []}]


def test_many_slots_are_read_at_once_within_a_limit(served: Served, counter: str) -> None:
    zero, one = (f"0x{slot:064x}" for slot in range(2))
    found = served.call("eth_getStorageValues", {counter: [zero, one], NOBODY: [zero]})
    assert [len(words) for words in found.values()] == [2, 1]
    refused = served.refusal("eth_getStorageValues", {counter: [zero] * 1025})
    assert (refused.code, refused.message) == (-38026, "too many slots (max 1024)")
    assert served.refusal("eth_getStorageValues", {counter: []}).message == "empty request"
    refused = served.refusal("eth_getStorageValues", {counter: ["0x0"]})
    assert refused.message.endswith("hex string of odd length into Go value of type common.Hash")


# -- blocks, transactions, receipts ----------------------------------------------------------------


def test_a_block_is_the_same_by_number_and_by_hash(served: Served, counter: str) -> None:
    latest = served.call("eth_getBlockByNumber", "latest", True)
    assert served.call("eth_getBlockByHash", latest["hash"], True) == latest
    brief = served.call("eth_getBlockByHash", latest["hash"], False)
    assert brief["transactions"] == [item["hash"] for item in latest["transactions"]]
    assert served.call("eth_getBlockByNumber", latest["number"], False) == brief
    assert served.call("eth_getBlockTransactionCountByHash", latest["hash"]) == "0x1"
    assert served.call("eth_getBlockTransactionCountByNumber", latest["number"]) == "0x1"
    assert served.call("eth_getUncleCountByBlockHash", latest["hash"]) == "0x0"
    assert served.call("eth_getUncleCountByBlockNumber", "latest") == "0x0"
    assert served.call("eth_getUncleByBlockNumberAndIndex", "latest", "0x0") is None
    header = served.call("eth_getHeaderByHash", latest["hash"])
    assert header.items() <= latest.items()
    raw = bytes.fromhex(served.call("debug_getRawHeader", "latest")[2:])
    assert "0x" + keccak(raw).hex() == latest["hash"]
    assert served.call("debug_getRawBlock", "latest").count(raw.hex()) == 1


def test_a_large_block_is_read_like_any_other(served: Served) -> None:
    """It is decoded in a thread; the answers are the same."""
    receipt = served.send(data="0x5b600056", gas=hex(6_000_000))  # loops until the gas is gone
    assert (receipt["status"], int(receipt["gasUsed"], 16)) == ("0x0", 6_000_000)
    block = served.call("eth_getBlockByNumber", receipt["blockNumber"], True)
    place = (receipt["blockHash"], "0x0")
    assert block["transactions"] == [
        served.call("eth_getTransactionByBlockHashAndIndex", *place),
    ]
    assert served.call("eth_getBlockTransactionCountByHash", receipt["blockHash"]) == "0x1"
    raw = served.call("eth_getRawTransactionByBlockHashAndIndex", *place)
    assert "0x" + keccak(bytes.fromhex(raw[2:])).hex() == receipt["transactionHash"]


def test_what_is_not_there_is_null(served: Served) -> None:
    nothing = "0x" + "12" * 32
    assert served.call("eth_getBlockByHash", nothing, True) is None
    assert served.call("eth_getBlockByNumber", "0xffffff", True) is None
    assert served.call("eth_getBlockReceipts", nothing) is None
    assert served.call("eth_getTransactionByHash", nothing) is None
    assert served.call("eth_getTransactionReceipt", nothing) is None
    assert served.call("eth_getTransactionByBlockNumberAndIndex", "0x0", "0x0") is None
    assert served.call("eth_getTransactionByBlockHashAndIndex", nothing, "0x0") is None
    assert served.call("eth_getRawTransactionByHash", nothing) == "0x"
    assert served.call("eth_getBlockTransactionCountByNumber", "0xffffff") is None
    assert served.call("eth_getUncleCountByBlockHash", nothing) is None


def test_the_pending_block_is_the_next_one_without_a_hash(served: Served, counter: str) -> None:
    head = served.call("eth_getBlockByNumber", "latest", False)
    pending = served.call("eth_getBlockByNumber", "pending", False)
    assert int(pending["number"], 16) == int(head["number"], 16) + 1
    assert pending["parentHash"] == head["hash"]
    assert pending["hash"] is None


def test_a_transaction_is_found_by_hash_and_by_place(served: Served) -> None:
    raw = signed(nonce_of(served))
    transaction_hash = served.call("eth_sendRawTransaction", raw)
    receipt = served.receipt(transaction_hash)
    found = served.call("eth_getTransactionByHash", transaction_hash)
    assert found["from"] == SENDER
    assert found["blockHash"] == receipt["blockHash"]
    place = (receipt["blockNumber"], receipt["transactionIndex"])
    assert served.call("eth_getTransactionByBlockNumberAndIndex", *place) == found
    place = (receipt["blockHash"], receipt["transactionIndex"])
    assert served.call("eth_getTransactionByBlockHashAndIndex", *place) == found
    assert served.call("eth_getRawTransactionByHash", transaction_hash) == raw
    assert served.call("eth_getRawTransactionByBlockHashAndIndex", *place) == raw
    assert served.call("debug_getRawTransaction", transaction_hash) == raw
    assert served.call("eth_getBlockReceipts", receipt["blockNumber"]) == [receipt]
    assert len(served.call("debug_getRawReceipts", receipt["blockNumber"])) == 1


# -- sending ---------------------------------------------------------------------------------------


def test_a_refused_transaction_has_geths_code_and_words(served: Served) -> None:
    served.receipt(served.call("eth_sendRawTransaction", signed(nonce_of(served))))
    nonce = nonce_of(served)

    def refusal(raw: str) -> tuple[int, str]:
        refused = served.refusal("eth_sendRawTransaction", raw)
        assert refused.data is None
        return refused.code, refused.message

    assert refusal(signed(nonce - 1, value=7)) == (
        -32000,
        f"nonce too low: next nonce {nonce}, tx nonce {nonce - 1}",
    )
    code, message = refusal(signed(0, key=7, value=10**30))
    assert code == -32000
    assert message.startswith("insufficient funds for gas * price + value: balance ")
    code, message = refusal(signed(nonce, gas=20_999))
    assert (code, message) == (-32000, "intrinsic gas too low: gas 20999, minimum needed 21000")
    assert refusal("0x")[0] == -32000
    assert refusal("0x04")[0] == -32000
    wrong_chain = build_transaction(
        kind=Kind.DYNAMIC_FEE, chain_id=5, nonce=nonce, gas_limit=21_000, max_fee=10**10,
        max_priority_fee=1, to=Address(bytes(20)),
    )  # fmt: skip
    raw = "0x" + sign_transaction(wrong_chain, KEYS[0]).raw.hex()
    assert refusal(raw)[1].startswith("invalid sender: invalid chain id for signer: have ")


def test_a_waiting_transaction_is_known_replaced_and_shown_by_the_pool(served: Served) -> None:
    """One nonce too far: it is queued until the gap is filled."""
    sender = "0x" + list(ACCOUNTS)[5].hex()
    far = signed(1, key=5)
    waiting = served.call("eth_sendRawTransaction", far)
    assert served.refusal("eth_sendRawTransaction", far).message == "already known"
    refused = served.refusal("eth_sendRawTransaction", signed(1, key=5, value=2))
    assert refused.message == "replacement transaction underpriced"
    assert served.call("txpool_status")["queued"] == "0x1"
    shown = served.call("txpool_content")["queued"][to_checksum_address(sender)]["1"]
    assert (shown["hash"], shown["blockHash"]) == (waiting, None)
    assert served.call("txpool_contentFrom", sender)["queued"] == {"1": shown}
    line = served.call("txpool_inspect")["queued"][to_checksum_address(sender)]["1"]
    assert line.endswith("21000 gas × 10000000000 wei")
    assert served.call("eth_getTransactionByHash", waiting) == shown
    assert served.call("eth_getTransactionReceipt", waiting) is None
    assert served.call("eth_getRawTransactionByHash", waiting) == far
    assert served.call("eth_getTransactionCount", sender, "pending") == "0x0"
    served.call("eth_sendRawTransaction", signed(0, key=5))
    served.receipt(waiting)
    assert served.call("txpool_status") == {"pending": "0x0", "queued": "0x0"}


def test_the_nodes_accounts_send_and_sign(served: Served) -> None:
    assert served.call("eth_accounts")[:2] == [SENDER, OTHER]
    receipt = served.send(to=OTHER, value="0x1")
    assert (receipt["status"], receipt["type"]) == ("0x1", "0x2")
    assert served.send(to=OTHER, gasPrice=hex(10**10))["type"] == "0x0"
    assert served.send(to=OTHER, gasPrice=hex(10**10), accessList=[])["type"] == "0x1"
    full = {"from": SENDER, "to": OTHER, "gas": "0x5208", "gasPrice": "0x1", "nonce": "0x9999"}
    answer = served.call("eth_signTransaction", full)
    transaction = decode_transaction(bytes.fromhex(answer["raw"][2:]))
    assert hex(transaction.nonce) == answer["tx"]["nonce"] == "0x9999"
    message = b"hello"
    signature = bytes.fromhex(served.call("eth_sign", SENDER, "0x" + message.hex())[2:])
    digest = keccak(b"\x19Ethereum Signed Message:\n5hello")
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    assert recover(digest, signature[64] - 27, r, s) == bytes.fromhex(SENDER[2:])
    assert served.call("personal_sign", "0x" + message.hex(), SENDER) == "0x" + signature.hex()


def test_typed_data_is_signed_as_an_object_and_as_text(served: Served) -> None:
    typed = {
        "types": {"Mail": [{"name": "text", "type": "string"}]},
        "primaryType": "Mail",
        "domain": {"name": "post", "chainId": 31337},
        "message": {"text": "hello"},
    }
    signature = bytes.fromhex(served.call("eth_signTypedData_v4", SENDER, typed)[2:])
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    assert recover(typed_data_hash(typed), signature[64] - 27, r, s) == bytes.fromhex(SENDER[2:])
    as_text = served.call("eth_signTypedData_v4", SENDER, json.dumps(typed))
    assert as_text == "0x" + signature.hex()
    for wrong, code in (("{", -32602), ([], -32602), ({**typed, "primaryType": "Letter"}, -32000)):
        assert served.refusal("eth_signTypedData_v4", SENDER, wrong).code == code
    assert served.refusal("eth_signTypedData_v4", NOBODY, typed).message == "unknown account"


@pytest.mark.parametrize(
    ("method", "request_", "message"),
    [
        ("eth_sendTransaction", {"from": NOBODY, "to": OTHER}, "unknown account"),
        ("eth_sendTransaction", {"from": SENDER}, "contract creation without any data provided"),
        ("eth_sendTransaction", {"to": OTHER}, "unknown account"),
        ("eth_signTransaction", {"from": SENDER, "to": OTHER}, "gas not specified"),
    ],
)
def test_the_nodes_accounts_refuse_what_is_not_clear(
    served: Served, method: str, request_: dict[str, str], message: str
) -> None:
    assert served.refusal(method, request_).message == message


# -- fees ------------------------------------------------------------------------------------------


def test_suggested_fees_get_a_transaction_in(served: Served) -> None:
    price = int(served.call("eth_gasPrice"), 16)
    tip = int(served.call("eth_maxPriorityFeePerGas"), 16)
    base_fee = int(served.call("eth_getBlockByNumber", "latest")["baseFeePerGas"], 16)
    assert price == base_fee + tip
    assert served.send(to=OTHER, gasPrice=hex(price))["status"] == "0x1"


def test_the_fee_history_covers_the_blocks_asked_for(served: Served, counter: str) -> None:
    head = int(served.call("eth_blockNumber"), 16)
    history = served.call("eth_feeHistory", "0x3", "latest", [10, 50.5, 90])
    assert history["oldestBlock"] == hex(head - 2)
    assert len(history["baseFeePerGas"]) == len(history["baseFeePerBlobGas"]) == 4
    assert len(history["gasUsedRatio"]) == len(history["blobGasUsedRatio"]) == 3
    assert [len(tips) for tips in history["reward"]] == [3, 3, 3]
    next_base_fee = served.call("eth_getBlockByNumber", "pending")["baseFeePerGas"]
    assert history["baseFeePerGas"][-1] == next_base_fee == served.call("eth_baseFee")
    assert "reward" not in served.call("eth_feeHistory", 2, "latest", [])
    assert "reward" not in served.call("eth_feeHistory", "2", hex(head))
    assert served.call("eth_feeHistory", "0xffffff", "earliest", [])["oldestBlock"] == "0x0"
    assert served.call("eth_feeHistory", "0x0", "latest", []) == {
        "oldestBlock": "0x0",
        "gasUsedRatio": None,
    }


@pytest.mark.parametrize("percentiles", [[101], [-1], [50, 50], [50, 10], [1] * 101])
def test_percentiles_that_make_no_sense_are_refused(
    served: Served, percentiles: list[object]
) -> None:
    refused = served.refusal("eth_feeHistory", "0x1", "latest", percentiles)
    assert "percentile" in refused.message


@pytest.mark.parametrize(
    ("percentiles", "words"),
    [
        (["5"], "string into Go value of type float64"),
        ([True], "bool into Go value of type float64"),
        ("5", "string into Go value of type []float64"),
    ],
)
def test_what_is_no_percentile_is_refused(served: Served, percentiles: object, words: str) -> None:
    refused = served.refusal("eth_feeHistory", "0x1", "latest", percentiles)
    assert refused.message == f"invalid argument 2: json: cannot unmarshal {words}"


def test_a_fee_history_may_end_with_the_next_block(served: Served, counter: str) -> None:
    history = served.call("eth_feeHistory", 2, "pending", [50])
    head = served.call("eth_getBlockByNumber", "latest")
    following = served.call("eth_getBlockByNumber", "pending")
    assert history["oldestBlock"] == head["number"]
    assert history["baseFeePerGas"][:2] == [head["baseFeePerGas"], following["baseFeePerGas"]]
    assert len(history["baseFeePerGas"]) == 3
    assert history["reward"][1] == ["0x0"]
    assert history["gasUsedRatio"][1] == 0


@pytest.mark.parametrize("name", ["eth_subscribe", "debug_subscribe", "parity_subscribe"])
def test_there_are_no_subscriptions_over_http(served: Served, name: str) -> None:
    refused = served.refusal(name, "newHeads")
    assert (refused.code, refused.message) == (-32601, "notifications not supported")
    assert served.refusal("eth_unsubscribe", "0x1").message == "subscription not found"


def test_names_of_filters_are_texts(served: Served) -> None:
    refused = served.refusal("eth_getFilterChanges", 5)
    assert refused.message.endswith("cannot unmarshal number into Go value of type rpc.ID")


def test_a_fee_history_beyond_the_head_is_refused(served: Served) -> None:
    refused = served.refusal("eth_feeHistory", "0x1", "0xffffff", [])
    assert refused.message.startswith("request beyond head block: requested 16777215, head ")


# -- the node --------------------------------------------------------------------------------------


def test_the_node_says_what_it_is(served: Served) -> None:
    assert served.call("web3_clientVersion").startswith("chain-node/v")
    assert served.call("web3_sha3", "0x") == "0x" + keccak(b"").hex()
    assert served.call("net_version") == "31337"
    assert served.call("net_listening") is True
    assert served.call("net_peerCount") == "0x0"
    assert served.call("eth_chainId") == "0x7a69"
    assert served.call("eth_syncing") is False
    assert served.call("rpc_modules").keys() >= {"eth", "net", "web3", "txpool", "debug"}
    assert served.call("eth_config")["current"]["chainId"] == "0x7a69"
    assert served.call("eth_blobBaseFee") == "0x1"


# -- logs and filters ------------------------------------------------------------------------------


def test_logs_are_found_by_address_topic_range_and_block(served: Served, counter: str) -> None:
    receipt = served.send(to=counter)
    log = receipt["logs"][0]
    block = receipt["blockNumber"]
    here = {"fromBlock": block, "toBlock": block}
    assert served.call("eth_getLogs", here) == [log]
    assert served.call("eth_getLogs", {"blockHash": receipt["blockHash"]}) == [log]
    assert served.call("eth_getLogs", {**here, "address": counter}) == [log]
    assert served.call("eth_getLogs", {**here, "address": [NOBODY, counter]}) == [log]
    assert served.call("eth_getLogs", {**here, "address": NOBODY}) == []
    assert served.call("eth_getLogs", {**here, "topics": [COUNTED]}) == [log]
    assert served.call("eth_getLogs", {**here, "topics": [[COUNTED, "0x" + "1" * 64]]}) == [log]
    assert served.call("eth_getLogs", {**here, "topics": [None]}) == [log]
    assert served.call("eth_getLogs", {**here, "topics": [COUNTED, None]}) == []
    assert served.call("eth_getLogs", {**here, "topics": ["0x" + "1" * 64]}) == []
    everything = {"fromBlock": "earliest", "toBlock": "latest", "address": counter}
    found = served.call("eth_getLogs", everything)
    assert [int(item["data"], 16) for item in found] == list(range(1, len(found) + 1))


@pytest.mark.parametrize(
    ("wanted", "code", "message"),
    [
        ({"blockHash": "0x" + "12" * 32}, -32000, "unknown block"),
        ({"fromBlock": "0x2", "toBlock": "0x1"}, -32602, "invalid block range params"),
        ({"toBlock": "0xffffff"}, -32602, "invalid block range params"),
        (
            {"fromBlock": "0x0", "toBlock": "0xffffff"},
            -32602,
            "block range extends beyond current head block",
        ),
        ({"fromBlock": "pending"}, -32602, "pending logs are not supported"),
        ({"topics": [None] * 5}, -32602, "invalid argument 0: exceed max topics"),
    ],
)
def test_log_queries_that_make_no_sense_are_refused(
    served: Served, counter: str, wanted: dict[str, str], code: int, message: str
) -> None:
    refused = served.refusal("eth_getLogs", wanted)
    assert (refused.code, refused.message) == (code, message)


def test_log_queries_have_limits_that_name_a_usable_range() -> None:
    with Served(rpc={"log_heights_max": 2, "logs_max": 1}) as small:
        address = small.send(data=COUNTER_INITCODE)["contractAddress"]
        for _ in range(3):
            small.send(to=address)
        refused = small.refusal("eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest"})
        assert refused.code == -32005
        assert refused.message.endswith(". Try with this block range [0x0, 0x1].")
        refused = small.refusal("eth_getLogs", {"fromBlock": "0x3", "toBlock": "0x4"})
        assert refused.code == -32005
        assert refused.message.endswith(". Try with this block range [0x3, 0x3].")
        assert len(small.call("eth_getLogs", {"fromBlock": "0x3", "toBlock": "0x3"})) == 1


def test_filters_give_what_came_since_the_last_poll(served: Served, counter: str) -> None:
    logs = served.call("eth_newFilter", {"address": counter, "topics": [COUNTED]})
    blocks = served.call("eth_newBlockFilter")
    pending = served.call("eth_newPendingTransactionFilter")
    for name in (logs, blocks, pending):
        assert served.call("eth_getFilterChanges", name) == []
    receipts = [served.send(to=counter), served.send(to=counter)]
    assert served.call("eth_getFilterChanges", logs) == [item["logs"][0] for item in receipts]
    assert served.call("eth_getFilterChanges", blocks) == [item["blockHash"] for item in receipts]
    assert served.call("eth_getFilterChanges", pending) == [
        item["transactionHash"] for item in receipts
    ]
    for name in (logs, blocks, pending):
        assert served.call("eth_getFilterChanges", name) == []
        assert served.call("eth_uninstallFilter", name) is True
        assert served.call("eth_uninstallFilter", name) is False
        refused = served.refusal("eth_getFilterChanges", name)
        assert (refused.code, refused.message) == (-32000, "filter not found")


def test_polls_at_the_same_time_share_out_the_news(served: Served, counter: str) -> None:
    """Every log comes once, whichever of the polls gets it, while other filters come and go."""
    name = served.call("eth_newFilter", {"address": counter})
    wanted = [served.send(to=counter)["logs"][0] for _ in range(5)]

    def poll(_: int) -> list[Any]:
        served.call("eth_uninstallFilter", served.call("eth_newBlockFilter"))
        found: list[Any] = served.call("eth_getFilterChanges", name)
        return found

    with ThreadPoolExecutor(8) as pool:
        assert [log for logs in pool.map(poll, range(40)) for log in logs] == wanted
    served.call("eth_uninstallFilter", name)


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({"fromBlock": "pending"}, "pending logs are not supported"),
        ({"fromBlock": "0x0", "toBlock": "pending"}, "pending logs are not supported"),
        ({"fromBlock": "0x5", "toBlock": "0x3"}, "invalid block range params"),
        ({"toBlock": "0x3"}, "invalid block range params"),
        ({"fromBlock": "latest", "toBlock": "earliest"}, "invalid block range params"),
    ],
)
def test_a_filter_between_whose_bounds_nothing_comes_is_refused(
    served: Served, bounds: dict[str, Any], message: str
) -> None:
    refusal = served.refusal("eth_newFilter", bounds)
    assert (refusal.code, refusal.message) == (-32602, message)


def test_a_filter_tells_its_old_logs_when_asked(served: Served, counter: str) -> None:
    name = served.call("eth_newFilter", {"fromBlock": "0x0", "address": counter})
    everything = {"fromBlock": "0x0", "address": counter}
    assert served.call("eth_getFilterLogs", name) == served.call("eth_getLogs", everything)
    blocks = served.call("eth_newBlockFilter")
    assert served.refusal("eth_getFilterLogs", blocks).message == "filter not found"


def test_filters_are_limited_in_number_and_forgotten_when_idle() -> None:
    with Served(rpc={"filters_max": 2}) as few:
        for _ in range(2):
            few.call("eth_newBlockFilter")
        assert few.refusal("eth_newBlockFilter").code == -32005
    with Served(rpc={"filters_max": 1, "filter_idle_seconds": 0}) as forgetful:
        for _ in range(3):
            name = forgetful.call("eth_newBlockFilter")
        assert forgetful.refusal("eth_getFilterChanges", name).message == "filter not found"
