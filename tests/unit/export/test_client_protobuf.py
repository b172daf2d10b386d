"""export/prometheus/client_protobuf.py: families of prometheus_client of every type."""

from __future__ import annotations

from typing import Any

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeHistogramMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
    StateSetMetricFamily,
    SummaryMetricFamily,
    UnknownMetricFamily,
)

from perflens.export.prometheus.protobuf import PROTOBUF
from tests.unit.export.messages import families, labels


def encoded(metric: Metric) -> Any:
    (found,) = families(b"".join(PROTOBUF.client([metric])))
    return found


def test_counter() -> None:
    """A counter has _total in its name, and its time of creation where it is known."""
    own = CounterMetricFamily("m", "Help.", labels=("a",))
    own.add_metric(("x",), 5, created=1_700_000_000.5)
    own.add_metric(("y",), 6)
    found = encoded(own)

    assert (found.name, found.help, found.type) == ("m_total", "Help.", 0)
    assert [(labels(one), one.counter.value, one.counter.created_timestamp.seconds) for one in found.metric] == [
        ({"a": "x"}, 5, 1_700_000_000),
        ({"a": "y"}, 6, 0),
    ]


def test_gauge_info_and_states() -> None:
    """What is neither a counter nor a distribution is a gauge, under the name of its samples."""
    gauge = encoded(GaugeMetricFamily("m", "Help.", value=-2.5))
    info = encoded(InfoMetricFamily("m", "Help.", value={"version": "1"}))
    states = encoded(StateSetMetricFamily("m", "Help.", value={"on": True, "off": False}))

    assert (gauge.name, gauge.type, gauge.metric[0].gauge.value) == ("m", 1, -2.5)
    assert (info.name, info.type, labels(info.metric[0]), info.metric[0].gauge.value) == ("m_info", 1, {"version": "1"}, 1)
    assert [(labels(one), one.gauge.value) for one in states.metric] == [({"m": "off"}, 0), ({"m": "on"}, 1)]


def test_unknown() -> None:
    """A family of no known type is untyped."""
    found = encoded(UnknownMetricFamily("m", "Help.", value=7))

    assert (found.type, found.metric[0].untyped.value) == (3, 7)


def test_summary() -> None:
    """Quantiles, count and sum of a series are one metric."""
    own = SummaryMetricFamily("m", "Help.", labels=("a",))
    own.add_metric(("x",), count_value=4, sum_value=2.5)
    own.add_sample("m", {"a": "x", "quantile": "0.5"}, 0.25)
    (found,) = encoded(own).metric

    assert labels(found) == {"a": "x"}
    assert (found.summary.sample_count, found.summary.sample_sum) == (4, 2.5)
    assert [(one.quantile, one.value) for one in found.summary.quantile] == [(0.5, 0.25)]


def test_histograms() -> None:
    """Buckets, count and sum of a series are one metric."""
    own = HistogramMetricFamily("m", "Help.", labels=("a",))
    for value in ("x", "y"):
        own.add_metric((value,), [("0.5", 1), ("+Inf", 3)], 2.5)
    found = encoded(own)
    gauge = encoded(GaugeHistogramMetricFamily("m", "Help.", buckets=[("1.0", 2), ("+Inf", 4)], gsum_value=9))

    assert [labels(one) for one in found.metric] == [{"a": "x"}, {"a": "y"}]
    assert [(one.upper_bound, one.cumulative_count) for one in found.metric[1].histogram.bucket] == [(0.5, 1), (float("inf"), 3)]
    assert (found.type, found.metric[0].histogram.sample_count, found.metric[0].histogram.sample_sum) == (4, 3, 2.5)
    assert (gauge.type, gauge.metric[0].histogram.sample_count, gauge.metric[0].histogram.sample_sum) == (5, 4, 9)
