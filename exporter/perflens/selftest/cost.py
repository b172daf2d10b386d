"""What a probe adds to its cheapest operation, against its promise."""

from __future__ import annotations

import os
from pathlib import Path

from perflens.selftest.model import Check, Family
from perflens.selftest.workload import Workload, WorkloadError

__all__ = ["BOUND", "Price"]

BOUND = 2_000  # ns: so generous that only a fault is above it
_OPERATIONS = 2_000
_BUSY = 0.75  # threads that run for each CPU


class Price:
    """The time of a tight loop, before the probes are attached and with them."""

    def __init__(self, name: str, family: Family, folder: Path) -> None:
        self._name, self._family, self._folder = name, family, str(folder)
        self._bare = -1.0

    def before(self, workload: Workload) -> None:
        """Time the loop without the probes; what goes wrong here does again, and is told, later."""
        try:
            workload.prepare(self._name, self._folder, "")
            self._bare = workload.tight(self._name, self._folder, "", _OPERATIONS)
        except WorkloadError:
            self._bare = -1.0

    def check(self, workload: Workload, *, attaches: bool) -> Check:
        """Time it with them."""
        name = self._name
        if not attaches:
            return Check(name, "cost", "", "", "skipped", "the agent's probes were attached before; run without --url to see what they add")
        try:
            now = workload.tight(name, self._folder, "", _OPERATIONS)
        except WorkloadError as error:
            return Check(name, "cost", "", "", "skipped", str(error))
        expected = f"at most {BOUND} ns"
        if self._bare < 0:
            return Check(name, "cost", expected, "", "skipped", "the bare call could not be timed")
        added = now - self._bare
        found = f"{added:.0f} ns on {self._bare:.0f} ns (promised {self._family.promised})"
        if added <= BOUND:
            return Check(name, "cost", expected, found, "ok")
        if self._bare > BOUND:
            return Check(
                name,
                "cost",
                expected,
                found,
                "skipped",
                "the bare call alone takes longer, as on an emulated machine: for information only",
            )
        if _is_busy():
            return Check(name, "cost", expected, found, "skipped", "the host is busy: for information only; try again when it rests")
        reason = "the probe costs more than it must; look whether another tracer is attached to system calls, and see docs/benchmarks.md"
        return Check(name, "cost", expected, found, "failed", reason)


def _is_busy() -> bool:
    return os.getloadavg()[0] > _BUSY * (os.cpu_count() or 1)
