"""kill -9 under load: what was served stays, and the next start just works.

`CHAIN_KILL_ROUNDS` sets the number of rounds (default 8; `make e2e` runs more),
`CHAIN_KILL_SEED` the moments of the kills.
"""

import os
import random
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from tests.support.daemon import (
    DEV_ADDRESSES,
    DEV_KEYS,
    Daemon,
    Rpc,
    clean_environment,
    command,
    running,
    signed_transfer,
    start,
    wait_until,
)

ROUNDS: Final = int(os.environ.get("CHAIN_KILL_ROUNDS", "8"))
SEED: Final = int(os.environ.get("CHAIN_KILL_SEED", "1"))
SENDERS: Final = 3
RECIPIENT: Final = "0x00000000000000000000000000000000000c0ffe"
FEE: Final = 10**13  # far above what the base fee can reach here


class Load:
    """Clients that send transfers of one wei and ask for receipts until the node dies."""

    def __init__(self, daemon: Daemon, seed: int) -> None:
        self.served: dict[str, Any] = {}  # transaction hash -> the receipt that was served
        self._rpc = daemon.rpc
        self._random = random.Random(seed)
        self._threads = [
            threading.Thread(target=self._run, args=(index, self._random.randrange(2**32)))
            for index in range(SENDERS)
        ]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()

    def _run(self, index: int, seed: int) -> None:
        choice = random.Random(seed)
        try:
            count = self._rpc.call("eth_getTransactionCount", DEV_ADDRESSES[index], "latest")
            nonces = iter(range(int(count, 16), 2**32))
            while True:
                self._send(index, nonces, choice.choice((1, 3, 40)))
        except (OSError, ValueError):
            return  # killed: refused, reset, or cut off in the middle of an answer

    def _send(self, index: int, nonces: Iterator[int], size: int) -> None:
        raws = [
            signed_transfer(DEV_KEYS[index], next(nonces), to=RECIPIENT, max_fee=FEE)
            for _ in range(size)
        ]
        answers = self._rpc.batch([("eth_sendRawTransaction", [raw]) for raw in raws])
        waiting = [answer["result"] for answer in answers]
        while waiting:
            for answer in self._rpc.batch([("eth_getTransactionReceipt", [h]) for h in waiting]):
                if answer["result"] is not None:
                    self.served[answer["result"]["transactionHash"]] = answer["result"]
            waiting = [h for h in waiting if h not in self.served]


def check_served(rpc: Rpc, served: dict[str, Any]) -> None:
    """Every receipt that was ever served is still there, and the same."""
    items = list(served.items())
    for first in range(0, len(items), 500):
        part = items[first : first + 500]
        answers = rpc.batch([("eth_getTransactionReceipt", [h]) for h, _ in part])
        for (_, receipt), answer in zip(part, answers, strict=True):
            assert answer["result"] == receipt


def check_chain(rpc: Rpc) -> None:
    """Blocks are linked, and the state is what their transactions add up to."""
    height = rpc.height()
    assert rpc.call("eth_getBlockByNumber", "finalized", False)["number"] == hex(height)
    transfers = 0
    parent = rpc.call("eth_getBlockByNumber", "0x0", False)["hash"]
    for first in range(1, height + 1, 500):
        last = min(first + 499, height)
        calls = [("eth_getBlockByNumber", [hex(n), False]) for n in range(first, last + 1)]
        for answer in rpc.batch(calls):
            block = answer["result"]
            assert block["parentHash"] == parent
            parent = block["hash"]
            transfers += len(block["transactions"])
    assert int(rpc.call("eth_getBalance", RECIPIENT, "latest"), 16) == transfers


def test_kill_at_any_moment_loses_nothing_that_was_served(tmp_path: Path) -> None:
    """Given clients at work, when the node is killed, then the next start has all they saw."""
    choice = random.Random(SEED)
    served: dict[str, Any] = {}
    for number in range(ROUNDS):
        daemon = start("dev", "--datadir", str(tmp_path), "--no-log-transactions")
        try:
            check_served(daemon.rpc, served)
            load = Load(daemon, seed=choice.randrange(2**32))
            enough = choice.choice((1, 30, 120, 250))
            wait_until(lambda load=load, enough=enough: len(load.served) >= enough)
        finally:
            daemon.kill()
        load.join()
        assert load.served, f"round {number} served nothing"
        served.update(load.served)
    with running("dev", "--datadir", str(tmp_path)) as daemon:
        check_served(daemon.rpc, served)
        check_chain(daemon.rpc)
        after = daemon.rpc.call(
            "eth_sendTransaction",
            {"from": DEV_ADDRESSES[0], "to": RECIPIENT, "value": "0x0"},
        )
        assert daemon.rpc.wait_for_receipt(after)["status"] == "0x1"
        assert daemon.stop() == 0
    print(f"{ROUNDS} kills, {len(served)} receipts served, none lost")


def test_kill_during_the_start_loses_nothing(tmp_path: Path) -> None:
    """A start that is cut short at any of its steps leaves a folder that starts again."""
    with running("dev", "--datadir", str(tmp_path)) as daemon:
        sent = daemon.rpc.call(
            "eth_sendTransaction", {"from": DEV_ADDRESSES[0], "to": RECIPIENT, "value": "0x1"}
        )
        receipt = daemon.rpc.wait_for_receipt(sent)
        daemon.kill()
    for step in range(4):
        process = subprocess.Popen(
            [*command("dev", "--datadir", str(tmp_path), "--rpc-port", "0")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=clean_environment(),
        )
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.12 + 0.04 * step)  # the moment of the kill
        process.kill()
        process.wait(60)
    with running("dev", "--datadir", str(tmp_path)) as daemon:
        check_served(daemon.rpc, {sent: receipt})
        check_chain(daemon.rpc)
