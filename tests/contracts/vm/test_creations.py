"""CREATE, CREATE2 and top-level creations."""

import pytest

from chain import codec, forks
from chain.crypto.keccak import keccak
from chain.forks import FORKS, HOMESTEAD
from chain.machine import Halt
from contracts.vm.calls import created_address
from tests.contracts.vm.laboratory import (
    OTHER,
    TARGET,
    View,
    assemble,
    deploy,
    initcode_for,
    run,
)

TOP = "0 MSTORE 32 0 RETURN"


def with_initcode(initcode: bytes, creation: str) -> bytes:
    """Code that puts the initcode at 0 in memory, does `creation` and stops.

    The word SIZE in `creation` stands for the initcode's size.
    """
    words = (str(len(initcode)) if word == "SIZE" else word for word in creation.split())
    tail = assemble(" ".join(words)) + b"\x00"
    at = 9 + len(tail)
    return assemble(f"PUSH2 {len(initcode)} PUSH2 {at} PUSH1 0 CODECOPY") + tail + initcode


@pytest.mark.parametrize("nonce", [0, 1, 127, 128, 255, 256, 2**32, 2**64 - 2])
def test_an_address_comes_from_creator_and_nonce(nonce):
    assert (
        created_address(OTHER, nonce) == keccak(codec.encode([OTHER, codec.int_bytes(nonce)]))[12:]
    )


def test_create_deploys_where_the_creators_nonce_says():
    code = with_initcode(initcode_for(b"\x5b\x00"), f"SIZE 0 0 CREATE {TOP}")
    result = run(code, view=View().put(TARGET, code=code, nonce=7))
    address = created_address(TARGET, 7)
    assert result.word == int.from_bytes(address, "big")
    assert result.state.code(address) == b"\x5b\x00"
    assert result.state.nonce(address) == 1
    assert result.state.nonce(TARGET) == 8


def test_create2_deploys_where_salt_and_initcode_say():
    initcode = initcode_for(b"\x5b\x00")
    code = with_initcode(initcode, f"99 SIZE 0 0 CREATE2 {TOP}")
    salt = (99).to_bytes(32, "big")
    address = keccak(b"\xff" + TARGET + salt + keccak(initcode))[12:]
    assert run(code).word == int.from_bytes(address, "big")


def test_creating_twice_at_one_address_fails_and_takes_the_gas_sent():
    initcode = initcode_for(b"\x00")
    twice = "99 SIZE 0 0 CREATE2 POP 99 SIZE 0 0 CREATE2 "
    code = with_initcode(initcode, twice + TOP)
    result = run(code, gas=1_000_000)
    assert result.word == 0
    assert result.outcome.gas_left < 1_000_000 // 60
    assert result.state.nonce(TARGET) == 3


@pytest.mark.parametrize("occupied", [{"nonce": 1}, {"nonce": 0, "code": b"\x00"}])
def test_a_creation_collides_with_nonce_or_code(occupied):
    view = View().put(TARGET, **occupied)
    result = deploy(initcode_for(b"\x00"), view=view)
    assert result.halt is Halt.COLLISION
    assert result.outcome.gas_left == 0


def test_a_creation_collides_with_storage_but_not_with_balance():
    view = View().put(TARGET, nonce=0, storage={1: 1})
    assert deploy(initcode_for(b"\x00"), view=view).halt is Halt.COLLISION
    result = deploy(initcode_for(b"\x00"), view=View().put(TARGET, nonce=0, balance=5), value=2)
    assert result.halt is None
    assert result.state.balance(TARGET) == 7


def test_a_top_level_creation_gives_the_deployed_code():
    result = deploy(initcode_for(b"\x5b\x5b"))
    assert result.outcome.output == b"\x5b\x5b" == result.state.code(TARGET)
    assert result.state.created_here(TARGET)


def test_a_creation_that_reverts_gives_the_reason_and_leaves_nothing():
    initcode = assemble("1 1 SSTORE 7 0 MSTORE 32 0 REVERT")
    result = deploy(initcode)
    assert (result.halt, result.word) == (Halt.REVERT, 7)
    assert not result.state.exists(TARGET)
    code = with_initcode(initcode, "SIZE 0 0 CREATE RETURNDATASIZE ADD 0 MSTORE 32 0 RETURN")
    assert run(code).word == 32


