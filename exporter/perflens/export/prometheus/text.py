"""Prometheus text, a whole series at a time.

Format: https://github.com/prometheus/docs, instrumenting/exposition_formats.md (text format 0.0.4). The format 1.0.0 differs
by what it allows in names, of which we use nothing.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import accumulate

from prometheus_client import generate_latest
from prometheus_client.core import Metric

from perflens.export.prometheus.client import Found
from perflens.export.prometheus.form import NANOSECONDS, OCTAVES_AT, HistogramSeries, Kind, Labels, SampleSeries
from perflens.model import HISTOGRAM_WIDTH, Exemplar, octave_bounds

__all__ = ["TEXT", "Text", "encode", "escape_help", "label_text"]

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})
_LABELS = "\0"  # stands for a series' labels in a template; no label can hold it


def label_text(labels: Labels) -> str:
    """Return ``name="value",…`` without braces; NUL, which no kernel name can hold, is dropped."""
    return ",".join(f'{name}="{value.replace(_LABELS, "").translate(_ESCAPES)}"' for name, value in labels if name)


def escape_help(text: str) -> str:
    """Escape what would end the line of a HELP text."""
    return text.replace("\\", "\\\\").replace("\n", "\\n")


class Text:
    """The text format 0.0.4, and 1.0.0."""

    end = b""
    exemplars = False

    def family(self, name: str, kind: Kind, text: str, series: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the headers, then the series one by one."""
        yield encode(f"# HELP {name} {escape_help(text)}\n# TYPE {name} {kind}\n")
        yield from series

    def histogram(self, name: str) -> Callable[[Labels, float], HistogramSeries]:
        """Bind labels to a template in which only the numbers are missing.

        The last octave also holds what is above its bound, so it is equal to the count and to ``le="+Inf"``.
        Bytes format numbers in a third of the time that str takes; a % in them has to be doubled.
        """
        buckets = "".join(f'{name}_bucket{{{_LABELS},le="{bound!r}"}} %d\n' for bound in octave_bounds())
        template = f'{buckets}{name}_bucket{{{_LABELS},le="+Inf"}} %d\n{name}_sum{{{_LABELS}}} %d.%09d\n{name}_count{{{_LABELS}}} %d\n'
        parts = template.encode().split(_LABELS.encode())
        bare = [part.removeprefix(b",") for part in parts]

        def bind(labels: Labels, _: float) -> HistogramSeries:
            own = encode(label_text(labels)).replace(b"%", b"%%")
            return partial(self._series, parts if own else bare, own)

        return bind

    @staticmethod
    def _series(parts: list[bytes], labels: bytes, rows: array[int], at: int, _: Mapping[int, Exemplar]) -> bytes:
        count, total = rows[at], rows[at + 1]
        octaves = rows[at + OCTAVES_AT : at + HISTOGRAM_WIDTH]
        return labels.join(parts) % (*accumulate(octaves), count, *divmod(total, NANOSECONDS), count)

    def sample(self, name: str, _: Kind, *, nanoseconds: bool = False) -> Callable[[Labels, float], SampleSeries]:
        """Bind labels to the line before its value."""
        show = _seconds if nanoseconds else _number
        return lambda labels, _: partial(show, encode(f"{name}{{{label_text(labels)}}}"))

    def client(self, found: Iterable[Metric]) -> Iterator[bytes]:
        """Yield what prometheus_client makes of its families."""
        yield generate_latest(Found(found))


def encode(text: str) -> bytes:
    """Return the bytes of a text; what cannot be encoded becomes a question mark."""
    return text.encode(errors="replace")


def _seconds(head: bytes, nanoseconds: float) -> bytes:
    return b"%b %d.%09d\n" % (head, *divmod(int(nanoseconds), NANOSECONDS))


def _number(head: bytes, value: float) -> bytes:
    if isinstance(value, int):
        return b"%b %d\n" % (head, value)
    if math.isfinite(value):
        return b"%b %r\n" % (head, value)
    return b"%b %b\n" % (head, b"NaN" if math.isnan(value) else b"+Inf" if value > 0 else b"-Inf")


TEXT = Text()
"""The format of who asks for no other."""
