"""What is committed is what the compiler makes of the source."""

import json

import pytest

from chain import staking
from chain.abi import selector
from chain.validators import Validator, validator_set
from tests.contracts.system.compile import FOLDER, compiled, written
from tests.contracts.system.stake_ledger import account, double_vote


def test_the_committed_artefact_comes_out_of_the_source() -> None:
    """Recompiled with the compiler that the artefact names; if not on purpose, say why."""
    vyper = pytest.importorskip("vyper", reason="vyper is not installed")
    committed = (FOLDER / "validators.json").read_text("utf-8")
    wanted = json.loads(committed)["compiler"]
    if not wanted.endswith(vyper.__version__.partition("+")[0]):
        pytest.skip(f"the artefact is by {wanted}, installed is {vyper.__version__}")
    assert written(compiled()) == committed


def test_the_code_fits_a_contract() -> None:
    """EIP-170: at most 24576 bytes, the immutables included."""
    artefact = json.loads((FOLDER / "validators.json").read_text("utf-8"))
    assert len(artefact["runtime"]) // 2 - 1 + 6 * 32 <= 24_576


def test_every_call_that_is_made_names_a_function_of_the_contract() -> None:
    """The calls that chain.staking makes are functions of the ABI."""
    artefact = json.loads((FOLDER / "validators.json").read_text("utf-8"))
    selectors = {
        selector(signature(entry)) for entry in artefact["abi"] if entry["type"] == "function"
    }
    one = account(1)
    for call in (
        staking.stake_call(one),
        staking.stake_call(one, account(2)),
        staking.unstake_call(one, 1),
        staking.withdraw_call(one),
        staking.unjail_call(one),
        staking.slash_call(double_vote(1, epoch=0)),
        staking.rows_call([one]),
        staking.CANDIDATES_CALL,
        staking.SEATS_CALL,
        staking.PARAMETERS_CALL,
        staking.moves_call(None, validator_set([Validator(one, 1)])),
    ):
        assert call[:4] in selectors


def signature(entry: dict[str, object]) -> str:
    return f"{entry['name']}({','.join(map(_type_of, entry['inputs']))})"  # type: ignore[call-overload]


def _type_of(argument: dict[str, object]) -> str:
    kind = str(argument["type"])
    if not kind.startswith("tuple"):
        return kind
    parts = ",".join(map(_type_of, argument["components"]))  # type: ignore[call-overload]
    return f"({parts}){kind.removeprefix('tuple')}"
