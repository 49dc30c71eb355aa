"""State tests: what counts as passed, what is printed, and what malformed files give."""

import argparse
import copy
import json
from pathlib import Path
from typing import Any

import pytest

from node.conformance import fixtures, statetest
from node.conformance.report import Result

KEY = "0x45a915e4d060149eb4365960e6a7a45f334393093061116b197e3240065ff2d8"
SENDER = "0xa94f5374fce5edbc8e2a8697c15331677e6ebf0b"
TARGET = "0x00000000000000000000000000000000000000aa"
ENTRY = {"indexes": {"data": 0, "gas": 0, "value": 0}, "hash": "0x00", "logs": "0x00"}


def make_test(forks: tuple[str, ...] = ("Cancun",), **transaction: Any) -> dict[str, Any]:
    """A transfer to a contract that stores its call value and logs."""
    return {
        "env": {
            "currentCoinbase": "0x" + "cc" * 20,
            "currentGasLimit": "0x1000000",
            "currentNumber": "0x01",
            "currentTimestamp": "0x03e8",
            "currentDifficulty": "0x020000",
            "currentRandom": "0x" + "11" * 32,
            "currentBaseFee": "0x07",
            "currentExcessBlobGas": "0x00",
        },
        "pre": {
            SENDER: {"nonce": "0x00", "balance": "0x0de0b6b3a7640000", "code": "0x", "storage": {}},
            TARGET: {
                "nonce": "0x01",
                "balance": "0x00",
                "code": "0x345f5560015f5fa1"
                if forks[0] != "Frontier"
                else "0x346000556001600060a1",
                "storage": {"0x07": "0x08"},
            },
        },
        "transaction": {
            "nonce": "0x00",
            "gasPrice": "0x0a",
            "gasLimit": ["0x0186a0", "0x5207"],
            "to": TARGET,
            "value": ["0x05", "0x:bigint 0x1" + "00" * 32],
            "data": ["0x"],
            "secretKey": KEY,
            **transaction,
        },
        "post": {fork: [copy.deepcopy(ENTRY)] for fork in forks},
    }


def run(test: object, **options: Any) -> list[Result]:
    return list(statetest.run_file(fixtures.FileTests("file.json", {"test": test}), **options))


def with_expectations(test: dict[str, Any]) -> dict[str, Any]:
    """The test with what comes out of it recorded as wanted."""
    filled = copy.deepcopy(test)
    for result in run(test):
        entry = filled["post"][result["fork"]][result["index"]]
        entry["hash"], entry["logs"] = result["stateRoot"], result["logsHash"]
        if result["exception"] is not None:
            entry["expectException"] = "TransactionException.ANY"
    return filled


def test_a_test_passes_when_root_and_logs_are_as_wanted() -> None:
    (result,) = run(with_expectations(make_test()))
    assert result["pass"]
    assert result["error"] is None
    assert result["exception"] is None
    assert (result["name"], result["fork"], result["index"]) == ("test", "Cancun", 0)
    assert result["file"] == "file.json"


@pytest.mark.parametrize("key", ["hash", "logs"])
def test_another_root_or_log_hash_fails(key: str) -> None:
    test = with_expectations(make_test())
    test["post"]["Cancun"][0][key] = "0x" + "00" * 32
    (result,) = run(test)
    assert not result["pass"]
    assert result["error"]


@pytest.mark.parametrize("blank", [None, "", "0x", 0])
def test_expected_values_do_not_enter_the_computation(blank: object) -> None:
    """Given a test with every expected value blanked, then the same roots come out."""
    forks = ("Cancun", "Osaka")
    filled = with_expectations(make_test(forks))
    wanted = [(r["stateRoot"], r["logsHash"], r["exception"]) for r in run(filled)]
    for entries in filled["post"].values():
        for key in ("hash", "logs", "txbytes", "state", "expectException"):
            entries[0][key] = blank
    found = run(filled)
    assert [(r["stateRoot"], r["logsHash"], r["exception"]) for r in found] == wanted
    assert not any(r["pass"] for r in found)


@pytest.mark.parametrize(
    ("indexes", "transaction"),
    [
        ({"gas": 1}, {}),  # too little gas
        ({"value": 1}, {}),  # more than 256 bits
        ({}, {"nonce": "0x01"}),
        ({}, {"gasPrice": "0x06"}),  # below the base fee
        ({}, {"maxFeePerGas": "0x0a", "maxPriorityFeePerGas": "0x0b"}),
        ({}, {"gasLimit": ["0x1000001"]}),  # more than the block's
        ({}, {"authorizationList": [], "maxFeePerGas": "0x0a", "maxPriorityFeePerGas": "0x00"}),
    ],
)
def test_a_refused_transaction_leaves_the_state_and_says_why(
    indexes: dict[str, int], transaction: dict[str, Any]
) -> None:
    test = make_test(**transaction)
    test["post"]["Cancun"][0]["indexes"] |= indexes
    untouched = fixtures.view_of(fixtures.parse_state(test["pre"])).root
    (result,) = run(test)
    assert result["exception"]
    assert result["stateRoot"] == "0x" + untouched.hex()
    assert not result["pass"]
    (again,) = run(with_expectations(test))
    assert again["pass"]


