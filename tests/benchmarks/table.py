"""A table for people, and minima of rounds that take turns."""

import gc
import os
import platform
from collections.abc import Sequence


def machine() -> str:
    """What the figures were measured on."""
    return f"CPython {platform.python_version()}, {os.cpu_count()} processors, {platform.machine()}"


def show(title: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print aligned columns; numbers to the right."""
    lines = [list(title), *([_text(cell) for cell in row] for row in rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(title))]
    for number, line in enumerate(lines):
        cells = [
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())
        if number == 0:
            print("  ".join("-" * width for width in widths))


def _text(cell: object) -> str:
    if isinstance(cell, float):
        return f"{cell:,.1f}"
    if isinstance(cell, int):
        return f"{cell:,}"
    return str(cell)


def settle() -> None:
    """Collect garbage, so that one side does not pay for the other's."""
    gc.collect()
