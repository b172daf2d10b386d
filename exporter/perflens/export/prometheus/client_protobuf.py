"""Families of prometheus_client as protobuf, whatever their type."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from prometheus_client.core import Metric
from prometheus_client.samples import Sample

from perflens.export.prometheus import schema, wire
from perflens.export.prometheus.form import Labels

__all__ = ["family"]

_Group = dict[str, list[Sample]]


def family(metric: Metric) -> bytes:
    """Return one family. Types that protobuf has not (info, stateset) are gauges, as they are in the text format."""
    name, kind = _NAMES.get(metric.type, "{}").format(metric.name), _KINDS.get(metric.type, "gauge")
    field, body = _BODIES[kind]
    own = _PART.get(kind, "")
    series = (schema.metric(schema.labels(labels), field, body(group)) for labels, group in _groups(metric, own))
    return schema.family(name, metric.documentation, schema.TYPES[kind], series)


def _groups(metric: Metric, part: str) -> Iterator[tuple[Labels, _Group]]:
    """Yield the samples of each series by their suffix; ``part`` is the label that tells parts of one series apart."""
    found: dict[Labels, _Group] = {}
    for sample in metric.samples:
        labels = tuple((name, value) for name, value in sorted(sample.labels.items()) if name != part)
        found.setdefault(labels, {}).setdefault(sample.name.removeprefix(metric.name), []).append(sample)
    return iter(found.items())


def _value(group: _Group, *suffixes: str) -> float:
    return next((group[suffix][0].value for suffix in suffixes if suffix in group), 0.0)


def _single(group: _Group) -> bytes:
    return wire.double(1, _value(group, *group))


def _counter(group: _Group) -> bytes:
    return wire.double(1, _value(group, "_total", "")) + schema.created(schema.COUNTER_CREATED, _value(group, "_created"))


def _count_and_sum(group: _Group, suffixes: Sequence[str] = ("_count", "_sum")) -> bytes:
    count, total = (_value(group, suffix) for suffix in suffixes)
    return _unsigned(1, count) + wire.double(2, total)


def _unsigned(field: int, value: float) -> bytes:
    return wire.key(field, wire.VARINT) + wire.varint(int(value))


def _summary(group: _Group) -> bytes:
    quantiles = (wire.double(1, float(own.labels["quantile"])) + wire.double(2, own.value) for own in group.get("", ()))
    own = b"".join(wire.message(3, quantile) for quantile in quantiles)
    return _count_and_sum(group) + own + schema.created(schema.SUMMARY_CREATED, _value(group, "_created"))


def _histogram(group: _Group, count_and_sum: Sequence[str] = ("_count", "_sum")) -> bytes:
    buckets = (_unsigned(1, own.value) + wire.double(2, float(own.labels["le"])) for own in group.get("_bucket", ()))
    own = b"".join(wire.message(3, bucket) for bucket in buckets)
    return _count_and_sum(group, count_and_sum) + own + schema.created(schema.HISTOGRAM_CREATED, _value(group, "_created"))


def _gauge_histogram(group: _Group) -> bytes:
    return _histogram(group, ("_gcount", "_gsum"))


_NAMES = {"counter": "{}_total", "info": "{}_info"}
_KINDS = {kind: kind for kind in schema.TYPES}
_PART = {"summary": "quantile", "histogram": "le", "gaugehistogram": "le"}
_BODIES: dict[str, tuple[int, Callable[[_Group], bytes]]] = {
    "gauge": (2, _single),
    "counter": (3, _counter),
    "summary": (4, _summary),
    "unknown": (5, _single),
    "histogram": (7, _histogram),
    "gaugehistogram": (7, _gauge_histogram),
}
