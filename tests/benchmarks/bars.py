"""A bar chart as SVG, on a logarithmic scale around 1: how many times faster than another."""

from collections.abc import Sequence
from html import escape
from math import log10
from typing import Final

_ROW: Final = 34
_BAR: Final = 12
_LEFT: Final = 190
_WIDTH: Final = 520
_TOP: Final = 64
_LOWEST, _HIGHEST = 0.1, 100.0
_COLOURS: Final = ("#3b6ea5", "#d9822b")


def chart(title: str, note: str, series: Sequence[str], rows: Sequence[tuple[str, ...]]) -> str:
    """`rows` are a name and, for each of the two series, a ratio as text; empty for none."""
    height = _TOP + _ROW * len(rows) + 46
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT + _WIDTH + 70}" height="{height}">',
        "<style>text { font: 12px sans-serif; fill: #222 }</style>",
        '<rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="12" y="22">{escape(title)}</text>',
    ]
    x = 12
    for name, colour in zip(series, _COLOURS):
        parts.append(f'<rect x="{x}" y="34" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{x + 18}" y="44">{escape(name)}</text>')
        x += 18 + 8 * len(name) + 24
    for mark in (0.1, 1, 10, 100):
        at = _place(mark)
        style = 'stroke="#222"' if mark == 1 else 'stroke="#ccc"'
        parts.append(f'<line x1="{at}" x2="{at}" y1="{_TOP - 8}" y2="{height - 40}" {style}/>')
        parts.append(f'<text x="{at}" y="{height - 26}" text-anchor="middle">{mark:g}</text>')
    for number, (name, *ratios) in enumerate(rows):
        y = _TOP + _ROW * number
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 17}" text-anchor="end">{escape(name)}</text>')
        for line, (ratio, colour) in enumerate(zip(ratios, _COLOURS)):
            if ratio:
                parts += _bar(y + 2 + line * (_BAR + 1), float(ratio), colour)
    parts.append(f'<text x="12" y="{height - 8}">{escape(note)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _place(ratio: float) -> float:
    bounded = min(max(ratio, _LOWEST), _HIGHEST)
    share = (log10(bounded) - log10(_LOWEST)) / (log10(_HIGHEST) - log10(_LOWEST))
    return round(_LEFT + _WIDTH * share, 1)


def _bar(y: int, ratio: float, colour: str) -> list[str]:
    start, end = sorted((_place(1.0), _place(ratio)))
    width = max(end - start, 1)
    return [
        f'<rect x="{start}" y="{y}" width="{width:.1f}" height="{_BAR}" fill="{colour}"/>',
        f'<text x="{end + 4}" y="{y + 10}">{ratio:g}</text>',
    ]
