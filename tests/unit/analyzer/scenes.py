"""Signals and scenes for tests of the rules."""

from __future__ import annotations

from collections.abc import Mapping

from perflens.analysis import HOST, Subject
from perflens.analyzer.causes import discover
from perflens.analyzer.judge import Finding, Scene, judge
from perflens.analyzer.signals import Signal, Signals

DISK, VICTIM, OTHER = Subject("device", "sda"), Subject("owner", "db.service"), Subject("owner", "backup.service")
PARENT = Subject("process", "sh[17]")


def signal(metric: str, subject: Subject, value: float, baseline: float | None = None) -> Signal:
    """A signal of which only these matter."""
    return Signal(metric, subject, value, "", metric, "test", baseline=baseline)


def scene(waits: Mapping[str, float], *, culprit: Subject | None = None, seconds: float = 10.0) -> Scene:
    """One victim with its waits (parts of its slow time) on one disk, of which somebody may take most, and of the CPU."""
    blamed = (culprit,) if culprit else ()
    split = {reason: part * seconds for reason, part in waits.items()}
    return Scene(
        {VICTIM: seconds},
        {DISK: {VICTIM: seconds}},
        {VICTIM: split, HOST: split},
        {("device", DISK): blamed, ("cpu", HOST): blamed, ("parent", HOST): (PARENT,)},
    )


def judged(own: Scene, *signals: Signal) -> list[Finding]:
    """What all causes make of it, with the waits as signals."""
    waits = [signal(f"wait.{reason}", subject, part / 10) for subject, split in own.waits.items() for reason, part in split.items()]
    return judge(discover(), Signals([*waits, *signals]), own)
