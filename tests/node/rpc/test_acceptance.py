"""What callers may send: not for too much, and for one chain only, unless the settings say so."""

import pytest
from msgspec.structs import replace

from chain.errors import Reason, Rejected
from chain.transactions import (
    Kind,
    Transaction,
    build_transaction,
    decode_transaction,
    sign_transaction,
)
from chain.types import Address
from node.rpc.acceptance import Acceptance
from node.settings import RpcSettings
from tests.node.rpc.serving import ACCOUNTS, OTHER, SENDER, Served

ETHER = 10**18
# As it has been sent to every chain since https://github.com/Arachnid/deterministic-deployment-proxy.
DEPLOYER = bytes.fromhex(
    "f8a58085174876e800830186a08080b853604580600e600039806000f350fe7f"
    + 31 * "ff"
    + "e03601600081602082378035828234f58015156039578182fd5b8082525050506014600cf31ba0"
    + 32 * "22"
    + "a0"
    + 32 * "22"
)


def _transaction(max_fee: int, *, chain_id: int | None = 1) -> Transaction:
    return build_transaction(
        kind=Kind.LEGACY, chain_id=chain_id, nonce=0, gas_limit=10**6, max_fee=max_fee,
        max_priority_fee=max_fee, to=Address(bytes(20)), value=0, data=b"",
    )  # fmt: skip


def _refusal(acceptance: Acceptance, transaction: Transaction) -> Rejected:
    with pytest.raises(Rejected) as error:
        acceptance.check(transaction)
    return error.value


def test_a_fee_above_the_cap_is_refused() -> None:
    acceptance = Acceptance(RpcSettings(), developer=False)
    acceptance.check(_transaction(ETHER // 10**6))
    refused = _refusal(acceptance, _transaction(25 * ETHER // 10**7))
    assert refused.reason is Reason.FEE_ABOVE_CAP
    assert refused.detail == "tx fee (2.50 ether) exceeds the configured cap (1.00 ether)"


def test_the_cap_can_be_another_or_none() -> None:
    dear = _transaction(3 * ETHER // 10**6)
    Acceptance(RpcSettings(fee_max_ether=3), developer=False).check(dear)
    Acceptance(RpcSettings(fee_max_ether=0), developer=False).check(dear)


def test_a_transaction_for_every_chain_is_refused_unless_allowed() -> None:
    unprotected = _transaction(1, chain_id=None)
    refused = _refusal(Acceptance(RpcSettings(), developer=False), unprotected)
    assert refused.reason is Reason.NOT_REPLAY_PROTECTED
    Acceptance(RpcSettings(unprotected=True), developer=False).check(unprotected)


def test_the_deterministic_deployer_may_be_deployed_anywhere() -> None:
    """It is the one transaction that tools send to every chain."""
    deployer = decode_transaction(DEPLOYER)
    assert deployer.chain_id is None
    Acceptance(RpcSettings(), developer=False).check(deployer)
    assert (
        _refusal(
            Acceptance(RpcSettings(), developer=False), replace(deployer, hash=bytes(32))
        ).reason
        is Reason.NOT_REPLAY_PROTECTED
    )


def test_a_developers_chain_takes_all() -> None:
    Acceptance(RpcSettings(), developer=True).check(_transaction(9 * ETHER, chain_id=None))


def test_what_is_refused_over_rpc_is_told_in_geths_words(served: Served) -> None:
    key = next(iter(ACCOUNTS.values()))
    dear = sign_transaction(_transaction(2 * ETHER // 10**6, chain_id=31337), key)
    refused = served.refusal("eth_sendRawTransaction", f"0x{dear.raw.hex()}")
    assert (refused.code, refused.message) == (
        -32000,
        "tx fee (2.00 ether) exceeds the configured cap (1.00 ether)",
    )
    everywhere = sign_transaction(_transaction(10**10, chain_id=None), key)
    for method in ("eth_sendRawTransaction", "eth_sendRawTransactionSync"):
        refused = served.refusal(method, f"0x{everywhere.raw.hex()}")
        assert refused.message == ("only replay-protected (EIP-155) transactions allowed over RPC")
    request = {"from": SENDER, "to": OTHER, "gas": hex(10**6), "gasPrice": hex(2 * 10**12)}
    for method in ("eth_sendTransaction", "eth_signTransaction"):
        refused = served.refusal(method, {**request, "nonce": "0x0"})
        assert refused.message.startswith("tx fee (2.00 ether) exceeds")


def test_a_transaction_of_the_pool_is_sent_again_with_another_price() -> None:
    with Served(builds=False) as idle:
        request = {
            "from": SENDER, "to": OTHER, "gas": "0x5208", "gasPrice": hex(10**10), "nonce": "0x0"
        }  # fmt: skip
        first = idle.call("eth_sendTransaction", request)
        again = idle.call("eth_resend", request, hex(2 * 10**10), "0x5300")
        assert idle.call("eth_getTransactionByHash", first) is None
        shown = idle.call("eth_getTransactionByHash", again)
        assert (shown["gasPrice"], shown["gas"]) == (hex(2 * 10**10), "0x5300")
        gone = idle.refusal("eth_resend", {**request, "value": "0x1"}, hex(3 * 10**10))
        assert gone.message.endswith("not found")
        nameless = idle.refusal("eth_resend", {"from": SENDER, "to": OTHER})
        assert nameless.message == "missing transaction nonce in transaction spec"
