"""States as files, from a real anvil to our daemon and from our daemon to a real anvil."""

from pathlib import Path
from typing import Any, Final

from tests.support.anvil import anvil
from tests.support.daemon import DEV_ADDRESSES, Rpc, RpcFailure, running, start

SENDER, OTHER, _ = DEV_ADDRESSES
NOBODY: Final = "0x" + "ab" * 20
# Counts its calls in slot 0, and logs the count.
COUNTER_CODE: Final = "6000546001018060005560005260206000a000"


def _live(rpc: Rpc) -> tuple[str, list[str]]:
    """A contract, calls of it, a payment, state set directly; the contract and the hashes."""
    initcode = f"0x60{len(COUNTER_CODE) // 2:02x}80600b6000396000f3{COUNTER_CODE}"
    hashes = [rpc.call("eth_sendTransaction", {"from": SENDER, "data": initcode})]
    contract = rpc.wait_for_receipt(hashes[0])["contractAddress"]
    for fields in (
        {"to": contract},
        {"to": contract, "gasPrice": "0x12a05f200"},
        {"to": OTHER, "value": "0x7", "accessList": [{"address": contract, "storageKeys": []}]},
    ):
        request = {"from": SENDER, "gas": "0x30000", **fields}
        hashes.append(rpc.call("eth_sendTransaction", request))
        rpc.wait_for_receipt(hashes[-1])
    rpc.call("anvil_setBalance", NOBODY, "0x1234")
    rpc.call("anvil_setCode", NOBODY, "0xef0100" + contract[2:])
    rpc.call("anvil_mine", "0x1")
    rpc.call("anvil_setNonce", NOBODY, "0x9")
    return contract, hashes


def _seen(rpc: Rpc, contract: str, hashes: list[str], heights: range) -> list[Any]:
    """What both tell in the same words: blocks, transactions, receipts, logs, state by height."""
    found: list[Any] = [rpc.call("eth_blockNumber")]
    for height in heights:
        block = rpc.call("eth_getBlockByNumber", hex(height), False)
        # Other sizes, and a total difficulty, are told of the same block.
        found.append({**block, "size": None, "totalDifficulty": None})
    for transaction_hash in hashes:
        told = rpc.call("eth_getTransactionByHash", transaction_hash)
        found.append({name: told[name] for name in ("hash", "from", "to", "input", "blockHash")})
        receipt = rpc.call("eth_getTransactionReceipt", transaction_hash)
        names = ("status", "gasUsed", "logs", "blockNumber", "contractAddress")
        found.append({name: receipt[name] for name in names})
    logs = rpc.call("eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest", "address": contract})
    found.append([(log["blockNumber"], log["topics"], log["data"]) for log in logs])
    return found + _states(rpc, contract, "latest")


def _states(rpc: Rpc, contract: str, block: str) -> list[Any]:
    found = [rpc.call("eth_getStorageAt", contract, "0x0", block)]
    for address in (SENDER, OTHER, NOBODY, contract):
        for method in ("eth_getBalance", "eth_getTransactionCount", "eth_getCode"):
            found.append(rpc.call(method, address, block))
    return found


def test_anvils_file_is_read_with_its_blocks_and_its_past(tmp_path: Path) -> None:
    """What anvil told, our daemon tells; it goes on from there, and after kill -9 too."""
    folder = str(tmp_path / "data")
    with anvil(tmp_path) as theirs, running("dev", "--datadir", folder) as ours:
        contract, hashes = _live(theirs)
        heights = range(theirs.height() + 1)
        ours.rpc.call("anvil_mine", 9)  # which the file's blocks take the place of
        assert ours.rpc.call("anvil_loadState", theirs.call("anvil_dumpState", True)) is True
        seen = _seen(theirs, contract, hashes, heights)
        assert _seen(ours.rpc, contract, hashes, heights) == seen
        for height in heights:
            told = _states(theirs, contract, hex(height))
            assert _states(ours.rpc, contract, hex(height)) == told
        ours.kill()
        with running("dev", "--datadir", folder) as again:
            assert _seen(again.rpc, contract, hashes, heights) == seen
            request = {"from": SENDER, "to": contract, "gas": "0x30000"}
            receipt = again.rpc.call("eth_sendTransactionSync", request)
            assert int(receipt["blockNumber"], 16) == heights.stop
            assert int(receipt["logs"][-1]["data"], 16) == 3
            trace = again.rpc.call("debug_traceTransaction", hashes[1], {"tracer": "callTracer"})
            assert trace["to"] == contract


