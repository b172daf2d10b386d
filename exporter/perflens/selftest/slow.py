"""Are the operations that were held up slow ones: counted, and there as events with the stack where they slept?"""

from __future__ import annotations

from collections.abc import Iterator

from perflens.selftest.case import Case
from perflens.selftest.model import Check, Span
from perflens.selftest.subject import Event

__all__ = ["all_there", "are_counted", "checks", "held_spans"]

_STACKLESS = ("raw_tp", "bcc")  # cannot take the stack of another task
_LESS = "start the agent with a lower --threshold (the default is 5ms)"


def held_spans(case: Case) -> dict[str, list[Span]]:
    """Return the operations that were held up, by name: the last ones of each."""
    return {name: case.report.spans[name][-number:] for name, number in case.report.held.items() if number}


def all_there(case: Case) -> bool:
    """Whether there is an event for each."""
    return len(case.events or ()) >= sum(case.report.held.values())


def are_counted(case: Case) -> bool:
    """Whether any is counted as slow; no event comes of others."""
    return any(_counted(case, name) for name in case.report.held)


def _counted(case: Case, operation: str) -> int:
    return int(case.moved("perflens_slow_operations_total", probe=case.name, operation=operation, **case.labels()))


def checks(case: Case) -> Iterator[Check]:
    """Yield the lines of a family whose operations last."""
    if not case.report.spans:
        return
    held = held_spans(case)
    if not held:
        lines = ("slow", "event", *(["stack"] if case.family.slept_in else []))
        yield from (case.skipped(name, "", case.report.unheld) for name in lines)
        return
    for name in held:
        yield _slow(case, name)
    yield _event(case, held)
    if case.family.slept_in:
        yield _stack(case)


def _slow(case: Case, operation: str) -> Check:
    """The slow counter: all that surely reached the threshold, and none that surely did not."""
    title, spans = f"slow {operation}", case.report.spans[operation]
    threshold = case.thresholds[operation] or 1
    least = sum(own >= threshold for own, _ in spans) if case.thresholds[operation] else case.report.held[operation]
    most = sum(own >= threshold for _, own in spans)
    found = _counted(case, operation)
    expected = str(least) if least == most and case.is_exact else f"at least {least}"
    if least <= found and (found <= most or not case.is_exact):
        return case.ok(title, expected, found)
    if found < least:
        return case.failed(title, expected, found, f"slow operations are not counted as slow; {_LESS}")
    return case.failed(title, expected, found, "fast operations are counted as slow; start the agent with a higher --threshold")


def _event(case: Case, held: dict[str, list[Span]]) -> Check:
    expected = f"{sum(map(len, held.values()))} of {min(own for spans in held.values() for own, _ in spans) / 1e6:.0f} ms"
    if case.events is None:
        return case.skipped("event", expected, case.untold)
    if not case.events:
        return case.failed("event", expected, "none", f"{_why_none(case)}; {_LESS}")
    for name, spans in held.items():
        wrong = _wrong_duration([event for event in case.events if event["operation"] == name], spans)
        if wrong:
            cure = "raise --events.rate and --events.explained, or see perflens_slow_events_total"
            return case.failed("event", expected, f"{name}: {wrong}", f"events are missing or not as long as the operations were; {cure}")
    return case.ok("event", expected, f"{len(case.events)}, as long as they were")


def _why_none(case: Case) -> str:
    longest = max(own for spans in case.report.spans.values() for _, own in spans)
    known = min((threshold for threshold in case.thresholds.values() if threshold), default=0)
    if known > longest:
        return f"the threshold is {known / 1e9:g} s, and no operation took so long"
    return "no slow operation became an event"


def _wrong_duration(events: list[Event], spans: list[Span]) -> str:
    """Each operation that was held up has an event of its own, as long as it was.

    Bounds may overlap: the shortest event goes to those that it fits with the lowest upper bound (Glover's matching is the largest).
    """
    durations, left = sorted(int(event["duration_ns"]) for event in events), sorted(spans, key=lambda span: span[1])
    for ns in durations:
        fit = next((span for span in left if span[0] <= ns <= span[1]), None)
        if fit:
            left.remove(fit)
    if not left:
        return ""
    return f"{', '.join(map(str, durations)) or 'no event'}, none of {left[0][0]} to {left[0][1]} ns"


def _stack(case: Case) -> Check:
    wanted = case.family.slept_in
    expected = " or ".join(wanted)
    if case.mechanism in _STACKLESS:
        return case.skipped("stack", expected, f"{case.mechanism} has no stacks of sleeps; nothing is lost but them")
    if case.events is None:
        return case.skipped("stack", expected, case.untold)
    if not case.events:
        return case.failed("stack", expected, "none", f"there is no event that has one; {_LESS}")
    names = [[str(frame).partition("+")[0] for frame in event["kernel_stack"]] for event in case.events]
    found = next((name for stack in names for name in stack if name in wanted), "")
    if found:
        return case.ok("stack", expected, found)
    first = next((stack[0] for stack in names if stack), "none")
    cure = "grant CAP_SYSLOG, and set kernel.kptr_restrict to 0 or 1"
    return case.failed("stack", expected, first, f"the functions of the kernel are not named; {cure}")
