"""Names that anvil and ganache have beside the usual ones, and the blobs of the blocks."""

from pathlib import Path
from typing import Any

from chain.blobs import BLOB_BYTES, CELL_PROOFS, build_sidecar, versioned_hash
from chain.crypto.keccak import keccak
from chain.transactions import (
    Kind,
    build_transaction,
    encode_network_transaction,
    sign_transaction,
)
from chain.types import Address, Hash
from node.devchain import blobs
from node.devchain.blobs import Blobs
from tests.node.rpc.serving import ACCOUNTS, COUNTER, COUNTER_INITCODE, OTHER, SENDER, Served
from tests.support.daemon import start

NOBODY = "0x" + "ab" * 20
TYPED = {
    "types": {
        "EIP712Domain": [{"name": "name", "type": "string"}],
        "Note": [{"name": "text", "type": "string"}],
    },
    "primaryType": "Note",
    "domain": {"name": "notes"},
    "message": {"text": "hello"},
}


def test_anvils_other_names_give_the_same(dev: Served) -> None:
    assert dev.call("eth_networkId") == dev.call("net_version")
    assert dev.call("eth_requestAccounts") == dev.call("eth_accounts")
    signature = dev.call("eth_signTypedData_v4", SENDER, TYPED)
    for name in ("eth_signTypedData", "eth_signTypedData_v3"):
        assert dev.call(name, SENDER, TYPED) == signature
    assert dev.call("anvil_getGenesisTime") == 0
    assert dev.refusal("anvil_setERC20Balance", SENDER, OTHER, "0x1").code == -32000


def test_a_sent_transaction_is_answered_with_its_receipt(dev: Served) -> None:
    receipt = dev.call("eth_sendTransactionSync", {"from": SENDER, "to": OTHER, "value": "0x1"})
    assert receipt == dev.receipt(receipt["transactionHash"])
    refused = dev.refusal("eth_sendTransactionSync", {"from": NOBODY, "to": OTHER})
    assert (refused.code, refused.message) == (-32000, "unknown account")


def test_an_account_is_told_as_the_trie_has_it(dev: Served) -> None:
    contract = dev.send(data=COUNTER_INITCODE)["contractAddress"]
    before = dev.call("eth_getAccount", contract, "latest")
    dev.send(to=contract, gas="0x30000")
    for address in (contract, SENDER, NOBODY):
        told = dev.call("eth_getAccount", address, "latest")
        assert told["nonce"] == dev.call("eth_getTransactionCount", address, "latest")
        assert told["balance"] == dev.call("eth_getBalance", address, "latest")
    proof = dev.call("eth_getProof", contract, [], "latest")
    told = dev.call("eth_getAccount", contract, "latest")
    assert told["storageRoot"] == proof["storageHash"] != before["storageRoot"]
    assert told["codeHash"] == proof["codeHash"]
    empty = dev.call("eth_getAccount", NOBODY, "latest")
    assert empty["codeHash"] == "0x" + keccak(b"").hex()
    assert empty["storageRoot"] == "0x" + keccak(b"\x80").hex()


def test_code_is_found_by_its_hash(dev: Served) -> None:
    dev.call("anvil_setCode", NOBODY, "0x" + COUNTER)
    name = keccak(bytes.fromhex(COUNTER)).hex()
    assert dev.call("debug_codeByHash", "0x" + name) == "0x" + COUNTER
    assert dev.call("debug_codeByHash", "0x" + name, "latest") == "0x" + COUNTER
    assert dev.call("debug_codeByHash", "0x" + "77" * 32) == "0x"
    assert dev.call("debug_dbGet", "0x63" + name) == "0x" + COUNTER
    assert dev.refusal("debug_dbGet", "0x63" + "77" * 32).message == "not found"
    assert dev.refusal("debug_dbGet", "LastBlock").message == "not found"
    assert dev.refusal("debug_dbGet", "0xzz").code == -32602


def test_what_a_request_leaves_out_is_filled_in_as_by_anvil(dev: Served) -> None:
    """The first account sends when none is named; what is only signed need not be whole."""
    receipt = dev.receipt(dev.call("eth_sendTransaction", {"to": OTHER, "value": "0x1"}))
    assert receipt["from"] == SENDER
    signed = dev.call("eth_signTransaction", {"from": OTHER, "to": SENDER})
    assert dev.receipt(dev.call("eth_sendRawTransaction", signed["raw"]))["from"] == OTHER


def test_what_this_is_has_the_types_that_anvils_callers_read(dev: Served) -> None:
    assert dev.call("anvil_nodeInfo")["environment"]["chainId"] == 31337
    metadata = dev.call("anvil_metadata")
    assert isinstance(metadata["clientSemver"], str)
    assert metadata["forkedNetwork"] is metadata["clientCommitSha"] is None


