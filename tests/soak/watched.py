"""What a process takes, sampled from outside, and what that comes to: its memory at three moments, its slope, its CPU time."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, linear_regression, median

__all__ = ["Sample", "Watched", "share", "watch"]

_AT_A_MOMENT = 3  # samples that a memory is the median of
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Sample:
    """At ``at`` (s of CLOCK_MONOTONIC): the CPU time so far, in s, and the memory in KiB.

    What is ``anonymous`` is its own alone: the pages of files count more or less as other processes map them too.
    """

    at: float
    cpu: float
    rss: int
    anonymous: int

    @classmethod
    def of(cls, pid: int) -> Sample:
        """Take one of a process: all its threads, those that have ended included."""
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        rss, anonymous = (int(re.findall(rf"^{name}:\s+(\d+) kB", rollup, re.MULTILINE)[0]) for name in ("Rss", "Anonymous"))
        return cls(time.monotonic(), (int(fields[11]) + int(fields[12])) / _TICKS, rss, anonymous)


@dataclass(frozen=True)
class Watched:
    """A process over a time, the first sample at its beginning."""

    samples: Sequence[Sample]

    @property
    def cpu(self) -> float:
        """The CPU time in % of a core."""
        return share(self.samples[0], self.samples[-1])

    @property
    def seconds(self) -> float:
        """How long it was watched."""
        return self.samples[-1].at - self.samples[0].at

    def moments(self) -> tuple[float, float, float]:
        """Anonymous memory in MiB at the beginning, in the middle and at the end."""
        size, middle = [own.anonymous / 1024 for own in self.samples], len(self.samples) // 2
        return median(size[:_AT_A_MOMENT]), median(size[middle - 1 : middle + 2]), median(size[-_AT_A_MOMENT:])

    def slope(self) -> float:
        """By how many MiB an hour it grows in the second half: the line through its samples."""
        second = self.samples[len(self.samples) // 2 :]
        if len(second) < 2:
            return 0.0
        slope, _ = linear_regression([own.at / 3_600 for own in second], [own.anonymous / 1024 for own in second])
        return float(slope)

    def rss(self) -> float:
        """RSS in MiB, on the average of the second half."""
        return fmean(own.rss for own in self.samples[len(self.samples) // 2 :]) / 1024


def share(first: Sample, last: Sample) -> float:
    """Return the CPU time between two samples in % of a core."""
    return 100 * (last.cpu - first.cpu) / max(last.at - first.at, 1e-9)


def watch(seconds: float, every: float, take: Callable[[], Sample], between: Callable[[], None] = lambda: None) -> Watched:
    """Take a sample at the beginning, one each ``every`` s and one at the end; ``between`` is called once a second."""
    samples = [take()]
    while (passed := time.monotonic() - samples[0].at) < seconds:
        between()
        time.sleep(min(1.0, max(seconds - passed, 0.01)))
        if time.monotonic() - samples[-1].at >= every:
            samples.append(take())
    return Watched([*samples, take()])
