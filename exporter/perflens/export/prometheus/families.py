"""Families of a probe's accumulators: its duration histogram and its slow operations."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, Protocol

from perflens.export.prometheus.page import Wanted
from perflens.export.prometheus.text import family, header, histogram_renderer, labels, seconds, template_labels
from perflens.model import BUCKETS, HISTOGRAM_WIDTH, OTHER, SLOW_WIDTH, SeriesKey
from perflens.probe import Histogram

__all__ = ["histogram_family", "slow_families"]

_OCTAVES_AT = 2 + BUCKETS
_SLOW: tuple[tuple[str, str, Callable[[int], str]], ...] = (
    ("perflens_slow_operations_total", "Operations that took at least the threshold.", str),
    ("perflens_slow_operation_seconds_total", "Time that slow operations took.", seconds),
)


class Table(Protocol):
    """What a family reads: the row number of each series, and the counters of all rows.

    ``version`` changes whenever series come or go.
    """

    version: int

    @property
    def data(self) -> array[int]: ...
    def __iter__(self) -> Iterator[tuple[SeriesKey, int]]: ...


class _Rows(NamedTuple):
    version: int
    rows: list[tuple[bytes, int, bool]]


def histogram_family(histogram: Histogram, table: Table, owner_label: str) -> Callable[[Wanted], Iterator[bytes]]:
    """Return what renders a duration histogram; ``owner_label`` is empty where series carry no owner."""
    name = f"perflens_{histogram.name}"
    render_series = histogram_renderer(name)
    known = _Rows(-1, [])

    def series_labels(key: SeriesKey) -> bytes:
        return template_labels((("operation", key.operation), (histogram.object_label, key.object), (owner_label, key.owner)))

    def render(wanted: Wanted) -> Iterator[bytes]:
        nonlocal known
        if not wanted(name):
            return
        yield header(name, "histogram", histogram.help).encode()
        if known.version != table.version:
            known = _Rows(table.version, [(series_labels(key), row * HISTOGRAM_WIDTH, key.object == OTHER) for key, row in sorted(table)])
        data = table.data
        for own_labels, at, is_other in known.rows:
            if data[at] or not is_other:
                yield render_series(own_labels, data[at + _OCTAVES_AT : at + HISTOGRAM_WIDTH], data[at], data[at + 1])

    return render


def slow_families(tables: Mapping[str, Table], owner_label: str) -> Callable[[Wanted], Iterator[bytes]]:
    """Return what renders the slow operations and the time they took, over all probes by name."""

    def rows(column: int) -> Iterator[tuple[str, int]]:
        for probe, table in tables.items():
            for key, row in sorted(table):
                value = table.data[row * SLOW_WIDTH + column]
                if value or key.owner != OTHER:
                    yield labels((("probe", probe), ("operation", key.operation), (owner_label, key.owner))), value

    def render(wanted: Wanted) -> Iterator[bytes]:
        for column, (name, text, form) in enumerate(_SLOW):
            if wanted(name):
                yield family(name, "counter", text, ((key, form(value)) for key, value in rows(column)))

    return render
