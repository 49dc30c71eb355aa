"""ethers v6 against the daemon: an OpenZeppelin token."""

from tests.end_to_end.conftest import DevLedger
from tests.support.contracts import solidity
from tests.support.token_life import STRANGER, expect_token_life, live_with_ethers


def test_an_openzeppelin_token_lives_its_life_through_ethers(ledger: DevLedger) -> None:
    """Deploy, transfer, filter, subscribe; custom errors, a panic and words decoded."""
    artefact = solidity("Coin.sol", "Coin")
    seen = live_with_ethers(ledger.rpc_url, ledger.ws_url, artefact)
    expect_token_life(seen, "Coin")
    refusals = seen["refusals"]
    for way in ("call", "overWebSocket"):
        assert refusals[way]["name"] == "ERC20InsufficientBalance", way
        assert refusals[way]["args"] == [STRANGER, "0", "5"], way
    # ethers decodes a custom error of an estimate only as far as its data.
    assert refusals["estimate"]["data"] == refusals["call"]["data"]
    assert refusals["owner"]["name"] == "OwnableUnauthorizedAccount"
    assert refusals["owner"]["args"] == [STRANGER]
    assert (refusals["panic"]["name"], refusals["panic"]["args"]) == ("Panic", ["18"])
    assert (refusals["words"]["name"], refusals["words"]["args"]) == ("Error", ["cap exceeded"])
    assert {refusal["code"] for refusal in refusals.values()} == {"CALL_EXCEPTION"}
