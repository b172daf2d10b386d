"""What this host has, found by looking at the feature itself and never at a version."""

from __future__ import annotations

import mmap
import os
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from perflens.capability import NAMES, NEEDS
from perflens.errors import LayoutError
from perflens.kernel.btf import prototype_parameters
from perflens.kernel.tryload import why_functions_cannot_be_traced
from perflens.model import Mount

__all__ = ["Host", "capabilities", "inspect", "knows", "memory_hierarchy", "memory_on_v1", "mounts", "number", "possible_cpus"]

_CAPABILITIES = {f"CAP_{name}": NAMES.index(name) for name in ("DAC_OVERRIDE", "SYS_ADMIN", *(own.name for own in NEEDS))}


_BTF = Path("/sys/kernel/btf/vmlinux")  # where libbpf looks, whatever --path.sysfs says
_ESCAPE = re.compile(r"\\([0-7]{3})")
_INITIAL_PID_NAMESPACE = 0xEFFFFFFC  # PROC_PID_INIT_INO of include/linux/proc_ns.h


@dataclass(frozen=True, slots=True)
class Host:
    """The facts that decide what can be attached and how large the shared tables are.

    ``untraceable`` says why functions cannot be traced, and is empty where they can; with ``ftrace_enabled`` false (a sysctl) a kernel
    takes programs and kprobes at functions and calls none. ``compat_syscalls`` says whether 32-bit programs run.
    ``queue_first`` says that the tracepoints of requests have the queue before the request, ``request_flags_enum`` that the flags of
    requests are those of an enum.
    ``sees_all_processes`` is false in a PID namespace of its own, and where procfs hides the processes of others (hidepid) or is none: a
    thread that cannot be seen there may well be alive.
    ``btf`` is the file of the kernel's types, ``given_btf`` if it is not the kernel's own; ``kernel_btf`` says whether the kernel has
    them itself, which typed programs and iterators need.
    """

    machine: str
    kernel: str
    possible_cpus: int
    pid_max: int
    btf: Path | None
    read_by_cast: bool
    traces_locks: bool
    untraceable: str
    ftrace_enabled: bool
    compat_syscalls: bool
    queue_first: bool
    request_flags_enum: bool
    owner_by_memory: bool
    owner_hierarchy: int
    capabilities: frozenset[str]
    perf_event_paranoid: int | None
    lockdown: str
    tracefs: bool
    sees_all_processes: bool
    kernel_btf: bool = True
    given_btf: Path | None = None

    @property
    def objects(self) -> str:
        """The kind of objects that this kernel takes: ``bpf``, ``uncast.bpf`` before 6.2, ``bare.bpf`` without BTF of its own."""
        if not self.kernel_btf:
            return "bare.bpf"
        return "bpf" if self.read_by_cast else "uncast.bpf"

    @property
    def may_load(self) -> bool:
        """Whether this process may load and attach tracing programs."""
        return "CAP_SYS_ADMIN" in self.capabilities or {"CAP_BPF", "CAP_PERFMON"} <= self.capabilities


def _text(path: Path, default: str = "") -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return default


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def number(path: Path) -> int | None:
    """Return the number that a file of procfs holds; None when there is none."""
    text = _text(path)
    return int(text) if text.removeprefix("-").isdecimal() else None


def possible_cpus(text: str) -> int:
    """Return how many CPUs a kernel's list such as ``0-3,8`` can name: the last number and one."""
    last = text.replace(",", "-").rsplit("-", 1)[-1]
    return int(last) + 1 if last.isdecimal() else os.cpu_count() or 1


