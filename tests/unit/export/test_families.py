"""export/prometheus/families.py: from rows to families."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator

import pytest

from perflens.export.prometheus.families import (
    Column,
    Sample,
    column_family,
    counter_family,
    gauge_family,
    histogram_family,
    slow_families,
    total_family,
    wide_family,
)
from perflens.export.prometheus.form import Format, Labels
from perflens.export.prometheus.formats import FORMATS
from perflens.export.prometheus.openmetrics import OPENMETRICS
from perflens.export.prometheus.protobuf import PROTOBUF
from perflens.export.prometheus.text import TEXT
from perflens.model import BUCKETS, HISTOGRAM_WIDTH, OTHER, SLOW_WIDTH, Exemplar, SeriesKey
from perflens.owner_levels import labels_of
from perflens.probe import Histogram, Total
from tests.unit.export.messages import families, labels

HISTOGRAM = Histogram("disk_seconds", help="How long.", object_label="device")


class FakeTable:
    """Series whose rows hold what a test says: histograms as {octave: count} and a sum, slow operations as two numbers."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.data = array("Q")
        self._rows: list[SeriesKey] = []
        self.version = 0
        self.made = 0.0

    def add(self, key: SeriesKey, *head: int, octaves: dict[int, int] | None = None) -> None:
        row = [*head, *[0] * (self.width - len(head))]
        for octave, count in (octaves or {}).items():
            row[2 + BUCKETS + octave] = count
            row[0] += count
        self._rows.append(key)
        self.version += 1
        self.data.extend(row)

    def created(self, key: SeriesKey) -> float:
        return self.made

    def __iter__(self) -> Iterator[tuple[SeriesKey, int]]:
        return iter([(key, row) for row, key in enumerate(self._rows)])


def everything(name: str) -> bool:
    return True


@pytest.fixture
def table() -> FakeTable:
    own = FakeTable(HISTOGRAM_WIDTH)
    own.add(SeriesKey("write", "sdb", "b.service"), 0, 5_000_000_001, octaves={3: 2, 32: 1})
    own.add(SeriesKey("read", "sda", "a.service"), 0, 7, octaves={0: 1})
    own.add(SeriesKey("read", "sdc", "idle.service"))
    own.add(SeriesKey("read", OTHER, OTHER))
    return own


def test_histogram(table: FakeTable) -> None:
    """Series are sorted, carry the family's labels, and an `other` series without an operation is left out."""
    text = b"".join(histogram_family(HISTOGRAM, table, labels_of("unit"))(everything, TEXT)).decode()

    assert text.startswith("# HELP perflens_disk_seconds How long.\n# TYPE perflens_disk_seconds histogram\n")
    assert re.findall(r"_count\{(.*)\} (.*)", text) == [
        ('operation="read",device="sda",unit="a.service"', "1"),
        ('operation="read",device="sdc",unit="idle.service"', "0"),
        ('operation="write",device="sdb",unit="b.service"', "3"),
    ]
    assert 'perflens_disk_seconds_sum{operation="write",device="sdb",unit="b.service"} 5.000000001\n' in text
    assert 'perflens_disk_seconds_bucket{operation="write",device="sdb",unit="b.service",le="2048.0"} 2\n' in text
    assert len(text.splitlines()) == 2 + 3 * 36


def test_other_series_with_operations(table: FakeTable) -> None:
    """Once it has an operation, the `other` series is shown."""
    table.add(SeriesKey("write", OTHER, OTHER), 0, 1, octaves={0: 23})

    assert b'perflens_disk_seconds_count{operation="write",device="other",unit="other"} 23\n' in b"".join(
        histogram_family(HISTOGRAM, table, labels_of("unit"))(everything, TEXT)
    )


def test_without_owner_label(table: FakeTable) -> None:
    """Where series carry no owner there is no label for it."""
    table.add(SeriesKey("sync", "sda", ""), 0, 1, octaves={0: 1})

    assert (
        'perflens_disk_seconds_count{operation="sync",device="sda"} 1\n'
        in b"".join(histogram_family(HISTOGRAM, table, labels_of("node"))(everything, TEXT)).decode()
    )


def test_histogram_that_is_not_wanted(table: FakeTable) -> None:
    """A family that is not asked for is not rendered, its header neither."""
    assert list(histogram_family(HISTOGRAM, table, labels_of("unit"))(lambda name: name != "perflens_disk_seconds", TEXT)) == []