def test_anvil_reads_our_file_with_its_blocks_and_its_past(tmp_path: Path) -> None:
    with running("dev", "--ephemeral") as ours, anvil(tmp_path) as theirs:
        contract, hashes = _live(ours.rpc)
        heights = range(ours.rpc.height() + 1)
        assert theirs.call("anvil_loadState", ours.rpc.call("anvil_dumpState", True)) is True
        assert _seen(theirs, contract, hashes, heights) == _seen(
            ours.rpc, contract, hashes, heights
        )
        for height in heights:
            told = _states(ours.rpc, contract, hex(height))
            assert _states(theirs, contract, hex(height)) == told
        request = {"from": SENDER, "to": contract, "gas": "0x30000"}
        receipt = theirs.call("eth_sendTransactionSync", request)
        assert int(receipt["logs"][-1]["data"], 16) == 3


def test_a_file_without_the_past_leaves_it_out(tmp_path: Path) -> None:
    """The blocks are there, their states are not, and that is what is said."""
    with anvil(tmp_path) as theirs, running("dev", "--ephemeral") as ours:
        contract, hashes = _live(theirs)
        heights = range(theirs.height() + 1)
        ours.rpc.call("anvil_loadState", theirs.call("anvil_dumpState"))
        assert _seen(ours.rpc, contract, hashes, heights) == _seen(
            theirs, contract, hashes, heights
        )
        try:
            ours.rpc.call("eth_getBalance", SENDER, "0x1")
            raise AssertionError("a state that was not in the file")
        except RpcFailure as failure:
            assert "is not available" in failure.message


def test_files_of_a_daemons_start_and_end_go_to_anvil_and_back(tmp_path: Path) -> None:
    """anvil's --dump-state, our --load-state and --dump-state, anvil's --load-state."""
    theirs_file, ours_file = str(tmp_path / "theirs.json"), str(tmp_path / "ours.json")
    kept = ("--preserve-historical-states", "--dump-state")
    with anvil(tmp_path, *kept, theirs_file) as theirs:
        contract, hashes = _live(theirs)
        heights = range(theirs.height() + 1)
        seen = _seen(theirs, contract, hashes, heights)
        past = [_states(theirs, contract, hex(height)) for height in heights]
    ours = start("dev", "--ephemeral", "--load-state", theirs_file, *kept, ours_file)
    try:
        assert _seen(ours.rpc, contract, hashes, heights) == seen
        assert [_states(ours.rpc, contract, hex(height)) for height in heights] == past
        request = {"from": SENDER, "to": contract, "gas": "0x30000"}
        ours.rpc.call("eth_sendTransactionSync", request)
        told = _states(ours.rpc, contract, "latest")
    finally:
        assert ours.stop() == 0
    with anvil(tmp_path, "--load-state", ours_file) as theirs:
        assert theirs.height() == heights.stop
        assert _states(theirs, contract, "latest") == told
        assert [_states(theirs, contract, hex(height)) for height in heights] == past


def test_a_chain_in_one_file_goes_on_where_it_ended(tmp_path: Path) -> None:
    """--state, in a folder; with a data folder that has more than the file, the folder counts."""
    arguments = ("dev", "--state", str(tmp_path))
    for height in (1, 2):
        daemon = start(*arguments, "--ephemeral")
        daemon.rpc.call("eth_sendTransaction", {"from": SENDER, "to": NOBODY, "value": "0x1"})
        assert daemon.rpc.height() == height
        assert daemon.stop() == 0
    assert (tmp_path / "state.json").exists()
    folder = ("--datadir", str(tmp_path / "data"))
    with running(*arguments, *folder) as first:
        assert first.rpc.height() == 2
        first.rpc.call("anvil_mine", 5)
        first.kill()
    with running(*arguments, *folder) as again:
        assert again.rpc.height() == 7
        assert again.rpc.call("eth_getBalance", NOBODY, "latest") == "0x2"