def capabilities(status: str) -> frozenset[str]:
    """Return the effective capabilities among those that PerfLens knows, from the text of /proc/PID/status."""
    bits = next((int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:\t")), 0)
    return frozenset(name for name, bit in _CAPABILITIES.items() if bits >> bit & 1)


def _unescaped(path: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), path)


def _whole(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) <= 10 else 0


def _mount(fields: Sequence[str], fstype: str, source: str, options: str) -> Mount:
    major, _, minor = fields[2].partition(":")
    return Mount(
        _unescaped(fields[3]),
        _unescaped(fields[4]),
        fstype,
        frozenset(options.split(",")),
        number=_whole(fields[0]),
        parent=_whole(fields[1]),
        device=(_whole(major), _whole(minor)),
        source=_unescaped(source),
    )


def mounts(mountinfo: str) -> tuple[Mount, ...]:
    """Return the mounts that the text of /proc/PID/mountinfo lists."""
    found = []
    for line in mountinfo.split("\n"):  # a mount point may hold whatever else ends a line for Python
        left, separator, right = line.partition(" - ")
        fields, tail = left.split(" "), right.split(" ")
        if separator and len(fields) >= 6 and len(tail) >= 3:
            found.append(_mount(fields, *tail[:3]))
    return tuple(found)


def memory_hierarchy(cgroups: str) -> int:
    """Return the number of the cgroup v1 hierarchy that has the memory controller, 0 when v2 has it, from the text of /proc/cgroups."""
    for line in cgroups.splitlines():
        fields = line.split()
        if len(fields) == 4 and fields[0] == "memory" and fields[3] == "1" and fields[1].isdecimal():
            return int(fields[1])
    return 0


def memory_on_v1(cgroups: str) -> bool:
    """Return whether the memory controller is on a cgroup v1 hierarchy, from the text of /proc/cgroups."""
    return memory_hierarchy(cgroups) != 0


def knows(btf: Path, name: bytes) -> bool:
    """Return whether the kernel's BTF holds a name; its strings lie in it as plain text."""
    try:
        with btf.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            try:
                with mmap.mmap(file.fileno(), size, prot=mmap.PROT_READ) as content:  # 6.16 maps it (a539e2a6d51d)
                    return content.find(b"\0" + name + b"\0") >= 0
            except (OSError, ValueError):
                return b"\0" + name + b"\0" in file.read()
    except OSError:
        return False


@cache
def _parameters(btf: Path, name: bytes) -> int | None:
    """How many parameters the prototype of this name has, its context included; None when the kernel has none."""
    try:
        return prototype_parameters(btf.read_bytes(), name) if knows(btf, name) else None
    except (OSError, LayoutError):
        return None


def _lockdown(text: str) -> str:
    _, _, rest = text.partition("[")
    return rest.partition("]")[0] or "unknown"


def _shows_all_processes(proc: Path) -> bool:
    """Whether it is the procfs of the first PID namespace, and shows a process of root's: the first one always runs."""
    whose = "self" if proc == Path("/proc") else "1"  # our own namespace can be told without CAP_SYS_PTRACE
    return os.access(proc / "1/stat", os.R_OK) and _inode(proc / whose / "ns/pid") in (_INITIAL_PID_NAMESPACE, 0)


def inspect(procfs: str = "/proc", sysfs: str = "/sys", btf: Path | None = None) -> Host:
    """Look at this host; nothing that is missing is an error here."""
    proc, sys = Path(procfs), Path(sysfs)
    given, btf = btf, btf or _BTF
    own = os.access(_BTF, os.R_OK)
    ftrace = number(proc / "sys/kernel/ftrace_enabled") != 0
    return Host(
        machine=platform.machine(),
        kernel=platform.release(),
        possible_cpus=possible_cpus(_text(sys / "devices/system/cpu/possible")),
        pid_max=number(proc / "sys/kernel/pid_max") or 4_194_304,
        btf=btf if os.access(btf, os.R_OK) else None,
        read_by_cast=own and knows(btf, b"bpf_rdonly_cast"),
        traces_locks=knows(btf, b"btf_trace_contention_begin"),
        untraceable=why_functions_cannot_be_traced() if ftrace else "kernel.ftrace_enabled is 0",
        ftrace_enabled=ftrace,
        compat_syscalls=knows(btf, b"__ia32_compat_sys_preadv") or knows(btf, b"__arm64_compat_sys_preadv"),
        queue_first=_parameters(btf, b"btf_trace_block_rq_issue") == 3,
        request_flags_enum=knows(btf, b"__RQF_FLUSH_SEQ"),
        owner_by_memory=memory_on_v1(_text(proc / "cgroups")),
        owner_hierarchy=memory_hierarchy(_text(proc / "cgroups")),
        capabilities=capabilities(_text(Path("/proc/self/status"))),
        perf_event_paranoid=number(proc / "sys/kernel/perf_event_paranoid"),
        lockdown=_lockdown(_text(sys / "kernel/security/lockdown")),
        tracefs=os.access(sys / "kernel/tracing/events", os.R_OK),
        sees_all_processes=_shows_all_processes(proc),
        kernel_btf=own,
        given_btf=given,
    )
