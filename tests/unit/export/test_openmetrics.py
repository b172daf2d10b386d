"""export/prometheus/openmetrics.py: what the official parser reads back."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from perflens.export.prometheus.form import Kind, Labels
from perflens.export.prometheus.openmetrics import OPENMETRICS
from perflens.export.prometheus.text import TEXT
from perflens.model import OCTAVES, Exemplar
from tests.unit.export.rows import row_of, row_of_durations

EXEMPLAR = Exemplar("0af7651916cd43dd8448eb211c80319c", "00f067aa0ba902b7", 5_000_001, 1_700_000_000.1239)


def read(*chunks: bytes) -> list[Metric]:
    return list(text_string_to_metric_families(b"".join((*chunks, OPENMETRICS.end)).decode()))  # type: ignore[no-untyped-call]


def family(name: str, kind: Kind, text: str = "Help.", value: float = 1, labels: Labels = ()) -> Iterator[bytes]:
    return OPENMETRICS.family(name, kind, text, [OPENMETRICS.sample(name, kind)(labels, 1.0)(value)])


@pytest.mark.parametrize(
    ("name", "kind", "head"),
    [
        ("m_total", "counter", "# HELP m Help.\n# TYPE m counter\nm_total{} 1\n"),
        ("m_seconds_total", "counter", "# HELP m_seconds Help.\n# TYPE m_seconds counter\n# UNIT m_seconds seconds\nm_seconds_total{} 1\n"),
        ("m_bytes", "gauge", "# HELP m_bytes Help.\n# TYPE m_bytes gauge\n# UNIT m_bytes bytes\nm_bytes{} 1\n"),
        ("m", "gauge", "# HELP m Help.\n# TYPE m gauge\nm{} 1\n"),
    ],
)
def test_headers(name: str, kind: Kind, head: str) -> None:
    """A counter has no _total in its headers; a unit stands in the name and in a header. No time of creation is shown."""
    assert b"".join(family(name, kind)).decode() == head
    assert [len(found.samples) for found in read(*family(name, kind))] == [1]


@settings(deadline=None, max_examples=60)
@given(st.text().map(lambda text: f"A {text}."), st.text())
def test_any_text(text: str, value: str) -> None:
    """Help texts and labels are read back as they were, but for NUL."""
    (found,) = read(*family("m_total", "counter", text, labels=(("a", value),)))

    assert found.documentation == text
    assert [sample.labels for sample in found.samples] == [{"a": value.replace("\0", "")}]


def histogram(row: list[int], exemplars: dict[int, Exemplar]) -> bytes:
    return OPENMETRICS.histogram("m_seconds")((("a", "1"),), 1.0)(array("Q", [3, *row]), 1, exemplars)


def test_histogram_without_exemplars() -> None:
    """It is that of the text format."""
    row = row_of_durations([1, 5_000_001, 10**10])

    assert histogram(row, {}) == TEXT.histogram("m_seconds")((("a", "1"),), 1.0)(array("Q", row), 0, {})


def test_exemplars() -> None:
    """They stand on the lines of their buckets, those of empty buckets nowhere, those above the last bound at +Inf."""
    own = {13: EXEMPLAR, 5: EXEMPLAR, 33: EXEMPLAR._replace(value=5_000 * 10**9)}
    (found,) = read(*OPENMETRICS.family("m_seconds", "histogram", "Help.", [histogram(row_of_durations([5_000_001, 5_000 * 10**9]), own)]))
    shown = {sample.labels["le"]: sample.exemplar for sample in found.samples if sample.exemplar}

    assert list(shown) == ["0.0078125", "+Inf"]
    assert shown["0.0078125"].labels == {"trace_id": EXEMPLAR.trace_id, "span_id": EXEMPLAR.span_id}
    assert [(one.value, str(one.timestamp)) for one in shown.values()] == [
        (0.005000001, "1700000000.123000000"),
        (5000.0, "1700000000.123000000"),
    ]


def test_line_of_an_exemplar() -> None:
    """Labels, the exact value, and the time in ms."""
    lines = histogram(row_of([0] * 13 + [1] + [0] * (OCTAVES - 14), 5_000_001), {13: EXEMPLAR}).decode().splitlines()

    assert lines[13] == (
        'm_seconds_bucket{a="1",le="0.0078125"} 1 # {trace_id="0af7651916cd43dd8448eb211c80319c",span_id="00f067aa0ba902b7"}'
        " 0.005000001 1700000000.123"
    )
    assert sum(" # " in line for line in lines) == 1
