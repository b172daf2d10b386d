"""kernel/conditions: what a host allows, from what procfs, sysfs and the kernel itself say."""

from __future__ import annotations

import resource
from dataclasses import replace
from pathlib import Path

import pytest

from perflens.kernel.conditions import conditions, locked_memory, tracefs_state
from perflens.kernel.features import inspect

MIB = 1 << 20
NO_LIMIT = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("soft", "hard", "own", "expected"),
    [
        (64 << 10, 64 << 10, set(), 64 << 10),
        (64 << 10, 512 * MIB, set(), 64 << 10),  # libbpf asks for no limit, and for nothing less
        (64 << 10, NO_LIMIT, set(), None),
        (NO_LIMIT, NO_LIMIT, set(), None),
        (64 << 10, 64 << 10, {"CAP_SYS_RESOURCE"}, None),
    ],
)
def test_locked_memory(soft: int, hard: int, own: set[str], expected: int | None) -> None:
    """The limit that holds is the soft one, unless libbpf may lift it."""
    assert locked_memory(soft, hard, frozenset(own)) == expected


def test_locked_memory_counts_on_older_kernels_alone(tmp_path: Path) -> None:
    """Only a kernel whose BTF has the charge of a map's memory counts tables to the limit; one that says nothing does not."""
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_bytes(b"\0bpf_map_memory\0bpf_ringbuf\0")
    new.write_bytes(b"\0bpf_ringbuf\0")
    host = replace(inspect(), capabilities=frozenset())
    soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (min(soft, MIB) if soft != NO_LIMIT else MIB, hard))
    try:
        of_old, of_new, of_none = (conditions(replace(host, btf=btf)) for btf in (old, new, None))
    finally:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (soft, hard))

    assert of_old.locked_memory == (None if hard == NO_LIMIT else min(soft, MIB))
    assert (of_new.locked_memory, of_none.locked_memory) == (None, None)


@pytest.mark.parametrize(("content", "expected"), [(b"\0bpf_ringbuf\0", True), (b"\0bpf_ringbuffer\0", False)])
def test_ring_buffer_is_known_by_its_type(tmp_path: Path, content: bytes, expected: bool) -> None:
    """A kernel before 5.8 has no such type in its BTF."""
    (tmp_path / "btf").write_bytes(content)

    assert conditions(replace(inspect(), btf=tmp_path / "btf")).ring_buffer is expected


def test_facts_of_files(tmp_path: Path) -> None:
    """Each fact is read from its own file."""
    proc, sys = tmp_path / "proc", tmp_path / "sys"
    for name, text in (("kptr_restrict", "2"), ("unprivileged_bpf_disabled", "1")):
        (proc / "sys/kernel").mkdir(parents=True, exist_ok=True)
        (proc / "sys/kernel" / name).write_text(f"{text}\n")
    (sys / "bus/event_source/devices/kprobe").mkdir(parents=True)
    told, untold = conditions(inspect(), str(proc), str(sys)), conditions(inspect(), str(tmp_path), str(tmp_path))

    assert (told.kptr_restrict, told.unprivileged_bpf_disabled, told.kprobes) == (2, 1, True)
    assert (untold.kptr_restrict, untold.unprivileged_bpf_disabled, untold.kprobes) == (None, None, False)


MOUNTED = "24 31 0:11 / {point} rw,relatime shared:5 - {fstype} {fstype} rw\n"


def test_tracefs(tmp_path: Path) -> None:
    """Mounted at one of its two places and with events that can be listed it is readable; with kprobes that can be made, writable."""
    for place in ("kernel/tracing", "kernel/debug/tracing"):
        point = tmp_path / place
        mounted = MOUNTED.format(point=point, fstype="tracefs")
        assert tracefs_state(mounted, str(tmp_path)) == "not readable"
        (point / "events").mkdir(parents=True)
        assert tracefs_state(mounted, str(tmp_path)) == "readable"
        (point / "kprobe_events").touch()
        assert tracefs_state(mounted, str(tmp_path)) == "writable"
        assert tracefs_state(MOUNTED.format(point=point, fstype="tmpfs"), str(tmp_path)) == "not mounted"
    assert tracefs_state(MOUNTED.format(point="/elsewhere", fstype="tracefs"), str(tmp_path)) == "not mounted"