def test_code_is_taken_as_compilers_write_it(dev: Served) -> None:
    for written, code in (("6001", "0x6001"), ("0x6002", "0x6002"), ("", "0x")):
        dev.call("anvil_setCode", NOBODY, written)
        assert dev.call("eth_getCode", NOBODY, "latest") == code
    for wrong in ("601", "xy", 7):
        assert dev.refusal("anvil_setCode", NOBODY, wrong).code == -32602


def test_times_and_depths_that_cannot_be_are_refused_in_known_words(dev: Served) -> None:
    now = int(dev.call("eth_getBlockByNumber", "latest", False)["timestamp"], 16)
    refused = dev.refusal("evm_setNextBlockTimestamp", now)
    assert refused.message == (
        f"Timestamp {now} is lower than or equal to previous block's timestamp {now}"
    )
    for name, word in (("anvil_rollback", "Rollback"), ("anvil_reorg", "Reorg")):
        parameters = [5] if word == "Rollback" else [5, []]
        assert dev.refusal(name, *parameters).message == (
            f"{word} depth must not exceed current chain height: current height 0, depth 5"
        )


def test_logs_can_be_asked_for_up_to_a_block_that_is_still_to_come(dev: Served) -> None:
    contract = dev.send(data=COUNTER_INITCODE)["contractAddress"]
    logs = dev.send(to=contract, gas="0x30000")["logs"]
    assert dev.call("eth_getLogs", {"fromBlock": "0x0", "toBlock": "0xffff"}) == logs
    refused = dev.refusal("eth_getLogs", {"fromBlock": "0xfff", "toBlock": "0xffff"})
    assert refused.message == "block range extends beyond current head block"


# -- the chain id ----------------------------------------------------------------------------------


def test_the_chain_id_can_be_changed(dev: Served) -> None:
    """What is sent, signed and run from then on has the new one; what was before can be traced."""
    dev.call("anvil_setCode", NOBODY, "0x4660005260206000f3")  # returns CHAINID
    call = {"to": NOBODY}
    assert int(dev.call("eth_call", call, "latest"), 16) == 31337
    before = dev.send(to=NOBODY)["transactionHash"]
    assert dev.call("anvil_setChainId", 4242) is None
    assert dev.call("eth_chainId") == hex(4242)
    assert dev.call("net_version") == "4242"
    assert int(dev.call("eth_call", call, "latest"), 16) == 4242
    after = dev.send(to=NOBODY)["transactionHash"]
    assert dev.call("eth_getTransactionByHash", after)["chainId"] == hex(4242)
    assert dev.call("eth_getTransactionByHash", before)["chainId"] == hex(31337)
    for transaction_hash in (before, after):
        assert dev.call("debug_traceTransaction", transaction_hash)["failed"] is False
    old = build_transaction(
        kind=Kind.DYNAMIC_FEE, chain_id=31337, nonce=2, gas_limit=21000, max_fee=10**10
    )
    raw = sign_transaction(old, ACCOUNTS[Address(bytes.fromhex(SENDER[2:]))]).raw
    assert "chain id" in dev.refusal("eth_sendRawTransaction", "0x" + raw.hex()).message
    for wrong in (0, 2**64, -1, "x"):
        assert dev.refusal("anvil_setChainId", wrong).code == -32602


def test_what_waits_with_the_old_chain_id_is_dropped(dev: Served) -> None:
    dev.call("evm_setAutomine", False)
    waiting = dev.call("eth_sendTransaction", {"from": SENDER, "to": OTHER})
    dev.call("anvil_setChainId", "0x5")
    assert dev.call("eth_getTransactionByHash", waiting) is None
    assert dev.call("eth_getTransactionCount", SENDER, "pending") == "0x0"


def test_the_new_chain_id_survives_a_restart(tmp_path: Path) -> None:
    folder = str(tmp_path / "data")
    daemon = start("dev", "--datadir", folder)
    try:
        daemon.rpc.call("anvil_setChainId", 777)
        daemon.kill()
        daemon = start("dev", "--datadir", folder)
        assert daemon.rpc.call("eth_chainId") == hex(777)
        daemon.rpc.call("eth_sendTransactionSync", {"from": SENDER, "to": OTHER})
    finally:
        assert daemon.stop() == 0


# -- blobs -----------------------------------------------------------------------------------------


def _send_blobs(dev: Served, nonce: int, fill: bytes) -> tuple[str, list[str]]:
    """The hash of a transaction with two blobs, and the blobs."""
    given = [bytes(31) + fill + bytes(BLOB_BYTES - 32), fill.rjust(32, b"\0") * 4096]
    sidecar = build_sidecar(given, CELL_PROOFS)
    unsigned = build_transaction(
        kind=Kind.BLOB,
        chain_id=31337,
        nonce=nonce,
        gas_limit=21000,
        max_fee=10**10,
        to=Address(bytes(20)),
        max_blob_fee=10**10,
        blob_hashes=tuple(map(versioned_hash, sidecar.commitments)),
    )
    signed = sign_transaction(unsigned, ACCOUNTS[Address(bytes.fromhex(SENDER[2:]))])
    raw = "0x" + encode_network_transaction(signed, sidecar).hex()
    return dev.call("eth_sendRawTransaction", raw), ["0x" + blob.hex() for blob in given]


