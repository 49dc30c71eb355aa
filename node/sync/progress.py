"""How far a node is with what it lacks."""

from typing import Final

from msgspec import Struct

_BAR: Final = 30  # characters


class Progress(Struct, frozen=True):
    """Heights: where it began to catch up, where it is, and where the others are."""

    started: int
    current: int
    highest: int


def progress_line(progress: Progress, per_second: float) -> str:
    """One line for a terminal: a bar, the heights, and the time left at this speed."""
    span = max(1, progress.highest - progress.started)
    done = min(max(0, progress.current - progress.started), span)
    filled = _BAR * done // span
    bar = "#" * filled + "-" * (_BAR - filled)
    line = f"sync [{bar}] {100 * done // span:3d}%  {progress.current:,} of {progress.highest:,}"
    left = progress.highest - progress.current
    if left <= 0 or per_second <= 0:
        return line
    return f"{line}  {per_second:,.0f} blocks/s  {_duration(left / per_second)} left"


def _duration(seconds: float) -> str:
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
