"""Where every span went, exactly: created = exported + rejected + failed + in_queue."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock

__all__ = ["OUTCOMES", "SpanLedger"]

OUTCOMES = ("exported", "rejected", "failed", "queue_full", "sampled_out")
"""What became of spans; those of the last two were never created. Whole trees are created or not."""


class SpanLedger:
    """Counts for two threads, the one that creates spans and the one that exports them."""

    def __init__(self, capacity: int) -> None:
        self._lock = Lock()
        self._capacity = capacity
        self._created = self._in_queue = 0
        self._closed = False
        self._outcomes = dict.fromkeys(OUTCOMES, 0)

    def has_room(self, spans: int) -> bool:
        """Whether the queue has room for a tree. Only the creating thread takes room, so the answer holds until it does."""
        with self._lock:
            return self._in_queue + spans <= self._capacity

    def refuse(self, outcome: str, spans: int) -> None:
        """Count a tree that is not created."""
        with self._lock:
            self._outcomes[outcome] += spans

    def create(self, spans: int) -> bool:
        """Count a tree as created; False when the ledger is closed, and its spans have failed by that."""
        with self._lock:
            self._created += spans
            self._in_queue += spans
            if self._closed:
                self._fail_the_rest()
            return not self._closed

    def settle(self, exported: int, rejected: int, failed: int) -> bool:
        """Count what became of a batch; False when the ledger is closed, which counted the batch as failed."""
        with self._lock:
            if self._closed:
                return False
            self._in_queue -= exported + rejected + failed
            self._outcomes["exported"] += exported
            self._outcomes["rejected"] += rejected
            self._outcomes["failed"] += failed
            return True

    def close(self) -> int:
        """Count all that is still queued as failed and return how many spans that were."""
        with self._lock:
            self._closed = True
            return self._fail_the_rest()

    @property
    def is_closed(self) -> bool:
        """Whether nothing is counted as exported any more."""
        return self._closed

    def counts(self) -> Mapping[str, int]:
        """Return spans by outcome, with ``created`` and ``in_queue``, of one moment."""
        with self._lock:
            return {**self._outcomes, "created": self._created, "in_queue": self._in_queue}

    def _fail_the_rest(self) -> int:
        left, self._in_queue = self._in_queue, 0
        self._outcomes["failed"] += left
        return left
