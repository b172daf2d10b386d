"""OpenMetrics text 1.0.0: the text format with units, exemplars, and an end.

Format: https://github.com/prometheus/OpenMetrics, specification/OpenMetrics.md.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial

from prometheus_client.core import Metric
from prometheus_client.openmetrics.exposition import generate_latest

from perflens.export.prometheus.client import Found
from perflens.export.prometheus.form import NANOSECONDS, HistogramSeries, Kind, Labels, milliseconds, shown
from perflens.export.prometheus.text import Text, encode, escape_help, label_text
from perflens.model import Exemplar

__all__ = ["OPENMETRICS", "OpenMetrics"]

_UNITS = ("seconds", "bytes")


class OpenMetrics(Text):
    """OpenMetrics 1.0.0. Times of creation are left out: Prometheus would store each as a series of its own."""

    end = b"# EOF\n"
    exemplars = True

    def family(self, name: str, kind: Kind, text: str, series: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the headers, in which a counter has no ``_total``, then the series."""
        own = name.removesuffix("_total")
        unit = "".join(f"# UNIT {own} {unit}\n" for unit in _UNITS if own.endswith(f"_{unit}"))
        quoted = escape_help(text).replace('"', '\\"')
        yield encode(f"# HELP {own} {quoted}\n# TYPE {own} {kind}\n{unit}")
        yield from series

    def histogram(self, name: str) -> Callable[[Labels, float], HistogramSeries]:
        """Bind labels as the text format does; exemplars are added to the lines of their buckets."""
        plain = super().histogram(name)
        return lambda labels, created: partial(_with_exemplars, plain(labels, created))

    def client(self, found: Iterable[Metric]) -> Iterator[bytes]:
        """Yield what prometheus_client makes of its families, without the end: the page goes on."""
        yield generate_latest(Found(found)).removesuffix(self.end)  # type: ignore[no-untyped-call]


def _with_exemplars(plain: HistogramSeries, rows: array[int], at: int, exemplars: Mapping[int, Exemplar]) -> bytes:
    text = plain(rows, at, exemplars)
    if not exemplars:
        return text
    lines = text.split(b"\n")
    for bucket, exemplar in shown(exemplars, rows, at):
        lines[bucket] += _exemplar(exemplar)
    return b"\n".join(lines)


def _exemplar(exemplar: Exemplar) -> bytes:
    labels = label_text((("trace_id", exemplar.trace_id), ("span_id", exemplar.span_id)))
    value, when = divmod(exemplar.value, NANOSECONDS), divmod(milliseconds(exemplar.timestamp), 1000)
    return b" # {%b} %d.%09d %d.%03d" % (encode(labels), *value, *when)


OPENMETRICS = OpenMetrics()
