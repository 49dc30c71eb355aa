"""Recorded JSON-RPC exchanges of the execution APIs, replayed on the chain they were made on.

Each file holds requests (`>>`) and the answers wanted (`<<`). An answer passes when it
is equal as JSON but for the words of an error; with `speconly`, when it fits the
method's result schema.
"""

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from chain.genesis import parse_genesis
from chain.ledger import Ledger
from chain.storage.memory import MemoryStore
from node.conformance.chain_import import import_chain
from node.rpc import methods as _methods  # noqa: F401 - registers them
from tests.node.rpc.serving import Served
from tests.support.conformance import samples


@pytest.fixture(scope="module")
def folder() -> Path:
    return samples("rpc-compat")


@pytest.fixture(scope="module")
def ledger(folder: Path) -> Ledger:
    """The sample chain, imported."""
    ledger = Ledger.open(MemoryStore(), parse_genesis((folder / "genesis.json").read_text()))
    import_chain(ledger, folder / "chain.rlp", lambda line: None)
    return ledger


@pytest.fixture(scope="module")
def served(ledger: Ledger) -> Iterator[Served]:
    with Served(ledger=ledger, builds=False, rpc={"testing": True}) as served:
        yield served


def test_the_import_ends_at_the_head_that_the_samples_name(folder: Path, ledger: Ledger) -> None:
    forkchoice = json.loads((folder / "headfcu.json").read_text())
    assert "0x" + ledger.head_hash.hex() == forkchoice["params"][0]["headBlockHash"]


def test_every_sample_passes(folder: Path, served: Served) -> None:
    """In the order of their names, since a few of them send transactions."""
    document = json.loads((folder / "openrpc.json").read_text())
    failures: list[str] = []
    passed = 0
    for path in sorted(folder.glob("*/*.io")):
        problems = list(_differences(path, served, document))
        failures += [f"{path.parent.name}/{path.name}: {problem}" for problem in problems]
        passed += not problems
    print(f"{passed} sample files pass")
    assert not failures, "\n".join(failures)
    assert passed


def test_answers_about_every_block_fit_the_specification(folder: Path, served: Served) -> None:
    """Blocks, transactions, receipts, logs, proofs and calls of all forks, by their schemas."""
    document = json.loads((folder / "openrpc.json").read_text())
    validators = {
        item["name"]: jsonschema.Draft202012Validator(
            {**item["result"]["schema"], "components": document["components"]}
        )
        for item in document["methods"]
    }
    problems: set[str] = set()

    def ask(method: str, *params: Any) -> Any:
        result = served.call(method, *params)
        for error in validators[method].iter_errors(result):
            problems.add(f"{method}{params}: {error.message[:300]}")
        return result

    for height in range(int(served.call("eth_blockNumber"), 16) + 1):
        number = hex(height)
        block = ask("eth_getBlockByNumber", number, True)
        ask("eth_getBlockByHash", block["hash"], False)
        ask("eth_getBlockReceipts", number)
        ask("eth_getBlockTransactionCountByHash", block["hash"])
        ask("eth_feeHistory", "0x3", number, [10, 95])
        for method in ("debug_getRawBlock", "debug_getRawHeader", "debug_getRawReceipts"):
            ask(method, number)
        for transaction in block["transactions"][:2]:
            assert ask("eth_getTransactionByHash", transaction["hash"]) == transaction
            receipt = ask("eth_getTransactionReceipt", transaction["hash"])
            ask("debug_getRawTransaction", transaction["hash"])
            if receipt["logs"]:
                assert ask("eth_getLogs", {"blockHash": block["hash"]})
            ask("eth_getProof", transaction["from"], ["0x0"], number)
            ask("eth_getCode", transaction["to"] or receipt["contractAddress"], number)
    for method in ("eth_gasPrice", "eth_maxPriorityFeePerGas", "eth_baseFee", "eth_config"):
        ask(method)
    assert not problems, "\n".join(sorted(problems))


def test_traces_of_every_transaction_agree_with_its_receipt(ledger: Ledger, served: Served) -> None:
    """Gas, failure and indexed logs come out again; each step leaves what it says it costs."""
    tracers = {"callTracer": {"withLog": True}, "prestateTracer": {"diffMode": True}}
    steps = 0
    for height in range(1, ledger.height + 1):
        block = hex(height)
        receipts = served.call("eth_getBlockReceipts", block)
        options = {"tracer": "muxTracer", "tracerConfig": tracers}
        for receipt, by_steps, combined in zip(
            receipts,
            served.call("debug_traceBlockByNumber", block),
            served.call("debug_traceBlockByNumber", block, options),
            strict=True,
        ):
            traced, tree = by_steps["result"], combined["result"]["callTracer"]
            assert by_steps["txHash"] == combined["txHash"] == receipt["transactionHash"]
            assert traced["gas"] == int(receipt["gasUsed"], 16) == int(tree["gasUsed"], 16)
            assert traced["failed"] == ("error" in tree) == (receipt.get("status") == "0x0")
            assert sorted(_logs(tree)) == sorted(
                _log(log, log["logIndex"]) for log in receipt["logs"]
            )
            assert receipt["from"] in combined["result"]["prestateTracer"]["post"]
            steps += _check_steps(traced["structLogs"])
    assert steps > 10_000


def _log(log: dict[str, Any], index: str) -> str:
    return json.dumps([log["address"], log["topics"], log["data"], index])


def _logs(tree: dict[str, Any]) -> Iterator[str]:
    yield from (_log(log, log["index"]) for log in tree.get("logs", ()))
    for call in tree.get("calls", ()):
        yield from _logs(call)


def _check_steps(steps: list[dict[str, Any]]) -> int:
    checked = 0
    for step, following in pairwise(steps):
        sends = step["op"].startswith("CREATE") or step["op"].endswith("CALL")
        if step["depth"] == following["depth"] and not sends:
            assert step["gas"] - step["gasCost"] == following["gas"], step
            checked += 1
    return checked


def _differences(path: Path, served: Served, document: dict[str, Any]) -> Iterator[str]:
    """Where the answers of a file and ours differ."""
    lines = path.read_text().splitlines()
    loose = any(line.removeprefix("//").strip().startswith("speconly:") for line in lines)
    request = ""
    ours: Any = None
    for line in lines:
        if line.startswith(">>"):
            request = line.removeprefix(">>").strip()
            ours = served.post(request.encode())
        elif line.startswith("<<"):
            wanted = json.loads(line.removeprefix("<<"))
            if loose and "error" not in ours:
                yield from _schema_problems(json.loads(request)["method"], ours, document)
            elif _comparable(ours) != _comparable(wanted):
                yield f"{request[:300]}\n  wanted {str(wanted)[:600]}\n  got    {str(ours)[:600]}"


def _comparable(answer: Any) -> Any:
    """An answer without the words of its error."""
    if isinstance(answer, dict) and "error" in answer:
        error = {key: value for key, value in answer["error"].items() if key != "message"}
        return {**answer, "error": error}
    return answer


def _schema_problems(method: str, ours: Any, document: dict[str, Any]) -> Iterator[str]:
    found = next(item for item in document["methods"] if item["name"] == method)
    schema = {**found["result"]["schema"], "components": document["components"]}
    for error in jsonschema.Draft202012Validator(schema).iter_errors(ours["result"]):
        yield f"{method}: {error.message[:300]}"
