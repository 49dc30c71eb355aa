"""Signatures that contracts take for somebody's who never made them."""

from eth_account import Account
from eth_account.messages import encode_defunct

from tests.node.rpc.serving import OTHER, SENDER, Served

NOBODY = "0x" + "ab" * 20
# Asks the precompiled contract, keeps its word in slot 0, returns it:
#   calldatasize push0 push0 calldatacopy
#   push1 32 push0 calldatasize push0 push1 1 gas staticcall pop
#   push0 mload dup1 push0 sstore push0 mstore push1 32 push0 return
RECOVERER = "365f5f3760205f365f60015afa505f51805f555f5260205ff3"
RECOVERER_INITCODE = f"0x60{len(RECOVERER) // 2:02x}80600b6000396000f3{RECOVERER}"

_R, _S = "11" * 32, "22" * 32
SIGNATURE = f"0x{_R}{_S}1b"
PRECOMPILE = "0x" + "00" * 19 + "01"


def _question(v: int = 27, digest: str = "33" * 32, r: str = _R) -> str:
    return f"0x{digest}{v:064x}{r}{_S}"


def _word(address: str) -> str:
    return "0x" + "00" * 12 + address[2:]


def test_an_impersonated_signature_is_of_any_message_and_of_nothing_else(dev: Served) -> None:
    """v is compared by its last byte, as anvil does; others are recovered as ever."""
    assert dev.call("anvil_impersonateSignature", [SIGNATURE, NOBODY]) is None

    def recovered(question: str) -> str:
        return str(dev.call("eth_call", {"to": PRECOMPILE, "data": question}, "latest"))

    assert recovered(_question()) == recovered(_question(digest="44" * 32)) == _word(NOBODY)
    assert _word(NOBODY) not in (recovered(_question(v=28)), recovered(_question(r="12" * 32)))
    signed = Account.sign_message(encode_defunct(b"x"), "0x" + "07" * 32)
    real = f"0x{signed.message_hash.hex()}{signed.v:064x}{signed.r:064x}{signed.s:064x}"
    assert recovered(real) == _word(Account.from_key("0x" + "07" * 32).address.lower())


def test_transactions_calls_and_traces_believe_it_until_the_chain_begins_again(
    dev: Served,
) -> None:
    contract = dev.send(data=RECOVERER_INITCODE)["contractAddress"]
    request = {"from": SENDER, "to": contract, "data": _question()}
    dev.call("hardhat_impersonateSignature", SIGNATURE, NOBODY)
    for signer in (NOBODY, OTHER):
        dev.call("anvil_impersonateSignature", SIGNATURE, signer)
        assert dev.call("eth_call", request, "latest") == _word(signer)
        receipt = dev.send(to=contract, data=_question())
        assert dev.call("eth_getStorageAt", contract, "0x0", "latest") == _word(signer)
    options = {"tracer": "callTracer"}
    trace = dev.call("debug_traceTransaction", receipt["transactionHash"], options)
    assert trace["output"] == trace["calls"][0]["output"] == _word(OTHER)
    dev.call("anvil_reset")
    call = {"to": PRECOMPILE, "data": _question()}
    assert dev.call("eth_call", call, "latest") == "0x"


def test_what_is_no_signature_is_refused(dev: Served) -> None:
    for parameters in (["0x12", NOBODY], [SIGNATURE, "0x12"], [[SIGNATURE]], [SIGNATURE], [5, 5]):
        assert dev.refusal("anvil_impersonateSignature", *parameters).code == -32602
