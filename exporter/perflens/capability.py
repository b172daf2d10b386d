"""What PerfLens needs which capability for (capabilities(7)), once: the configuration, the drop, the report and the log go by it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

__all__ = ["NAMES", "NEEDS", "Need", "listed", "needed"]

NAMES = (
    *("CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP", "LINUX_IMMUTABLE"),
    *("NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT"),
    *("SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE"),
    *("AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ"),
    *("PERFMON", "BPF", "CHECKPOINT_RESTORE"),
)
"""Every capability, in the order of the kernel's numbers (include/uapi/linux/capability.h)."""


class Need(NamedTuple):
    """One capability: until when it is needed, what is lost without it, and which other one the kernel takes in its place."""

    name: str
    until: Literal["attached", "maps", "end"]
    """``maps``: to the end where the kernel lets nobody else at tables (before 5.19), else until the probes are attached."""
    lost: tuple[str, ...]
    instead: str = ""


NEEDS = (
    Need("BPF", "maps", ("every probe",), "SYS_ADMIN"),
    Need("PERFMON", "attached", ("every probe",), "SYS_ADMIN"),
    Need("SYS_RESOURCE", "attached", ("every probe, on kernels before 5.11 where locked memory is limited",)),
    Need("SYSLOG", "end", ("reasons of waits", "names of kernel functions")),
    Need("SYS_PTRACE", "end", ("names of user functions of other users' processes", "paths of their programs")),
    Need("DAC_READ_SEARCH", "end", ("names of user functions of programs that only their owner may read",), "DAC_OVERRIDE"),
    Need("CHECKPOINT_RESTORE", "end", ("names of user functions of libraries that were replaced while they were used",), "SYS_ADMIN"),
)


def needed(has: Iterable[str], *, maps: bool) -> frozenset[str]:
    """Return which of these an agent still needs when its probes are attached; ``maps`` is whether tables need CAP_BPF."""
    held = frozenset(has)
    lasting = [own for own in NEEDS if own.until == "end" or (own.until == "maps" and maps)]
    return frozenset(own.name if own.name in held else own.instead for own in lasting) & held


def listed(names: Iterable[str]) -> str:
    """Return capabilities in words: ``BPF,SYSLOG``, ``all``, ``all but SYS_RESOURCE``, ``none``."""
    found = frozenset(names)
    missing = [name for name in NAMES if name not in found]
    if len(missing) < len(NAMES) // 2:
        return f"all but {','.join(missing)}" if missing else "all"
    return ",".join(name for name in NAMES if name in found) or "none"
