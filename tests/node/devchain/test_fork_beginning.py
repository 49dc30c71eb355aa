"""What a source may say of the block to fork from, and how that block is named."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chain.errors import Reason, Rejected, SourceFailed
from chain.genesis import Genesis, dev_genesis
from chain.storage.memory import MemoryStore
from node.devchain.compose import Developing
from node.devchain.fork.beginning import find_fork
from node.devchain.fork.opening import NEWEST, Forking, open_fork, wanted
from tests.node.devchain.moods import Mood, Moody
from tests.node.rpc.serving import Served


@pytest.fixture(scope="module")
def source() -> Iterator[Served]:
    with Served(developing=Developing()) as served:
        served.call("anvil_mine", 3)
        yield served


def _changed(moody: Moody, method: str, change: Callable[[Any], Any]) -> Mood:
    """The ledger's answers, but for the results of one method."""

    def mood(body: bytes) -> tuple[int, bytes]:
        asked, (status, answer) = json.loads(body), moody.passed_on(body)
        batch = isinstance(asked, list)
        answers = json.loads(answer) if batch else [json.loads(answer)]
        for call, each in zip(asked if batch else [asked], answers, strict=True):
            if call["method"] == method:
                each["result"] = change(each["result"])
        return status, json.dumps(answers if batch else answers[0]).encode()

    return mood


@pytest.mark.parametrize(
    ("method", "change", "words"),
    [
        ("eth_blockNumber", lambda _: 3, "no block number: 3"),
        ("eth_chainId", lambda _: None, "no chain id: None"),
        ("eth_chainId", lambda _: 31337, "no chain id: 31337"),
        ("eth_getBlockByNumber", lambda block: block | {"number": "0x2"}, "block 2 for block 3"),
        ("eth_getBlockByNumber", lambda block: block | {"hash": None}, "hash"),
        ("eth_getBlockByNumber", lambda block: block | {"hash": "0x/../../.."}, "hexadecimal"),
        ("eth_getBlockByNumber", lambda block: block | {"hash": "0xab"}, "hash is '0xab'"),
        ("eth_getBlockByNumber", lambda block: block | {"extraData": 5}, "extraData is 5"),
    ],
)
def test_a_block_that_makes_no_sense_is_not_forked(
    method: str, change: Callable[[Any], Any], words: str, source: Served, tmp_path: Path
) -> None:
    """Nothing is written for it either."""
    with Moody(source.port) as moody:
        moody.mood = _changed(moody, method, change)
        with pytest.raises(SourceFailed, match=words):
            find_fork(moody.url, None, tmp_path / "forks", pause=lambda _: None)
    assert not (tmp_path / "forks").exists()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((200, b"<html>\n  down\x1b[31m for\n maintenance"), "<html> down.*for maintenance"),
        ((503, b"overloaded"), "HTTP status 503: overloaded"),
        ((200, b""), "HTTP status 200, and nothing else"),
    ],
)
def test_what_a_source_says_instead_is_told(
    answer: tuple[int, bytes], words: str, source: Served
) -> None:
    with Moody(source.port) as moody:
        moody.mood = lambda _: answer
        with pytest.raises(SourceFailed, match=words) as failed:
            find_fork(moody.url, None, None, pause=lambda _: None)
    assert str(failed.value).isprintable()


@pytest.mark.parametrize(
    ("url", "height", "found"),
    [
        ("http://a:1", NEWEST, ("http://a:1", NEWEST)),
        ("http://a:1@12", NEWEST, ("http://a:1", 12)),
        ("https://a/key@0", NEWEST, ("https://a/key", 0)),
        ("http://a:1@12", 7, ("http://a:1", 7)),
        ("http://me:secret@a:1", NEWEST, ("http://me:secret@a:1", NEWEST)),
        ("http://me:secret@a:1@5", NEWEST, ("http://me:secret@a:1", 5)),
        ("", 7, ("", 7)),
    ],
)
def test_a_height_may_stand_behind_the_url(url: str, height: int, found: tuple[str, int]) -> None:
    assert wanted(url, height) == found


def test_a_height_alone_is_refused() -> None:
    def genesis(chain_id: int | None, timestamp: int) -> Genesis:
        return dev_genesis(timestamp=timestamp)

    with pytest.raises(Rejected) as refused:
        open_fork(MemoryStore(), Forking(height=3), 1, genesis)
    assert refused.value.reason is Reason.BAD_SETTING
