"""The registered methods as a table, for docs/RPC.md: `python -m node.rpc.reference`."""

import inspect
from typing import Final

from node.rpc import methods as _methods  # noqa: F401 - registers them
from node.rpc.registry import METHODS, Method, Parameter

_HEAD: Final = "| method | parameters | result |\n| --- | --- | --- |\n"


def method_table(*, developer: bool = False) -> str:
    """A Markdown row for every method, by name; what it gives is its docstring's first line.

    Those of developers' chains alone are a table of their own.
    """
    return _HEAD + "".join(
        _row(METHODS[name]) for name in sorted(METHODS) if METHODS[name].developer_only is developer
    )


def _row(method: Method) -> str:
    parameters = ", ".join(_shown(parameter) for parameter in method.parameters)
    text = (inspect.getdoc(method.function) or "").split("\n\n")[0].replace("\n", " ")
    return f"| `{method.name}` | {parameters} | {text} |\n"


def _shown(parameter: Parameter) -> str:
    name = parameter.name.rstrip("_")
    return name if parameter.required else f"[{name}]"


if __name__ == "__main__":
    print(method_table(), end="")
