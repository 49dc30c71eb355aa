"""Where transactions failed in code that an optimizer has been over, which shares what is the same.

solidity/optimized.json is what solc 0.8 made of the source in it, for each of its two code
generators; made anew by `solc --standard-json` with its `input`, and the outputs that are in it.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from node.devchain.artefacts import Artefacts
from tests.node.devchain.test_stack_traces import Told, _call, _deploy, _json
from tests.node.rpc.serving import Served

BUILDS = json.loads((Path(__file__).parent / "solidity" / "optimized.json").read_text("utf-8"))
FILE = "src/Tank.sol"

FILL = ("Tank.fill", 21)
CASES: list[tuple[int, list[tuple[str, int]]]] = [
    (0, [("Tank.some", 16)]),
    (1, [("Tank._fill", 25), FILL]),
    (2, [("Tank._fill", 26), FILL]),
    (3, [("Tank._fill", 27), FILL]),
    (4, [("Tank._fill", 28), FILL]),
    (5, [("Tank._fill", 29), FILL]),
    (10, [("Limits.check", 8), ("Tank._fill", 30), FILL]),
]


def _artefacts(project: Path, build: dict[str, Any]) -> Artefacts:
    out = project / "out"
    for name, entry in build["output"]["contracts"][FILE].items():
        target = {"settings": {"compilationTarget": {FILE: name}}}
        document = {"abi": entry["abi"], **entry["evm"], "metadata": target, "id": 0}
        _json(out / "Tank.sol" / f"{name}.json", document)
    (project / "src").mkdir()
    (project / FILE).write_text(build["input"]["sources"][FILE]["content"], encoding="utf-8")
    return Artefacts([out])


@pytest.mark.parametrize("generator", ["legacy", "ir"])
def test_what_failed_is_named_where_reverts_share_their_end(
    generator: str, tmp_path: Path, dev: Served
) -> None:
    """A library's code is known too, in which its address stands."""
    build = BUILDS[generator]
    told = Told(dev, _artefacts(tmp_path, build))
    made = build["output"]["contracts"][FILE]
    library = _deploy(dev, "0x" + made["Limits"]["evm"]["bytecode"]["object"])
    code = re.sub("__.{36}__", library[2:], made["Tank"]["evm"]["bytecode"]["object"])
    tank = _deploy(dev, "0x" + code)
    for value, places in CASES:
        if generator == "ir" and value == 5:
            continue  # dividing is one for all lines there, and no map tells whose
        lines = told.failing(tank, _call("fill(uint256)", value))
        assert lines == [f"at {name} ({FILE}:{line})" for name, line in places], value