def test_a_refusal_that_does_not_come_fails() -> None:
    test = with_expectations(make_test())
    test["post"]["Cancun"][0]["expectException"] = "TransactionException.NONCE_TOO_LOW"
    assert not run(test)[0]["pass"]


def test_only_the_selected_fork_runs() -> None:
    results = run(make_test(("Cancun", "Prague")), only_fork="Prague")
    assert [result["fork"] for result in results] == ["Prague"]


def test_the_coinbase_comes_into_existence_before_empty_accounts_were_deleted() -> None:
    """Before EIP-161 a block that pays nothing still leaves an empty coinbase."""
    roots = {}
    for fork in ("Frontier", "EIP158"):
        test = make_test((fork,), gasPrice="0x00", to=SENDER)
        roots[fork] = run(test)[0]["stateRoot"]
    assert roots["Frontier"] != roots["EIP158"]


def test_block_hashes_are_made_up_from_the_number_unless_given() -> None:
    """geth's runner: keccak-256 of the number's decimal text."""
    test = make_test()
    test["pre"][TARGET]["code"] = "0x5f405f55"  # stores the hash of block 0
    made_up = run(test)[0]["stateRoot"]
    test["env"]["blockHashes"] = {"0x0": "0x" + "22" * 32}
    assert run(test)[0]["stateRoot"] != made_up


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("env", None),
        ("env.currentNumber", "x"),
        ("env.currentCoinbase", "0x00"),
        ("pre", []),
        (f"pre.{SENDER}.balance", "much"),
        ("post", 5),
        ("post.Cancun", {}),
        ("post.Cancun.0", 7),
        ("post.Cancun.0.indexes", None),
        ("post.Cancun.0.indexes.data", 3),
        ("transaction", "none"),
        ("transaction.secretKey", "0x00"),
        ("transaction.secretKey", "0x" + "00" * 32),
        ("transaction.data", "0x"),
        ("transaction.accessLists", [[{"address": "0x00"}]]),
        ("config", {"chainid": "one"}),
        ("config", {"blobSchedule": {"Cancun": {"target": 1}}}),
    ],
)
def test_a_malformed_test_is_an_error_and_no_crash(path: str, value: object) -> None:
    """The other tests of the file still run."""
    broken = make_test()
    at: Any = broken
    *parents, last = path.split(".")
    for name in parents:
        at = at[int(name)] if isinstance(at, list) else at[name]
    at[int(last) if isinstance(at, list) else last] = value
    good = with_expectations(make_test())
    results = list(statetest.run_file(fixtures.FileTests("f", {"broken": broken, "good": good})))
    assert results[-1]["pass"]
    for result in results[:-1]:
        assert not result["pass"]
        assert "malformed test" in str(result["error"])
    if path != "post.Cancun":
        assert len(results) == 2


def test_an_unknown_fork_is_an_error() -> None:
    (result,) = run(make_test(("Atlantis",)))
    assert not result["pass"]
    assert "Atlantis" in str(result["error"])
    assert result["stateRoot"] is not None


def command(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    statetest.add_arguments(parser)
    return statetest.run_statetest(parser.parse_args(arguments))


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_the_command_prints_one_object_per_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], jobs: str
) -> None:
    """stdout is JSON alone, in the files' order; the exit status does not tell who passed."""
    files = []
    for name, content in {
        "a.json": json.dumps({"one": with_expectations(make_test()), "two": make_test()}),
        "b.json": "{",
        "c.json": "[]",
        "d.json": json.dumps({"three": 3}),
    }.items():
        (tmp_path / name).write_text(content)
        files.append(str(tmp_path / name))
    assert command("--json", "--jobs", jobs, *files, str(tmp_path / "none.json")) == 0
    captured = capsys.readouterr()
    results = [json.loads(line) for line in captured.out.splitlines()]
    keys = {"name", "fork", "index", "pass", "stateRoot", "logsHash", "exception", "error", "file"}
    assert all(set(result) == keys for result in results)
    assert [result["name"] for result in results] == ["one", "two", None, None, "three", None]
    assert [result["pass"] for result in results] == [True] + [False] * 5
    assert "1 of 6 passed" in captured.err


def test_a_folder_stands_for_its_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "deep").mkdir()
    for name in ("deep/b.json", "a.json"):
        (tmp_path / name).write_text(json.dumps({name: with_expectations(make_test())}))
    (tmp_path / "notes.txt").write_text("no test")
    assert command(str(tmp_path)) == 0
    assert capsys.readouterr().out.splitlines() == [
        "pass a.json Cancun[0]",
        "pass deep/b.json Cancun[0]",
    ]


def test_the_machine_is_chosen_by_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"one": with_expectations(make_test())}))
    assert command("--json", "--vm", "python", str(tmp_path)) == 0
    assert json.loads(capsys.readouterr().out)["pass"] is True
    with pytest.raises(SystemExit) as refused:
        command("--json", "--vm", "abacus", str(tmp_path))
    assert refused.value.code == 2
