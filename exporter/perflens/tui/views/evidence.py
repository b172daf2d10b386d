"""The evidence of one incident or window: causes with the facts for and against them, and what may help."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from perflens.tui import units
from perflens.tui.asks import ANALYSES, INCIDENTS, Ask, Data
from perflens.tui.diagnoses import Action, Cause, Diagnosis, Fact
from perflens.tui.lines import Line, line
from perflens.tui.page import Page, Size, View, of_lines
from perflens.tui.state import State
from perflens.tui.text import wrap

__all__ = ["VIEW"]

_MOST_VICTIMS = 5


def _asks(_: State) -> tuple[Ask[Any], ...]:
    return INCIDENTS, ANALYSES


def page(data: Data, state: State, size: Size) -> Page:
    """Return the evidence of what is selected in the history."""
    found = [*(data.of(INCIDENTS) or ()), *(data.of(ANALYSES) or ())]
    own = next((one for one in found if one.id == state.diagnosis), None)
    if own is None:
        return of_lines([line(("this one is not kept any more", "dim"))])
    return of_lines([*_what(own, size.width), *_causes(own, size.width), *_rest(own, size.width)])


def _what(own: Diagnosis, width: int) -> Iterator[Line]:
    kind = "window" if own.state == "window" else f"incident {own.id}"
    yield line((f"{own.cause} ", "cause"), own.subject)
    yield line((f"{kind}, ", "dim"), own.state if own.state != "window" else "", f" {own.severity}" if own.severity else "")
    until = f", resolved {units.clock(own.resolved)}" if own.resolved else ""
    yield line((f"from {units.clock(own.opened)}, seen until {units.clock(own.updated)}{until}", "dim"))
    yield from (line(text) for text in wrap(own.summary, width))
    slow = own.analysis
    yield line((f"{units.count(slow.slow)} slow operations, {units.duration(int(slow.slow_seconds * 1e9))}", "dim"))


def _causes(own: Diagnosis, width: int) -> Iterator[Line]:
    facts = {fact.id: fact for fact in own.analysis.facts}
    for number, cause in enumerate(own.causes, 1):
        yield line()
        score = f"  {cause.confidence} confidence, score {cause.score:.2f}, explains {cause.explains:.0%}"
        yield line((f"{number}. {cause.code} ", "cause"), cause.subject, (score, "dim"))
        if cause.culprit:
            yield line(("   caused by ", "dim"), cause.culprit)
        if not own.summary.startswith(cause.claim):
            yield from _indented(cause.claim, width)
        yield from _facts("+", "good", cause.supporting, facts, width)
        yield from _facts("-", "bad", cause.against, facts, width)
        yield from _actions(cause, width)


def _facts(mark: str, style: str, ids: Iterable[str], facts: dict[str, Fact], width: int) -> Iterator[Line]:
    for one in ids:
        fact = facts.get(one)
        text = _told(fact) if fact else "not kept"
        for more, part in enumerate(wrap(text, width - 12)):
            yield line((f"   {mark} {one} " if not more else " " * (len(one) + 6), style), part)


def _told(fact: Fact) -> str:
    usual = f", usually {_value(fact.baseline, fact.unit)}" if fact.baseline is not None else ""
    detail = f": {fact.detail}" if fact.detail else ""
    quality = f" ({fact.quality})" if fact.quality not in ("", "exact") else ""
    return f"{fact.text}{detail} [{fact.subject or 'host'}] {_value(fact.value, fact.unit)}{usual}{quality}"


def _value(value: float, unit: str) -> str:
    if unit == "s" and value >= 0:
        return units.duration(int(value * 1e9))
    if unit == "ratio":
        return f"{value:.0%}" if abs(value) <= 1 else f"{value:.3g} times"
    return f"{value:.3g}{f' {unit}' if unit and unit != 'none' else ''}"


def _actions(cause: Cause, width: int) -> Iterator[Line]:
    for action in cause.actions:
        yield from _action(action, width)


def _action(own: Action, width: int) -> Iterator[Line]:
    for more, part in enumerate(wrap(own.text, width - 5)):
        yield line((" " * 5 if more else "   > ", "accent"), part)
    for name, text in (("run", own.command), ("risk", own.risk), ("verify", own.verify)):
        for more, part in enumerate(wrap(text, width - 8 - len(name))):
            yield line((" " * (8 + len(name)) if more else f"       {name} ", "dim"), part)


def _rest(own: Diagnosis, width: int) -> Iterator[Line]:
    if own.analysis.victims:
        yield line()
        yield line(("Who waited", "bold"))
        for name, seconds in own.analysis.victims[:_MOST_VICTIMS]:
            yield line(f"  {units.duration(int(seconds * 1e9)):>7}  {name}")
    if own.analysis.gaps:
        yield line()
        yield line(("What could not be measured", "bold"))
        for gap in own.analysis.gaps:
            yield from (line((f"  {part}", "dim")) for part in wrap(gap, width - 2))


def _indented(text: str, width: int) -> Iterator[Line]:
    yield from (line(f"   {part}") for part in wrap(text, width - 3))


VIEW = View("evidence", "evidence", _asks, page)
