"""tests/soak: what samples of a process come to, and which run is over its budget."""

from __future__ import annotations

import os
import time

import pytest

from tests.soak.top import Round, lines
from tests.soak.watched import Sample, Watched, watch

MIB = 1024


def sampled(minutes: int, growth: float, cpu: float = 0.02) -> Watched:
    """A process of 60 MiB that grows by so many MiB an hour and takes so much of a core."""
    return Watched([Sample(at, at * cpu, int(70 * MIB), int((60 + growth * at / 3_600) * MIB)) for at in range(0, minutes * 60 + 1, 10)])


def test_memory_and_cpu_time() -> None:
    """At three moments, by the line through the second half, and as part of a core."""
    own = sampled(60, 6)

    assert own.moments() == pytest.approx((60, 63, 66), abs=0.1)
    assert own.slope() == pytest.approx(6, abs=0.1)
    assert [own.cpu, own.rss()] == pytest.approx([2, 70])


@pytest.mark.parametrize(
    ("own", "beside", "failed"),
    [
        (sampled(60, 0.5), 1.5, set()),
        (sampled(60, 2), 1.5, {"growth in the second half"}),
        (sampled(10, 60), 1.5, set()),
        (sampled(60, 0, cpu=0.04), 1.5, {"CPU of one core, all views in turn"}),
        (sampled(60, 0), 2.6, {"CPU of one core more with it"}),
    ],
)
def test_budgets(own: Watched, beside: float, failed: set[str]) -> None:
    """Each is kept or named; what a short run says of hours is only told."""
    assert {line.what for line in lines([Round(1.5, beside, own)], 7) if line.verdict == "FAIL"} == failed


def test_a_process_is_sampled() -> None:
    """A sample at once, some between and one at the end, of this process."""
    calls: list[float] = []
    own = watch(0.05, 0.01, lambda: Sample.of(os.getpid()), lambda: calls.append(time.monotonic()))

    assert len(own.samples) >= 3
    assert calls
    assert own.samples[-1].at - own.samples[0].at >= 0.05
    assert 0 < own.samples[0].anonymous <= own.samples[0].rss
    assert own.samples[-1].cpu >= own.samples[0].cpu > 0
