"""Works the rows off, one request at a time; what is not delivered now is tried again later."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable

from perflens.analysis import Incident
from perflens.annotate.admission import admit
from perflens.annotate.adoption import adopt
from perflens.annotate.answers import Failure
from perflens.annotate.counts import SinkCounts, Tally
from perflens.annotate.grafana import GrafanaApi
from perflens.annotate.html import OPEN, PERFLENS, tag
from perflens.annotate.outbox import DAY, Outbox
from perflens.annotate.patience import Patience
from perflens.annotate.rows import Row, closed
from perflens.annotate.schedule import Schedule, soonest
from perflens.annotate.setback import row_after
from perflens.annotate.settings import GrafanaSettings
from perflens.annotate.writer import Writer
from perflens.logs import fields

__all__ = ["Worker"]

_log = logging.getLogger(__name__)

_SETTLE = 300.0
_HOUR = 3_600_000


class Worker:
    """``wall`` and ``monotonic`` are clocks in seconds, ``uniform(low, high)`` a random number; all belongs to one task."""

    def __init__(
        self,
        settings: GrafanaSettings,
        wall: Callable[[], float],
        monotonic: Callable[[], float],
        uniform: Callable[[float, float], float],
    ) -> None:
        self._settings, self._wall, self._monotonic = settings, wall, monotonic
        self._tally = Tally()
        self._outbox = Outbox(settings.state_path, settings.url, self._tally.drop)
        self._api = GrafanaApi(settings, wall)
        self._writer = Writer(self._api, self._outbox, self._now)
        self._patience = Patience(monotonic, uniform)
        self._schedule = Schedule(monotonic)
        self._seen: set[str] = set()
        self._has_adopted = False
        self._settles: float | None = monotonic() + _SETTLE

    async def absorb(self, incidents: Iterable[Incident]) -> None:
        """Take over what incidents are like now, and write it to disk."""
        for incident in incidents:
            try:
                key, is_hidden = admit(self._outbox, incident, self._settings, self._now())
            except Exception:
                self.lose("internal")
                _log.exception("an incident cannot be told in Grafana")
            else:
                if self._settles is not None:
                    self._seen.add(key)
                if is_hidden:
                    self.lose("budget")
        await self._save()

    async def turn(self) -> float | None:
        """Do the next thing; return in how many seconds there is another, None when there is none by itself."""
        if wait := self._patience.wait:
            return wait
        if not self._has_adopted:
            return await self._attempt(self._adopt())
        await self._settle()
        row, later = self._schedule.next(self._outbox.rows)
        if row:
            return await self._attempt(self._deliver(row), row.key)
        return soonest((later, self._settles and self._settles - self._monotonic()))

    def fail(self, failure: Failure) -> None:
        """Note a failure and leave Grafana alone for a while."""
        self._tally.failed[failure.reason] += 1
        self._patience.failed(failure)

    def lose(self, reason: str) -> None:
        """Count an incident, or a state of one, that will not be shown."""
        self._tally.drop(reason)

    def counts(self, waiting: int) -> SinkCounts:
        """Return the numbers, with so many incidents that have not been taken over yet."""
        pending = sum(row.is_pending for row in self._outbox.rows)
        return self._tally.counts(pending + waiting, self._patience.is_up)

    async def close(self) -> None:
        """Close the connection."""
        await self._api.close()

    async def _attempt(self, step: Awaitable[None], key: str = "") -> float:
        try:
            await step
        except Failure as failure:
            self.fail(failure)
            if key:
                await self._set_back(key, failure)
        else:
            self._patience.succeeded()
        return self._patience.wait

    async def _set_back(self, key: str, failure: Failure) -> None:
        row = self._outbox.get(key)
        if row is None:
            return
        kept, is_lost = row_after(row, failure)
        if is_lost:
            self.lose(failure.reason)
            told = fields(incident=row.wanted.incident, reason=failure.reason, detail=failure.detail)
            _log.warning("an annotation is given up", extra=told)
        self._outbox.put(kept)
        await self._save()

    async def _deliver(self, row: Row) -> None:
        self._schedule.tried(row)
        operation = await self._writer.write(row)
        self._schedule.wrote(row)
        self._tally.delivered[operation] += 1

    async def _adopt(self) -> None:
        now = self._now()
        adopt(self._outbox, await self._api.find((PERFLENS, tag("host", self._settings.host), OPEN), now - DAY, now + _HOUR))
        self._has_adopted = True
        await self._save()

    async def _settle(self) -> None:
        """Once, when the analyzer has had its time: close what was open before the start and has not shown again."""
        if self._settles is None or self._monotonic() < self._settles:
            return
        self._settles = None
        for row in self._outbox.rows:
            if row.is_open and row.key not in self._seen:
                self._outbox.put(closed(row))
        self._seen.clear()
        await self._save()

    async def _save(self) -> None:
        await self._outbox.save(self._now())
        self._schedule.forget(self._outbox.rows)

    def _now(self) -> int:
        return int(self._wall() * 1000)
