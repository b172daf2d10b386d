"""Exemplars of the series of one histogram: the newest one of each classic bucket, in an order that Prometheus accepts."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Container, Mapping
from types import MappingProxyType

from perflens.model import SCHEMA, Exemplar, SeriesKey, bucket_bounds

__all__ = ["Exemplars"]

_BOUNDS = bucket_bounds()[:: 1 << SCHEMA]
_APART = 0.002
"""Prometheus keeps ms, and one that is not newer than the last is out of order: two that are this far apart differ in any format."""

_NONE: Mapping[int, Exemplar] = MappingProxyType({})


class Exemplars:
    """Put by one thread, shown by another. At most ``limit`` series are kept; what comes for others is dropped and counted."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._series: dict[SeriesKey, Mapping[int, Exemplar]] = {}
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._series)

    def put(self, key: SeriesKey, exemplar: Exemplar) -> None:
        """Keep an exemplar unless its bucket has a newer one. Values above the last bound belong to a bucket of their own."""
        bucket = bisect_left(_BOUNDS, exemplar.value)
        with self._lock:
            known = self._series.get(key)
            if known is None:
                if len(self._series) >= self._limit:
                    self.dropped += 1
                    return
                known = _NONE
            if bucket not in known or exemplar.timestamp - known[bucket].timestamp >= _APART:
                self._series[key] = {**known, bucket: exemplar}  # a new one, since a reader may hold the other

    def of(self, key: SeriesKey) -> Mapping[int, Exemplar]:
        """Return the exemplars of a series by the number of their bucket; they do not change afterwards."""
        return self._series.get(key, _NONE)

    def prune(self, living: Container[SeriesKey], before: float) -> None:
        """Forget the series that are not among the living, unless they have an exemplar since ``before``, in s since the epoch.

        An exemplar may come before the harvest that makes its series.
        """
        with self._lock:
            for key, known in list(self._series.items()):
                if key not in living and all(exemplar.timestamp < before for exemplar in known.values()):
                    del self._series[key]
