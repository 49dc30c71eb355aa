"""Where failed transactions failed, by the artefacts of each compiler and build tool.

solidity/build.json is what solc 0.8 made of the sources in it, without optimizer; made anew by
`solc --standard-json` with its `input`, and the outputs that are in it.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chain.abi import encode, selector
from chain.commitment import commit
from chain.execution import Executed
from chain.state import Delta
from chain.types import Address
from chain.views import EmptyView
from contracts.vm import Interpreter
from node.devchain.artefacts import Artefacts
from node.devchain.autopsy import Autopsy, Findings
from tests.node.rpc.serving import SENDER, Served
from tests.support.daemon import RpcFailure, running, wait_until

BUILD = json.loads((Path(__file__).parent / "solidity" / "build.json").read_text("utf-8"))
CONTRACTS = {
    name: entry for file in BUILD["output"]["contracts"].values() for name, entry in file.items()
}
FILE = "src/Vault.sol"

Write = Callable[[Path], Path]


def _json(path: Path, document: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document), encoding="utf-8")


def _sources(folder: Path) -> None:
    for name, source in BUILD["input"]["sources"].items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source["content"], encoding="utf-8")


def foundry(project: Path) -> Path:
    """A project as forge leaves it: sources beside `out`, numbers of files in the build info."""
    _sources(project)
    ids = {str(entry["id"]): name for name, entry in BUILD["output"]["sources"].items()}
    out = project / "out"
    _json(out / "build-info" / "other.json", {"id": "a", "source_id_to_path": {"1": "else.sol"}})
    _json(out / "build-info" / "this.json", {"id": "b", "source_id_to_path": ids})
    for name, entry in CONTRACTS.items():
        target = {"settings": {"compilationTarget": {FILE: name}}}
        document = {"abi": entry["abi"], **entry["evm"], "metadata": target, "id": 1}
        _json(out / "Vault.sol" / f"{name}.json", document)
    return out


def _hardhat(artifacts: Path, extra: dict[str, Any]) -> None:
    for name, entry in CONTRACTS.items():
        evm = entry["evm"]
        document = {
            "contractName": name,
            "sourceName": FILE,
            "abi": entry["abi"],
            "bytecode": "0x" + evm["bytecode"]["object"],
            "deployedBytecode": "0x" + evm["deployedBytecode"]["object"],
            "immutableReferences": evm["deployedBytecode"].get("immutableReferences", {}),
            **extra,
        }
        _json(artifacts / FILE / f"{name}.json", document)


def hardhat_2(project: Path) -> Path:
    """Artefacts with a debug file each that leads to input and output in one."""
    artifacts = project / "artifacts"
    _hardhat(artifacts, {})
    for name in CONTRACTS:
        debug = {"_format": "hh-sol-dbg-1", "buildInfo": "../../build-info/b.json"}
        _json(artifacts / FILE / f"{name}.dbg.json", debug)
    _json(artifacts / "build-info" / "b.json", BUILD)
    return artifacts


def hardhat_3(project: Path) -> Path:
    """Artefacts that name a build, whose input and output are two files."""
    artifacts = project / "artifacts"
    text = json.dumps(BUILD).replace('"src/', '"project/src/')
    build = json.loads(text)
    _hardhat(artifacts, {"buildInfoId": "b", "inputSourceName": f"project/{FILE}"})
    _json(artifacts / "build-info" / "b.json", {"id": "b", "input": build["input"]})
    _json(artifacts / "build-info" / "b.output.json", {"id": "b", "output": build["output"]})
    return artifacts


def _call(name: str, *values: Any) -> str:
    types = name[name.index("(") + 1 : -1]
    arguments = encode(tuple(types.split(",")), values) if types else b""
    return "0x" + (selector(name) + arguments).hex()


def _creation(name: str, *values: int) -> str:
    code = CONTRACTS[name]["evm"]["bytecode"]["object"]
    return "0x" + code + "".join(f"{value:064x}" for value in values)


def _executed(served: Served) -> Executed:
    """The last block, as far as it is needed to be run again."""
    ledger = served.node.ledger
    height, no_changes = ledger.height, commit(EmptyView(), Delta({}, {}, frozenset(), {}))
    return Executed(
        ledger.block(height),
        ledger.hash_at(height),
        ledger.senders(height),
        ledger.receipts(height),
        no_changes,
    )


class Told:
    """Sends transactions that fail, and says where."""

    def __init__(self, served: Served, artefacts: Artefacts) -> None:
        self.served, self._artefacts = served, artefacts

    def failing(self, to: str | None, data: str, index: int = 0) -> list[str]:
        sent: dict[str, Any] = {"data": data, "gas": hex(3_000_000)}
        receipt = self.served.send(**sent, **({} if to is None else {"to": to}))
        assert receipt["status"] == "0x0"
        found = self.findings(index)
        assert found is not None
        return list(found.lines)

    def findings(self, index: int = 0) -> Findings | None:
        ledger, executed = self.served.node.ledger, _executed(self.served)
        autopsy = Autopsy(ledger, Interpreter(), self._artefacts, executed, lambda: 0.0)
        return autopsy.explain(index)


def _deploy(served: Served, data: str) -> str:
    receipt = served.send(data=data, gas=hex(3_000_000))
    assert receipt["status"] == "0x1"
    address: str = receipt["contractAddress"]
    return address


LIMITS = "src/Limits.sol"


@pytest.mark.parametrize("write", [foundry, hardhat_2, hardhat_3])
def test_a_trace_leads_from_the_failure_to_the_call_that_was_sent(
    write: Write, tmp_path: Path, dev: Served
) -> None:
    """Functions inside a contract, inherited ones, modifiers, messages between contracts."""
    told = Told(dev, Artefacts([write(tmp_path)]))
    keeper = _deploy(dev, _creation("Keeper"))
    assert dev.send(to=keeper, data=_call("make(uint256)", 10), gas="0x2dc6c0")["status"] == "0x1"
    vault = "0x" + dev.call("eth_call", {"to": keeper, "data": _call("vault()")}, "latest")[-40:]
    assert told.failing(vault, _call("put(uint256)", 11)) == [
        f"at Vault._add ({FILE}:21)",
        f"at Vault.put ({FILE}:17)",
    ]
    assert told.failing(keeper, _call("fill(uint256)", 11)) == [
        f"at Vault._add ({FILE}:21)",
        f"at Vault.put ({FILE}:17)",
        f"at Keeper._forward ({FILE}:39)",
        f"at Keeper.fill ({FILE}:35)",
    ]
    assert told.failing(vault, _call("put(uint256)", 13))[0] == f"at Limits.limited ({LIMITS}:8)"
    # What was caught is not where it failed.
    assert told.failing(keeper, _call("caught(uint256)", 12)) == [
        f"at Keeper._overflow ({FILE}:50)",
        f"at Keeper.caught ({FILE}:44)",
    ]
    assert told.failing(None, _creation("Vault", 0)) == [f"at Vault.constructor ({FILE}:11)"]
    assert told.failing(keeper, _call("make(uint256)", 0)) == [
        f"at Vault.constructor ({FILE}:11)",
        f"at Keeper.make ({FILE}:31)",
    ]
    assert told.failing(keeper, _call("burn()")) == [f"at Keeper.burn ({FILE}:54)"]
    assert told.failing(keeper, "0x12345678")[0].startswith("at Keeper")


def test_a_contract_that_nobody_knows_goes_by_its_address(tmp_path: Path, dev: Served) -> None:
    told = Told(dev, Artefacts([foundry(tmp_path)]))
    unknown = _deploy(dev, "0x60058060093d393df3" + "60006000fd")
    assert told.failing(unknown, "0x") == [f"at {unknown}"]


def test_without_the_sources_the_files_are_named(tmp_path: Path, dev: Served) -> None:
    out = foundry(tmp_path)
    shutil.rmtree(tmp_path / "src")
    told = Told(dev, Artefacts([out]))
    assert told.failing(None, _creation("Vault", 0)) == [f"at Vault ({FILE})"]


@pytest.mark.parametrize("part", ["deployedBytecode", "metadata", "id"])
def test_artefacts_in_a_shape_of_their_own_still_name_the_contract(
    part: str, tmp_path: Path, dev: Served
) -> None:
    """Broken maps and broken build infos cost lines, not the trace."""
    out = foundry(tmp_path)
    path = out / "Vault.sol" / "Keeper.json"
    document = json.loads(path.read_text())
    if part == "deployedBytecode":
        document[part]["sourceMap"] = "1:x:;;"
    else:
        document[part] = "?"
    path.write_text(json.dumps(document))
    (out / "build-info" / "this.json").write_text("{")
    told = Told(dev, Artefacts([out]))
    keeper = _deploy(dev, _creation("Keeper"))
    assert told.failing(keeper, _call("burn()"))[0].startswith("at Keeper")


def test_the_last_of_several_in_a_block_is_explained_on_what_the_others_left(
    tmp_path: Path, dev: Served
) -> None:
    told = Told(dev, Artefacts([foundry(tmp_path)]))
    vault = _deploy(dev, _creation("Vault", 10))
    dev.call("evm_setAutomine", False)
    for amount in (6, 6, 1):
        sent = {
            "from": SENDER,
            "to": vault,
            "data": _call("put(uint256)", amount),
            "gas": "0x30000",
        }
        dev.call("eth_sendTransaction", sent)
    dev.call("evm_mine")
    found = told.findings(1)
    assert found is not None
    assert found.lines[0] == f"at Vault._add ({FILE}:21)"
    dev.call("anvil_rollback", 1)


def test_a_failure_that_takes_too_long_is_not_explained(tmp_path: Path, dev: Served) -> None:
    artefacts = Artefacts([foundry(tmp_path)])
    keeper = _deploy(dev, _creation("Keeper"))
    dev.send(to=keeper, data=_call("burn()"), gas=hex(3_000_000))
    times = iter([0.0, *[100.0] * 1_000])
    ledger, executed = dev.node.ledger, _executed(dev)
    autopsy = Autopsy(ledger, Interpreter(), artefacts, executed, lambda: next(times))
    assert autopsy.explain(0) is None


VYPER = """
# pragma version ~=0.4.0
interface Other:
    def add(x: uint256): nonpayable

