"""Random transactions and bytecode: our result equals the executable specification's.

`make fuzz EXAMPLES=20000` looks further than `make test`. A difference prints the case
as one line of JSON, for `python -m tests.differential`.
"""

import os
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.differential import ours, specification
from tests.differential.cases import FORKS, Case
from tests.differential.precompiles import precompile_cases
from tests.differential.strategies import cases

# In all; each fork gets its share. About 20 ms an example.
EXAMPLES = int(os.environ.get("CHAIN_FUZZ_EXAMPLES", "1400"))


def _assert_agreement(case: Case) -> None:
    expected = specification.run(case)
    actual = ours.run(case)
    if actual == expected:
        return
    lines = [f"{case.fork}: ours differs from the specification"]
    for index, (left, right) in enumerate(
        zip(actual.transactions, expected.transactions, strict=True)
    ):
        if left != right:
            lines += [
                f"transaction {index}:",
                f"  ours          {left}",
                f"  specification {right}",
            ]
    for address in sorted(actual.accounts.keys() | expected.accounts.keys()):
        mine, theirs = actual.accounts.get(address), expected.accounts.get(address)
        if mine != theirs:
            lines += [f"account {address.hex()}:", f"  ours          {mine}"]
            lines += [f"  specification {theirs}"]
    if actual.state_root != expected.state_root:
        lines.append(f"root: {actual.state_root.hex()}, specified {expected.state_root.hex()}")
    lines.append("replay: python -m tests.differential <<< '" + case.as_json() + "'")
    pytest.fail("\n".join(lines), pytrace=False)


def _search(fork: str, strategy: Callable[[str], st.SearchStrategy[Case]], examples: int) -> None:
    specification.load(fork)

    @settings(
        max_examples=max(1, examples),
        deadline=None,
        database=None,
        derandomize=os.environ.get("CHAIN_FUZZ_EXAMPLES") is None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
    )
    @given(strategy(fork))
    def property_(case: Case) -> None:
        _assert_agreement(case)

    property_()


@pytest.mark.parametrize("fork", FORKS)
def test_transactions_do_what_the_specification_says(fork: str) -> None:
    """Given random accounts, code and transactions, then receipts, state and root agree."""
    _search(fork, cases, EXAMPLES // len(FORKS))


@pytest.mark.parametrize("fork", ["frontier", "byzantium", "istanbul", "berlin", "prague", "osaka"])
def test_precompiled_contracts_do_what_the_specification_says(fork: str) -> None:
    """Given good and spoilt inputs, then output, gas and failure agree."""
    _search(fork, precompile_cases, EXAMPLES // 30)
