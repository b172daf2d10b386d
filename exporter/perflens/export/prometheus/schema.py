"""The messages of io.prometheus.client that every family is made of.

Schema: https://github.com/prometheus/client_model, io/prometheus/client/metrics.proto.
"""

from __future__ import annotations

from collections.abc import Iterable

from perflens.export.prometheus import wire
from perflens.export.prometheus.form import NANOSECONDS, Labels, milliseconds
from perflens.model import Exemplar

__all__ = ["COUNTER_CREATED", "HISTOGRAM_CREATED", "SUMMARY_CREATED", "TYPES", "created", "exemplar_body", "family", "labels", "metric"]

TYPES = {"counter": 0, "gauge": 1, "summary": 2, "unknown": 3, "histogram": 4, "gaugehistogram": 5}

COUNTER_CREATED, SUMMARY_CREATED, HISTOGRAM_CREATED = 3, 4, 15

_MILLISECOND = NANOSECONDS // 1000


def labels(pairs: Labels) -> bytes:
    """Return the labels of a series, as they stand in its Metric and its Exemplar."""
    return b"".join(wire.message(1, wire.text(1, name) + wire.text(2, value)) for name, value in pairs if name)


def created(field: int, timestamp: float) -> bytes:
    """Return the field that says when a series was made, nothing for 0."""
    return wire.message(field, _timestamp(timestamp)) if timestamp else b""


def _timestamp(timestamp: float) -> bytes:
    whole, rest = divmod(milliseconds(timestamp), 1000)
    return wire.key(1, wire.VARINT) + wire.varint(whole) + wire.key(2, wire.VARINT) + wire.varint(rest * _MILLISECOND)


def exemplar_body(exemplar: Exemplar) -> bytes:
    """Return an Exemplar."""
    own = labels((("trace_id", exemplar.trace_id), ("span_id", exemplar.span_id)))
    return own + wire.double(2, exemplar.value / NANOSECONDS) + wire.message(3, _timestamp(exemplar.timestamp))


def metric(own_labels: bytes, field: int, body: bytes) -> bytes:
    """Return a series of a family; ``field`` is that of its kind of value."""
    return wire.message(4, own_labels + wire.message(field, body))


def family(name: str, text: str, kind: int, series: Iterable[bytes]) -> bytes:
    """Return a family with its length before it; ``series`` are what ``metric`` returned."""
    head = wire.text(1, name) + wire.text(2, text) + wire.key(3, wire.VARINT) + wire.varint(kind)
    body = head + b"".join(series)
    return wire.varint(len(body)) + body
