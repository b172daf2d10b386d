"""How much may be asked: requests a minute and an hour, tokens a day."""

from __future__ import annotations

from collections import deque

__all__ = ["Budget"]

_MINUTE, _HOUR, _DAY = 60.0, 3_600.0, 86_400.0


class Budget:
    """Counts requests of the last minute and hour, and tokens in days from the first request; ``now`` is a steady clock's."""

    def __init__(self, per_minute: int, per_hour: int, tokens_per_day: int) -> None:
        self._per_minute, self._per_hour, self._per_day = per_minute, per_hour, tokens_per_day
        self._sent: deque[float] = deque()
        self._day_began: float | None = None
        self._used = 0

    def take(self, tokens: int, now: float) -> bool:
        """Take a request of so many tokens, input and output, by estimate; False when there is no room for it."""
        self._pass_time(now)
        minute = sum(1 for sent in self._sent if now - sent < _MINUTE)
        if minute >= self._per_minute or len(self._sent) >= self._per_hour or self._used + tokens > self._per_day:
            return False
        if self._day_began is None:
            self._day_began = now
        self._sent.append(now)
        self._used += tokens
        return True

    def settle(self, taken: int, used: int) -> None:
        """Put what a server counted in the place of an estimate that was taken."""
        self._used = max(0, self._used - taken + used)

    def remaining(self, now: float) -> int:
        """Return the tokens that are left of the day."""
        self._pass_time(now)
        return max(0, self._per_day - self._used)

    def _pass_time(self, now: float) -> None:
        while self._sent and now - self._sent[0] >= _HOUR:
            self._sent.popleft()
        if self._day_began is not None and now - self._day_began >= _DAY:
            self._day_began, self._used = None, 0
