"""Families of a probe's accumulators: its duration histogram and its slow operations."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from perflens.export.prometheus.page import Wanted
from perflens.export.prometheus.text import counter_lines, header, histogram_renderer, labels, seconds
from perflens.model import BUCKETS, HISTOGRAM_WIDTH, OTHER, SLOW_WIDTH, SeriesKey
from perflens.probe import Histogram

__all__ = ["histogram_family", "slow_families"]

_OCTAVES_AT = 2 + BUCKETS
_SLOW: tuple[tuple[str, str, Callable[[int], str]], ...] = (
    ("perflens_slow_operations_total", "Operations that took at least the threshold.", str),
    ("perflens_slow_operation_seconds_total", "Time that slow operations took.", seconds),
)


class Table(Protocol):
    """What a family reads: the row number of each series, and the counters of all rows."""

    @property
    def data(self) -> array[int]: ...
    def __iter__(self) -> Iterator[tuple[SeriesKey, int]]: ...


def histogram_family(histogram: Histogram, table: Table, owner_label: str) -> Callable[[Wanted], Iterator[str]]:
    """Return what renders a duration histogram; ``owner_label`` is empty where series carry no owner."""
    name = f"perflens_{histogram.name}"
    render_series = histogram_renderer(name)

    def series_labels(key: SeriesKey) -> str:
        return labels((("operation", key.operation), (histogram.object_label, key.object), (owner_label, key.owner)))

    def render(wanted: Wanted) -> Iterator[str]:
        if not wanted(name):
            return
        yield header(name, "histogram", histogram.help)
        data = table.data
        for key, row in sorted(table):
            at = row * HISTOGRAM_WIDTH
            if data[at] or key.object != OTHER:
                yield render_series(series_labels(key), data[at + _OCTAVES_AT : at + HISTOGRAM_WIDTH], data[at], data[at + 1])

    return render


def slow_families(tables: Mapping[str, Table], owner_label: str) -> Callable[[Wanted], Iterator[str]]:
    """Return what renders the slow operations and the time they took, over all probes by name."""

    def rows(column: int) -> Iterator[tuple[str, int]]:
        for probe, table in tables.items():
            for key, row in sorted(table):
                value = table.data[row * SLOW_WIDTH + column]
                if value or key.owner != OTHER:
                    yield labels((("probe", probe), ("operation", key.operation), (owner_label, key.owner))), value

    def render(wanted: Wanted) -> Iterator[str]:
        for column, (name, text, form) in enumerate(_SLOW):
            if wanted(name):
                yield header(name, "counter", text)
                yield from counter_lines(name, ((key, form(value)) for key, value in rows(column)))

    return render
