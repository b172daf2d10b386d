"""What the hooks of the waits add to a context switch, against empty programs at the same places."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

from perflens.agent.running import operations_of
from perflens.kernel.attach import Tuning, attach
from perflens.kernel.attached import AttachedProbe, Sizes
from perflens.kernel.features import Host, inspect
from perflens.probe import Probe
from perflens.registry import discover
from tests.bench.report import Line, Result
from tests.bench.syscalls import (
    EMPTY_PAIR,
    PROBE,
    Load,
    Variant,
    compile_object,
    empty_programs,
    file_probe,
    measured,
    medians,
    while_attached,
)

__all__ = ["pipe", "switch"]

_ROUNDS = 31
_ALL = "all families"
_KINDS = ("raw_tp", "tp_btf")
_WAITS_ALONE = replace(PROBE, rungs=tuple(replace(rung, programs=(*rung.waits, *rung.locks), waits=(), locks=()) for rung in PROBE.rungs))


@contextmanager
def _bench(floors: Mapping[str, tuple[str, ...]], probe: Probe) -> Iterator[tuple[Load, dict[str, Variant]]]:
    """The load, and the variants: bare, each floor and each rung of the probe."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="perflens-bench-", dir="/var/tmp")))
        load_process = Load(folder, max(os.sched_getaffinity(0)))
        stack.callback(load_process.close)
        host, empty = inspect(), compile_object(folder)
        variants: dict[str, Variant] = {"bare": nullcontext}
        for name, programs in floors.items():
            variants[name] = partial(while_attached, stack.enter_context(empty_programs(empty, *programs)))
        for rung in probe.rungs:
            variants[rung.name] = partial(while_attached, stack.enter_context(file_probe(host, rung.name, lambda: 0, probe)))
        if probe is _WAITS_ALONE:
            variants[_ALL] = partial(_together, _families(host, stack))
        yield load_process, variants


def _families(host: Host, stack: ExitStack) -> list[AttachedProbe]:
    """Load all families as the agent does, the file probe with its waits alone."""
    found: dict[str, AttachedProbe] = {}
    for name, probe in discover().items():
        held = name == "file" and found["block"].looks_at_switches
        found[name] = attach(
            name,
            _WAITS_ALONE if name == "file" else probe,
            host,
            rung="tp_btf",
            sizes=Sizes.of(host, 4_096),
            thresholds=[1 << 62] * len(operations_of(name, probe, host.machine)),
            tuning=Tuning(knobs={"notes_held": held}),
            shared=found["block"].shared() if name == "file" else {},
        )
        stack.callback(found[name].close)
        found[name].detach()
    return list(found.values())


@contextmanager
def _together(probes: Sequence[AttachedProbe]) -> Iterator[None]:
    with ExitStack() as stack:
        for own in probes:
            stack.enter_context(while_attached(own))
        if probes[0].looks_at_switches:
            probes[0].leave_switches()
        yield


def switch() -> Iterator[Line]:
    """Added ns of a context switch by sched_yield, as a multiple of what the empty raw_tp hooks of a switch and a wake-up add."""
    floors = {f"empty {kind}": (f"empty_switch_{kind}", f"empty_waking_{kind}") for kind in _KINDS}
    with _bench(floors, _WAITS_ALONE) as (load_process, variants):
        found = measured(variants, "yield", load_process, _ROUNDS)
    for rung in PROBE.rungs:
        value = found.added_ratio(rung.name, "empty raw_tp", "bare")
        yield Result("switch", f"added by the waits of {rung.name} / added by empty raw_tp hooks", value, "×", 2.0, medians(found))
    value = found.added_ratio(_ALL, "empty raw_tp", "bare")
    yield Result("switch", "added by the waits of tp_btf, block and process / added by empty raw_tp hooks", value, "×", 2.0, medians(found))
    value = found.added_ratio("empty tp_btf", "empty raw_tp", "bare")
    yield Result("switch", "added by empty tp_btf hooks / added by empty raw_tp hooks", value, "×", None, "another floor")


def pipe() -> Iterator[Line]:
    """Added ns of a byte through a pipe and back, as a multiple of what empty programs at all the same places add."""
    with _bench({"empty raw_tp": (*EMPTY_PAIR, "empty_switch_raw_tp", "empty_waking_raw_tp")}, PROBE) as (load_process, variants):
        found = measured(variants, "pipe", load_process, _ROUNDS)
    for rung in PROBE.rungs:
        value = found.added_ratio(rung.name, "empty raw_tp", "bare")
        yield Result("pipe", f"added by {rung.name} with waits / added by empty programs", value, "×", None, medians(found))
