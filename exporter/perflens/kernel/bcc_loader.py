"""The second loader, for kernels without BTF: bcc compiles the programs of bpf/bcc/ from the kernel's headers.

Their tables are laid out like those of the CO-RE objects, so that an AttachedProbe works on them as on those.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from perflens.errors import ProbeError
from perflens.kernel import bcc_headers, bcc_source, elf
from perflens.kernel.attach import Tuning, require_object, require_rights, started, table_entries
from perflens.kernel.attached import AttachedProbe, Sizes, object_path, object_types
from perflens.kernel.bcc_loaded import BccLoaded
from perflens.kernel.bcc_process import compiled
from perflens.kernel.btf import ObjectTypes
from perflens.kernel.features import Host
from perflens.kernel.libbpf import library
from perflens.kernel.variables import knobs
from perflens.probe import Probe, Rung

__all__ = ["MECHANISM", "attach"]

MECHANISM = "bcc"
_FIRST = bytes(4)  # the key of a table with one element


def _without_waits(types: ObjectTypes) -> ObjectTypes:
    """The types of an object but for the table of functions in which a sleep has a reason: these programs have none."""
    return replace(types, structs={name: own for name, own in types.structs.items() if name != "wait_frame"})


def _constants(path: Path, types: ObjectTypes) -> dict[str, bytes]:
    """What the constants of an object hold when the agent sets none."""
    held = elf.sections(path.read_bytes())
    return {
        name: held[own.section][own.field.offset :][: own.field.size]
        for name, own in types.variables.items()
        if own.section.startswith(".rodata")
    }


def _load(name: str, types: ObjectTypes, constants: Mapping[str, bytes], sizes: Sizes) -> BccLoaded:
    """Compile and load; constants that are tables are set, the others are in the text."""
    numbers = {own: int.from_bytes(value, "little") for own, value in constants.items() if types.variables[own].field.count == 1}
    entries = {f"{table}_entries": count for table, count in table_entries(sizes).items()}
    traits = bcc_headers.traits(bcc_headers.find(os.uname().release))
    program = bcc_source.program(name)
    declared = bcc_source.declarations(types, types.structs, {**numbers, **entries, **traits})
    found = compiled(name, declared + program.text, (*program.tracepoints, *program.by_hand))
    tracepoints = {own: tracepoint for own, tracepoint in program.tracepoints.items() if own in found.programs}
    loaded = BccLoaded(library(), found.programs, found.tables, tracepoints)
    for table in found.tables.keys() & constants.keys():
        loaded.update(table, _FIRST, constants[table])
    return loaded


def _require(name: str, host: Host, rung: str, path: Path) -> None:
    if rung not in ("auto", MECHANISM):
        raise ProbeError(f"{rung} is no rung of the bcc loader", f"leave probes.{name}.attach out")
    require_rights(host)
    require_object(path)


def attach(
    name: str,
    probe: Probe,
    host: Host,
    *,
    rung: str,
    sizes: Sizes,
    thresholds: Sequence[int],
    tuning: Tuning,
    procfs: str = "/proc",
) -> AttachedProbe:
    """Compile, load and attach a probe's programs; the arguments are those of ``kernel.attach.attach``.

    ProbeError, with the cure, when bcc or the kernel's headers are missing, or the compiler or the kernel refuses the programs.
    """
    path = object_path(name, host.machine)
    _require(name, host, rung, path)
    types, sizes = _without_waits(object_types(path)), sizes.fit(probe)
    fixed = {"shard_mask": sizes.shards - 1, "slot_mask": sizes.slots - 1, "shared_slots": host.pid_max > sizes.slots, **tuning.knobs}
    loaded = _load(name, types, {**_constants(path, types), **knobs(types, host, fixed)}, sizes)
    rung_of_bcc = Rung(MECHANISM, tuple(loaded.programs()))
    return started(loaded, types, sizes, probe, rung_of_bcc, procfs if host.sees_all_processes else None, thresholds, tuning)
