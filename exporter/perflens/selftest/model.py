"""The values of the selftest: what a family does, what was done, and what a check found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, Protocol

from perflens.selftest.throttle import Throttle

__all__ = ["Check", "Disk", "Family", "Place", "Report", "Span", "Verdict"]

Verdict = Literal["ok", "failed", "skipped"]

Span = tuple[int, int]
"""The least and the most ns that one operation took, as it was seen from outside of the kernel."""


@dataclass(frozen=True, slots=True)
class Check:
    """One line: what was to be found and what was. Unless ``ok``, ``reason`` says what is wrong and, after a semicolon, the cure."""

    family: str
    name: str
    expected: str
    found: str
    verdict: Verdict
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Disk:
    """Where the scratch files lie: type of the file system, and MAJOR:MINOR of its block device, empty when it has none.

    ``disk`` and ``number`` are name and MAJOR:MINOR of the disk whose requests are made there, empty when it lies on others.
    """

    folder: str
    fs: str
    source: str
    device: str
    disk: str = ""
    number: str = ""


class Holds(Protocol):
    """Makes a system call with a page of memory and holds it up; returns what it took."""

    def hold(self, call: Callable[[Any], object], seconds: float, /) -> Span: ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where a family works: ``folder`` is its own, empty; an operation that is held up is held for ``hold`` s.

    ``whole`` is false for the second, smaller share, which is done under another owner. ``holder`` is None where the kernel lets
    nobody hold a call up, for the reason ``unheld``. ``throttle`` holds requests back.
    """

    folder: str
    hold: float
    whole: bool = True
    holder: Holds | None = None
    unheld: str = ""
    throttle: Throttle = field(default_factory=Throttle)


@dataclass(frozen=True, slots=True)
class Report:
    """What was done, by operation: how often, how long each took, the bytes, and how many of them were held up, the last ones.

    ``spans`` is empty for what lasts no time; ``unheld`` is why nothing was held up.
    """

    counts: Mapping[str, int]
    spans: Mapping[str, list[Span]] = field(default_factory=dict)
    bytes: Mapping[str, int] = field(default_factory=dict)
    held: Mapping[str, int] = field(default_factory=dict)
    unheld: str = ""

    def untold(self, reason: str) -> Report:
        """Return it as that of an agent which does not see what was held up: of those it may have any time up to the whole."""
        ends = {name: len(own) - self.held.get(name, 0) for name, own in self.spans.items()}
        spans = {name: [*own[: ends[name]], *((0, most) for _, most in own[ends[name] :])] for name, own in self.spans.items()}
        return replace(self, spans=spans, held={}, unheld=reason)

    def to_json(self) -> dict[str, Any]:
        """Return it as values that JSON knows."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Report:
        """Return what ``to_json`` gave."""
        spans = {name: [(least, most) for least, most in own] for name, own in values["spans"].items()}
        return cls(values["counts"], spans, values["bytes"], values["held"], values["unheld"])


def _nothing(_: Any) -> None:
    """Prepare nothing."""


def _lacks_nothing(_: Disk) -> str:
    return ""


def _fs(disk: Disk) -> str:
    return disk.fs


@dataclass(frozen=True, slots=True)
class Family:
    """How a probe family is proven: a known workload, and where it must be found again.

    ``work`` and ``prepare`` run in the workload's process; what ``prepare`` does is not counted. ``metrics`` are the histograms or
    counters that must have moved by the operations, with the label ``operation`` in a histogram, by operation in ``counters``.
    ``lacks`` says why the family cannot be proven on a disk, empty when it can; ``object_of`` what its series call it in the label
    ``object_label``. Operations of ``holds`` can be held up: they spend it in the histogram ``held_in``, if there are several, and
    sleep in one of the functions ``slept_in`` then, empty when nobody sleeps. ``tight`` does so many of the cheapest operations and
    returns their ns, ``promised`` is what the probe may add to one.
    """

    work: Callable[[Place], Report]
    prepare: Callable[[Place], None] = _nothing
    lacks: Callable[[Disk], str] = _lacks_nothing
    histograms: tuple[str, ...] = ()
    counters: Mapping[str, str] = field(default_factory=dict)
    bytes_total: str = ""
    object_label: str = ""
    object_of: Callable[[Disk], str] = _fs
    holds: tuple[str, ...] = ()
    held_in: str = ""
    slept_in: tuple[str, ...] = ()
    tight: Callable[[Place, int], int] | None = None
    promised: int = 0