def test_a_successful_creation_leaves_no_return_data():
    code = with_initcode(initcode_for(b"\x00"), f"SIZE 0 0 CREATE POP RETURNDATASIZE {TOP}")
    assert run(code).word == 0


@pytest.mark.parametrize("fork", FORKS, ids=lambda fork: fork.name)
def test_code_that_cannot_be_paid_for_fails_except_in_frontier(fork):
    initcode = initcode_for(b"\x00" * 10)
    spent = deploy(initcode, fork=fork).gas_used
    short = deploy(initcode, fork=fork, gas=spent - 1)
    if fork is forks.FRONTIER:
        assert short.halt is None
        assert short.state.exists(TARGET) and short.state.code(TARGET) == b""
        assert short.outcome.gas_left == 1_999
    else:
        assert short.halt is Halt.CODE_STORE_OUT_OF_GAS
        assert short.outcome.gas_left == 0
        assert not short.state.exists(TARGET)
    assert deploy(initcode, fork=fork, gas=spent).halt is None


def test_deployed_code_has_a_largest_size_since_spurious_dragon():
    for size, halt in ((24_576, None), (24_577, Halt.CODE_TOO_LARGE)):
        assert deploy(f"{size} 0 RETURN", fork=forks.SPURIOUS_DRAGON).halt is halt
    assert deploy("24577 0 RETURN", fork=HOMESTEAD).halt is None


def test_deployed_code_does_not_start_with_ef_since_london():
    code = "0xef 0 MSTORE8 1 0 RETURN"
    assert deploy(code, fork=forks.LONDON).halt is Halt.CODE_STARTS_WITH_EF
    assert deploy(code, fork=forks.BERLIN).halt is None


def test_initcode_has_a_largest_size_and_a_price_since_shanghai():
    for kind in ("0 0 CREATE", "0 0 CREATE2"):
        salt = "5 " if kind.endswith("2") else ""
        assert run(f"{salt}49152 {kind}").halt is None
        assert run(f"{salt}49153 {kind}").halt is Halt.INITCODE_TOO_LARGE
    words = 100
    memory = 3 * words + words * words // 512
    before = run(f"{32 * words} 0 0 CREATE", fork=forks.PARIS).gas_used
    assert before == 9 + 32_000 + memory
    assert run(f"{32 * words} 0 0 CREATE").gas_used - before == 2 * words
    hashed = run(f"5 {32 * words} 0 0 CREATE2").gas_used
    assert hashed == 12 + 32_000 + memory + 8 * words


def test_a_creation_beyond_the_balance_fails_without_raising_the_nonce():
    result = run(f"0 0 {10**30} CREATE {TOP}", view=None)
    assert result.word == 0
    assert result.state.nonce(TARGET) == 1


def test_a_creator_whose_nonce_is_at_the_limit_cannot_create():
    code = assemble(f"0 0 0 CREATE {TOP}")
    for nonce, created in ((2**64 - 2, True), (2**64 - 1, False)):
        view = View().put(TARGET, code=code, nonce=nonce)
        result = run(code, view=view)
        assert (result.word != 0) is created
        assert result.state.nonce(TARGET) == 2**64 - 1


def test_contracts_start_with_nonce_one_since_spurious_dragon():
    assert deploy("STOP", fork=forks.TANGERINE_WHISTLE).state.nonce(TARGET) == 0
    assert deploy("STOP", fork=forks.SPURIOUS_DRAGON).state.nonce(TARGET) == 1


def test_the_new_address_stays_warm_though_its_creation_failed():
    """EIP-2929: the address is warmed before the attempt, outside of what is undone."""
    code = with_initcode(assemble("INVALID"), "SIZE 0 0 CREATE POP")
    result = run(code, gas=200_000)
    assert result.state.is_warm_address(created_address(TARGET, 1))


def test_a_contract_destroyed_in_its_own_transaction_is_gone_in_cancun_too():
    result = deploy(f"{int.from_bytes(OTHER, 'big')} SELFDESTRUCT", value=4)
    assert result.state.balance(OTHER) == 4
    result.state.end_transaction(forks.OSAKA)
    assert not result.state.exists(TARGET)