total: uint256

@internal
def _check(x: uint256):
    assert x < 5, "too many"
    self.total = x - 2

@external
def add(x: uint256):
    self._check(x)

@external
def go(o: address, x: uint256):
    extcall Other(o).add(x)
"""


def test_vypers_lines_and_checks_are_told_as_the_daemon_prints_them(tmp_path: Path) -> None:
    """With combined_json in the artefacts, from a real compiler through a real process."""
    (tmp_path / "out").mkdir()
    (tmp_path / "Adder.vy").write_text(VYPER)
    made = subprocess.run(
        [sys.executable, "-m", "vyper.cli.vyper_compile", "-f", "combined_json", "Adder.vy"],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    (tmp_path / "out" / "all.json").write_text(made.stdout)
    (entry,) = (each for each in json.loads(made.stdout).values() if isinstance(each, dict))
    with running("dev", "--ephemeral", "--artifacts", str(tmp_path / "out")) as daemon:
        call = daemon.rpc.call
        sent = {"from": SENDER, "gas": hex(1_000_000)}
        deployed = call("eth_sendTransaction", {**sent, "data": entry["bytecode"]})
        adder = call("eth_getTransactionReceipt", deployed)["contractAddress"]
        for data in (
            _call("add(uint256)", 1),
            _call("go(address,uint256)", Address(bytes.fromhex(adder[2:])), 7),
        ):
            call("eth_sendTransaction", {**sent, "to": adder, "data": data})
        with pytest.raises(RpcFailure, match="too many"):
            call("eth_estimateGas", {"to": adder, "data": _call("add(uint256)", 6)})
        wait_until(lambda: any("eth_estimateGas" in line for line in daemon.output))
        wait_until(lambda: len([line for line in daemon.output if "Adder.add (" in line]) == 3)
        said = "\n".join(daemon.output)
    assert "Adder.add(1)" in said
    assert "FAILED (execution reverted: safesub)" in said
    assert (
        f"eth_estimateGas  to {adder}  Adder.add(6)  FAILED (execution reverted: too many)\n"
        "    at Adder._check (Adder.vy:10)\n    at Adder.add (Adder.vy:15)"
    ) in said
    assert "    at Adder._check (Adder.vy:11)\n    at Adder.add (Adder.vy:15)" in said
    assert "FAILED (execution reverted: too many)" in said
    assert (
        "    at Adder._check (Adder.vy:10)\n    at Adder.add (Adder.vy:15)\n"
        "    at Adder.go (Adder.vy:19)"
    ) in said
