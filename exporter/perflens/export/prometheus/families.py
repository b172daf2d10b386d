"""Families, described once and rendered in every format: histograms and counters that stand in rows, and samples of any kind."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

from perflens.export.prometheus.form import Format, HistogramSeries, Kind, Labels, Render, SampleSeries, Wanted
from perflens.export.prometheus.text import TEXT
from perflens.model import OTHER, Exemplar, SeriesKey
from perflens.owner_levels import OwnerLabels
from perflens.probe import Histogram, Total

__all__ = [
    "Column",
    "Sample",
    "Table",
    "Wide",
    "column_family",
    "counter_family",
    "gauge_family",
    "histogram_family",
    "slow_families",
    "together",
    "total_family",
    "wide_family",
]

_SLOW = (
    ("perflens_slow_operations_total", "Operations that took at least the threshold.", False),
    ("perflens_slow_operation_seconds_total", "Time that slow operations took.", True),
)
_SUM = 1
"""The column of the sum in a histogram row."""

_NO_EXEMPLARS: Mapping[int, Exemplar] = {}

S = TypeVar("S")


class Table(Protocol):
    """What a family reads: the row number of each series, and the counters of all rows.

    ``width`` is that of a row, ``version`` changes whenever series come or go; ``created`` says since when a series counts, in s
    since the epoch.
    """

    version: int

    @property
    def width(self) -> int: ...
    @property
    def data(self) -> array[int]: ...
    def __iter__(self) -> Iterator[tuple[SeriesKey, int]]: ...
    def created(self, key: SeriesKey) -> float: ...


class Column(NamedTuple):
    """Counters of one family: one column of the rows of a table, and the labels of its series, those of one part."""

    table: Table
    position: int
    labels: Callable[[SeriesKey], Labels]
    part: int = 0


class Wide(NamedTuple):
    """Counters of one family: ``columns`` columns of the rows of a table from ``first`` on, and the labels of a column's series."""

    table: Table
    first: int
    columns: int
    labels: Callable[[SeriesKey, int], Labels]


class Sample(NamedTuple):
    """One series of a family as it stands now; ``created`` is in s since the epoch, 0 when it is not known."""

    labels: Labels
    value: float
    created: float = 0.0


class _Bound(Generic[S]):
    """Series of tables, bound to a format until series come or go."""

    def __init__(self, tables: Sequence[Table], bind: Callable[[Format], Iterable[S]]) -> None:
        self._tables, self._bind = tables, bind
        self._versions: list[int] = []
        self._found: dict[Format, list[S]] = {}

    def of(self, form: Format) -> list[S]:
        """Return the series in this format."""
        versions = [table.version for table in self._tables]
        if versions != self._versions:
            self._versions = versions
            self._found.clear()
        if form not in self._found:
            self._found[form] = list(self._bind(form))
        return self._found[form]


class _HistogramRow(NamedTuple):
    render: HistogramSeries
    at: int
    is_other: bool
    key: SeriesKey


def histogram_family(
    histogram: Histogram,
    table: Table,
    owner_labels: OwnerLabels,
    exemplars: Callable[[SeriesKey], Mapping[int, Exemplar]] | None = None,
    part: int = 0,
) -> Render:
    """Return what renders a duration histogram, of the series of one part; ``owner_labels`` gives those of an owner's name.

    ``exemplars`` gives those of a series by the number of the classic bucket that holds them. An `other` series without an
    operation is left out.
    """
    name = f"perflens_{histogram.name}"

    def bind(form: Format) -> Iterator[_HistogramRow]:
        writer = form.histogram(name)
        for key, row in _of_part(table, part):
            labels = (("operation", key.operation), (histogram.object_label, key.object), *owner_labels(key.owner))
            yield _HistogramRow(writer(labels, table.created(key)), row * table.width, key.object == OTHER, key)

    bound = _Bound((table,), bind)

    def series(form: Format) -> Iterator[bytes]:
        data, rows = table.data, bound.of(form)
        of = exemplars if form.exemplars else None
        for row in rows:
            if data[row.at] or not row.is_other:
                yield row.render(data, row.at, of(row.key) if of else _NO_EXEMPLARS)

    return _family(name, "histogram", histogram.help, series)


class _CounterRow(NamedTuple):
    render: SampleSeries
    table: Table
    at: int
    is_other: bool


