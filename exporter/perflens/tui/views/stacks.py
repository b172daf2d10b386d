"""The stacks of a process: its operations, one at a time, each with its parts, waits, requests and both stacks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from perflens.tui import units
from perflens.tui.asks import PROCESSES, Ask, Data, in_progress_of, of_process
from perflens.tui.bars import bar
from perflens.tui.lines import Line, Span, line
from perflens.tui.model import Event
from perflens.tui.page import Page, Size, View, of_lines
from perflens.tui.state import State
from perflens.tui.text import wrap

__all__ = ["VIEW", "operations"]

_ORDERS = ("longest", "newest")
_NAME = 18


def _asks(state: State) -> tuple[Ask[Any], ...]:
    if not state.process.pid:
        return ()
    return of_process(state.process.pid), in_progress_of(state.process.pid), PROCESSES


def page(data: Data, state: State, size: Size) -> Page:
    """Return the operation that is selected, the first if none is."""
    if not state.process.pid:
        return of_lines([line(("select a process first, then press s", "dim"))])
    events = operations(data, state)
    who = line((f"{state.process_name} ", "bold"), f"PID {state.process.pid}")
    if not events:
        waiting = data.of(of_process(state.process.pid)) is None or data.of(in_progress_of(state.process.pid)) is None
        reason = (
            "waiting for the agent" if waiting else "no slow operation of this process is kept: there was none, or it was not explained"
        )
        return of_lines([who, line(), *(line((text, "dim")) for text in wrap(reason, size.width))])
    at = next((number for number, event in enumerate(events) if event.id == state.event), 0)
    which = line(("operation ", "dim"), f"{at + 1} of {len(events)}", ("  ← → for the others" if len(events) > 1 else "", "dim"))
    return of_lines([*_who(events[at], who, size.width), which, line(), *_operation(events[at], size.width)])


def operations(data: Data, state: State) -> list[Event]:
    """Return the operations of the selected process: those that have not ended first, then as sorted."""
    going, ended = data.of(in_progress_of(state.process.pid)), data.of(of_process(state.process.pid)) or ()
    known = {event.id for event in ended}
    longest = tuple(
        own.slowest for own in data.of(PROCESSES) or () if own.process == state.process and own.slowest and own.slowest.id not in known
    )
    return _of(state, going or ()) + _of(state, ended + longest)


def _of(state: State, events: tuple[Event, ...]) -> list[Event]:
    own = [event for event in events if not (state.process.start and event.process.start) or event.process == state.process]
    newest = state.order(_ORDERS) == "newest"
    return sorted(own, key=lambda event: (-event.end if newest else -event.duration, event.id))


def _who(own: Event, who: Line, width: int) -> list[Line]:
    more = f"  TID {own.tid} {own.comm}" if own.tid != own.process.pid else ""
    lines = [(*who, (more, ""))]
    lines += [line(("program   ", "dim"), text) for text in wrap(own.program, width - 10)]
    lines += [line(("owner     ", "dim"), text) for text in wrap(own.owner, width - 10)]
    return lines


def _operation(own: Event, width: int) -> Iterator[Line]:
    ended = f"ended {units.precise_clock(own.end)}" if not own.in_progress else "has not ended"
    took: Span = (units.duration(own.duration), "bad" if own.in_progress else "slow")
    result = "" if own.result is None else f", result {own.result}"
    yield line((f"{own.probe} {own.operation} ", "bold"), took, f"  {ended}{result}", (f"  {own.object}", "dim"))
    where = own.path + (f"  ({' '.join(own.devices)})" if own.devices else "")
    yield from (line(("file      ", "dim"), text) for text in wrap(where, width - 10))
    yield line()
    yield line(("Where the time went", "bold"))
    for name, ns in own.parts:
        length = max(min(width - _NAME - 16, 60), 0)
        yield line(f"  {name:<{_NAME}} {units.duration(ns):>7} {units.share(ns, own.duration):>4} ", (bar(ns, own.duration, length), "bar"))
    yield from _waits(own)
    yield from _requests(own)
    yield from _stack("Kernel stack", own.kernel_stack, width)
    yield from _stack("User stack", own.user_stack, width)


def _waits(own: Event) -> Iterator[Line]:
    if not own.waits:
        return
    yield line()
    yield line(
        (f"Waits of 1 ms and more: {own.waits_seen}", "bold"),
        ("" if own.waits_seen == len(own.waits) else f", the first {len(own.waits)}", "dim"),
    )
    for wait in own.waits:
        queued = f", then {units.duration(wait.runqueue)} for a CPU" if wait.runqueue and wait.blocked else ""
        lasted = wait.blocked or wait.runqueue
        yield line(f"  at {units.duration(wait.offset):>7}  {wait.reason:<{_NAME}} {units.duration(lasted):>7}", (queued, "dim"))


def _requests(own: Event) -> Iterator[Line]:
    if not own.requests:
        return
    yield line()
    yield line((f"Requests of disks: {own.requests_seen}", "bold"))
    for one in own.requests:
        yield line(
            f"  at {units.duration(one.offset):>7}  {one.operation} {one.disk} {one.bytes} B",
            (f"  held {units.duration(one.held)}, queue {units.duration(one.queue)}, device {units.duration(one.device)}", "dim"),
            (f"  error {one.error}" if one.error else "", "bad"),
        )


def _stack(title: str, frames: tuple[str, ...], width: int) -> Iterator[Line]:
    yield line()
    yield line((title, "bold"))
    if not frames:
        yield line(("  no frames were captured", "dim"))
    for frame in frames:
        yield from (line(f"{'    ' if more else '  '}{text}") for more, text in enumerate(wrap(frame, width - 4)))


VIEW = View("stacks", "stacks", _asks, page, _ORDERS)
