"""Prometheus' text format, version 0.0.4, and the few kinds of values that it shows.

A family is a name with its samples. Counters and histograms are fed while the node runs;
most values are read from the node when somebody asks, so they cost nothing until then.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Literal

from msgspec import Struct

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

Kind = Literal["counter", "gauge", "histogram"]
Labels = tuple[tuple[str, str], ...]  # (name, value), in the order in which they are shown


class Sample(Struct, frozen=True):
    """One line. `suffix` is appended to the family's name."""

    value: float
    labels: Labels = ()
    suffix: str = ""


class Family(Struct, frozen=True):
    """What one name shows; the samples' labels differ."""

    name: str
    kind: Kind
    help: str
    samples: Sequence[Sample]


class Histogram:
    """How often values fell into which bucket. `bounds` ascend and are inclusive."""

    __slots__ = ("_counts", "bounds", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        assert list(bounds) == sorted(set(bounds)), "bounds ascend"
        self.bounds: Final = tuple(bounds)
        self.sum = 0.0
        self._counts = [0] * (len(self.bounds) + 1)  # the last one: above all bounds

    def observe(self, value: float, times: int = 1) -> None:
        """Count a value, or several equal ones."""
        self._counts[bisect_left(self.bounds, value)] += times
        self.sum += value * times

    @property
    def count(self) -> int:
        return sum(self._counts)

    def samples(self, labels: Labels = ()) -> Iterator[Sample]:
        """Cumulative buckets, then sum and count."""
        total = 0
        for bound, count in zip((*self.bounds, math.inf), self._counts, strict=True):
            total += count
            yield Sample(total, (*labels, ("le", _number(bound))), "_bucket")
        yield Sample(self.sum, labels, "_sum")
        yield Sample(total, labels, "_count")


def counter(name: str, text: str, samples: Iterable[Sample] | float) -> Family:
    """A value that only rises; by convention its name ends in `_total`."""
    return Family(name, "counter", text, _samples(samples))


def gauge(name: str, text: str, samples: Iterable[Sample] | float) -> Family:
    """A value that rises and falls."""
    return Family(name, "gauge", text, _samples(samples))


def histogram(name: str, text: str, samples: Iterable[Sample] | Histogram) -> Family:
    """A distribution; several, told apart by labels, when samples are given."""
    found = samples.samples() if isinstance(samples, Histogram) else samples
    return Family(name, "histogram", text, tuple(found))


def _samples(samples: Iterable[Sample] | float) -> tuple[Sample, ...]:
    return (Sample(samples),) if isinstance(samples, int | float) else tuple(samples)


def render(families: Iterable[Family]) -> bytes:
    """The families as text. A family without samples is left out."""
    return "".join(_lines(families)).encode()


def _lines(families: Iterable[Family]) -> Iterator[str]:
    for family in families:
        if not family.samples:
            continue
        text = family.help.replace("\\", r"\\").replace("\n", r"\n")
        yield f"# HELP {family.name} {text}\n# TYPE {family.name} {family.kind}\n"
        for sample in family.samples:
            labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in sample.labels)
            shown = f"{{{labels}}}" if labels else ""
            yield f"{family.name}{sample.suffix}{shown} {_number(sample.value)}\n"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    """As Go writes it; whole numbers exactly, whatever their size."""
    if isinstance(value, int):
        return str(int(value))
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if math.isnan(value):
        return "NaN"
    return repr(value)
