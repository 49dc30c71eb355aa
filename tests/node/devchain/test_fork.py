"""Going on from another ledger's block: its state, its past, without it, and what it can't give."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chain.errors import SourceFailed
from node.devchain.compose import Developing
from node.testing import Ledger
from tests.node.devchain.forking import forked_from, url_of
from tests.node.rpc.serving import ACCOUNTS, COUNTED, COUNTER, OTHER, SENDER, Served
from tests.support.daemon import run_command, running

RICH, NOBODY = "0x" + "cc" * 20, "0x" + "ab" * 20
STORE = "6000356020358155"  # slot and word from the call: sstore


class World:
    """A ledger with a past, and what is where in it."""

    def __init__(self, served: Served) -> None:
        self.served = served
        call = served.call
        self.counter = served.send(data=_deploys(COUNTER))["contractAddress"]
        self.receipts = [served.send(to=self.counter) for _ in range(3)]
        call("anvil_setBalance", RICH, hex(10**20))
        call("anvil_setNonce", RICH, "0x7")
        call("anvil_setCode", NOBODY, "0x" + STORE)
        for slot in range(1, 4):
            call("anvil_setStorageAt", NOBODY, hex(slot), hex(slot * 11))
        call("anvil_mine", 2)
        self.height = int(call("eth_blockNumber"), 16)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with Served(developing=Developing()) as served:
        deployed = served.send(data=_deploys(COUNTER))
        assert deployed["status"] == "0x1"
        yield World(served)


def _deploys(runtime: str) -> str:
    return f"0x60{len(runtime) // 2:02x}80600b6000396000f3{runtime}"


@pytest.fixture
def fork(world: World) -> Iterator[Served]:
    with forked_from(world.served) as served:
        yield served


def _same(one: Served, other: Served, method: str, *params: Any) -> Any:
    found = one.call(method, *params)
    assert found == other.call(method, *params)
    return found


def test_a_fork_has_the_state_of_the_block_it_goes_on_from(world: World, fork: Served) -> None:
    assert int(fork.call("eth_blockNumber"), 16) == world.height
    assert _same(fork, world.served, "eth_getBalance", RICH, "latest") == hex(10**20)
    assert _same(fork, world.served, "eth_getTransactionCount", RICH, "latest") == "0x7"
    assert _same(fork, world.served, "eth_getTransactionCount", SENDER, "latest") != "0x0"
    assert _same(fork, world.served, "eth_getCode", world.counter, "latest") == "0x" + COUNTER
    assert (
        int(_same(fork, world.served, "eth_getStorageAt", world.counter, "0x0", "latest"), 16) == 3
    )
    assert _same(fork, world.served, "eth_call", {"to": world.counter}, "latest")[-2:] == "04"
    assert int(fork.call("eth_getBalance", SENDER, "latest"), 16) == 10_000 * 10**18
    assert _same(fork, world.served, "eth_chainId") == hex(31337)


def test_what_happens_on_a_fork_does_not_happen_on_its_source(world: World, fork: Served) -> None:
    receipt = fork.send(to=world.counter)
    assert receipt["status"] == "0x1"
    assert int(receipt["blockNumber"], 16) == world.height + 1
    head = fork.call("eth_getBlockByNumber", "latest", False)
    assert head["parentHash"] == world.served.call("eth_getBlockByNumber", "latest", False)["hash"]
    assert int(fork.call("eth_getStorageAt", world.counter, "0x0", "latest"), 16) == 4
    assert int(world.served.call("eth_getStorageAt", world.counter, "0x0", "latest"), 16) == 3
    before = fork.call("eth_getStorageAt", world.counter, "0x0", hex(world.height))
    assert int(before, 16) == 3
    fork.send(to=RICH, value="0x1")
    assert int(fork.call("eth_getBalance", RICH, "latest"), 16) == 10**20 + 1


def test_what_is_set_to_nothing_stays_nothing(world: World, fork: Served) -> None:
    """Zero slots and emptied accounts are not asked for at the source again."""
    cleared = "0x" + f"{1:064x}" + f"{0:064x}"
    assert fork.send(to=NOBODY, data=cleared)["status"] == "0x1"
    assert int(fork.call("eth_getStorageAt", NOBODY, "0x1", "latest"), 16) == 0
    assert int(fork.call("eth_getStorageAt", NOBODY, "0x2", "latest"), 16) == 22
    assert int(fork.call("eth_getStorageAt", NOBODY, "0x1", hex(world.height)), 16) == 11
    name = fork.call("evm_snapshot")
    for method, value in (("Balance", "0x0"), ("Nonce", "0x0"), ("Code", "0x")):
        fork.call(f"anvil_set{method}", RICH, value)
    assert fork.call("eth_getBalance", RICH, "latest") == "0x0"
    fork.call("anvil_mine")
    assert fork.call("eth_getTransactionCount", RICH, "latest") == "0x0"
    assert fork.call("evm_revert", name) is True
    assert fork.call("eth_getBalance", RICH, "latest") == hex(10**20)
    assert fork.call("anvil_rollback", 1) is None
    assert int(fork.call("eth_getStorageAt", NOBODY, "0x1", "latest"), 16) == 11


def test_the_past_is_the_sources(world: World, fork: Served) -> None:
    fork.send(to=world.counter)
    source, mined = world.served, world.receipts[1]
    number, block_hash, transaction = (
        mined["blockNumber"], mined["blockHash"], mined["transactionHash"]
    )  # fmt: skip
    for full in (False, True):
        _same(fork, source, "eth_getBlockByNumber", number, full)
        _same(fork, source, "eth_getBlockByHash", block_hash, full)
    _same(fork, source, "eth_getBlockByNumber", hex(world.height), True)
    _same(fork, source, "eth_getBlockByNumber", "earliest", True)
    _same(fork, source, "eth_getTransactionByHash", transaction)
    _same(fork, source, "eth_getTransactionReceipt", transaction)
    _same(fork, source, "eth_getRawTransactionByHash", transaction)
    _same(fork, source, "eth_getBlockReceipts", number)
    _same(fork, source, "eth_getBlockTransactionCountByNumber", number)
    _same(fork, source, "eth_getTransactionByBlockHashAndIndex", block_hash, "0x0")
    _same(fork, source, "debug_traceTransaction", transaction, {"tracer": "callTracer"})
    _same(fork, source, "trace_block", number)
    _same(fork, source, "eth_getBalance", SENDER, number)
    _same(fork, source, "eth_getBalance", SENDER, {"blockHash": block_hash})
    _same(fork, source, "eth_call", {"to": world.counter}, number)
    _same(fork, source, "eth_getProof", world.counter, ["0x0"], number)
    _same(fork, source, "eth_feeHistory", "0x2", number, [50])
    _same(fork, source, "erigon_getHeaderByNumber", int(number, 16))
    _same(fork, source, "erigon_getHeaderByHash", block_hash)
    _same(fork, source, "ots_getBlockDetails", int(number, 16))
    _same(fork, source, "ots_getBlockDetailsByHash", block_hash)
    _same(fork, source, "ots_getBlockTransactions", number, 0, 5)
    _same(fork, source, "ots_getContractCreator", world.counter)
    _same(fork, source, "ots_getTransactionBySenderAndNonce", SENDER, 0)
    _same(fork, source, "eth_getTransactionBySenderAndNonce", SENDER, "0x0")
    wanted = {"fromBlock": "earliest", "toBlock": number}
    _same(fork, source, "trace_filter", wanted)
    assert fork.call("trace_filter", wanted)
    both = fork.refusal("trace_filter", {"fromBlock": number, "toBlock": "latest"})
    assert str(world.height + 1) in both.message
    after = {"fromBlock": hex(world.height + 1), "toBlock": "latest"}
    assert fork.call("trace_filter", after) != []
    last = hex(int(fork.call("eth_getTransactionCount", SENDER, "latest"), 16) - 1)
    assert fork.call("eth_getTransactionBySenderAndNonce", SENDER, last) is not None
    assert fork.call("eth_getTransactionReceipt", "0x" + "11" * 32) is None
    assert fork.call("eth_getBlockByHash", "0x" + "11" * 32, False) is None


def test_logs_are_found_on_both_sides_of_the_fork(world: World, fork: Served) -> None:
    mine = fork.send(to=world.counter)
    wanted = {
        "fromBlock": "0x0",
        "toBlock": "latest",
        "address": world.counter,
        "topics": [COUNTED],
    }
    found = fork.call("eth_getLogs", wanted)
    hashes = [receipt["transactionHash"] for receipt in (*world.receipts, mine)]
    assert [log["transactionHash"] for log in found] == hashes
    old = fork.call("eth_getLogs", {"blockHash": world.receipts[0]["blockHash"]})
    assert [log["transactionHash"] for log in old] == hashes[:1]
    name = fork.call("eth_newFilter", wanted)
    assert len(fork.call("eth_getFilterLogs", name)) == 4


def test_what_the_source_does_later_is_not_seen(world: World) -> None:
    with forked_from(world.served, world.height - 2) as fork:
        later = world.served.call("eth_getBlockByNumber", hex(world.height), False)["hash"]
        assert fork.call("eth_getBlockByHash", later, False) is None
        assert fork.call("eth_getBlockByNumber", hex(world.height), False) is None
        assert fork.refusal("eth_getBalance", RICH, {"blockHash": later}).code == -32000


def test_a_contract_sees_the_hashes_of_the_blocks_before_the_fork(
    world: World, fork: Served
) -> None:
    """BLOCKHASH of an older block, and of the one forked from, in a call and in a block."""
    code = "0x" + "600035" + "40" + "600052" + "60206000f3"
    for number in (world.height, world.height - 2):
        expected = world.served.call("eth_getBlockByNumber", hex(number), False)["hash"]
        override = {NOBODY: {"code": code}}
        asked = {"to": NOBODY, "data": f"0x{number:064x}"}
        fork.call("anvil_mine")
        assert fork.call("eth_call", asked, "latest", override) == expected


def test_a_fork_does_without_its_source_for_what_it_has_read(tmp_path: Path) -> None:
    """Also in another process later, when the height is named; the rest is refused by name."""
    with Served(developing=Developing()) as source:
        world = World(source)
        url = url_of(source)
        with forked_from(source, answers=tmp_path) as fork:
            fork.send(to=world.counter)
            assert fork.call("eth_getBalance", RICH, "latest") == hex(10**20)
            fork.call("eth_getBlockByNumber", "0x1", True)
    with forked_from(url, world.height, tmp_path) as fork:
        assert fork.send(to=world.counter)["status"] == "0x1"
        assert fork.call("eth_getBalance", RICH, "latest") == hex(10**20)
        assert fork.call("eth_getBlockByNumber", "0x1", True)["number"] == "0x1"
        for method, *params in (
            ("eth_getBalance", "0x" + "77" * 20, "latest"),
            ("eth_call", {"to": "0x" + "78" * 20}, "latest"),
            ("eth_getBlockByNumber", "0x2", False),
            ("eth_getTransactionReceipt", "0x" + "11" * 32),
            ("eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest"}),
            ("eth_sendTransaction", {"from": SENDER, "to": "0x" + "79" * 20, "gas": "0x5208"}),
        ):
            refused = fork.refusal(method, *params)
            assert refused.code == -32000
            assert refused.data["reason"] == "fork_source_failed"
            assert refused.data["source"] == url
        assert fork.call("txpool_status") == {"pending": "0x0", "queued": "0x0"}
        assert fork.send(to=world.counter)["status"] == "0x1"
    with pytest.raises(SourceFailed):
        forked_from(url, 1, tmp_path)
    with pytest.raises(SourceFailed):
        forked_from(url, answers=tmp_path)


def test_a_fork_in_memory_builds_blocks_without_its_source_too(tmp_path: Path) -> None:
    """Whoever has the tips is somebody else in every run."""
    with Served(developing=Developing()) as source:
        url, height = url_of(source), source.node.ledger.height
        request = {"from": SENDER, "to": OTHER, "value": "0x1"}
        with Ledger(fork_url=url, fork_height=height, fork_cache=tmp_path) as fork:
            fork.request("eth_sendTransaction", request)
    with Ledger(fork_url=url, fork_height=height, fork_cache=tmp_path) as fork:
        sent = fork.request("eth_sendTransaction", request)
        assert fork.request("eth_getTransactionReceipt", sent)["status"] == "0x1"


def test_another_ledger_behind_the_same_url_is_not_taken_for_the_source(tmp_path: Path) -> None:
    with Served(developing=Developing()) as source:
        source.call("anvil_mine", 2)
        url, port = url_of(source), source.port
        with forked_from(source, answers=tmp_path) as fork:
            assert fork.call("eth_getBalance", RICH, "latest") == "0x0"
    with Served(developing=Developing(), rpc={"port": port}) as other:
        other.call("anvil_setBalance", RICH, "0x5")
        other.call("anvil_mine", 2)
        with forked_from(url, 2, tmp_path) as fork:
            assert fork.call("eth_getBalance", RICH, "latest") == "0x5"


def test_a_reset_forks_again_elsewhere_and_goes_back_to_no_fork(world: World) -> None:
    url = url_of(world.served)
    with Served(developing=Developing()) as dev:
        dev.send(to=OTHER, value="0x1")
        for name, gives in (("anvil_reset", None), ("hardhat_reset", True)):
            forking = {"jsonRpcUrl": url, "blockNumber": world.height - 1}
            assert dev.call(name, {"forking": forking}) is gives
            assert int(dev.call("eth_blockNumber"), 16) == world.height - 1
            assert dev.call("eth_getBalance", RICH, "latest") == hex(10**20)
            assert dev.call("anvil_nodeInfo")["forkConfig"]["forkBlockNumber"] == world.height - 1
        assert dev.call("hardhat_metadata")["forkedNetwork"]["chainId"] == 31337
        dev.call("anvil_reset", {"forking": {}})
        assert int(dev.call("eth_blockNumber"), 16) == world.height
        assert dev.send(to=world.counter)["status"] == "0x1"
        dev.call("hardhat_reset")
        assert dev.call("eth_blockNumber") == "0x0"
        assert dev.call("eth_getBalance", RICH, "latest") == "0x0"
        assert dev.send(to=OTHER, value="0x1")["status"] == "0x1"
        assert "forkedNetwork" not in dev.call("hardhat_metadata")
        failed = dev.refusal("anvil_reset", {"forking": {"jsonRpcUrl": "http://127.0.0.1:1"}})
        assert failed.data["reason"] == "fork_source_failed"
        assert dev.call("eth_blockNumber") == "0x1"


def test_a_fork_can_be_told_of_another_server(world: World, fork: Served) -> None:
    fork.call("anvil_setRpcUrl", "http://127.0.0.1:1")
    assert fork.refusal("eth_getBalance", RICH, "latest").data["reason"] == "fork_source_failed"
    with Served(developing=Developing()) as other:
        other.call("anvil_mine", 20)
        fork.call("anvil_setRpcUrl", url_of(other))
        assert "which was forked" in fork.refusal("eth_getBalance", RICH, "latest").message
    fork.call("anvil_setRpcUrl", url_of(world.served))
    assert fork.call("eth_getBalance", RICH, "latest") == hex(10**20)


def test_a_ledger_in_the_process_forks_as_well(world: World) -> None:
    with Ledger(fork_url=url_of(world.served), fork_height=world.height - 1) as ledger:
        assert ledger.request("eth_getBalance", RICH, "latest") == hex(10**20)
        ledger.request("eth_sendTransaction", {"from": SENDER, "to": world.counter})
        assert int(ledger.request("eth_blockNumber"), 16) == world.height
        assert ledger.request("eth_getBlockByNumber", "0x1", False)["number"] == "0x1"


def test_a_forked_state_is_not_proved(world: World, fork: Served) -> None:
    fork.call("anvil_mine")
    assert "no proof" in fork.refusal("eth_getProof", RICH, [], "latest").message


def test_funded_accounts_are_nobodys_delegates_on_a_fork(world: World) -> None:
    account = "0x" + list(ACCOUNTS)[7].hex()
    with Served(developing=Developing()) as source:
        source.call("anvil_setCode", account, "0xef0100" + "99" * 20)
        source.call("anvil_setNonce", account, "0x9")
        with forked_from(source) as fork:
            assert fork.call("eth_getCode", account, "latest") == "0x"
            assert fork.call("eth_getTransactionCount", account, "latest") == "0x9"


def test_a_forks_data_folder_goes_on_where_it_was_left(tmp_path: Path) -> None:
    """Real processes: forked, stopped, started without the source; `run` refuses the folder."""
    environment = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "XDG_DATA_HOME": str(tmp_path)}
    with running("dev", "--ephemeral", "--chain-id", "777", environment=environment) as source:
        source.rpc.call("anvil_setBalance", RICH, "0x5")
        source.rpc.call("anvil_mine", 3)
        url = source.url
        with running("dev", "--fork-url", url, environment=environment) as fork:
            assert fork.rpc.call("eth_chainId") == hex(777)
            assert fork.rpc.call("eth_getBalance", RICH, "latest") == "0x5"
            sent = {"from": SENDER, "to": OTHER, "value": "0x1"}
            fork.rpc.call("eth_sendTransaction", sent)
            name = fork.rpc.call("evm_snapshot")
            fork.rpc.call("eth_sendTransaction", sent)
    with running("dev", "--fork-url", url, environment=environment) as fork:
        assert fork.rpc.height() == 5
        assert fork.rpc.call("eth_getBalance", RICH, "latest") == "0x5"
        assert fork.rpc.call("evm_revert", name) is True
        fork.rpc.call("eth_sendTransaction", sent)
        assert fork.rpc.height() == 5
    (folder,) = (tmp_path / "chain-node").iterdir()
    refused = run_command("run", "--datadir", str(folder), "--rpc-port", "0")
    assert refused.returncode == 3
    assert "forked" in refused.stderr
    ephemeral = ("dev", "--ephemeral", "--rpc-port", "0", "--fork-url", url)
    failed = run_command(*ephemeral, environment=environment)
    assert failed.returncode == 6
    assert "fork_source_failed" in failed.stderr
    mine = (*ephemeral[:2], "--fork-url", url, "--fork-height", "3", "--chain-id", "5")
    with running(*mine, environment=environment) as fork:
        assert fork.rpc.call("eth_chainId") == "0x5"
        assert fork.rpc.call("eth_getBalance", RICH, "latest") == "0x5"