def column_family(name: str, text: str, columns: Sequence[Column], *, nanoseconds: bool = False) -> Render:
    """Return what renders a counter that stands in columns of tables, ns as seconds if ``nanoseconds``.

    An `other` series that is 0 is left out.
    """

    def bind(form: Format) -> Iterator[_CounterRow]:
        writer = form.sample(name, "counter", nanoseconds=nanoseconds)
        for table, position, labels, part in columns:
            for key, row in _of_part(table, part):
                is_other = OTHER in (key.object, key.owner)
                yield _CounterRow(writer(labels(key), table.created(key)), table, row * table.width + position, is_other)

    bound = _Bound([column.table for column in columns], bind)

    def series(form: Format) -> Iterator[bytes]:
        for render, table, at, is_other in bound.of(form):
            value = table.data[at]
            if value or not is_other:
                yield render(value)

    return _family(name, "counter", text, series)


def total_family(total: Total, table: Table, owner_labels: OwnerLabels, part: int) -> Render:
    """Return what renders the sums of the series of one part; ``owner_labels`` gives those of an owner's name."""

    def labels(key: SeriesKey) -> Labels:
        return (("operation", key.operation), (total.object_label, key.object), *owner_labels(key.owner))

    return column_family(f"perflens_{total.name}", total.help, [Column(table, _SUM, labels, part)])


def wide_family(name: str, text: str, wides: Sequence[Wide], *, nanoseconds: bool = False) -> Render:
    """Return what renders a counter that stands in many columns of which few count: what is 0 is left out, and bound to no labels."""
    known: dict[Format, tuple[list[int], dict[tuple[int, int, int], SampleSeries]]] = {}

    def series(form: Format) -> Iterator[bytes]:
        writer = form.sample(name, "counter", nanoseconds=nanoseconds)
        versions = [wide.table.version for wide in wides]
        if form not in known or known[form][0] != versions:
            known[form] = versions, {}
        bound = known[form][1]
        for number, (table, first, columns, labels) in enumerate(wides):
            for key, row in sorted(table):
                at = row * table.width + first
                for column, value in enumerate(table.data[at : at + columns]):
                    if value:
                        place = number, row, column
                        render = bound.get(place)
                        if render is None:
                            render = bound[place] = writer(labels(key, column), table.created(key))
                        yield render(value)

    return _family(name, "counter", text, series)


def slow_families(tables: Mapping[str, Table], owner_labels: OwnerLabels) -> Render:
    """Return what renders the slow operations and the time they took, over all probes by name."""

    def column(probe: str, table: Table, position: int) -> Column:
        return Column(table, position, lambda key: (("probe", probe), ("operation", key.operation), *owner_labels(key.owner)))

    found = [
        column_family(name, text, [column(probe, table, position) for probe, table in tables.items()], nanoseconds=nanoseconds)
        for position, (name, text, nanoseconds) in enumerate(_SLOW)
    ]

    return together(found)


def together(found: Sequence[Render]) -> Render:
    """Return what renders several families, one after the other."""

    def render(wanted: Wanted, form: Format = TEXT) -> Iterator[bytes]:
        for own in found:
            yield from own(wanted, form)

    return render


def counter_family(name: str, text: str, samples: Callable[[], Iterable[Sample]], *, nanoseconds: bool = False) -> Render:
    """Return what renders a counter, whose ``name`` ends in ``_total``; values are ns, shown as seconds, if ``nanoseconds``."""
    return _sample_family(name, "counter", text, samples, nanoseconds)


def gauge_family(name: str, text: str, samples: Callable[[], Iterable[Sample]], *, nanoseconds: bool = False) -> Render:
    """Return what renders a gauge; values are ns, shown as seconds, if ``nanoseconds``."""
    return _sample_family(name, "gauge", text, samples, nanoseconds)


def _of_part(table: Table, part: int) -> list[tuple[SeriesKey, int]]:
    return sorted(own for own in table if own[0].part == part)


def _sample_family(name: str, kind: Kind, text: str, samples: Callable[[], Iterable[Sample]], nanoseconds: bool) -> Render:
    known: dict[Format, dict[tuple[Labels, float], SampleSeries]] = {}

    def series(form: Format) -> Iterator[bytes]:
        bind = form.sample(name, kind, nanoseconds=nanoseconds)
        before, now = known.get(form, {}), {}
        for labels, value, created in samples():
            own = now[labels, created] = before.get((labels, created)) or bind(labels, created)
            yield own(value)
        known[form] = now  # what was not shown this time is forgotten

    return _family(name, kind, text, series)


def _family(name: str, kind: Kind, text: str, series: Callable[[Format], Iterator[bytes]]) -> Render:
    def render(wanted: Wanted, form: Format = TEXT) -> Iterator[bytes]:
        if wanted(name):
            yield from form.family(name, kind, text, series(form))

    return render
