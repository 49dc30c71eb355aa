"""Files of Vyper's modules, by the numbers that the compiler gives them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from chain.abi import encode_call
from node.devchain.artefacts import Artefacts
from node.devchain.vyper_modules import numbered_files
from tests.node.devchain.test_stack_traces import Told, _deploy
from tests.node.rpc.serving import Served

pytest.importorskip("vyper", reason="vyper is not installed")

FILES = {
    "src/shop.vy": """
# pragma version ~=0.4.0
from ethereum.ercs import IERC20
from parts import till
import limits as checks
from . import iface

@external
def buy(x: uint256) -> uint256:
    return till.take(x) + checks.fits(x)
""",
    "src/parts/till.vy": """
# pragma version ~=0.4.0
from .. import limits

@internal
def take(x: uint256) -> uint256:
    assert x != 1, "one"
    return limits.fits(x)
""",
    "src/limits.vy": """
# pragma version ~=0.4.0

@internal
def fits(x: uint256) -> uint256:
    assert x < 9, "too many"
    return x
""",
    "src/iface.vyi": """
# pragma version ~=0.4.0

@external
def buy(x: uint256) -> uint256: ...
""",
    "src/other.vy": """
# pragma version ~=0.4.0
import parts.till as till
import extra

@external
def sell(x: uint256) -> uint256:
    return till.take(x) + extra.twice(x)
""",
    "src/extra.vy": """
# pragma version ~=0.4.0

@internal
def twice(x: uint256) -> uint256:
    return x * 2
""",
}
CONTRACTS = ("src/shop.vy", "src/other.vy")
ORDER = ["src/shop.vy", "src/parts/till.vy", "src/limits.vy", "src/iface.vyi"]
ORDER += ["src/other.vy", "src/extra.vy"]


def _project(folder: Path) -> None:
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="ascii")


def _read(folder: Path, name: str) -> bytes | None:
    path = folder / name
    return path.read_bytes() if path.is_file() else None


def test_files_have_the_numbers_that_the_compiler_gave_them(tmp_path: Path) -> None:
    from vyper.compiler import compile_from_file_input
    from vyper.compiler.input_bundle import FilesystemInputBundle

    _project(tmp_path)
    bundle = FilesystemInputBundle([tmp_path])
    for name in CONTRACTS:
        compile_from_file_input(bundle.load_file(Path(name)), bundle, output_formats=["abi"])
    real = {number: path.relative_to(tmp_path) for path, number in bundle._source_ids.items()}
    found = numbered_files(CONTRACTS, lambda name: _read(tmp_path, name))
    assert {number: Path(name) for number, (name, _) in found.items()} == real
    assert [name for name, _ in found.values()] == ORDER


def test_after_an_import_that_is_nowhere_no_number_is_certain(tmp_path: Path) -> None:
    _project(tmp_path)
    (tmp_path / "src" / "parts" / "till.vy").unlink()
    found = numbered_files(CONTRACTS, lambda name: _read(tmp_path, name))
    assert [name for name, _ in found.values()] == ["src/shop.vy", "parts/till.vy"]
    assert found[1][1] is None
    assert numbered_files(("absent.vy",), lambda name: None) == {0: ("absent.vy", None)}


def test_imports_that_go_round_in_circles_end(tmp_path: Path) -> None:
    texts = {"a.vy": b"import b", "b.vy": b"import a\nimport c", "c.vy": b"from . import b"}
    assert [name for name, _ in numbered_files(("a.vy",), texts.get).values()] == list(texts)


def test_a_failure_within_a_module_is_told_with_the_modules_line(
    tmp_path: Path, dev: Served
) -> None:
    _project(tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    made = subprocess.run(
        [sys.executable, "-m", "vyper.cli.vyper_compile", "-f", "combined_json", *CONTRACTS],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    (out / "combined.json").write_text(made.stdout, encoding="utf-8")
    told = Told(dev, Artefacts([out]))
    output = json.loads(made.stdout)
    shop, other = (_deploy(dev, output[name]["bytecode"]) for name in CONTRACTS)
    assert told.failing(shop, "0x" + encode_call("buy(uint256)", 1).hex()) == [
        "at till.take (src/parts/till.vy:7)",
        "at shop.buy (src/shop.vy:10)",
    ]
    assert told.failing(other, "0x" + encode_call("sell(uint256)", 9).hex()) == [
        "at limits.fits (src/limits.vy:6)",
        "at till.take (src/parts/till.vy:8)",
        "at other.sell (src/other.vy:8)",
    ]
