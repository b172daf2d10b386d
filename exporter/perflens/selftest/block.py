"""Direct writes and reads of 4 KiB of a scratch file, each a request of its own to the disk, some of them held back."""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from perflens.selftest.model import Disk, Family, Place, Report, Span
from perflens.selftest.throttle import mark_of

__all__ = ["FAMILY"]

_BLOCK = 4_096
_WHOLE, _SHARE = {"write": 67, "read": 31}, {"write": 11, "read": 5}
_HELD = {"write": 2, "read": 1}
_SETTLE = 0.05  # s


def _path(place: Place) -> str:
    return f"{place.folder}/blocks"


def _prepare(place: Place) -> None:
    """Write the file whole and wait for the disk: later writes find their blocks, and change nothing else there."""
    fd = os.open(_path(place), os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    os.write(fd, bytes(_BLOCK * max(_WHOLE.values())))
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)
    time.sleep(_SETTLE)


def _timed(number: int, call: Callable[[int], object]) -> list[Span]:
    spans = []
    for index in range(number):
        began = time.monotonic_ns()
        call(index * _BLOCK)
        spans.append((0, time.monotonic_ns() - began))
    return spans


def _work(place: Place) -> Report:
    wanted = _WHOLE if place.whole else _SHARE
    page = mmap.mmap(-1, _BLOCK)  # O_DIRECT wants memory that is aligned
    page.write(b"x" * _BLOCK)
    fd = os.open(_path(place), os.O_RDWR | os.O_DIRECT | os.O_CLOEXEC)
    calls: dict[str, Callable[[int], object]] = {
        "write": lambda at: os.pwrite(fd, page, at),
        "read": lambda at: os.preadv(fd, [page], at),
    }
    spans = {name: _timed(wanted[name], call) for name, call in calls.items()}
    were_held, unheld = _hold(place, calls, spans) if place.whole else ({}, "")
    os.close(fd)
    counts = {name: len(own) for name, own in spans.items()}
    return Report(counts, spans, {name: number * _BLOCK for name, number in counts.items()}, held=were_held, unheld=unheld)


def _hold(place: Place, calls: Mapping[str, Callable[[int], object]], spans: Mapping[str, list[Span]]) -> tuple[dict[str, int], str]:
    """Make some more that are held back, each after the other; return how many of which, or why there are none."""
    throttle, mark = place.throttle, mark_of(Path(place.folder))
    if throttle.lacks:
        return {}, throttle.lacks
    try:
        if throttle.members:
            Path(throttle.members).write_text("0")
        for name, number in _HELD.items():
            for _ in range(number):
                spans[name].append(throttle.hold(name, partial(calls[name], 0), _BLOCK, place.hold, mark))
    except OSError as error:
        return {}, f"no request can be held back here: {error.strerror or error}"
    if not all(least for name, number in _HELD.items() for least, _ in spans[name][-number:]):
        return {}, "the limit of its cgroup has not held a request back"
    return dict(_HELD), ""


def _lacks(disk: Disk) -> str:
    if not disk.device:
        return f"{disk.folder} is on {disk.fs}, which has no disk of its own; choose a folder on a disk: --dir"
    return ""


FAMILY = Family(
    work=_work,
    prepare=_prepare,
    lacks=_lacks,
    histograms=(
        "perflens_block_held_duration_seconds",
        "perflens_block_queue_duration_seconds",
        "perflens_block_device_duration_seconds",
    ),
    bytes_total="perflens_block_bytes_total",
    object_label="device",
    object_of=lambda disk: disk.disk,
    holds=tuple(_HELD),
    held_in="perflens_block_held_duration_seconds",
)
