"""Attaches a probe: finds the rung that this kernel takes, sizes its tables, sets its constants and loads it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from perflens.errors import ProbeError
from perflens.kernel.attached import IN_PROGRESS, REQUEST_IS_OVER, AttachedProbe, Sizes, object_path, object_types
from perflens.kernel.btf import ObjectTypes
from perflens.kernel.features import Host
from perflens.kernel.loader import Plan, load
from perflens.kernel.programs import Programs
from perflens.kernel.variables import knobs
from perflens.probe import Probe, Rung

__all__ = ["Tuning", "attach", "require_object", "require_rights", "started", "table_entries"]

_OF_32_BIT = "*_fentry_32_*"  # programs at functions that a kernel without 32-bit system calls does not have
_AT_FUNCTIONS = ("fentry", "kprobe")
_BESIDE_SLOTS = ("overflow_slots", "hints")  # of no use where there is one slot


@dataclass(frozen=True, slots=True)
class Tuning:
    """What is set beside the thresholds: constants of the programs, and variables before they are attached; unknown ones are left out.

    ``verdicts`` are those of the filter by names, by cgroup.
    """

    knobs: Mapping[str, int] = field(default_factory=dict)
    variables: Mapping[str, Sequence[int]] = field(default_factory=dict)
    verdicts: Mapping[int, str] = field(default_factory=dict)


_UNTUNED = Tuning()


def table_entries(sizes: Sizes) -> dict[str, int]:
    """Return how many entries each table has whose number is not the object's own; of a ring, its bytes."""
    return {
        "cells": sizes.cells * sizes.shards,
        "cell_keys": sizes.cells,
        "cell_infos": sizes.cells,
        "cell_index": sizes.cells,
        "free_cells": sizes.cells,
        "slots": sizes.slots,
        "ledger": sizes.shards,
        "events": sizes.ring,
        "filter_verdicts": sizes.verdicts,
        **(dict.fromkeys(_BESIDE_SLOTS, 1) if sizes.slots == 1 else {}),
    }


