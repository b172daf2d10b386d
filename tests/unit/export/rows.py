"""Rows of histograms, made by hand."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

from perflens.model import BUCKETS, SCHEMA, bucket_bounds

_BOUNDS = bucket_bounds()
_PER_OCTAVE = 1 << SCHEMA


def row_of(octaves: list[int], total: int) -> list[int]:
    """A row whose classic buckets are these; each is the topmost native bucket of its octave."""
    buckets = [0] * BUCKETS
    buckets[::_PER_OCTAVE] = octaves
    return [sum(octaves), total, *buckets, *octaves]


def row_of_durations(durations: Iterable[int]) -> list[int]:
    """A row of operations that took so many ns."""
    buckets, total = [0] * BUCKETS, 0
    for ns in durations:
        buckets[min(bisect_left(_BOUNDS, ns), BUCKETS - 1)] += 1
        total += ns
    octaves = [buckets[0], *(sum(buckets[at : at + _PER_OCTAVE]) for at in range(1, BUCKETS, _PER_OCTAVE))]
    return [sum(buckets), total, *buckets, *octaves]
