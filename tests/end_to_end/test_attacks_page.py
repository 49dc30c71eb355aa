"""docs/protocol/attacks.md names tests that are there."""

import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = ROOT / "docs" / "protocol" / "attacks.md"
RUNNING: Final = ROOT / "tests" / "end_to_end" / "test_network_attacks.py"


def functions(path: Path) -> set[str]:
    return set(re.findall(r"^(?:async )?def (\w+)", path.read_text(), re.MULTILINE))


def test_every_test_that_the_page_names_is_there() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE.read_text())
    assert named
    missing = [f"{file}::{name}" for file, name in named if name not in functions(ROOT / file)]
    assert missing == []


def test_every_attack_on_a_running_node_is_on_the_page() -> None:
    running = RUNNING.read_text()
    listed = re.search(r'"attack",\n    \[(.*?)\]', running, re.DOTALL)
    assert listed is not None
    attacks = set(re.findall(r"\w+", listed[1]))
    page = PAGE.read_text()
    assert {name for name in attacks if f"`{name}`" not in page} == set()
    assert attacks <= functions(RUNNING)
