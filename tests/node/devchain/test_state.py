"""The state set directly: read, proved, run on, traced; accounts that nobody has the key of."""

from chain.crypto.keccak import keccak
from tests.node.rpc.serving import (
    COUNTED,
    COUNTER,
    COUNTER_INITCODE,
    OTHER,
    SENDER,
    Served,
)

NOBODY = "0x" + "ab" * 20
SLOT = "0x" + "00" * 32


def _word(value: int) -> str:
    return f"0x{value:064x}"


def test_what_is_set_is_read_and_answered_as_callers_are_used_to(dev: Served) -> None:
    for value, name, gives in (
        (5, "anvil_setBalance", None),
        (6, "hardhat_setBalance", True),
        (7, "evm_setAccountBalance", True),
        (8, "tenderly_setBalance", None),
    ):
        assert dev.call(name, NOBODY, hex(value)) is gives
        assert dev.call("eth_getBalance", NOBODY, "latest") == hex(value)
    assert dev.call("anvil_addBalance", NOBODY, 2) is None
    assert dev.call("eth_getBalance", NOBODY, "latest") == "0xa"
    assert dev.call("anvil_setNonce", NOBODY, "0x3") is None
    assert dev.call("eth_getTransactionCount", NOBODY, "latest") == "0x3"
    assert dev.call("hardhat_setCode", NOBODY, "0x" + COUNTER) is True
    assert dev.call("eth_getCode", NOBODY, "latest") == "0x" + COUNTER
    assert dev.call("anvil_setStorageAt", NOBODY, "0x0", _word(41)) is True
    assert dev.call("eth_getStorageAt", NOBODY, "0x0", "latest") == _word(41)
    assert dev.call("eth_call", {"to": NOBODY}, "latest") == _word(42)
    assert dev.call("eth_blockNumber") == "0x0"


def test_an_account_with_nothing_left_is_gone(dev: Served) -> None:
    empty = dev.call("eth_getProof", NOBODY, [], "latest")
    dev.call("anvil_setBalance", NOBODY, "0x1")
    assert dev.call("eth_getProof", NOBODY, [], "latest") != empty
    dev.call("anvil_setBalance", NOBODY, "0x0")
    assert dev.call("eth_getProof", NOBODY, [], "latest") == empty


def test_a_slot_of_an_account_without_code_stays(dev: Served) -> None:
    dev.call("anvil_setStorageAt", NOBODY, "0x7", _word(9))
    dev.call("evm_mine")
    assert dev.call("eth_getStorageAt", NOBODY, "0x7", "latest") == _word(9)


def test_an_account_whose_only_slot_is_emptied_is_gone(dev: Served) -> None:
    nothing = dev.call("eth_getProof", NOBODY, ["0x7"], "latest")
    dev.call("anvil_setStorageAt", NOBODY, "0x7", "0x1")
    assert dev.call("eth_getProof", NOBODY, ["0x7"], "latest") != nothing
    dev.call("anvil_setStorageAt", NOBODY, "0x7", "0x0")
    assert dev.call("eth_getProof", NOBODY, ["0x7"], "latest") == nothing
    dev.call("evm_mine")


def test_the_next_block_and_its_trace_stand_on_what_was_set(dev: Served) -> None:
    """The header commits to it, proofs verify against the root that the ledger tells."""
    dev.call("anvil_setCode", NOBODY, "0x" + COUNTER)
    dev.call("anvil_setStorageAt", NOBODY, SLOT, _word(99))
    proof = dev.call("eth_getProof", NOBODY, [SLOT], "latest")
    root = keccak(bytes.fromhex(proof["accountProof"][0][2:]))
    assert root == dev.node.ledger.state_root(dev.node.ledger.height)
    receipt = dev.send(to=NOBODY, gas="0x186a0")
    assert receipt["logs"][0]["topics"] == [COUNTED]
    assert int(receipt["logs"][0]["data"], 16) == 100
    proof = dev.call("eth_getProof", NOBODY, [SLOT], "latest")
    block = dev.call("eth_getBlockByNumber", "latest", False)
    assert keccak(bytes.fromhex(proof["accountProof"][0][2:])).hex() == block["stateRoot"][2:]
    options = {"tracer": "prestateTracer"}
    before = dev.call("debug_traceTransaction", receipt["transactionHash"], options)
    assert before[NOBODY]["storage"][SLOT] == _word(99)
    assert dev.call("eth_getStorageAt", NOBODY, SLOT, "0x0") == _word(99)


def test_numbers_are_taken_in_every_form(dev: Served) -> None:
    for value in (16, "16", "0x10", "0x00010"):
        dev.call("anvil_setBalance", NOBODY, "0x0")
        dev.call("anvil_setBalance", NOBODY, value)
        assert dev.call("eth_getBalance", NOBODY, "latest") == "0x10"
    wrongs: list[object] = ["ten", -1, 1.5, "0x1" + "00" * 32, None, [], True]
    for wrong in wrongs:
        assert dev.refusal("anvil_setBalance", NOBODY, wrong).code == -32602
    dev.call("anvil_setBalance", NOBODY, "0x")
    assert dev.call("eth_getBalance", NOBODY, "latest") == "0x0"