def test_the_blobs_of_mined_transactions_can_be_had(dev: Served) -> None:
    sent, given = _send_blobs(dev, 0, b"\x01")
    _, others = _send_blobs(dev, 1, b"\x02")
    names = dev.call("eth_getTransactionByHash", sent)["blobVersionedHashes"]
    assert [dev.call("anvil_getBlobByHash", name) for name in names] == given
    assert dev.call("anvil_getBlobsByTransactionHash", sent) == given
    assert dev.call("anvil_getBlobsByBlockId", "0x1") == given
    assert dev.call("anvil_getBlobsByBlockId", "latest") == others
    assert dev.call("anvil_getBlobsByBlockId", "0x1", names[1:]) == given[1:]
    sidecar: dict[str, Any] = dev.call("anvil_getBlobSidecarsByBlockId", "0x1")
    assert sidecar["blobs"] == given
    hashes = [versioned_hash(bytes.fromhex(item[2:])) for item in sidecar["commitments"]]
    assert ["0x" + item.hex() for item in hashes] == names
    assert len(sidecar["proofs"]) == 2 * 128


def test_where_there_are_no_blobs_there_is_null(dev: Served) -> None:
    plain = dev.send(to=OTHER)["transactionHash"]
    for name, argument in (
        ("anvil_getBlobByHash", "0x" + "01" * 32),
        ("anvil_getBlobsByTransactionHash", "0x" + "01" * 32),
        ("anvil_getBlobsByTransactionHash", plain),
        ("anvil_getBlobsByBlockId", "0x63"),
        ("anvil_getBlobSidecarsByBlockId", "0x63"),
    ):
        assert dev.call(name, argument) is None
    assert dev.call("anvil_getBlobsByBlockId", "latest") == []
    assert dev.refusal("anvil_getBlobsByBlockId", "latest", ["0x1"]).code == -32602


def test_of_many_blobs_the_newest_are_kept() -> None:
    sidecar = build_sidecar([bytes(BLOB_BYTES)], CELL_PROOFS)
    kept = Blobs()
    names = [Hash(bytes((number,)).rjust(32, b"\0")) for number in range(200)]
    for name in (*names, *(Hash(b"\1" + name[1:]) for name in names)):
        kept.keep([name], sidecar)
    assert kept.get(names[0]) is None
    assert kept.get(names[-1]) is not None
    assert sum(kept.get(name) is not None for name in names) == blobs.KEPT_MAX - 200


# -- ganache ---------------------------------------------------------------------------------------


def test_ganaches_accounts_are_added_and_unlocked(dev: Served) -> None:
    dev.call("anvil_setBalance", NOBODY, hex(10**18))
    request = {"from": NOBODY, "to": OTHER, "value": "0x1"}
    assert "not found" in dev.refusal("personal_unlockAccount", NOBODY, "", 0).message
    assert dev.call("evm_addAccount", NOBODY, "") is True
    assert dev.call("evm_addAccount", NOBODY, "") is False
    assert dev.refusal("eth_sendTransaction", request).message == "unknown account"
    assert dev.call("personal_unlockAccount", NOBODY, "", 0) is True
    dev.receipt(dev.call("eth_sendTransaction", request))
    assert dev.call("personal_lockAccount", NOBODY) is True
    assert dev.refusal("eth_sendTransaction", request).message == "unknown account"
    assert dev.call("evm_removeAccount", NOBODY, "") is True
    assert dev.call("evm_removeAccount", NOBODY, "") is False
    assert dev.call("personal_unlockAccount", SENDER, "") is True
    assert dev.call("evm_addAccount", SENDER, "") is False


def test_ganaches_personal_names_and_its_miner_are_there(dev: Served) -> None:
    assert dev.call("personal_listAccounts") == dev.call("eth_accounts")
    dev.receipt(dev.call("personal_sendTransaction", {"from": SENDER, "to": OTHER}, "secret"))
    whole = {"from": SENDER, "to": OTHER, "gas": "0x5208", "gasPrice": "0x3b9aca00", "nonce": "0x9"}
    signed = dev.call("personal_signTransaction", whole, "secret")
    assert signed == dev.call("eth_signTransaction", whole)
    assert dev.call("miner_setEtherbase", NOBODY) is True
    assert dev.call("miner_setGasLimit", hex(40_000_000)) is True
    dev.call("evm_mine")
    head = dev.call("eth_getBlockByNumber", "latest", False)
    assert (head["miner"], head["gasLimit"]) == (NOBODY, hex(40_000_000))
