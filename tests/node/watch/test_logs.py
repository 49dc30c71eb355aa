"""JSON logs: one object per line, whatever is logged."""

import json
import logging
import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from node.watch.logs import JsonFormatter, formatter


def line(message: object, *arguments: object, **fields: Any) -> str:
    record = logging.makeLogRecord(
        {"msg": message, "args": arguments, "name": "node", "levelname": "WARNING"} | fields
    )
    return JsonFormatter().format(record)


def test_a_line_says_when_how_bad_who_and_what() -> None:
    text = line("%d of %s", 3, "four", created=1_700_000_000.0625)
    assert json.loads(text) == {
        "time": "2023-11-14T22:13:20.062Z",
        "level": "warning",
        "logger": "node",
        "message": "3 of four",
    }


def test_facts_are_fields_of_their_own() -> None:
    fields = json.loads(line("x", height=5, missing=[{"power": 1}], key=b"\x01\xff"))
    assert (fields["height"], fields["missing"], fields["key"]) == (5, [{"power": 1}], "0x01ff")


def test_a_fact_does_not_hide_what_every_line_has() -> None:
    fields = json.loads(line("x", level=9, time="now"))
    assert (fields["level"], fields["level_"], fields["time_"]) == ("warning", 9, "now")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", fields["time"])


def test_an_exception_is_a_field() -> None:
    try:
        raise ValueError("broken\nin two")
    except ValueError as error:
        text = line("x", exc_info=(type(error), error, error.__traceback__))
    found = json.loads(text)["exception"]
    assert (found["type"], found["text"]) == ("ValueError", "broken\nin two")
    assert "Traceback" in found["trace"]
    assert "\n" not in text


@given(
    st.text(),
    st.dictionaries(
        st.text(min_size=1).map("x_".__add__),
        st.recursive(
            st.none() | st.floats() | st.text() | st.binary() | st.integers(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=5,
        ),
    ),
)
def test_whatever_is_logged_is_one_line_of_json(message: str, facts: dict[str, Any]) -> None:
    text = line("%s", message, **facts)
    assert text.isascii()
    assert text.isprintable()
    found = json.loads(text)
    assert found["message"] == message
    assert found.keys() >= facts.keys()


def test_facts_that_json_can_not_hold_are_told_in_words() -> None:
    endless: list[Any] = []
    endless.append(endless)
    assert json.loads(line("x", facts=endless))["message"] == "x"
    assert json.loads(line("x", rate=float("nan")))["rate"] == "nan"


def test_the_setting_chooses() -> None:
    assert isinstance(formatter("json"), JsonFormatter)
    assert not isinstance(formatter("text"), JsonFormatter)
