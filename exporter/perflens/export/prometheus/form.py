"""What an exposition format does: it binds the labels of a series once, and then turns its numbers into bytes at each scrape."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Literal, Protocol

from prometheus_client.core import Metric

from perflens.model import BUCKETS, HISTOGRAM_WIDTH, OCTAVES, Exemplar

__all__ = [
    "BUCKETS_AT",
    "NANOSECONDS",
    "OCTAVES_AT",
    "Format",
    "HistogramSeries",
    "Kind",
    "Labels",
    "Render",
    "SampleSeries",
    "Wanted",
    "milliseconds",
    "shown",
]

NANOSECONDS = 1_000_000_000

BUCKETS_AT = 2
"""Where the buckets begin in a row of a histogram."""

OCTAVES_AT = HISTOGRAM_WIDTH - OCTAVES
"""Where the classic buckets begin in a row of a histogram."""

assert OCTAVES_AT == BUCKETS_AT + BUCKETS

Kind = Literal["counter", "gauge", "histogram"]

Labels = tuple[tuple[str, str], ...]
"""Names and values in their order; a pair without a name is left out."""

Wanted = Callable[[str], bool]
"""Whether a scrape wants the family of this name."""

HistogramSeries = Callable[["array[int]", int, Mapping[int, Exemplar]], bytes]
"""``(rows, where its row begins, exemplars by classic bucket)``: a histogram as it stands now."""

SampleSeries = Callable[[float], bytes]
"""``(value)``: a counter or a gauge as it stands now."""


class Format(Protocol):
    """An exposition format. ``end`` closes every page; ``exemplars`` says whether there is a place for them."""

    end: bytes
    exemplars: bool

    def family(self, name: str, kind: Kind, text: str, series: Iterable[bytes]) -> Iterator[bytes]:
        """Yield a family of series that this format rendered. ``name`` is that of a counter's samples, with ``_total``."""

    def histogram(self, name: str) -> Callable[[Labels, float], HistogramSeries]:
        """Return what binds the labels and the time of creation (0 when unknown) of a histogram's series."""

    def sample(self, name: str, kind: Kind, *, nanoseconds: bool = False) -> Callable[[Labels, float], SampleSeries]:
        """Return what binds a series of a counter or gauge; ``nanoseconds`` says that its values are ns, to be shown as seconds."""

    def client(self, found: Iterable[Metric]) -> Iterator[bytes]:
        """Yield families of prometheus_client."""


class Render(Protocol):
    """Yields the families that are wanted, whole, in a format."""

    def __call__(self, wanted: Wanted, form: Format, /) -> Iterable[bytes]: ...


def shown(exemplars: Mapping[int, Exemplar], rows: array[int], at: int) -> Iterator[tuple[int, Exemplar]]:
    """Yield the exemplars that may be shown: those of buckets that hold an operation already.

    What is above the last bound is counted in the last bucket, so that one answers for +Inf.
    """
    for bucket in sorted(exemplars):
        if rows[at + OCTAVES_AT + min(bucket, OCTAVES - 1)]:
            yield bucket, exemplars[bucket]


def milliseconds(timestamp: float) -> int:
    """Return a time in the resolution that Prometheus keeps."""
    return int(timestamp * 1000)