def _plan(
    path: Path,
    types: ObjectTypes,
    host: Host,
    sizes: Sizes,
    rung: Rung,
    extra: tuple[str, ...],
    own: Mapping[str, int],
    shared: Mapping[str, int] = MappingProxyType({}),
) -> Plan:
    attached = (*rung.programs, *rung.waits, *rung.locks, *rung.either)
    beside = (IN_PROGRESS, REQUEST_IS_OVER) if host.kernel_btf else (REQUEST_IS_OVER,)
    fixed = {"shard_mask": sizes.shards - 1, "slot_mask": sizes.slots - 1, "events_quarter": sizes.ring // 4}
    fixed |= {"shared_slots": host.pid_max > sizes.slots, **own}
    return Plan(
        path,
        (*attached, *rung.tails.values(), *beside, *extra),
        attached,
        knobs(types, host, fixed),
        types.variables,
        table_entries(sizes),
        shared,
        rung.functions,
        rung.tails,
        "" if host.compat_syscalls else _OF_32_BIT,
        # Types that this kernel does not have libbpf looks for in every module, which takes CAP_SYS_ADMIN, unless it is given a file.
        host.given_btf or (None if "CAP_SYS_ADMIN" in host.capabilities else host.btf),
    )


def started(
    loaded: Programs,
    types: ObjectTypes,
    sizes: Sizes,
    probe: Probe,
    rung: Rung,
    procfs: str | None,
    thresholds: Sequence[int],
    tuning: Tuning,
) -> AttachedProbe:
    """Set what programs that are loaded begin with, and attach them; on an error they are let go."""
    try:
        attached = AttachedProbe(loaded, types, sizes, probe, rung, len(thresholds), procfs)
        attached.set_thresholds(thresholds)
        attached.tune(tuning.variables)
        for cgroup_id, verdict in tuning.verdicts.items():
            attached.decide(cgroup_id, verdict)
        attached.attach()
    except BaseException:
        loaded.close()
        raise
    return attached


def require_rights(host: Host) -> None:
    """ProbeError unless this process may load programs."""
    if not host.may_load:
        missing = " and ".join(sorted({"CAP_BPF", "CAP_PERFMON"} - host.capabilities))
        raise ProbeError(f"{missing} missing", f"run as root, or grant {missing} (docs/troubleshooting.md#capabilities)")


def require_object(path: Path) -> None:
    """ProbeError unless the compiled object can be read."""
    if not os.access(path, os.R_OK):
        raise ProbeError(f"{path} is missing", "run make, or reinstall perflens")


def _require(host: Host, path: Path) -> None:
    require_rights(host)
    if host.btf is None:
        raise ProbeError(
            "this kernel has no BTF at /sys/kernel/btf/vmlinux",
            "use a kernel with CONFIG_DEBUG_INFO_BTF=y, give a file with --btf.path, or leave --loader out (docs/troubleshooting.md#btf)",
        )
    require_object(path)


def _without_traced(rung: Rung) -> Rung:
    return replace(rung, either=tuple(name for name in rung.either if not name.endswith("_fexit")))


def _candidates(probe: Probe, rung: str, host: Host) -> list[Rung]:
    """The rungs to try in turn: each with its waits first, then without; with each of its alternatives, then with none."""
    refused = _AT_FUNCTIONS if not host.ftrace_enabled else ("fentry",) if host.untraceable else ()
    possible = [_without_traced(own) for own in probe.rungs if own.name not in refused] if refused else probe.rungs
    chosen = [own if host.traces_locks else replace(own, locks=()) for own in possible if rung in ("auto", own.name)]
    waiting = [own for full in chosen for own in ((full, replace(full, waits=(), locks=())) if full.waits else (full,))]
    return [replace(own, either=beside) for own in waiting for beside in (*((name,) for name in own.either), ())]


def _refusal(reasons: Sequence[tuple[str, ProbeError]]) -> ProbeError:
    """Every reason with the rungs that it refused, or the one that refused all, with the last one's cure."""
    refused: dict[str, list[str]] = {}
    for rung, error in reasons:
        refused.setdefault(error.reason, []).append(rung)
    told = [f"{', '.join(dict.fromkeys(rungs))}: {reason}" for reason, rungs in refused.items()]
    return ProbeError("; ".join(told) if len(told) > 1 else next(iter(refused)), reasons[-1][1].cure)


def attach(
    name: str,
    probe: Probe,
    host: Host,
    *,
    rung: str,
    sizes: Sizes,
    thresholds: Sequence[int],
    tuning: Tuning = _UNTUNED,
    procfs: str = "/proc",
    extra: tuple[str, ...] = (),
    shared: Mapping[str, int] = MappingProxyType({}),
    objects: Path | None = None,
) -> AttachedProbe:
    """Attach a probe by the first rung that works (``rung`` auto) or by the one that is named.

    ``thresholds`` holds the slow threshold in ns of each of its operations, in the order of their numbers.
    ``extra`` programs are loaded beside, for ``run``; ``shared`` are tables of another probe by name, as file descriptors.
    ProbeError with every rung's reason when none works.
    """
    path = object_path(name, host.machine, objects, kind=host.objects)
    _require(host, path)
    types, sizes = object_types(path), sizes.fit(probe)
    reasons = []
    seen_procfs = procfs if host.sees_all_processes else None
    for candidate in _candidates(probe, rung, host):
        try:
            plan = _plan(path, types, host, sizes, candidate, extra, tuning.knobs, shared)
            return started(load(plan), types, sizes, probe, candidate, seen_procfs, thresholds, tuning)
        except ProbeError as error:
            reasons.append((candidate.name, error))
    if not reasons and rung in probe.mechanisms:
        raise ProbeError(f"functions cannot be traced: {host.untraceable}", "use another rung (docs/troubleshooting.md#refused)")
    if not reasons:
        raise ProbeError(f"{name} has no rung {rung}", f"use one of auto, {', '.join(probe.mechanisms)}")
    raise _refusal(reasons)
