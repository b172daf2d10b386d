"""A histogram as protobuf: the native one, and the classic buckets beside it for servers that want no native ones."""

from __future__ import annotations

import re
import struct
from array import array
from collections.abc import Iterator, Mapping
from itertools import accumulate
from operator import sub

from perflens.export.prometheus import schema, wire
from perflens.export.prometheus.form import BUCKETS_AT, NANOSECONDS, OCTAVES_AT, shown
from perflens.export.prometheus.wire import VARINTS, ZIGZAG
from perflens.model import FIRST_BUCKET, HISTOGRAM_WIDTH, OCTAVES, SCHEMA, Exemplar, octave_bounds

__all__ = ["histogram"]

_PER_OCTAVE = 1 << SCHEMA
_FILLED = re.compile(rb"\x01+")

_COUNT, _ZERO_COUNT = wire.key(1, wire.VARINT), wire.key(7, wire.VARINT)
_SUM = struct.Struct("<cd")
_SUM_KEY = wire.key(2, wire.FIXED64)
_CONSTANT = wire.key(5, wire.VARINT) + wire.zigzag(SCHEMA) + wire.double(6, octave_bounds()[0])
_OFFSET, _LENGTH = wire.key(1, wire.VARINT), wire.key(2, wire.VARINT)
_UPPER = tuple(wire.double(2, bound) + _COUNT for bound in (*octave_bounds(), float("inf")))
_LONGEST = 10  # bytes of a varint of 64 bits
_HEADS = tuple(
    tuple(wire.key(3, wire.LENGTH) + wire.varint(len(upper) + length) + upper for length in range(_LONGEST + 1)) for upper in _UPPER[:-1]
)
"""What stands before the count of a classic bucket, by the length of the count."""


def histogram(rows: array[int], at: int, exemplars: Mapping[int, Exemplar]) -> bytes:
    """Return the Histogram of a row, but for its time of creation."""
    octaves = rows[at + OCTAVES_AT : at + HISTOGRAM_WIDTH]
    buckets = rows[at + BUCKETS_AT : at + OCTAVES_AT]
    visible = dict(shown(exemplars, rows, at)) if exemplars else {}
    return b"".join(
        (
            _COUNT,
            VARINTS[rows[at]],
            _SUM.pack(_SUM_KEY, rows[at + 1] / NANOSECONDS),
            *_classic(octaves, visible),
            _CONSTANT,
            _ZERO_COUNT,
            VARINTS[buckets[0]],
            *_positive(octaves, buckets),
            *(wire.message(16, schema.exemplar_body(exemplar)) for exemplar in visible.values()),
        )
    )


def _classic(octaves: array[int], exemplars: Mapping[int, Exemplar]) -> list[bytes]:
    counts = [VARINTS[count] for count in accumulate(octaves)]
    found = [heads[len(count)] + count for heads, count in zip(_HEADS, counts, strict=True)]
    for bucket, exemplar in exemplars.items():
        count = counts[min(bucket, OCTAVES - 1)]
        found[bucket : bucket + 1] = [wire.message(3, _UPPER[bucket] + count + wire.message(3, schema.exemplar_body(exemplar)))]
    return found


def _positive(octaves: array[int], buckets: array[int]) -> Iterator[bytes]:
    """Yield spans and deltas. A span has whole octaves: a few zeros in it cost less than a look at each bucket."""
    counts, end = array("Q"), 0
    for filled in _FILLED.finditer(bytes(map(bool, octaves)), 1):
        first, last = (_PER_OCTAVE * (octave - 1) + 1 for octave in filled.span())
        yield wire.message(12, _OFFSET + ZIGZAG[FIRST_BUCKET + first - end] + _LENGTH + VARINTS[last - first])
        counts += buckets[first:last]
        end = FIRST_BUCKET + last
    if counts:
        yield wire.message(13, b"".join(map(ZIGZAG.__getitem__, map(sub, counts, (0, *counts)))))
