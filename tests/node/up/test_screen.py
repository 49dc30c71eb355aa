"""One log and one table: what stands on the screen."""

import json
from typing import cast

import pytest

from node.up.screen import Screen
from node.up.status import Answer, Row, table
from node.watch.console import Console

ROWS = [
    Row("node0", "running", Answer(12, 0, 14, 3, 5, 42, ())),
    Row("node1", "killed", None),
]


class Said:
    """Stands for a console and keeps what was said."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def say(self, text: str) -> None:
        self.texts.append(text)


def screen(said: Said, *, terminal: bool = False, json: bool = False) -> Screen:
    return Screen(cast(Console, said), ["node0", "node1"], terminal=terminal, json=json)


def test_the_table_has_a_line_per_node_and_dashes_for_what_is_not_known() -> None:
    heading, first, second = table(ROWS)
    assert heading.split()[:4] == ["node", "state", "height", "epoch"]
    assert first.split() == ["node0", "running", "12", "0", "14", "3", "5", "42", "ms"]
    assert second.split() == ["node1", "killed", "-", "-", "-", "-", "-", "-"]


def test_without_a_terminal_lines_are_plain_and_go_at_once() -> None:
    said = Said()
    shown = screen(said)
    shown.line("node1", "hello")
    shown.table(["never drawn"])
    shown.draw()
    assert said.texts == ["node1 | hello"]


def test_on_a_terminal_the_table_stays_below_the_log() -> None:
    """Each frame takes the table away, prints what is new, and puts the table back."""
    said = Said()
    shown = screen(said, terminal=True)
    shown.table(["head", "row"])
    shown.draw()
    shown.line("node0", "hello")
    shown.draw()
    first, second = said.texts
    assert "head" in first and "row" in first
    assert second.startswith("\x1b[2F\x1b[J")
    assert second.index("hello") < second.index("head") < second.index("row")


def test_a_frame_without_news_is_not_drawn() -> None:
    said = Said()
    shown = screen(said, terminal=True)
    shown.table(["head"])
    shown.draw()
    shown.draw()
    assert len(said.texts) == 1


def test_a_node_can_not_move_the_cursor() -> None:
    said = Said()
    shown = screen(said, terminal=True)
    shown.line("node0", "a\x1b[2Jb\rc\x9bd")
    shown.draw()
    assert "a [2Jb c d" in said.texts[0]


def test_too_many_lines_are_counted_instead_of_shown() -> None:
    said = Said()
    shown = screen(said, terminal=True)
    for number in range(2000):
        shown.line("node0", f"line {number}")
    shown.draw()
    assert "lines skipped" in said.texts[0] and "line 1999" not in said.texts[0]


@pytest.mark.parametrize("text", ['{"message":"hello","level":"info"}', "hello", "{hello"])
def test_json_lines_name_their_node(text: str) -> None:
    said = Said()
    screen(said, terminal=True, json=True).line("node1", text)
    found = json.loads(said.texts[0])
    assert found["node"] == "node1" and "hello" in found["message"]