def test_each_part_has_a_family_of_its_own(table: FakeTable) -> None:
    """Series of another part are another metric's: durations as a histogram, sums as a counter."""
    table.add(SeriesKey("read", "sda", "a.service", 1), 0, 9, octaves={1: 4})
    table.add(SeriesKey("read", "sda", "a.service", 2), 2, 8_192)
    table.add(SeriesKey("flush", "sda", "a.service", 2), 1, 0)
    table.add(SeriesKey("read", OTHER, OTHER, 2))
    text = b"".join(histogram_family(HISTOGRAM, table, labels_of("unit"), part=1)(everything, TEXT)).decode()
    total = Total("disk_bytes_total", help="How much.", object_label="device")

    assert re.findall(r"_count\{(.*)\} (.*)", text) == [('operation="read",device="sda",unit="a.service"', "4")]
    assert b"".join(total_family(total, table, labels_of("unit"), 2)(everything, TEXT)).decode() == (
        "# HELP perflens_disk_bytes_total How much.\n"
        "# TYPE perflens_disk_bytes_total counter\n"
        'perflens_disk_bytes_total{operation="flush",device="sda",unit="a.service"} 0\n'
        'perflens_disk_bytes_total{operation="read",device="sda",unit="a.service"} 8192\n'
    )


def test_family_without_series() -> None:
    """A family without series is its header alone."""
    assert b"".join(histogram_family(HISTOGRAM, FakeTable(HISTOGRAM_WIDTH), labels_of("unit"))(everything, TEXT)).decode().count("\n") == 2


@pytest.fixture
def slow() -> dict[str, FakeTable]:
    file, block = FakeTable(SLOW_WIDTH), FakeTable(SLOW_WIDTH)
    file.add(SeriesKey("write", "", "b.service"), 3, 20_000_000_001)
    file.add(SeriesKey("read", "", "a.service"), 0, 0)
    file.add(SeriesKey("read", "", OTHER), 0, 0)
    block.add(SeriesKey("read", "", OTHER), 2, 10_000_000)
    return {"file": file, "block": block}


def test_slow_families(slow: dict[str, FakeTable]) -> None:
    """Counts and seconds of all probes, each family in one piece; an `other` series without an operation is left out."""
    assert b"".join(slow_families(slow, labels_of("unit"))(everything, TEXT)).decode() == (
        "# HELP perflens_slow_operations_total Operations that took at least the threshold.\n"
        "# TYPE perflens_slow_operations_total counter\n"
        'perflens_slow_operations_total{probe="file",operation="read",unit="a.service"} 0\n'
        'perflens_slow_operations_total{probe="file",operation="write",unit="b.service"} 3\n'
        'perflens_slow_operations_total{probe="block",operation="read",unit="other"} 2\n'
        "# HELP perflens_slow_operation_seconds_total Time that slow operations took.\n"
        "# TYPE perflens_slow_operation_seconds_total counter\n"
        'perflens_slow_operation_seconds_total{probe="file",operation="read",unit="a.service"} 0.000000000\n'
        'perflens_slow_operation_seconds_total{probe="file",operation="write",unit="b.service"} 20.000000001\n'
        'perflens_slow_operation_seconds_total{probe="block",operation="read",unit="other"} 0.010000000\n'
    )


def test_one_of_two_slow_families(slow: dict[str, FakeTable]) -> None:
    """One of the two families can be asked for alone."""
    text = b"".join(slow_families(slow, labels_of("unit"))(lambda name: name == "perflens_slow_operation_seconds_total", TEXT)).decode()

    assert re.findall(r"^# TYPE (\S+)", text, re.MULTILINE) == ["perflens_slow_operation_seconds_total"]


def test_slow_without_owner_label() -> None:
    """At level node a series has a probe and an operation."""
    own = FakeTable(SLOW_WIDTH)
    own.add(SeriesKey("read", "", ""), 1, 5)

    assert (
        'perflens_slow_operations_total{probe="file",operation="read"} 1\n'
        in b"".join(slow_families({"file": own}, labels_of("node"))(everything, TEXT)).decode()
    )


def test_histogram_in_protobuf(table: FakeTable) -> None:
    """The same series in the same order, with the time since when each counts."""
    table.made = 1_700_000_000.5
    (found,) = families(b"".join(histogram_family(HISTOGRAM, table, labels_of("unit"))(everything, PROTOBUF)))

    assert (found.name, found.help, found.type) == ("perflens_disk_seconds", "How long.", 4)
    assert [(labels(own)["unit"], own.histogram.sample_count) for own in found.metric] == [
        ("a.service", 1),
        ("idle.service", 0),
        ("b.service", 3),
    ]
    assert {own.histogram.created_timestamp.seconds for own in found.metric} == {1_700_000_000}


