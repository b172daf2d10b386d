"""What a host allows beyond what decides how a probe attaches: facts for the diagnosis, each found by trying it or looking at it."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from perflens.kernel.features import Host, knows, mounts, number

__all__ = ["Conditions", "Tracefs", "conditions", "locked_memory", "tracefs_state"]

Tracefs = Literal["writable", "readable", "not readable", "not mounted"]

_PERF_EVENT_OPEN = {"x86_64": 298, "aarch64": 241}  # its number as a system call
_PERF_TYPE_SOFTWARE, _PERF_COUNT_SW_DUMMY = 1, 9
_PERF_FLAG_FD_CLOEXEC = 8


class _Attribute(ctypes.Structure):
    """``struct perf_event_attr`` of linux/perf_event.h in its first form, of 64 bytes; bit 5 of ``flags`` is ``exclude_kernel``."""

    _fields_ = [
        ("type", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
        ("config", ctypes.c_uint64),
        ("sample", ctypes.c_uint64 * 3),
        ("flags", ctypes.c_uint64),
        ("rest", ctypes.c_uint64 * 2),
    ]


@dataclass(frozen=True, slots=True)
class Conditions:
    """Facts of one host and of this process.

    ``locked_memory`` is how many bytes of tables this kernel lets the agent make, None without a limit; ``perf_event_open`` the error
    with which an event of this very process is refused, empty if it is not; the two numbers are sysctls.
    """

    ring_buffer: bool
    locked_memory: int | None
    kprobes: bool
    perf_event_open: str
    tracefs: Tracefs
    kptr_restrict: int | None
    unprivileged_bpf_disabled: int | None


def locked_memory(soft: int, hard: int, own: frozenset[str]) -> int | None:
    """Return the limit that holds in the end: libbpf asks for no limit at all, which only the hard one or CAP_SYS_RESOURCE can grant."""
    unlimited = "CAP_SYS_RESOURCE" in own or resource.RLIM_INFINITY in (soft, hard)
    return None if unlimited else soft


def tracefs_state(mountinfo: str, sysfs: str) -> Tracefs:
    """Return what this process may do in the tracefs mounted below ``sysfs``, from the text of /proc/PID/mountinfo.

    ``writable`` is one in which kprobes can be made.
    """
    points = (f"{sysfs}/kernel/tracing", f"{sysfs}/kernel/debug/tracing")
    found = {mount.point for mount in mounts(mountinfo) if mount.fstype == "tracefs"}
    point = next((own for own in points if own in found), "")
    if not point:
        return "not mounted"
    if os.access(f"{point}/kprobe_events", os.W_OK):
        return "writable"
    return "readable" if os.access(f"{point}/events", os.R_OK | os.X_OK) else "not readable"


def _perf_event_open(machine: str) -> str:
    """Open an event that counts nothing, of this process and user space alone: the least that can be asked for."""
    if machine not in _PERF_EVENT_OPEN:
        return ""
    attribute = _Attribute(_PERF_TYPE_SOFTWARE, ctypes.sizeof(_Attribute), _PERF_COUNT_SW_DUMMY, flags=1 << 5)
    call = ctypes.CDLL(None, use_errno=True).syscall
    fd = call(ctypes.c_long(_PERF_EVENT_OPEN[machine]), ctypes.byref(attribute), 0, -1, -1, ctypes.c_ulong(_PERF_FLAG_FD_CLOEXEC))
    if fd < 0:
        return errno.errorcode.get(ctypes.get_errno(), str(ctypes.get_errno()))
    os.close(fd)
    return ""


def conditions(host: Host, procfs: str = "/proc", sysfs: str = "/sys") -> Conditions:
    """Look at this host; what cannot be told counts as given."""
    proc, sys = Path(procfs) / "sys/kernel", Path(sysfs)
    counts_locked = host.btf is not None and knows(host.btf, b"bpf_map_memory")  # until 5.11, bpf: Eliminate rlimit-based memory accounting
    limits = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    return Conditions(
        ring_buffer=host.btf is None or knows(host.btf, b"bpf_ringbuf"),
        locked_memory=locked_memory(*limits, host.capabilities) if counts_locked else None,
        kprobes=(sys / "bus/event_source/devices/kprobe").exists(),
        perf_event_open=_perf_event_open(host.machine),
        tracefs=tracefs_state(Path("/proc/self/mountinfo").read_text(errors="replace"), sysfs),
        kptr_restrict=number(proc / "kptr_restrict"),
        unprivileged_bpf_disabled=number(proc / "unprivileged_bpf_disabled"),
    )
