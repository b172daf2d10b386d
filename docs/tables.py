"""The kernel memory that the tables of a compiled object take, by the kernel's own arithmetic (kernel/bpf/*map*.c, ringbuf.c)."""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from perflens.kernel.attach import table_entries
from perflens.kernel.attached import SHARED, Sizes, object_path
from perflens.probe import Probe

__all__ = ["PROGRAMS", "Table", "host_bytes", "kernel_bytes", "tables_of"]

PROGRAMS = 96 * 1024
"""Bytes of a probe's programs, about: the kernel's translation of them for the CPU has no formula."""

_PAGE, _POINTER = 4_096, 8
_HASH_HEAD, _ELEMENT_HEAD, _BUCKET = 896, 48, 16
_ARRAY_HEAD, _QUEUE_HEAD, _RING_HEAD, _RING_OWN_PAGES = 312, 312, 304, 3
_MMAPABLE = 1 << 10  # BPF_F_MMAPABLE of include/uapi/linux/bpf.h
_KINDS = {
    1: "hash",
    2: "array",
    3: "array of programs",
    6: "array of each CPU",
    9: "LRU hash",
    22: "queue",
    27: "ring",
}  # enum bpf_map_type
_OF_SIZES = {
    "cells": "cells × shards",
    **dict.fromkeys(("cell_keys", "cell_infos", "cell_index", "free_cells"), "cells"),
    "slots": "slots",
    "ledger": "shards",
    "events": "ring",
    "filter_verdicts": "verdicts",
}


@dataclass(frozen=True, slots=True)
class Table:
    """One map of an object: sizes of a key and of a value in bytes, and how many entries it has, as a number and in words."""

    name: str
    kind: str
    mapped: bool
    key: int
    value: int
    entries: int
    formula: str

    def bytes(self, cpus: int) -> int:
        """Return what it takes on a host with so many possible CPUs."""
        value = _eights(self.value)
        match self.kind:
            case "ring":
                own = _RING_OWN_PAGES + self.entries // _PAGE
                return _RING_HEAD + own * _PAGE + _POINTER * (own + self.entries // _PAGE)
            case "queue":
                return _QUEUE_HEAD + self.value * (self.entries + 1)
            case "array" if self.mapped:
                return _PAGE + -(-self.entries * value // _PAGE) * _PAGE
            case "array" | "array of programs":
                return _ARRAY_HEAD + self.entries * value
            case "array of each CPU":
                return _ARRAY_HEAD + self.entries * (_POINTER + value * cpus)
        spare = cpus if self.kind == "hash" else 0
        buckets = 1 << (self.entries - 1).bit_length()
        return _HASH_HEAD + _BUCKET * buckets + (_ELEMENT_HEAD + _eights(self.key) + value) * (self.entries + spare) + _POINTER * spare


def _eights(size: int) -> int:
    return -(-size // 8) * 8


@cache
def _libbpf() -> ctypes.CDLL:
    lib = ctypes.CDLL("libbpf.so.1")
    for name in ("bpf_object__open_file", "bpf_object__next_map"):
        function = getattr(lib, name)
        function.restype, function.argtypes = ctypes.c_void_p, (ctypes.c_void_p, ctypes.c_void_p)
    for name in ("name", "type", "key_size", "value_size", "max_entries", "map_flags"):
        function = getattr(lib, f"bpf_map__{name}")
        function.restype, function.argtypes = ctypes.c_uint32, (ctypes.c_void_p,)
    lib.bpf_map__name.restype = ctypes.c_char_p
    lib.bpf_object__close.argtypes = (ctypes.c_void_p,)
    return lib


def tables_of(name: str, probe: Probe, sizes: Sizes) -> Iterator[Table]:
    """Yield the tables of a probe's object on a host of these sizes, as the agent makes them."""
    lib, fitted = _libbpf(), sizes.fit(probe)
    chosen = table_entries(fitted)
    handle = lib.bpf_object__open_file(os.fsencode(object_path(name, platform.machine())), None)
    own = lib.bpf_object__next_map(handle, None)
    while own:
        title = lib.bpf_map__name(own).decode()
        entries = chosen.get(title, lib.bpf_map__max_entries(own))
        formula = _OF_SIZES.get(title, f"{entries:,}")
        mapped = bool(lib.bpf_map__map_flags(own) & _MMAPABLE)
        kind = _KINDS[lib.bpf_map__type(own)]
        yield Table(title, kind, mapped, lib.bpf_map__key_size(own), lib.bpf_map__value_size(own), entries, formula)
        own = lib.bpf_object__next_map(handle, own)
    lib.bpf_object__close(handle)


def kernel_bytes(name: str, probe: Probe, sizes: Sizes, cpus: int) -> int:
    """Return what a probe takes of the kernel's memory, programs included."""
    return PROGRAMS + sum(table.bytes(cpus) for table in tables_of(name, probe, sizes))


def host_bytes(probes: Mapping[str, Probe], sizes: Sizes, cpus: int) -> dict[str, int]:
    """Return what each probe takes of the kernel's memory where all run: a table that two share is counted with the first."""
    found: dict[str, int] = {}
    seen: set[str] = set()
    for name, probe in probes.items():
        own = [table for table in tables_of(name, probe, sizes) if not (probe.has_requests and table.name in seen)]
        found[name] = PROGRAMS + sum(table.bytes(cpus) for table in own)
        seen |= {table.name for table in own if table.name in SHARED} if probe.has_requests else set()
    return found
