"""What is asked about requests of block devices."""

from __future__ import annotations

from dataclasses import dataclass

from grafana import promql as p
from grafana.promql import Query, compose, rate
from grafana.selectors import AGENT

LONG = "0.125"  # s: a bound of the histograms, and that of the alerts
HELD, QUEUE, ON_DEVICE, LAYER = (f"perflens_block_{part}_duration_seconds" for part in ("held", "queue", "device", "layer"))
BYTES = "perflens_block_bytes_total"

PROBE = f'{AGENT}, probe="block"'
OUTCOMES = rate("perflens_probe_operations_total", PROBE, "outcome")
ATTRIBUTED = rate("perflens_probe_requests_attributed_total", PROBE, "method")
REQUEUED = rate("perflens_probe_requeued_total", PROBE, "instance")
UNKNOWN = rate("perflens_probe_held_unknown_total", PROBE, "instance")


@dataclass(frozen=True)
class Requests:
    """Questions about the requests that matchers select, those of `device` where a counter knows the device."""

    owned: str = AGENT
    device: str = ""

    @property
    def observed(self) -> str:
        return f"{self.owned}, {self.device}" if self.device else self.owned

    @property
    def counted(self) -> str:
        return f'{self.owned}, probe="block"'

    def requests(self, by: str = "") -> Query:
        """Requests that are done, a second."""
        return p.count(ON_DEVICE, self.observed, by)

    def transferred(self, by: str = "") -> str:
        """Bytes a second."""
        return rate(BYTES, self.observed, by)

    def size(self, by: str) -> Query:
        """The mean size of a request; those without data, such as flushes, count."""
        return compose("{} / ({} > 0)", self.transferred(by), self.requests(by))

    def present(self, part: str, by: str = "") -> Query:
        """How many requests a part holds at a time, on average: arrivals a second by the time that each stays (Little's law)."""
        return p.total(part, self.observed, by)

    def waiting(self, by: str = "") -> Query:
        """How many requests have not reached their device, on average."""
        return compose("{} + {}", self.present(HELD, by), self.present(QUEUE, by))

    def mean(self, part: str, by: str) -> Query:
        """The mean time in a part."""
        return p.mean(part, self.observed, by)

    def quantile(self, q: float, part: str, by: str = "") -> Query:
        """The time in a part that a share q of the requests did not exceed."""
        return p.quantile(q, part, self.observed, by)

    def buckets(self, part: str) -> Query:
        """What each bucket of a part's histogram counts, a second."""
        return p.buckets(part, self.observed)

    def long_share(self, part: str, by: str) -> Query:
        """The share of requests that were in a part for longer than `LONG`."""
        return p.share_above(LONG, part, self.observed, by)

    def slow_ratio(self, by: str = "") -> Query:
        """The share of requests that are slow, of all devices, which their counter does not tell apart; 0 where none was."""
        every = p.count(ON_DEVICE, self.owned, by)
        slow = rate("perflens_slow_operations_total", self.counted, by)
        return compose("({} or 0 * {}) / ({} > 0)", slow, every, every)

    def lost(self, by: str) -> str:
        """Slow requests at a time, on average, of all devices."""
        return rate("perflens_slow_operation_seconds_total", self.counted, by)

    def busy_devices(self) -> Query:
        """How many devices had requests."""
        return compose("count({} > 0)", self.requests("instance, device"))
