"""How many processes were started in a window, and by whom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from perflens.analysis import HOST, Subject
from perflens.analyzer.signals import Signal
from perflens.model import ProcessKey

__all__ = ["start_culprits", "start_signals"]

_SHARE = 0.5
_SOURCE = "perflens: process events"

Lines = Mapping[ProcessKey, Sequence[ProcessKey]]
"""The parents of a process, its own first."""

Names = Mapping[ProcessKey, str]


def _below(parents: Counter[ProcessKey], lines: Lines) -> tuple[Counter[ProcessKey], dict[ProcessKey, int]]:
    """Count each process's starts with those of all below it, and how deep it is."""
    counts, depths = Counter(parents), {key: len(lines.get(key, ())) for key in parents}
    for key, number in parents.items():
        line = lines.get(key, ())
        for above, own in enumerate(line, 1):
            counts[own] += number
            depths.setdefault(own, len(line) - above)
    return counts, depths


def _culprit(parents: Counter[ProcessKey], lines: Lines) -> tuple[ProcessKey, float] | None:
    """The deepest process that most starts are at or below, with its part of them."""
    counts, depths = _below(parents, lines)
    total = parents.total()
    most = [key for key, number in counts.items() if total and number / total >= _SHARE]
    if not most:
        return None
    key = max(most, key=lambda own: (depths[own], counts[own]))
    return key, counts[key] / total


def start_culprits(parents: Counter[ProcessKey], lines: Lines, names: Names) -> Mapping[tuple[str, Subject], Sequence[Subject]]:
    """Return the process that most starts are at or below, if there is one."""
    found = _culprit(parents, lines)
    return {("parent", HOST): (_subject(found[0], names),)} if found else {}


def start_signals(number: int, seconds: float, cpus: int, parents: Counter[ProcessKey], lines: Lines, names: Names) -> Iterator[Signal]:
    """Yield the starts a second for each CPU, and the part of them at or below one process."""
    yield Signal("process.starts", HOST, number / seconds / max(cpus, 1), "1/s", "processes started for each CPU", _SOURCE, number)
    found = _culprit(parents, lines)
    if found:
        yield Signal("process.share", _subject(found[0], names), found[1], "ratio", "part of all processes started", _SOURCE, number)


def _subject(key: ProcessKey, names: Names) -> Subject:
    return Subject("process", names.get(key, f"[{key.pid}]"))
