"""Who else traces this machine: another program at the same tracepoints would be measured with ours."""

from __future__ import annotations

import time
from pathlib import Path

__all__ = ["alone", "tracers"]

_LINKS = ("raw_tracepoint", "tracing", "perf_event", "kprobe_multi")


def _traces(process: Path) -> bool:
    for descriptor in (process / "fd").iterdir():
        try:
            target = str(descriptor.readlink())
            if "perf_event" in target:
                return True
            if "bpf" in target and "link" in target:
                info = (process / "fdinfo" / descriptor.name).read_text()
                if any(f"link_type:\t{kind}" in info for kind in _LINKS):
                    return True
        except OSError:
            continue
    return False


def tracers() -> list[str]:
    """Return the processes that hold a tracing program, as ``PID name``."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if _traces(process):
                found.append(f"{process.name} {(process / 'comm').read_text().strip()}")
        except OSError:
            continue
    return found


def alone(seconds: float = 300) -> None:
    """Return once nobody traces; TimeoutError that names who still does."""
    deadline = time.monotonic() + seconds
    while others := tracers():
        if time.monotonic() > deadline:
            raise TimeoutError(f"other programs trace this machine, end them first: {', '.join(others)}")
        time.sleep(0.2)
