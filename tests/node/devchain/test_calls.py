"""Calls on a developer's chain where they differ from those of a network."""

from tests.node.rpc.serving import OTHER, SENDER, Served


def test_a_call_may_offer_the_next_blocks_fee_although_the_last_block_asked_for_more(
    dev: Served,
) -> None:
    """As on anvil: empty blocks make fees fall, and Ape estimates with the fee to come."""
    last, coming = (
        int(dev.call("eth_getBlockByNumber", tag, False)["baseFeePerGas"], 16)
        for tag in ("latest", "pending")
    )
    assert coming < last
    draft = {"from": SENDER, "to": OTHER, "value": "0x1", "maxFeePerGas": hex(coming)}
    assert dev.call("eth_estimateGas", draft) == "0x5208"
    assert dev.call("eth_call", draft) == "0x"


def test_a_call_that_offers_less_than_the_base_fee_is_refused_on_a_networks_ledger() -> None:
    with Served() as served:
        base = int(served.call("eth_getBlockByNumber", "latest", False)["baseFeePerGas"], 16)
        draft = {"from": SENDER, "to": OTHER, "value": "0x1", "maxFeePerGas": hex(base - 1)}
        assert (
            "max fee per gas less than block base fee" in served.refusal("eth_call", draft).message
        )
