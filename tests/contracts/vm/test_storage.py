"""Storage: prices and refunds of every pricing rule, and transient storage."""

import pytest

from chain import forks
from chain.machine import Halt
from tests.contracts.vm.laboratory import OTHER, TARGET, View, assemble, run

# The cases of EIP-1283: writes one after another to a slot that began with `original`.
# Then gas without the pushes, and refund: by EIP-1283, EIP-2200, EIP-2929, EIP-3529.
NET_CASES = [
    ([0, 0], 0, (412, 0), (1612, 0), (2312, 0), (2312, 0)),
    ([0, 1], 0, (20212, 0), (20812, 0), (22212, 0), (22212, 0)),
    ([1, 0], 0, (20212, 19800), (20812, 19200), (22212, 19900), (22212, 19900)),
    ([1, 2], 0, (20212, 0), (20812, 0), (22212, 0), (22212, 0)),
    ([1, 1], 0, (20212, 0), (20812, 0), (22212, 0), (22212, 0)),
    ([0, 0], 1, (5212, 15000), (5812, 15000), (5112, 15000), (5112, 4800)),
    ([0, 1], 1, (5212, 4800), (5812, 4200), (5112, 2800), (5112, 2800)),
    ([0, 2], 1, (5212, 0), (5812, 0), (5112, 0), (5112, 0)),
    ([2, 0], 1, (5212, 15000), (5812, 15000), (5112, 15000), (5112, 4800)),
    ([2, 3], 1, (5212, 0), (5812, 0), (5112, 0), (5112, 0)),
    ([2, 1], 1, (5212, 4800), (5812, 4200), (5112, 2800), (5112, 2800)),
    ([2, 2], 1, (5212, 0), (5812, 0), (5112, 0), (5112, 0)),
    ([1, 0], 1, (5212, 15000), (5812, 15000), (5112, 15000), (5112, 4800)),
    ([1, 2], 1, (5212, 0), (5812, 0), (5112, 0), (5112, 0)),
    ([1, 1], 1, (412, 0), (1612, 0), (2312, 0), (2312, 0)),
    ([0, 1, 0], 0, (40218 - 20000 + 200, 19800), (21618, 19200), (22318, 19900), (22318, 19900)),
    ([1, 0, 1], 0, (40218, 19800), (40818, 19200), (42218, 19900), (42218, 19900)),
    ([0, 1, 0], 1, (10218, 19800), (10818, 19200), (8018, 17800), (8018, 7600)),
    ([1, 0, 1], 1, (5418, 4800), (6618, 4200), (5218, 2800), (5218, 2800)),
]
NET_FORKS = [forks.CONSTANTINOPLE, forks.ISTANBUL, forks.BERLIN, forks.LONDON]


def write(values: list[int], original: int, fork: forks.Fork):
    code = assemble(" ".join(f"PUSH1 {value} PUSH1 0 SSTORE" for value in values))
    view = View().put(TARGET, code=code, storage={0: original} if original else None)
    return run(code, view=view, fork=fork)


@pytest.mark.parametrize("column", range(4), ids=[fork.name for fork in NET_FORKS])
@pytest.mark.parametrize("case", NET_CASES, ids=lambda case: f"{case[1]}:{case[0]}")
def test_net_pricing_follows_the_tables(case, column):
    values, original, *expected = case
    result = write(values, original, NET_FORKS[column])
    assert (result.gas_used, result.state.refund) == expected[column]
    assert result.state.storage(TARGET, 0) == values[-1]


@pytest.mark.parametrize("fork", [forks.FRONTIER, forks.BYZANTIUM, forks.PETERSBURG])
@pytest.mark.parametrize(
    ("values", "original", "gas", "refund"),
    [
        ([1], 0, 20_000, 0),
        ([0], 0, 5_000, 0),
        ([2], 1, 5_000, 0),
        ([1], 1, 5_000, 0),
        ([0], 1, 5_000, 15_000),
        ([1, 0], 0, 25_000, 15_000),
        ([0, 1], 1, 25_000, 15_000),
    ],
)
def test_plain_pricing_looks_at_the_current_value_only(fork, values, original, gas, refund):
    result = write(values, original, fork)
    assert (result.gas_used - 6 * len(values), result.state.refund) == (gas, refund)


def test_a_stipend_is_too_little_to_write_storage():
    """EIP-2200: with 2,300 gas or less left SSTORE halts, whatever it would cost."""
    code = assemble("PUSH1 1 PUSH1 0 SSTORE")
    view = View().put(TARGET, code=code, storage={0: 1})
    assert run(code, view=view, gas=2_300 + 6, fork=forks.ISTANBUL).halt is Halt.OUT_OF_GAS
    assert run(code, view=view, gas=2_301 + 6, fork=forks.ISTANBUL).halt is None
    assert run(code, view=view, gas=2_300, fork=forks.CONSTANTINOPLE).halt is None


def test_a_refund_of_a_failed_message_is_gone():
    code = assemble("PUSH1 0 PUSH1 0 SSTORE 0 0 REVERT")
    result = run(code, view=View().put(TARGET, code=code, storage={0: 1}))
    assert result.halt is Halt.REVERT
    assert result.state.refund == 0
    assert result.state.storage(TARGET, 0) == 1


def test_transient_storage_belongs_to_the_account_and_the_transaction():
    other = int.from_bytes(OTHER, "big")
    view = View().put(OTHER, code=assemble("0 TLOAD 0 MSTORE 32 0 RETURN"))
    code = f"5 0 TSTORE 0 TLOAD 32 0 0 0 0 {other} 50000 CALL POP 0 MLOAD ADD 0 MSTORE 32 0 RETURN"
    result = run(code, view=view)
    assert result.word == 5
    result.state.begin_transaction()
    assert result.state.transient(TARGET, 0) == 0


def test_transient_storage_is_reverted_with_its_message():
    other = int.from_bytes(OTHER, "big")
    view = View().put(OTHER, code=assemble("7 0 TSTORE 0 0 REVERT"))
    code = f"5 0 TSTORE 0 0 0 0 {other} 50000 DELEGATECALL POP 0 TLOAD 0 MSTORE 32 0 RETURN"
    assert run(code, view=view).word == 5


@pytest.mark.parametrize("code", ["1 0 SSTORE", "1 0 TSTORE", "0 0 LOG0", "0 0 0 CREATE"])
def test_nothing_is_written_in_a_static_message(code):
    assert run(code, static=True).halt is Halt.WRITE_PROTECTION
