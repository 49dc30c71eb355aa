"""A node's part in consensus, put together: its timing, its set, what its vote log allows (V5)."""

import asyncio
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from chain.activation import ChainConfig
from chain.errors import Reason, Rejected
from chain.genesis import Genesis, dev_genesis, parse_genesis
from chain.ledger import Ledger
from chain.storage.memory import MemoryStore
from chain.types import Address
from chain.validators import Validator, validator_set
from contracts.vm import Interpreter
from node.agreement import (
    Reports,
    build_driver,
    genesis_set,
    is_quorum,
    timing_of,
)
from node.coinbase import parse_coinbase
from node.consensus.driver import Driver, Threads
from node.consensus.log_file import LogFile, MemoryFile
from node.consensus.pacing import Timing
from node.consensus.quiet import QuietOutbox
from node.consensus.signer import Signer
from node.consensus.vote_log import Kept, VoteLog
from node.environment import Environment
from node.handing import InlineExecutor
from node.pool.mempool import Mempool
from node.settings import Settings
from node.watch.observation import Measured
from tests.node.consensus.shell import (
    ADDRESSES,
    FINALIZE,
    KEYS,
    NULLIFY,
    START_S,
    Author,
    commit,
    genesis_of,
    virtual,
)

SETTINGS = Settings()
FOUR = genesis_of()


def ledger_of(genesis: Genesis) -> Ledger:
    return Ledger.open(MemoryStore(), genesis)


def driver_of(
    ledger: Ledger, key: bytes | None, votes: LogFile | None = None, own: Settings = SETTINGS
) -> Driver:
    """The driver that a node on this ledger would have; in a running loop."""
    loop = asyncio.get_running_loop()
    environment = Environment(
        clock=lambda: START_S + loop.time(),
        monotonic=loop.time,
        stopwatch=loop.time,
        random=Random(0),
        threads=lambda count, name: InlineExecutor(),
    )
    return build_driver(
        own,
        ledger,
        Mempool(own.pool, ledger.view(), ledger.head.gas_limit, clock=loop.time),
        Interpreter(),
        key,
        MemoryFile() if votes is None else votes,
        QuietOutbox(),
        environment,
        Threads(InlineExecutor(), InlineExecutor()),
        Reports(lambda committed: None, lambda one, other: None, Measured()),
    )


# -- timing ----------------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    interval=st.integers(min_value=0, max_value=10_000),
    empty=st.booleans(),
    heartbeat=st.integers(min_value=0, max_value=10_000),
    delta=st.integers(min_value=10, max_value=15_000),
    build=st.integers(min_value=0, max_value=1_000),
    own_time=st.floats(min_value=0, max_value=3600),
    own_empty=st.booleans(),
)
def test_validators_share_the_genesis_timing_whatever_their_settings_say_of_blocks(
    interval: int, empty: bool, heartbeat: int, delta: int, build: int,
    own_time: float, own_empty: bool,
) -> None:  # fmt: skip
    """Section 3: what all must share is genesis; how long messages take is each one's own."""
    rules = replace(
        FOUR.config.ledger,
        block_interval_ms=interval,
        empty_blocks=empty,
        heartbeat_ms=heartbeat,
    )
    ledger = _Rules(replace(FOUR.config, ledger=rules))
    own = replace(
        SETTINGS,
        chain=replace(SETTINGS.chain, block_time=own_time, empty_blocks=own_empty),
        consensus=replace(SETTINGS.consensus, delta_ms=delta, build_ms_max=build),
    )
    assert timing_of(own, ledger) == Timing(  # type: ignore[arg-type]
        interval_ms=interval,
        empty_blocks=empty and interval > 0,
        heartbeat_ms=heartbeat,
        delta_ms=delta,
        build_ms_max=build,
        ascending_seconds=False,
    )


class _Rules:
    """As much of a ledger as its rules; hypothesis asks for many."""

    def __init__(self, config: ChainConfig) -> None:
        self.config = config


@pytest.mark.parametrize("empty", [False, True])
@pytest.mark.parametrize(("seconds", "interval"), [(0.0, 0), (0.25, 250), (2.0, 2000)])
def test_a_developers_chain_keeps_the_settings_time(
    empty: bool, seconds: float, interval: int
) -> None:
    """Decision 0006: later seconds for each block; no heartbeat; a build takes what it takes."""
    chain = replace(SETTINGS.chain, block_time=seconds, empty_blocks=empty)
    found = timing_of(replace(SETTINGS, chain=chain), _Rules(dev_genesis().config))  # type: ignore[arg-type]
    assert found == Timing(
        interval_ms=interval,
        empty_blocks=empty and interval > 0,
        heartbeat_ms=0,
        delta_ms=SETTINGS.consensus.delta_ms,
        build_ms_max=0,
        ascending_seconds=True,
    )


# -- who -------------------------------------------------------------------------------------------


def test_a_genesis_that_names_nobody_is_of_the_node_itself() -> None:
    """Section 3: one validator; without a key there is none."""
    ledger = ledger_of(dev_genesis())
    assert genesis_set(ledger, ADDRESSES[0]) == validator_set([Validator(ADDRESSES[0], 1)])
    with pytest.raises(Rejected) as caught:
        genesis_set(ledger, None)
    assert caught.value.reason is Reason.BAD_GENESIS


def test_a_quorum_is_more_than_two_thirds_of_the_power() -> None:
    """Section 1."""
    members = validator_set([Validator(ADDRESSES[0], 7), Validator(ADDRESSES[1], 3)])
    assert is_quorum(members, ADDRESSES[0])
    assert not is_quorum(members, ADDRESSES[1])
    assert not is_quorum(members, ADDRESSES[2])
    exact = validator_set([Validator(ADDRESSES[0], 2), Validator(ADDRESSES[1], 1)])
    assert not is_quorum(exact, ADDRESSES[0])


