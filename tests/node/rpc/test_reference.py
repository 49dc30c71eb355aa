"""docs/RPC.md says what there is."""

from pathlib import Path

from node.rpc.reference import method_table
from node.rpc.registry import METHODS


def test_the_documentation_lists_every_method_as_it_is() -> None:
    """When this fails, put the output of `python -m node.rpc.reference` into docs/RPC.md."""
    document = Path(__file__).parents[3] / "docs" / "RPC.md"
    assert document.read_text(encoding="utf-8").endswith(method_table())


def test_every_method_says_what_it_gives() -> None:
    assert not [name for name, method in METHODS.items() if not method.function.__doc__]