def test_an_account_may_be_at_the_end_of_its_nonces(dev: Served) -> None:
    assert dev.refusal("anvil_setNonce", OTHER, hex(2**64)).code == -32602
    assert dev.call("anvil_setNonce", OTHER, hex(2**64 - 1)) is None
    assert dev.call("eth_getTransactionCount", OTHER, "latest") == hex(2**64 - 1)
    refused = dev.refusal("eth_sendTransaction", {"from": OTHER, "to": NOBODY})
    assert refused.message.startswith("nonce has max value")


def test_a_waiting_transaction_sees_what_was_set(dev: Served) -> None:
    """It is dropped when its sender can no longer pay, and runs when the nonce fits again."""
    dev.call("evm_setAutomine", False)
    fields = {"from": SENDER, "to": OTHER, "value": "0x1", "gas": "0x5208"}
    dev.call("eth_sendTransaction", fields)
    dev.call("anvil_setBalance", SENDER, "0x1")
    assert dev.call("txpool_status")["pending"] == "0x0"
    dev.call("anvil_setBalance", SENDER, hex(10**20))
    dev.call("anvil_setNonce", SENDER, "0x5")
    late = dev.call("eth_sendTransaction", fields)
    assert dev.call("eth_getTransactionByHash", late)["nonce"] == "0x5"
    dev.call("evm_mine")
    assert dev.receipt(late)["status"] == "0x1"


# -- impersonation ---------------------------------------------------------------------------------


def test_an_account_without_a_key_sends_while_it_is_impersonated(dev: Served) -> None:
    dev.call("anvil_setBalance", NOBODY, hex(10**18))
    request = {"from": NOBODY, "to": OTHER, "value": "0x1"}
    assert dev.refusal("eth_sendTransaction", request).message == "unknown account"
    assert dev.call("hardhat_impersonateAccount", NOBODY) is True
    assert dev.call("eth_accounts")[-1] == NOBODY
    sent = dev.call("eth_sendTransaction", request)
    assert dev.receipt(sent)["from"] == NOBODY
    found = dev.call("eth_getTransactionByHash", sent)
    assert (found["from"], found["hash"], found["nonce"]) == (NOBODY, sent, "0x0")
    trace = dev.call("debug_traceTransaction", sent, {"tracer": "callTracer"})
    assert trace["from"] == NOBODY
    assert dev.call("hardhat_stopImpersonatingAccount", NOBODY) is True
    assert NOBODY not in dev.call("eth_accounts")
    assert dev.call("hardhat_stopImpersonatingAccount", NOBODY) is False
    assert dev.refusal("eth_sendTransaction", request).message == "unknown account"


def test_a_contract_can_be_impersonated(dev: Served) -> None:
    contract = dev.send(data=COUNTER_INITCODE)["contractAddress"]
    dev.call("anvil_setBalance", contract, hex(10**18))
    dev.call("anvil_impersonateAccount", contract)
    receipt = dev.send(**{"from": contract, "to": OTHER, "value": "0x1"})
    assert (receipt["status"], receipt["from"]) == ("0x1", contract)
    trace = dev.call("debug_traceTransaction", receipt["transactionHash"], {})
    assert trace["failed"] is False


def test_two_senders_of_the_same_transaction_have_two_hashes(dev: Served) -> None:
    dev.call("anvil_autoImpersonateAccount", True)
    hashes = set()
    for sender in (NOBODY, "0x" + "cd" * 20):
        dev.call("anvil_setBalance", sender, hex(10**18))
        fields = {"from": sender, "to": OTHER, "gas": "0x5208", "gasPrice": "0x77359400"}
        hashes.add(dev.call("eth_sendTransaction", fields))
    assert len(hashes) == 2
    dev.call("anvil_autoImpersonateAccount", False)
    assert dev.refusal("eth_sendTransaction", {"from": NOBODY, "to": OTHER}).code == -32000


def test_an_unsigned_transaction_can_be_sent_once_without_impersonation(dev: Served) -> None:
    dev.call("anvil_setBalance", NOBODY, hex(10**18))
    sent = dev.call("eth_sendUnsignedTransaction", {"from": NOBODY, "to": OTHER, "value": "0x1"})
    assert dev.receipt(sent)["from"] == NOBODY
    assert dev.refusal("eth_sendTransaction", {"from": NOBODY, "to": OTHER}).code == -32000


def test_what_comes_by_raw_bytes_still_needs_its_signature(dev: Served) -> None:
    dev.call("anvil_setBalance", NOBODY, hex(10**18))
    dev.call("anvil_impersonateAccount", NOBODY)
    sent = dev.call("eth_sendTransaction", {"from": NOBODY, "to": OTHER, "gas": "0x5208"})
    raw = dev.call("eth_getRawTransactionByHash", sent)
    assert dev.refusal("eth_sendRawTransaction", raw).message.startswith("invalid sender")
