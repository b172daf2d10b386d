"""Numbers and names as people read them: three significant digits, and a unit that suits the size."""

from __future__ import annotations

import re

from perflens.analysis import Fact, Subject

__all__ = ["quantity", "told", "uncited", "who"]

_TIMES = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
_CITED = re.compile(r"\s*\(\s*E\d+(?:\s*(?:,|;|and)\s*E\d+)*\s*\)")
_BYTES = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B"))


def _digits(value: float) -> str:
    text = f"{value:.3g}"
    return f"{float(text):.0f}" if "e" in text else text


def quantity(value: float, unit: str) -> str:
    """Return a value with its unit: 0.0482 s is 48.2 ms, 0.5 ratio is 50 %, 2500000 B/s is 2.5 MB/s."""
    if unit == "ratio":
        return f"{_digits(100 * value)} %"
    if unit == "s":
        return next((f"{_digits(value / size)} {name}" for size, name in _TIMES if abs(value) >= size), "0 s")
    if unit in ("B", "B/s"):
        own = next((f"{_digits(value / size)} {name}" for size, name in _BYTES if abs(value) >= size), "0 B")
        return own + unit[1:]
    return f"{_digits(value)}{unit[1:] if unit.startswith('1/') else ' ' + unit if unit else ''}"


def who(subject: Subject | None) -> str:
    """Return a subject's name, as it stands in a sentence."""
    if subject is None:
        return "nobody in particular"
    return "the host" if subject.kind == "host" else subject.name or "an owner without a name"


def uncited(text: str) -> str:
    """Return text without the ids of facts in brackets: in another bundle they are of other facts."""
    return _CITED.sub("", text)


def told(fact: Fact) -> str:
    """Return a fact as a line: id, subject, what it is, its value and what is usual."""
    if fact.detail:
        return f"{fact.id} {who(fact.subject)}: {fact.text}: {fact.detail}"
    usual = "" if fact.baseline is None else f" (usual {quantity(fact.baseline, fact.unit)})"
    return f"{fact.id} {who(fact.subject)}: {fact.text} {quantity(fact.value, fact.unit)}{usual}"
