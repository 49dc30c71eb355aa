"""Transactions that come while a block is being built."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from node.devchain import producer
from node.proposer import Built, build_block
from tests.node.rpc.serving import OTHER, SENDER, Served

NOBODY = "0x" + "ab" * 20


def test_what_comes_while_a_block_turns_out_empty_is_built_next(
    dev: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first block is held until a second transaction is there, and then takes none of them."""
    entered = threading.Event()

    def late(ground: Any, candidates: Any, *arguments: Any, **options: Any) -> Built:
        if entered.is_set():
            return build_block(ground, candidates, *arguments, **options)
        entered.set()
        give_up = time.monotonic() + 30
        while len(dev.node.mempool) < 2:
            assert time.monotonic() < give_up
            time.sleep(0.001)
        return build_block(ground, (), *arguments, **options)

    monkeypatch.setattr(producer, "build_block", late)
    first = _in_background(lambda: dev.send(**{"from": SENDER}, to=NOBODY))
    assert entered.wait(30)
    second = _in_background(lambda: dev.send(**{"from": OTHER}, to=NOBODY))
    assert first()["status"] == second()["status"] == "0x1"


def _in_background(work: Callable[[], Any]) -> Callable[[], Any]:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()

    def result() -> Any:
        thread.join(60)
        return found[0]

    return result
