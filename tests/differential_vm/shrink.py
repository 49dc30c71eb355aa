"""The smallest block that still shows a difference, as far as leaving things out finds it."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any, Final

from tests.differential_vm.play import BlockDifference

Json = dict[str, Any]

_TRIES_MAX: Final = 600


def smaller(
    found: BlockDifference, differs: Callable[[Json], BlockDifference | None]
) -> BlockDifference:
    """`differs` plays a block; what it finds need not be the same difference."""
    tries = 0
    shrunk = True
    while shrunk:
        shrunk = False
        for candidate in _without_something(found.block):
            tries += 1
            if tries > _TRIES_MAX:
                return found
            again = differs(candidate)
            if again is not None:
                found, shrunk = again, True
                break
    return found


def _without_something(block: Json) -> Iterator[Json]:
    """Copies that lack one thing, the largest things first."""
    steps = block["steps"]
    for at in reversed(range(len(steps))):
        yield {**block, "steps": steps[:at] + steps[at + 1 :]}
    for at, step in enumerate(steps):
        for name in ("look", "look_inside", "traced", "undone", "on"):
            if step.get(name):
                yield _with_step(block, at, {**step, name: 0})
    for path in _scripts(steps):
        calls = _at(steps, path)["calls"]
        for at in reversed(range(len(calls))):
            copied = deepcopy(block)
            del _at(copied["steps"], path)["calls"][at]
            yield copied
    for address in block["pre"]:
        yield {
            **block,
            "pre": {name: told for name, told in block["pre"].items() if name != address},
        }


def _with_step(block: Json, at: int, step: Json) -> Json:
    return {**block, "steps": [*block["steps"][:at], step, *block["steps"][at + 1 :]]}


def _scripts(told: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where in the steps there are scripts, outer ones first."""
    if isinstance(told, dict):
        if "calls" in told:
            yield path
        parts: Any = told.items()
    elif isinstance(told, list):
        parts = enumerate(told)
    else:
        return
    for name, part in parts:
        yield from _scripts(part, (*path, name))


def _at(told: Any, path: tuple[Any, ...]) -> Any:
    for name in path:
        told = told[name]
    return told
