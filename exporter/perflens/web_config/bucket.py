"""A bucket of tokens: how many requests may come, and how many at once."""

from __future__ import annotations

from collections.abc import Callable

from perflens.web_config.settings import RateLimit

__all__ = ["Bucket"]


class Bucket:
    """Full at the start; ``now`` tells ns. An interval of 0 lets everything pass."""

    def __init__(self, limit: RateLimit, now: Callable[[], int]) -> None:
        self.limit, self._now = limit, now
        self._free_at = now() - limit.interval * limit.burst
        """When the bucket was empty, or would have been: each request that passes moves it on by an interval."""

    def take(self) -> bool:
        """Whether one more request may pass."""
        now = self._now()
        earliest = max(self._free_at, now - self.limit.interval * self.limit.burst)
        if self.limit.interval and earliest + self.limit.interval > now:
            return False
        self._free_at = earliest + self.limit.interval
        return True
