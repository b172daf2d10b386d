"""Families of a probe's accumulators: its duration histogram and its slow operations."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from perflens.export.prometheus.page import Family
from perflens.export.prometheus.text import counter_lines, header, histogram_renderer, labels, seconds
from perflens.model import BUCKETS, HISTOGRAM_WIDTH, OTHER, SLOW_WIDTH, SeriesKey
from perflens.probe import Histogram

__all__ = ["histogram_family", "slow_families"]

_OCTAVES_AT = 2 + BUCKETS


class Table(Protocol):
    """What a family reads: the row number of each series, and the counters of all rows."""

    @property
    def data(self) -> array[int]: ...
    def __iter__(self) -> Iterator[tuple[SeriesKey, int]]: ...


def histogram_family(histogram: Histogram, table: Table, owner_label: str) -> Family:
    """Return the family of a duration histogram; ``owner_label`` is empty where series carry no owner."""
    name = f"perflens_{histogram.name}"
    render_series = histogram_renderer(name)

    def series_labels(key: SeriesKey) -> str:
        return labels((("operation", key.operation), (histogram.object_label, key.object), (owner_label, key.owner)))

    def render() -> Iterator[str]:
        yield header(name, "histogram", histogram.help)
        data = table.data
        for key, row in sorted(table):
            at = row * HISTOGRAM_WIDTH
            if data[at] or key.object != OTHER:
                yield render_series(series_labels(key), data[at + _OCTAVES_AT : at + HISTOGRAM_WIDTH], data[at], data[at + 1])

    return Family(name, render)


def slow_families(tables: Mapping[str, Table], owner_label: str) -> Sequence[Family]:
    """Return the families of slow operations and of the time they took, over all probes by name."""

    def rows(column: int) -> Iterator[tuple[str, int]]:
        for probe, table in tables.items():
            for key, row in sorted(table):
                value = table.data[row * SLOW_WIDTH + column]
                if value or key.owner != OTHER:
                    yield labels((("probe", probe), ("operation", key.operation), (owner_label, key.owner))), value

    def render_count() -> Iterator[str]:
        name = "perflens_slow_operations_total"
        yield header(name, "counter", "Operations that took at least the threshold.")
        yield from counter_lines(name, ((key, str(value)) for key, value in rows(0)))

    def render_seconds() -> Iterator[str]:
        name = "perflens_slow_operation_seconds_total"
        yield header(name, "counter", "Time that slow operations took.")
        yield from counter_lines(name, ((key, seconds(value)) for key, value in rows(1)))

    return (Family("perflens_slow_operations_total", render_count), Family("perflens_slow_operation_seconds_total", render_seconds))
