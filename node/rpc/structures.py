"""JSON objects read into structures, and refused, as geth's decoder does it.

Keys are taken in their order and in any case; those that are unknown are ignored, and null is as
if its key were missing. A refusal names the structure and the path to what was wrong.
Source: Go's encoding/json, and the decoders that go-ethereum generates for its types.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from node.rpc.parameters import GoError, Parser, json_kind

T = TypeVar("T")


class Structure:
    """A structure of geth's: its name in Go, and the parsers of its fields by their names."""

    __slots__ = ("_fields", "_go_type", "_name", "_own_decoder", "_required")

    def __init__(
        self,
        go_type: str,
        fields: Mapping[str, Parser],
        *,
        required: tuple[str, ...] = (),
        own_decoder: bool = False,
    ) -> None:
        """`own_decoder`: one that names no structure when this is a part of another."""
        self._go_type = go_type
        self._name = go_type.rpartition(".")[2]
        self._required = required
        self._own_decoder = own_decoder
        self._fields: dict[str, tuple[str, Parser]] = {}
        for name, parse in fields.items():
            key = name.rpartition(".")[2]  # what comes before it are structures laid into this one
            self._fields[key] = self._fields[key.lower()] = (name, parse)

    def read(self, value: Any) -> dict[str, Any]:
        """The parsed values of the fields that are there; ValueError where one can't be read."""
        if value is None:
            value = {}
        if not isinstance(value, dict):
            raise GoError(json_kind(value), self._go_type)
        found: dict[str, Any] = {}
        for key, item in value.items():
            field = self._fields.get(key) or self._fields.get(key.lower())
            if field is None:
                continue
            name, parse = field
            if item is None:
                found.pop(name, None)
                continue
            try:
                found[name] = parse(item)
            except GoError as error:
                raise error.within(self._name, name, own_decoder=self._own_decoder) from None
        for name in self._required:
            if name not in found:
                raise ValueError(f"missing required field '{name}' for {self._name}")
        return found


def listed(go_type: str, parse: Callable[[Any], T]) -> Callable[[Any], tuple[T, ...]]:
    """A parser of lists; `go_type` is that of the whole list."""

    def read(value: Any) -> tuple[T, ...]:
        if not isinstance(value, list):
            raise GoError(json_kind(value), go_type)
        return tuple(parse(item) for item in value)

    return read
