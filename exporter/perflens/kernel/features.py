"""What this host has, found by looking at the feature itself and never at a version."""

from __future__ import annotations

import mmap
import os
import platform
from dataclasses import dataclass
from pathlib import Path

from perflens.model import Mount

__all__ = ["Host", "capabilities", "inspect", "memory_hierarchy", "memory_on_v1", "mounts", "possible_cpus"]

_CAPABILITIES = {
    "CAP_DAC_READ_SEARCH": 2,
    "CAP_SYS_PTRACE": 19,
    "CAP_SYS_ADMIN": 21,
    "CAP_SYS_RESOURCE": 24,
    "CAP_SYSLOG": 34,
    "CAP_PERFMON": 38,
    "CAP_BPF": 39,
    "CAP_CHECKPOINT_RESTORE": 40,
}


_BTF = Path("/sys/kernel/btf/vmlinux")  # where libbpf looks, whatever --path.sysfs says
_INITIAL_PID_NAMESPACE = 0xEFFFFFFC  # PROC_PID_INIT_INO of include/linux/proc_ns.h


@dataclass(frozen=True, slots=True)
class Host:
    """The facts that decide what can be attached and how large the shared tables are.

    ``sees_all_processes`` is false in a PID namespace of its own: a thread that cannot be seen there may well be alive.
    """

    machine: str
    kernel: str
    possible_cpus: int
    pid_max: int
    btf: Path | None
    read_by_cast: bool
    traces_locks: bool
    owner_by_memory: bool
    owner_hierarchy: int
    capabilities: frozenset[str]
    perf_event_paranoid: int | None
    lockdown: str
    tracefs: bool
    sees_all_processes: bool

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


def _number(path: Path) -> int | None:
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
    return path.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")


def mounts(mountinfo: str) -> tuple[Mount, ...]:
    """Return the mounts that the text of /proc/PID/mountinfo lists."""
    found = []
    for line in mountinfo.splitlines():
        left, separator, right = line.partition(" - ")
        fields, tail = left.split(" "), right.split(" ")
        if separator and len(fields) >= 6 and len(tail) >= 3:
            found.append(Mount(_unescaped(fields[3]), _unescaped(fields[4]), tail[0], frozenset(tail[2].split(","))))
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


def _knows(btf: Path, name: bytes) -> bool:
    """Whether the kernel's BTF holds a name; its strings lie in it as plain text."""
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


def _lockdown(text: str) -> str:
    _, _, rest = text.partition("[")
    return rest.partition("]")[0] or "none"


def inspect(procfs: str = "/proc", sysfs: str = "/sys", btf: Path | None = None) -> Host:
    """Look at this host; nothing that is missing is an error here."""
    proc, sys = Path(procfs), Path(sysfs)
    btf = btf or _BTF
    return Host(
        machine=platform.machine(),
        kernel=platform.release(),
        possible_cpus=possible_cpus(_text(sys / "devices/system/cpu/possible")),
        pid_max=_number(proc / "sys/kernel/pid_max") or 4_194_304,
        btf=btf if os.access(btf, os.R_OK) else None,
        read_by_cast=_knows(btf, b"bpf_rdonly_cast"),
        traces_locks=_knows(btf, b"btf_trace_contention_begin"),
        owner_by_memory=memory_on_v1(_text(proc / "cgroups")),
        owner_hierarchy=memory_hierarchy(_text(proc / "cgroups")),
        capabilities=capabilities(_text(Path("/proc/self/status"))),
        perf_event_paranoid=_number(proc / "sys/kernel/perf_event_paranoid"),
        lockdown=_lockdown(_text(sys / "kernel/security/lockdown")),
        tracefs=os.access(sys / "kernel/tracing/events", os.R_OK),
        sees_all_processes=procfs != "/proc" or _inode(proc / "self/ns/pid") == _INITIAL_PID_NAMESPACE,
    )