@pytest.mark.parametrize("text", ["0x12", "zz" * 20, "0x" + "11" * 21, "0x" + "1" * 39])
def test_a_coinbase_that_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(Rejected) as caught:
        parse_coinbase(text)
    assert caught.value.reason is Reason.BAD_SETTING


def test_a_coinbase_is_an_address_with_or_without_its_prefix() -> None:
    assert parse_coinbase("") is None
    assert parse_coinbase("0x" + "11" * 20) == Address(b"\x11" * 20)
    assert parse_coinbase("11" * 20) == Address(b"\x11" * 20)


# -- the vote log ----------------------------------------------------------------------------------


def empty_log() -> MemoryFile:
    """A log that was created with its key."""
    file = MemoryFile()
    VoteLog(file)
    return file


def voted_log(author: Author, who: int, view: int, *, floor: int = 0) -> MemoryFile:
    """A log with a vote in `view`; everything up to `floor` is on disk."""
    file = MemoryFile()
    signer = Signer(KEYS[who], author.domain, VoteLog(file))
    signer.raise_floor((0, floor))
    signer.sign([author.vote(who, NULLIFY, view).ballot], Kept())
    return file


@virtual
async def test_a_key_with_its_log_votes_at_once() -> None:
    """V5: they were created together."""
    driver = driver_of(ledger_of(genesis_of()), KEYS[0], empty_log())
    assert driver.validator == ADDRESSES[0]
    assert driver.core.takes_part


@virtual
async def test_a_key_without_its_log_observes_unless_the_operator_says_otherwise() -> None:
    """V5: it may have voted anything; and no log is made before its time."""
    ledger = ledger_of(genesis_of())
    file = MemoryFile()
    assert not driver_of(ledger, KEYS[0], file).core.takes_part
    assert file.read() is None
    consensus = replace(SETTINGS.consensus, sign_after_loss=True)
    told = driver_of(ledger, KEYS[0], file, replace(SETTINGS, consensus=consensus))
    assert told.core.takes_part
    assert file.read() is not None


@virtual
async def test_the_only_validator_signs_without_a_log() -> None:
    """V5: nobody else has votes of its key, or could wait for it."""
    assert driver_of(ledger_of(genesis_of(validators=1)), KEYS[0]).core.takes_part
    assert driver_of(ledger_of(dev_genesis()), KEYS[0]).core.takes_part


@virtual
async def test_a_node_without_a_key_and_a_key_without_a_seat_observe() -> None:
    """Section 5."""
    ledger = ledger_of(genesis_of())
    observer = driver_of(ledger, None)
    assert observer.validator is None and not observer.core.takes_part
    waiting = driver_of(ledger, KEYS[4], empty_log())
    assert waiting.validator == ADDRESSES[4] and not waiting.core.takes_part


@virtual
async def test_the_only_validators_ledger_must_not_be_older_than_its_votes() -> None:
    """V5: nobody else could give it back; wiped to genesis or restored from a copy."""
    author = Author(genesis_of(validators=1))
    ledger = ledger_of(author.genesis)
    for height in range(2):
        with pytest.raises(Rejected) as caught:
            driver_of(ledger, KEYS[0], voted_log(author, 0, 4, floor=3))
        assert caught.value.reason is Reason.WRONG_CHAIN
        assert "older copy" in caught.value.detail
        block = author.block(height + 1)
        candidate = author.candidates.executed(block.hash)
        assert candidate is not None
        final = author.certify(FINALIZE, block, signers=(0,))
        commit(ledger, author.epochs, candidate, final)
        author.commit(block, final)


@virtual
async def test_one_of_several_whose_ledger_is_older_than_its_votes_catches_up_first() -> None:
    """V5: the others give it back; also when the ledger was wiped to genesis."""
    author = Author()
    driver = driver_of(ledger_of(author.genesis), KEYS[0], voted_log(author, 0, 4, floor=3))
    assert not driver.core.takes_part
    above = driver_of(ledger_of(author.genesis), KEYS[0], voted_log(author, 0, 4))
    assert above.core.takes_part  # votes above the ledger are its memory


@virtual
async def test_a_ledger_before_the_merge_is_refused() -> None:
    """No new blocks can be built on it."""
    text: Any = {
        "config": {"chainId": 1, "homesteadBlock": 0},
        "gasLimit": "0x1000000", "difficulty": "0x1", "alloc": {},
    }  # fmt: skip
    with pytest.raises(Rejected) as caught:
        driver_of(ledger_of(parse_genesis(text)), KEYS[0])
    assert caught.value.reason is Reason.BAD_GENESIS


@virtual
async def test_tips_go_to_the_settings_coinbase_or_else_to_the_validator() -> None:
    """The genesis' fee recipient, where it names one, is the ledger's affair."""
    chain = replace(SETTINGS.chain, coinbase="0x" + "22" * 20)
    cases: list[tuple[bytes | None, Settings, Address]] = [
        (KEYS[0], SETTINGS, ADDRESSES[0]),
        (KEYS[0], replace(SETTINGS, chain=chain), Address(b"\x22" * 20)),
        (None, SETTINGS, Address(bytes(20))),
    ]
    for key, own, expected in cases:
        driver = driver_of(ledger_of(genesis_of()), key, empty_log(), own)
        assert driver._workshop._coinbase == expected
