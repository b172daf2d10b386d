"""Protocol buffers: io.prometheus.client.MetricFamily, each with its length before it."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial

from prometheus_client.core import Metric

from perflens.export.prometheus import client_protobuf, native, schema, wire
from perflens.export.prometheus.form import NANOSECONDS, HistogramSeries, Kind, Labels, SampleSeries
from perflens.model import Exemplar

__all__ = ["PROTOBUF", "Protobuf"]

_VALUE = struct.Struct("<d")
_FIELDS = {"gauge": 2, "counter": 3}


class Protobuf:
    """The delimited protobuf format: native and classic buckets of each histogram, exemplars, times of creation."""

    end = b""
    exemplars = True

    def family(self, name: str, kind: Kind, text: str, series: Iterable[bytes]) -> Iterator[bytes]:
        """Yield one message, whose length is known when its last series is rendered."""
        yield schema.family(name, text, schema.TYPES[kind], series)

    def histogram(self, name: str) -> Callable[[Labels, float], HistogramSeries]:
        """Bind labels and time of creation, encoded."""
        return lambda labels, created: partial(_histogram, schema.labels(labels), schema.created(schema.HISTOGRAM_CREATED, created))

    def sample(self, name: str, kind: Kind, *, nanoseconds: bool = False) -> Callable[[Labels, float], SampleSeries]:
        """Bind all but the eight bytes of the value."""
        scale = NANOSECONDS if nanoseconds else 1

        def bind(labels: Labels, created: float) -> SampleSeries:
            after = schema.created(schema.COUNTER_CREATED, created) if kind == "counter" else b""
            whole = schema.metric(schema.labels(labels), _FIELDS[kind], wire.double(1, 0) + after)
            return partial(_sample, whole[: -len(after) - _VALUE.size], after, scale)

        return bind

    def client(self, found: Iterable[Metric]) -> Iterator[bytes]:
        """Yield families of prometheus_client."""
        return map(client_protobuf.family, found)


def _histogram(labels: bytes, created: bytes, rows: array[int], at: int, exemplars: Mapping[int, Exemplar]) -> bytes:
    return schema.metric(labels, 7, native.histogram(rows, at, exemplars) + created)


def _sample(before: bytes, after: bytes, scale: int, value: float) -> bytes:
    return before + _VALUE.pack(value / scale) + after


PROTOBUF = Protobuf()
