"""The daemon's life: what it prints, how it stops, how it goes on."""

import asyncio
import re
import signal
import socket
import subprocess
from pathlib import Path

import aiohttp

from chain.genesis import dev_genesis
from tests.support.daemon import (
    DEV_ADDRESSES,
    DEV_KEYS,
    Rpc,
    clean_environment,
    command,
    running,
    signed_transfer,
    start,
    wait_until,
)


def test_dev_shows_accounts_address_folder_and_each_transaction(tmp_path: Path) -> None:
    with running("dev", "--datadir", str(tmp_path)) as daemon:
        shown = "\n".join(daemon.output)
        for key in DEV_KEYS:
            assert key in shown
        for expected in ("31337", str(tmp_path), f"http://127.0.0.1:{daemon.port}"):
            assert expected in shown
        sent = daemon.rpc.call(
            "eth_sendTransaction",
            {"from": DEV_ADDRESSES[0], "to": DEV_ADDRESSES[1], "value": hex(15 * 10**17)},
        )
        daemon.rpc.wait_for_receipt(sent)
        line = wait_until(lambda: next((x for x in daemon.output if sent in x), None))
        for expected in (DEV_ADDRESSES[0], DEV_ADDRESSES[1], "value 1.5", "gas 21000", " ok "):
            assert expected in line
        assert re.search(r"\d+ us", line)
        # A contract that says Error("no") and reverts.
        words = "08c379a0" + f"{32:064x}" + f"{2:064x}" + b"no".hex().ljust(64, "0")
        code = "".join(
            f"7f{words[at : at + 64].ljust(64, '0')}60{at // 2:02x}52"
            for at in range(0, len(words), 64)
        )
        sent = daemon.rpc.call(
            "eth_sendTransaction",
            {"from": DEV_ADDRESSES[0], "data": f"0x{code}60646000fd", "gas": "0x30d40"},
        )
        assert daemon.rpc.wait_for_receipt(sent)["status"] == "0x0"
        line = wait_until(lambda: next((x for x in daemon.output if sent in x), None))
        assert "execution reverted: no" in line
        assert daemon.stop() == 0


def test_blocks_on_a_timer_hold_what_came_in_between() -> None:
    with running("dev", "--ephemeral", "--block-time", "0.2") as daemon:
        raws = [signed_transfer(DEV_KEYS[0], nonce) for nonce in range(5)]
        for raw in raws:
            sent = daemon.rpc.call("eth_sendRawTransaction", raw)
        daemon.rpc.wait_for_receipt(sent)
        before = daemon.rpc.height()
        wait_until(lambda: daemon.rpc.height() > before)


def test_stopping_does_not_wait_for_clients() -> None:
    """Idle connections, half a request and a subscription are all open."""

    async def scenario() -> None:
        daemon = start("dev", "--ephemeral")
        with socket.create_connection(("127.0.0.1", daemon.port)) as half:
            half.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{")
            async with aiohttp.ClientSession() as session:
                link = await session.ws_connect(daemon.url.replace("http", "ws"))
                await link.send_json(
                    {"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]}
                )
                assert "result" in await link.receive_json()
                daemon.process.send_signal(signal.SIGTERM)
                assert await asyncio.to_thread(daemon.process.wait, 20) == 0
                assert (await link.receive()).type is aiohttp.WSMsgType.CLOSE

    asyncio.run(scenario())


def test_nobody_reading_the_output_does_not_hold_up_the_node() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        command("dev", "--ephemeral", "--rpc-port", str(port)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=clean_environment(),
        cwd=Path(__file__).parents[2],
    )
    try:
        rpc = Rpc(f"http://127.0.0.1:{port}")

        def answers() -> bool:
            try:
                return bool(rpc.call("eth_chainId"))
            except OSError:
                return False

        wait_until(answers)
        calls = [
            ("eth_sendRawTransaction", [signed_transfer(DEV_KEYS[0], nonce)])
            for nonce in range(600)
        ]
        rpc.batch(calls)
        count = hex(len(calls))
        wait_until(lambda: rpc.call("eth_getTransactionCount", DEV_ADDRESSES[0], "latest") == count)
        process.terminate()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.communicate()


def test_ten_thousand_at_once_all_get_in(tmp_path: Path) -> None:
    """From three senders in big batches; no empty block, none left behind, and all is kept."""
    total = 10_000
    raws = [
        signed_transfer(DEV_KEYS[index % 3], index // 3, max_fee=10**13) for index in range(total)
    ]
    with running("dev", "--datadir", str(tmp_path), "--no-log-transactions") as daemon:
        rpc = daemon.rpc
        for first in range(0, total, 1000):
            part = raws[first : first + 1000]
            answers = rpc.batch([("eth_sendRawTransaction", [raw]) for raw in part])
            assert all("result" in answer for answer in answers)
        nothing = {"pending": "0x0", "queued": "0x0"}
        wait_until(lambda: rpc.call("txpool_status") == nothing)
        assert daemon.stop() == 0
    with running("dev", "--datadir", str(tmp_path)) as daemon:
        calls = [
            ("eth_getBlockTransactionCountByNumber", [hex(height)])
            for height in range(1, daemon.rpc.height() + 1)
        ]
        counts = [int(answer["result"], 16) for answer in daemon.rpc.batch(calls)]
        assert sum(counts) == total
        assert all(counts)


def test_a_ledger_of_ones_own_genesis_runs_and_goes_on(tmp_path: Path) -> None:
    genesis = tmp_path / "genesis.json"
    genesis.write_text(dev_genesis(777).source)
    folder = tmp_path / "data"
    arguments = ("run", "--datadir", str(folder), "--genesis", str(genesis))
    with running(*arguments) as daemon:
        assert daemon.rpc.call("eth_chainId") == hex(777)
        raw = signed_transfer(DEV_KEYS[0], 0, chain_id=777)
        receipt = daemon.rpc.wait_for_receipt(daemon.rpc.call("eth_sendRawTransaction", raw))
        assert daemon.stop() == 0
    with running("run", "--datadir", str(folder)) as daemon:
        found = daemon.rpc.call("eth_getTransactionReceipt", receipt["transactionHash"])
        assert found == receipt
