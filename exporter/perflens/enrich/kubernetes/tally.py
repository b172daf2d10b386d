"""What who tells of pods has done, for its metrics, and how long it rests after a failure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from perflens.enrich.kubernetes.server import REASONS, Reason
from perflens.enrich.kubernetes.store import PodStore
from perflens.model import KubernetesCounts

__all__ = ["EVENTS", "FIRST_PAUSE", "Tally", "pause"]

EVENTS = ("ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR")
FIRST_PAUSE = 1.0  # s
_LONGEST_PAUSE = 60.0


class Tally:
    """Counts; ``up`` while names come. Written on one thread, and any may ask."""

    def __init__(self, store: PodStore) -> None:
        self._store = store
        self.up, self._is_outage = False, False
        self.lists = self.refused = 0
        self.events = Counter(dict.fromkeys(EVENTS, 0))
        self.errors = Counter[str](dict.fromkeys(REASONS, 0))

    def counts(self, unresolved: Mapping[str, int]) -> KubernetesCounts:
        """Return all that was counted."""
        return KubernetesCounts(
            up=self.up,
            lists=self.lists,
            pods=self._store.counts(),
            events={kind.lower(): self.events[kind] for kind in EVENTS},
            errors={reason: self.errors[reason] for reason in REASONS},
            refused=self.refused,
            evicted=self._store.evicted,
            unresolved=unresolved,
        )

    def failed(self, reason: Reason) -> None:
        """Count a failure."""
        self.errors[reason] += 1

    def comes_up(self) -> bool:
        """Note that names come; whether they do for the first time, or again after an outage."""
        is_news = not self.up and (self._is_outage or self.lists == 1)
        self.up, self._is_outage = True, False
        return is_news

    def goes_down(self) -> bool:
        """Note that names do not come; whether that is new."""
        is_news = not self._is_outage
        self.up, self._is_outage = False, True
        return is_news


def pause(failures: int, spread: float) -> float:
    """Return the seconds to wait: up to double each time, and spread (from 0 to 1), so that not all nodes ask at once."""
    longest = min(_LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures - 1, 10))
    return longest * (0.5 + spread / 2)
