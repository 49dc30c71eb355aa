"""What tools of other chains do by habit: probes, gas limits of their own, geth's way back."""

from tests.node.rpc.serving import OTHER, SENDER, Served

NOBODY = "0x" + "ab" * 20


def test_the_trace_of_the_hash_of_nothing_is_empty(dev: Served) -> None:
    """titanoboa asks for it to find out whether there are traces; other hashes are refused."""
    for options in ({}, {"tracer": "callTracer", "onlyTopCall": True}):
        found = dev.call("debug_traceTransaction", "0x" + "00" * 32, options)
        assert found == {"failed": False, "gas": 0, "returnValue": "0x", "structLogs": []}
    refused = dev.refusal("debug_traceTransaction", "0x" + "01" * 32)
    assert (refused.code, refused.message) == (-32000, "transaction not found")
    with Served() as other:
        assert other.refusal("debug_traceTransaction", "0x" + "00" * 32).code == -32000


def test_a_transaction_may_have_all_of_a_blocks_gas(dev: Served) -> None:
    """Ape sends every transaction with the block's gas limit."""
    limit = dev.call("eth_getBlockByNumber", "latest", False)["gasLimit"]
    assert int(limit, 16) > 2**24
    assert dev.send(to=OTHER, gas=limit)["status"] == "0x1"


def test_the_head_is_set_back_by_geths_method(dev: Served) -> None:
    dev.send(to=NOBODY, value="0x1")
    for _ in range(2):
        dev.send(to=NOBODY, value="0x1")
    for height, balance in ((2, 2), (2, 2), (0, 0)):
        assert dev.call("debug_setHead", hex(height)) is None
        assert dev.call("eth_blockNumber") == hex(height)
        assert dev.call("eth_getBalance", NOBODY, "latest") == hex(balance)
    assert dev.refusal("debug_setHead", "0x1").code == -32602
    assert dev.call("eth_getTransactionCount", SENDER, "pending") == "0x0"
