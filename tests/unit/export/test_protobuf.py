"""export/prometheus/protobuf.py and native.py: what the official runtime reads back."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perflens.export.prometheus.form import Kind, Labels
from perflens.export.prometheus.protobuf import PROTOBUF
from perflens.model import BUCKETS, FIRST_BUCKET, HISTOGRAM_WIDTH, SCHEMA, Exemplar, bucket_bounds, octave_bounds
from tests.unit.export.messages import families, labels, native_buckets
from tests.unit.export.rows import row_of_durations

BOUNDS = bucket_bounds()
CREATED = 1_700_000_000.25
COUNTS = st.lists(st.integers(0, 2**40) | st.just(0), min_size=BUCKETS, max_size=BUCKETS)


def one(name: str, kind: Kind, series: bytes) -> Any:
    (found,) = families(b"".join(PROTOBUF.family(name, kind, "Help.", [series])))
    (metric,) = found.metric
    return metric


def histogram(row: Sequence[int], exemplars: Mapping[int, Exemplar] = {}, created: float = 0.0) -> Any:
    rows = array("Q", [9, 9, 9, *row])
    return one("m", "histogram", PROTOBUF.histogram("m")((("a", "1"),), created)(rows, 3, exemplars)).histogram


def row_of_buckets(buckets: Sequence[int]) -> list[int]:
    octaves = [buckets[0], *(sum(buckets[at : at + 4]) for at in range(1, BUCKETS, 4))]
    return [sum(buckets), 12_000_000_345, *buckets, *octaves]


def test_family() -> None:
    """A family has its name, help and type, and a metric for each series."""
    bind = PROTOBUF.sample("m_total", "counter")
    series = [bind((("a", value),), CREATED)(number) for value, number in (("x", 1), ("y", 2**50))]
    (found,) = families(b"".join(PROTOBUF.family("m_total", "counter", "Help.", series)))

    assert (found.name, found.help, found.type) == ("m_total", "Help.", 0)
    assert [(labels(own), own.counter.value) for own in found.metric] == [({"a": "x"}, 1), ({"a": "y"}, 2**50)]
    assert {(own.counter.created_timestamp.seconds, own.counter.created_timestamp.nanos) for own in found.metric} == {
        (1_700_000_000, 250_000_000)
    }


def test_family_without_series() -> None:
    """A family without series is there, with its type."""
    assert [(own.type, len(own.metric)) for own in families(b"".join(PROTOBUF.family("m", "histogram", "Help.", ())))] == [(4, 0)]


@pytest.mark.parametrize(("kind", "field"), [("counter", "counter"), ("gauge", "gauge")])
@pytest.mark.parametrize(
    ("value", "nanoseconds", "expected"),
    [(0, False, 0), (3, False, 3), (2.5, False, 2.5), (True, False, 1), (float("inf"), False, float("inf")), (1_500_000_000, True, 1.5)],
)
def test_sample(kind: Kind, field: str, value: float, nanoseconds: bool, expected: float) -> None:
    """A value is a double; ns are shown as seconds. A gauge has no time of creation, nor has a counter for which it is unknown."""
    for created in (0.0, CREATED):
        found = one("m", kind, PROTOBUF.sample("m", kind, nanoseconds=nanoseconds)((("a", "1"), ("", "x")), created)(value))

        assert labels(found) == {"a": "1"}
        assert getattr(found, field).value == expected
        assert found.counter.HasField("created_timestamp") == (kind == "counter" and created != 0)


def test_histogram() -> None:
    """Each operation is in the native bucket and in the classic bucket whose inclusive bounds hold it."""
    durations = [1, 953, 954, 5_000_000, 10**9, 10**9 + 1, 4096 * 10**9, 10**13]
    found = histogram(row_of_durations(durations), created=CREATED)

    assert (found.sample_count, found.sample_sum) == (8, sum(durations) / 1e9)
    assert (found.schema, found.zero_threshold, found.zero_count) == (SCHEMA, 2.0**-20, 2)
    assert found.created_timestamp.seconds == 1_700_000_000
    expected: Counter[int] = Counter()
    for ns in durations[2:-1]:
        expected[next(index for index in range(FIRST_BUCKET, 49) if ns <= BOUNDS[index - FIRST_BUCKET])] += 1
    expected[48] += 1
    assert native_buckets(found) == expected
    assert [own.upper_bound for own in found.bucket] == list(octave_bounds())
    below = [sum(ns <= bound * 1e9 for ns in durations) for bound in octave_bounds()]
    assert [own.cumulative_count for own in found.bucket] == [*below[:-1], 8]


def test_histogram_without_operations() -> None:
    """It is a native histogram still: its zero threshold says so."""
    found = histogram([0] * HISTOGRAM_WIDTH)

    assert (found.sample_count, found.zero_threshold, len(found.positive_span), len(found.positive_delta)) == (0, 2.0**-20, 0, 0)
    assert {own.cumulative_count for own in found.bucket} == {0}
    assert not found.HasField("created_timestamp")


@settings(deadline=None, max_examples=150)
@given(COUNTS)
def test_any_counts(buckets: list[int]) -> None:
    """Native and classic buckets hold the counts of the row, however large or far apart."""
    found = histogram(row_of_buckets(buckets))

    assert found.zero_count == buckets[0]
    assert native_buckets(found) == {FIRST_BUCKET + index: count for index, count in enumerate(buckets) if index and count}
    cumulative = list(accumulate(buckets))
    assert [own.cumulative_count for own in found.bucket] == cumulative[::4]
    assert found.sample_count == cumulative[-1]


@pytest.mark.parametrize("filled", [{1}, {128}, {1, 128}, {4, 5}, {60, 64, 65, 90}, set(range(1, 129)), {0}])
def test_spans(filled: set[int]) -> None:
    """Gaps of any kind are bridged or skipped, and counts stay where they belong."""
    found = histogram(row_of_buckets([3 + index if index in filled else 0 for index in range(BUCKETS)]))

    assert native_buckets(found) == {FIRST_BUCKET + index: 3 + index for index in filled if index}
    assert all(span.offset > 0 for span in list(found.positive_span)[1:])


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.text(st.characters(exclude_categories=())), st.text(st.characters(exclude_categories=()))), max_size=5))
def test_labels(pairs: list[tuple[str, str]]) -> None:
    """Any text is carried; what is no UTF-8 becomes a question mark."""
    own: Labels = tuple(pairs)
    found = one("m", "gauge", PROTOBUF.sample("m", "gauge")(own, 0.0)(1))

    def carried(text: str) -> str:
        return text.encode(errors="replace").decode()

    assert [(pair.name, pair.value) for pair in found.label] == [(carried(name), carried(value)) for name, value in own if name]


def test_exemplars() -> None:
    """Each stands at its classic bucket and in the list of the native histogram, with its time in ms."""
    row = row_of_durations([5_000_000, 10**9, 10**13])
    own = {
        13: Exemplar("0af7651916cd43dd8448eb211c80319c", "00f067aa0ba902b7", 5_000_000, 1_700_000_000.1239),
        20: Exemplar("a" * 32, "b" * 16, 10**9, 1_700_000_004.0),
        21: Exemplar("c" * 32, "d" * 16, 2 * 10**9, 1_700_000_002.0),
        33: Exemplar("e" * 32, "f" * 16, 10**13, 1_700_000_003.0),
    }
    found = histogram(row, own)
    shown = {own.upper_bound: own.exemplar for own in found.bucket if own.HasField("exemplar")}

    assert [own.upper_bound for own in found.bucket] == [*octave_bounds(), float("inf")]
    assert found.bucket[-1].cumulative_count == 3
    assert {bound: exemplar.value for bound, exemplar in shown.items()} == {2.0**-7: 0.005, 1.0: 1.0, float("inf"): 10**4}
    assert labels(shown[2.0**-7]) == {"trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "00f067aa0ba902b7"}
    assert (shown[2.0**-7].timestamp.seconds, shown[2.0**-7].timestamp.nanos) == (1_700_000_000, 123_000_000)
    assert [own.value for own in found.exemplars] == [0.005, 10**4, 1.0], "the newest is the last"
    assert all(own.timestamp.seconds for own in found.exemplars)
