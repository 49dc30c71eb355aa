"""A Vyper contract against the daemon, through both clients."""

from tests.end_to_end.conftest import DevLedger
from tests.support.contracts import vyper
from tests.support.token_life import expect_token_life, live_with_ethers, live_with_web3


def test_a_vyper_token_lives_its_life_through_web3(ledger: DevLedger) -> None:
    seen = live_with_web3(ledger.rpc_url, ledger.ws_url, vyper("purse.vy"))
    expect_token_life(seen, "Purse")
    for way in ("call", "estimate", "overWebSocket"):
        refusal = seen["refusals"][way]
        assert refusal["kind"] == "words", way
        assert refusal["message"] == "execution reverted: insufficient balance", way
    # Vyper's own checks revert without data.
    assert seen["refusals"]["panic"]["message"] == "execution reverted"


def test_a_vyper_token_lives_its_life_through_ethers(ledger: DevLedger) -> None:
    seen = live_with_ethers(ledger.rpc_url, ledger.ws_url, vyper("purse.vy"))
    expect_token_life(seen, "Purse")
    for way in ("call", "estimate", "overWebSocket"):
        assert seen["refusals"][way]["reason"] == "insufficient balance", way
    assert seen["refusals"]["panic"]["code"] == "CALL_EXCEPTION"
