"""What is asked about file operations."""

from __future__ import annotations

from dataclasses import dataclass

from grafana import promql as p
from grafana.promql import Query, compose, rate
from grafana.selectors import AGENT

DURATION = "perflens_file_operation_duration_seconds"
SYNC_BOUND = "0.125"  # s: a bound of the histograms, and that of the alert of syncs


@dataclass(frozen=True)
class Files:
    """Questions about the file operations that matchers select, those of `fs` in histograms alone: the other counters have no `fs`."""

    owned: str = AGENT
    fs: str = ""

    @property
    def observed(self) -> str:
        return f"{self.owned}, {self.fs}" if self.fs else self.owned

    @property
    def counted(self) -> str:
        return f'{self.owned}, probe="file"'

    def operations(self, by: str = "") -> Query:
        """Operations a second."""
        return p.count(DURATION, self.observed, by)

    def busy(self, by: str = "") -> Query:
        """Seconds that operations took, a second: how many there are at a time, on average."""
        return p.total(DURATION, self.observed, by)

    def mean(self, by: str = "") -> Query:
        """The mean duration."""
        return p.mean(DURATION, self.observed, by)

    def quantile(self, q: float, by: str = "") -> Query:
        """The duration that a share q of the operations did not exceed."""
        return p.quantile(q, DURATION, self.observed, by)

    def buckets(self) -> Query:
        """Operations a second in each bucket."""
        return p.buckets(DURATION, self.observed)

    def slow(self, by: str = "") -> str:
        """Slow operations a second; of all file systems."""
        return rate("perflens_slow_operations_total", self.counted, by)

    def lost(self, by: str = "") -> str:
        """Seconds that slow operations took, a second."""
        return rate("perflens_slow_operation_seconds_total", self.counted, by)

    def slow_ratio(self, by: str = "") -> Query:
        """The share of operations that are slow: 0 where none was, nothing where there was none. Both sides span all file systems."""
        every = p.count(DURATION, self.owned, by)
        return compose("({} or 0 * {}) / ({} > 0)", self.slow(by), every, every)

    def waits(self, by: str) -> str:
        """Seconds that operations were off the CPU, a second, slow or not."""
        return rate("perflens_operation_wait_seconds_total", self.counted, by)

    def wait_of_each(self, by: str) -> Query:
        """Seconds that an operation is off the CPU, on average, by operation and what else."""
        return compose("{} / on (operation) group_left () ({} > 0)", self.waits(by), p.count(DURATION, self.owned, "operation"))

    def oldest(self, by: str) -> str:
        """For how long the oldest operation has been in flight, of those past the agent's threshold."""
        return f"max by ({by}) (perflens_oldest_in_flight_seconds{{{self.counted}}})"
