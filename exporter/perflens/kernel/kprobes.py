"""Kprobes by tracefs: there a probe at a function's return may say how many calls it can follow at once, and how many it missed."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import struct
from contextlib import suppress
from pathlib import Path

from perflens.errors import ProbeError

__all__ = ["Kprobes"]

AT_ONCE = 2_048
"""Calls of one function that sleep in it at once; each has about 100 bytes of the kernel's memory set aside. The kernel's own number is
10 or twice the CPUs, so that so many blocked readers would hide every other read."""

_TRACEFS = (Path("/sys/kernel/tracing"), Path("/sys/kernel/debug/tracing"))
_OWN = re.compile(r"^[pr][0-9]*:(perflens_([0-9]+)/\S+)", re.MULTILINE)
_CURE = "mount tracefs at /sys/kernel/tracing, and run as root"
_PERF_EVENT_OPEN = {"x86_64": 298, "aarch64": 241}
_TRACEPOINT, _CLOEXEC = 2, 8  # PERF_TYPE_TRACEPOINT, PERF_FLAG_FD_CLOEXEC of include/uapi/linux/perf_event.h
_ATTRIBUTES = struct.Struct("=IIQ")  # the begin of struct perf_event_attr: type, size, config
_SIZE = 64  # PERF_ATTR_SIZE_VER0


class Kprobes:
    """The kprobes of one object. They stay until ``close``; those of an agent that was killed go when the next one makes its own."""

    def __init__(self, name: str) -> None:
        self._group, self._prefix = f"perflens_{os.getpid()}", name
        self._made: list[str] = []
        self._root = next((root for root in _TRACEFS if os.access(root / "kprobe_events", os.W_OK)), None)

    def open(self, function: str, *, at_return: bool) -> int:
        """Make a kprobe at a function of the kernel, and return it as a perf event; ProbeError when it cannot be."""
        if self._root is None:
            raise ProbeError("tracefs has no kprobe_events that can be written", _CURE)
        if not self._made:
            self._forget_dead()
        event = f"{self._prefix}_{'return' if at_return else 'entry'}_{function}"
        self._tell(f"{f'r{AT_ONCE}' if at_return else 'p'}:{self._group}/{event} {function}")
        self._made.append(event)
        try:
            number = int((self._root / "events" / self._group / event / "id").read_text())
        except OSError as error:
            raise ProbeError(f"kprobe at {function}: {error.strerror}", _CURE) from error
        return _perf_event(number, function)

    def missed(self) -> dict[str, int]:
        """Return how many calls each kprobe of this object missed, by event; nothing where tracefs cannot be read."""
        with suppress(OSError):
            if self._root and self._made:
                lines = (line.split() for line in (self._root / "kprobe_profile").read_text().splitlines())
                return {line[0]: int(line[2]) for line in lines if len(line) == 3 and line[0] in self._made}
        return {}

    def close(self) -> None:
        """Remove the kprobes, of which none may be open any more."""
        while self._made:
            with suppress(ProbeError):
                self._tell(f"-:{self._group}/{self._made.pop()}")

    def _tell(self, command: str) -> None:
        assert self._root
        try:
            events = os.open(self._root / "kprobe_events", os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)  # Python's own append seeks: EINVAL
            try:
                os.write(events, command.encode() + b"\n")
            finally:
                os.close(events)
        except OSError as error:
            raise ProbeError(f"kprobe_events refuses {command!r}: {error.strerror}", _CURE) from error

    def _forget_dead(self) -> None:
        """Remove what agents left behind that were killed, also one with our PID: in a container all have the same.

        The kernel refuses it for what is in use.
        """
        assert self._root
        for event, pid in _OWN.findall((self._root / "kprobe_events").read_text()):
            if int(pid) == os.getpid() or not Path(f"/proc/{pid}").exists():
                with suppress(ProbeError):
                    self._tell(f"-:{event}")


def _perf_event(tracepoint: int, function: str) -> int:
    """Open a tracepoint on all CPUs: its program runs wherever the function is called."""
    attributes = ctypes.create_string_buffer(_ATTRIBUTES.pack(_TRACEPOINT, _SIZE, tracepoint), _SIZE)
    call = ctypes.CDLL(None, use_errno=True).syscall
    fd = int(call(_PERF_EVENT_OPEN[platform.machine()], attributes, -1, 0, -1, _CLOEXEC))
    if fd < 0:
        why = os.strerror(ctypes.get_errno())
        raise ProbeError(f"perf event of {function}: {why}", "grant CAP_PERFMON, or lower kernel.perf_event_paranoid")
    return fd
