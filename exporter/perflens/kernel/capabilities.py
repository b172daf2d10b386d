"""The capabilities of this process: those of each of its threads, and the drop of what is not needed any more, in all of them."""

from __future__ import annotations

import ctypes
import errno
import os
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from perflens.capability import NAMES
from perflens.errors import ProbeError
from perflens.kernel import _native
from perflens.kernel.libbpf import ANY, library

__all__ = ["Sets", "drop", "exceeding", "maps_need_bpf", "of_thread", "of_threads", "parse"]

_ROUNDS, _PAUSE = 100, 0.01  # a second
_CLEAN_ROUNDS = 2  # a thread may have made another one between the look and its drop
_VERSION = 0x20080522  # _LINUX_CAPABILITY_VERSION_3


class Sets(NamedTuple):
    """The five sets of a thread (capabilities(7)), each of names without CAP_, and whether a program that it executes may gain some."""

    effective: frozenset[str]
    permitted: frozenset[str]
    inheritable: frozenset[str]
    bounding: frozenset[str]
    ambient: frozenset[str]
    may_gain: bool

    @property
    def usable(self) -> frozenset[str]:
        """What it has, could raise, or passes on."""
        return self.effective | self.permitted | self.inheritable | self.ambient


def parse(status: str) -> Sets:
    """Return the sets that the text of /proc/PID/status tells; a line that is missing is an empty set."""
    lines = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)

    def names(field: str) -> frozenset[str]:
        bits = int(lines.get(field, "0"), 16)
        return frozenset(name for number, name in enumerate(NAMES) if bits >> number & 1)

    return Sets(
        effective=names("CapEff"),
        permitted=names("CapPrm"),
        inheritable=names("CapInh"),
        bounding=names("CapBnd"),
        ambient=names("CapAmb"),
        may_gain=lines.get("NoNewPrivs", "0") == "0",
    )


def of_thread() -> Sets:
    """Return the sets of the calling thread; empty ones where procfs is not mounted."""
    try:
        return parse(Path("/proc/thread-self/status").read_text(errors="replace"))
    except OSError:
        return parse("")


def of_threads(tasks: Path = Path("/proc/self/task")) -> dict[int, tuple[str, Sets]]:
    """Return name and sets of each thread of a process, by the thread id that it has itself; one that ends meanwhile is left out."""
    found = {}
    for folder in tasks.iterdir():
        with suppress(OSError):
            status = (folder / "status").read_text(errors="replace")
            name = status.partition("\n")[0].removeprefix("Name:\t")
            of_namespaces = status.partition("\nNSpid:\t")[2].partition("\n")[0].split()  # procfs may be of an outer PID namespace
            found[int((of_namespaces or [folder.name])[-1])] = (name, parse(status))
    return found


def exceeding(threads: Mapping[int, tuple[str, Sets]], keep: Collection[str]) -> dict[int, str]:
    """Return the names of the threads that have more than ``keep``, or could gain it by a program."""
    allowed = frozenset(keep)
    return {tid: name for tid, (name, sets) in threads.items() if sets.may_gain or not sets.usable <= allowed}


def drop(keep: Collection[str]) -> tuple[Sets, dict[int, str]]:
    """Lower every thread to these capabilities, for good; return the sets of this one, and the names of threads that still have more.

    Those of later threads and of programs that are executed are their creator's. OSError when the kernel refuses it to this thread.
    """
    native = ctypes.CDLL(_native.__file__, use_errno=True)
    mask = sum(1 << number for number, name in enumerate(NAMES) if name in keep)
    if native.perflens_keep_capabilities(ctypes.c_uint64(mask)):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    left, clean = {}, 0
    for _ in range(_ROUNDS):
        left = exceeding(of_threads(), keep)
        clean = 0 if left else clean + 1
        if clean == _CLEAN_ROUNDS:
            break
        for tid in left:
            native.perflens_ask_thread(tid)
        if left:
            time.sleep(_PAUSE)
    return of_thread(), left


def maps_need_bpf(unprivileged_bpf_disabled: int | None) -> bool:
    """Whether this kernel lets only who has CAP_BPF at a table whose descriptor is open, as those before 5.19 do.

    It is tried, in this thread alone. Where anybody may use BPF (0) that tells nothing, and the switch may be turned later: then true.
    """
    if not unprivileged_bpf_disabled:
        return True
    try:
        lib = library()
    except ProbeError:
        return False  # and there is no table
    effective = _effective()
    try:
        _set_effective(effective & ~(1 << NAMES.index("BPF") | 1 << NAMES.index("SYS_ADMIN")))
        lib.bpf_map_update_elem(-1, None, None, ANY)
        return ctypes.get_errno() == errno.EPERM  # EBADF: it got as far as to look for the table
    except OSError:
        return True
    finally:
        _set_effective(effective)


def _call(name: str, sets: ctypes.Array[ctypes.c_uint32]) -> None:
    header = (ctypes.c_uint32 * 2)(_VERSION, 0)
    if getattr(ctypes.CDLL(None, use_errno=True), name)(header, sets):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _effective() -> int:
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted and inheritable, of the lower 32 and the upper ones
    _call("capget", sets)
    return sets[0] | sets[3] << 32


def _set_effective(bits: int) -> None:
    sets = (ctypes.c_uint32 * 6)()
    _call("capget", sets)
    sets[0], sets[3] = bits & 0xFFFFFFFF, bits >> 32
    _call("capset", sets)
