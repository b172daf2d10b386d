"""Attaches a probe: finds the rung that this kernel takes, sizes its tables, sets its constants and loads it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from perflens.errors import ProbeError
from perflens.kernel.attached import IN_PROGRESS, AttachedProbe, Sizes, object_path, object_types
from perflens.kernel.btf import ObjectTypes
from perflens.kernel.features import Host
from perflens.kernel.loader import Plan, load
from perflens.kernel.variables import knobs
from perflens.probe import Probe, Rung

__all__ = ["Tuning", "attach"]

_BESIDE_SLOTS = ("overflow_slots", "hints", "sleeps", "sleep_scratch", "wait_frames")  # of no use where there is one slot


@dataclass(frozen=True, slots=True)
class Tuning:
    """What is set beside the thresholds: constants of the programs, and variables before they are attached; unknown ones are left out."""

    knobs: Mapping[str, int] = field(default_factory=dict)
    variables: Mapping[str, Sequence[int]] = field(default_factory=dict)


_UNTUNED = Tuning()


def _plan(path: Path, types: ObjectTypes, host: Host, sizes: Sizes, rung: Rung, extra: tuple[str, ...], own: Mapping[str, int]) -> Plan:
    entries = {
        "cells": sizes.cells * sizes.shards,
        "cell_keys": sizes.cells,
        "cell_infos": sizes.cells,
        "cell_index": sizes.cells,
        "free_cells": sizes.cells,
        "slots": sizes.slots,
        "ledger": sizes.shards,
        "events": sizes.ring,
        **(dict.fromkeys(_BESIDE_SLOTS, 1) if sizes.slots == 1 else {}),
    }
    attached = (*rung.programs, *rung.waits, *rung.locks)
    fixed = {"shard_mask": sizes.shards - 1, "slot_mask": sizes.slots - 1, "events_quarter": sizes.ring // 4, **own}
    known = {name: value for name, value in fixed.items() if name in types.variables}
    return Plan(path, (*attached, IN_PROGRESS, *extra), attached, knobs(types, host, known), types.variables, entries)


def _try(
    plan: Plan, types: ObjectTypes, sizes: Sizes, rung: Rung, procfs: str | None, thresholds: Sequence[int], tuning: Tuning
) -> AttachedProbe:
    loaded = load(plan)
    try:
        attached = AttachedProbe(loaded, types, sizes, rung, len(thresholds), procfs)
        attached.set_thresholds(thresholds)
        attached.tune(tuning.variables)
        attached.attach()
    except BaseException:
        loaded.close()
        raise
    return attached


def _require(host: Host, path: Path) -> None:
    if not host.may_load:
        missing = " and ".join(sorted({"CAP_BPF", "CAP_PERFMON"} - host.capabilities))
        raise ProbeError(f"{missing} missing", f"run as root, or grant {missing} (docs/troubleshooting.md#capabilities)")
    if host.btf is None:
        raise ProbeError(
            "this kernel has no BTF at /sys/kernel/btf/vmlinux", "use a kernel with CONFIG_DEBUG_INFO_BTF=y (docs/troubleshooting.md#btf)"
        )
    if not os.access(path, os.R_OK):
        raise ProbeError(f"{path} is missing", "run make, or reinstall perflens")


def _candidates(probe: Probe, rung: str, host: Host) -> list[Rung]:
    """The rungs to try in turn: each with its waits first, then without."""
    chosen = [own if host.traces_locks else replace(own, locks=()) for own in probe.rungs if rung in ("auto", own.name)]
    return [own for full in chosen for own in ((full, replace(full, waits=(), locks=())) if full.waits else (full,))]


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
    objects: Path | None = None,
) -> AttachedProbe:
    """Attach a probe by the first rung that works (``rung`` auto) or by the one that is named.

    ``thresholds`` holds the slow threshold in ns of each of its operations, in the order of their numbers.
    ``extra`` programs are loaded beside, for ``run``. ProbeError with every rung's reason when none works.
    """
    path = object_path(name, host.machine, objects)
    _require(host, path)
    types, sizes = object_types(path), sizes.fit(probe)
    reasons = []
    seen_procfs = procfs if host.sees_all_processes else None
    for candidate in _candidates(probe, rung, host):
        try:
            plan = _plan(path, types, host, sizes, candidate, extra, tuning.knobs)
            return _try(plan, types, sizes, candidate, seen_procfs, thresholds, tuning)
        except ProbeError as error:
            reasons.append((candidate.name, error))
    if not reasons:
        raise ProbeError(f"{name} has no rung {rung}", f"use one of auto, {', '.join(rung.name for rung in probe.rungs)}")
    if len(reasons) == 1:
        raise reasons[0][1]
    raise ProbeError("; ".join(f"{tried}: {error.reason}" for tried, error in reasons), reasons[-1][1].cure)