def test_exemplars_are_asked_for_by_series(table: FakeTable) -> None:
    """Where a format has a place for them, each series gets its own; where it has none, nobody asks."""
    asked: list[SeriesKey] = []

    def exemplars(key: SeriesKey) -> dict[int, Exemplar]:
        asked.append(key)
        return {3: Exemplar("a" * 32, "b" * 16, 5_000, 1.7e9)} if key.object == "sdb" else {}

    render = histogram_family(HISTOGRAM, table, labels_of("unit"), exemplars)
    b"".join(render(everything, TEXT))
    assert asked == []

    text = b"".join(render(everything, OPENMETRICS)).decode()
    assert re.findall(r'device="(.*?)".*# {trace_id="a', text) == ["sdb"]
    assert len(asked) == 3


@pytest.mark.parametrize("form", set(FORMATS.values()))
def test_series_come_and_go(table: FakeTable, form: Format) -> None:
    """Labels are bound once, and anew when series come or go."""
    render = histogram_family(HISTOGRAM, table, labels_of("unit"))
    before = b"".join(render(everything, form))
    assert b"".join(render(everything, form)) == before

    table.add(SeriesKey("read", "sdz", "z.service"), 0, 1, octaves={0: 1})
    assert b"z.service" in b"".join(render(everything, form))


REASONS = ("disk", "lock")


def test_columns() -> None:
    """A counter can stand in columns of rows, one for each value of a label."""
    own = FakeTable(SLOW_WIDTH + len(REASONS))
    own.add(SeriesKey("read", "", "a.service"), 1, 2, 1_500_000_000, 0)
    own.add(SeriesKey("read", "", OTHER), 0, 0, 0, 7)

    def column(reason: str, position: int) -> Column:
        return Column(own, position, lambda key: (("operation", key.operation), ("reason", reason), ("unit", key.owner)))

    columns = [column(reason, SLOW_WIDTH + number) for number, reason in enumerate(REASONS)]
    assert b"".join(column_family("m_seconds_total", "Help.", columns, nanoseconds=True)(everything, OPENMETRICS)).decode() == (
        "# HELP m_seconds Help.\n# TYPE m_seconds counter\n# UNIT m_seconds seconds\n"
        'm_seconds_total{operation="read",reason="disk",unit="a.service"} 1.500000000\n'
        'm_seconds_total{operation="read",reason="lock",unit="a.service"} 0.000000000\n'
        'm_seconds_total{operation="read",reason="lock",unit="other"} 0.000000007\n'
    )


A: Labels = (("probe", "file"), ("unit", "a.service"))
B: Labels = (("probe", "file"), ("unit", "b.service"))


def test_counters_and_gauges() -> None:
    """Samples of any kind, whose series come and go as they like."""
    samples = [Sample(A, 1, 1_700_000_000.0), Sample(B, 2)]
    counter, gauge = (
        counter_family("m_total", "Help.", lambda: samples),
        gauge_family("m_seconds", "Help.", lambda: samples, nanoseconds=True),
    )

    assert b"".join(counter(everything, TEXT)).decode().splitlines()[2:] == [
        'm_total{probe="file",unit="a.service"} 1',
        'm_total{probe="file",unit="b.service"} 2',
    ]
    assert b"".join(gauge(everything, TEXT)).decode().splitlines()[2] == 'm_seconds{probe="file",unit="a.service"} 0.000000001'
    (found,) = families(b"".join(counter(everything, PROTOBUF)))
    assert [(labels(own), own.counter.value, own.counter.created_timestamp.seconds) for own in found.metric] == [
        (dict(A), 1, 1_700_000_000),
        (dict(B), 2, 0),
    ]

    samples[:] = [Sample(B, 3), Sample(A, 4, 1_800_000_000.0)]
    (found,) = families(b"".join(counter(everything, PROTOBUF)))
    assert [(own.counter.value, own.counter.created_timestamp.seconds) for own in found.metric] == [(3, 0), (4, 1_800_000_000)]


def test_family_that_fails_is_no_half_message() -> None:
    """In protobuf a family is whole or it is not there."""

    def samples() -> Iterator[Sample]:
        yield Sample(A, 1)
        raise RuntimeError("no")

    chunks: list[bytes] = []
    with pytest.raises(RuntimeError):
        chunks.extend(counter_family("m_total", "Help.", samples)(everything, PROTOBUF))
    assert chunks == []


@pytest.mark.parametrize("form", FORMATS.values(), ids=lambda form: type(form).__name__)
def test_wide_family_of_no_table(form: Format) -> None:
    """A family that no probe has a table for, as when each that waits is off, is a family without samples."""
    render = wide_family("waited_seconds_total", "How long.", [], nanoseconds=True)

    assert b"".join(render(everything, form)) == b"".join(render(everything, form))
