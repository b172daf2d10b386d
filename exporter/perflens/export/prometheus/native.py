"""A histogram as protobuf: the native one, and the classic buckets beside it for servers that want no native ones."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import accumulate

from perflens.export.prometheus import packed, schema, wire
from perflens.export.prometheus.form import BUCKETS_AT, NANOSECONDS, OCTAVES_AT, milliseconds, shown
from perflens.model import FIRST_BUCKET, HISTOGRAM_WIDTH, OCTAVES, SCHEMA, Exemplar, octave_bounds

__all__ = ["histogram"]

_PER_OCTAVE = 1 << SCHEMA
_FILLED = re.compile(rb"\x01+")

_COUNT, _ZERO_COUNT = wire.key(1, wire.VARINT), wire.key(7, wire.VARINT)
_OFFSET, _LENGTH = wire.key(1, wire.VARINT), wire.key(2, wire.VARINT)
_CONSTANT = wire.key(5, wire.VARINT) + wire.zigzag(SCHEMA) + wire.double(6, octave_bounds()[0])
_BUCKET = 3


def histogram(rows: array[int], at: int, exemplars: Mapping[int, Exemplar]) -> bytes:
    """Return the Histogram of a row, but for its time of creation."""
    count, total = rows[at], rows[at + 1]
    octaves = rows[at + OCTAVES_AT : at + HISTOGRAM_WIDTH]
    buckets = rows[at + BUCKETS_AT : at + OCTAVES_AT]
    head = _COUNT + wire.varint(count) + wire.double(2, total / NANOSECONDS)
    zero = _CONSTANT + _ZERO_COUNT + wire.varint(buckets[0])
    if not exemplars:
        return b"".join((head, _classic(octaves, count), zero, *_positive(octaves, buckets, count)))
    visible = dict(shown(exemplars, rows, at))
    classic = _with_exemplars(_classic(octaves, count), count, visible)
    return b"".join((head, classic, zero, *_positive(octaves, buckets, count), *_listed(visible.values())))


def _bucket_head(bound: float) -> bytes:
    return wire.double(2, bound) + _COUNT


@cache
def _template(width: int) -> bytes:
    """Return the classic buckets, with zeros where the bytes of their counts belong."""
    return b"".join(wire.message(_BUCKET, _bucket_head(bound) + bytes(width)) for bound in octave_bounds())


def _classic(octaves: array[int], count: int) -> bytearray:
    width = packed.width_of(count)
    spread = packed.spread(packed.lanes(array("Q", accumulate(octaves))), OCTAVES, width)
    found = bytearray(_template(width))
    stride = len(found) // OCTAVES
    for byte in range(width):
        found[stride - width + byte :: stride] = spread[byte::8]
    return found


def _listed(exemplars: Iterable[Exemplar]) -> Iterator[bytes]:
    """Yield exemplars as the native histogram has them, the newest last.

    Prometheus (3.5 to 3.9 at least) skips as many of a series as the one before it in the family had. When it sees some, but not
    the newest that it has stored, it takes all of them for out of order; so the newest must be the last to be skipped.
    """
    for exemplar in sorted(exemplars, key=_order):
        yield wire.message(16, schema.exemplar_body(exemplar))


def _order(exemplar: Exemplar) -> tuple[int, int, str, str]:
    """Return what Prometheus orders exemplars by."""
    return milliseconds(exemplar.timestamp), exemplar.value, exemplar.span_id, exemplar.trace_id


def _with_exemplars(classic: bytearray, count: int, exemplars: Mapping[int, Exemplar]) -> bytes:
    stride = len(classic) // OCTAVES
    buckets = [bytes(classic[at : at + stride]) for at in range(0, len(classic), stride)]
    for bucket, exemplar in exemplars.items():
        own = wire.message(3, schema.exemplar_body(exemplar))
        if bucket == OCTAVES:
            buckets.append(wire.message(_BUCKET, _bucket_head(float("inf")) + wire.varint(count) + own))
        else:
            buckets[bucket] = wire.message(_BUCKET, buckets[bucket][2:] + own)  # after its key and length
    return b"".join(buckets)


def _positive(octaves: array[int], buckets: array[int], count: int) -> Iterator[bytes]:
    """Yield spans and deltas. A span has whole octaves: a few zeros in it cost less than a look at each bucket."""
    counts, end = array("Q"), 0
    for filled in _FILLED.finditer(bytes(map(bool, octaves)), 1):
        first, last = (_PER_OCTAVE * (octave - 1) + 1 for octave in filled.span())
        yield _span(FIRST_BUCKET + first - end, last - first)
        counts += buckets[first:last]
        end = FIRST_BUCKET + last
    if counts:
        yield wire.message(13, _deltas(counts, packed.width_of(2 * count)))


@cache
def _span(offset: int, length: int) -> bytes:
    return wire.message(12, _OFFSET + wire.zigzag(offset) + _LENGTH + wire.varint(length))


def _deltas(counts: array[int], width: int) -> bytes:
    spread = packed.spread(packed.deltas(packed.lanes(counts), len(counts)), len(counts), width)
    found = bytearray(width * len(counts))
    for byte in range(width):
        found[byte::width] = spread[byte::8]
    return bytes(found)
