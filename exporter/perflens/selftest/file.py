"""Reads, writes, syncs and copies of a scratch file, some of them held up while they copy."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from perflens.selftest.model import Family, Place, Report, Span

__all__ = ["FAMILY"]

_SIZE = 1 << 16
_WHOLE = {"read": 1_009, "write": 503, "fsync": 7, "copy": 11}
_SHARE = {"read": 101, "write": 53, "fsync": 2, "copy": 3}
_HELD = 3
_ROUNDS = 7


def _paths(place: Place) -> tuple[str, str]:
    return f"{place.folder}/data", f"{place.folder}/copy"


def _prepare(place: Place) -> None:
    for path in _paths(place):
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        os.write(fd, bytes(_SIZE))
        os.fsync(fd)
        os.close(fd)


def _timed(number: int, call: Callable[[], object]) -> list[Span]:
    clock, spans = time.monotonic_ns, []
    for _ in range(number):
        began = clock()
        call()
        spans.append((0, clock() - began))
    return spans


def _work(place: Place) -> Report:
    data, copy = (os.open(path, os.O_RDWR | os.O_CLOEXEC) for path in _paths(place))
    wanted = _WHOLE if place.whole else _SHARE
    held: dict[str, Callable[[bytearray], object]] = {
        "read": lambda page: os.preadv(data, [page], 0),
        "write": lambda page: os.pwritev(data, [page], 0),
    }
    calls: dict[str, Callable[[], object]] = {
        "read": lambda: os.pread(data, 1, 0),
        "write": lambda: os.pwrite(data, b"x", 0),
        "fsync": lambda: os.fsync(data),
        "copy": lambda: os.sendfile(copy, data, 0, 4_096),
    }
    spans = {name: _timed(wanted[name], call) for name, call in calls.items()}
    if place.whole and place.holder:
        for name, slow in held.items():
            spans[name] += [place.holder.hold(slow, place.hold) for _ in range(_HELD)]
    os.close(data)
    os.close(copy)
    were_held = dict.fromkeys(held, _HELD) if place.whole and place.holder else {}
    return Report({name: len(own) for name, own in spans.items()}, spans, held=were_held, unheld=place.unheld)


def _tight(place: Place, number: int) -> int:
    """Return the ns of so many reads of one byte: the least of a few rounds, which no other work has disturbed."""
    fd, pread, clock = os.open(_paths(place)[0], os.O_RDONLY | os.O_CLOEXEC), os.pread, time.perf_counter_ns
    pread(fd, 1, 0)
    rounds = []
    for _ in range(_ROUNDS):
        began = clock()
        for _ in range(number):
            pread(fd, 1, 0)
        rounds.append(clock() - began)
    os.close(fd)
    return min(rounds)


FAMILY = Family(
    work=_work,
    prepare=_prepare,
    histograms=("perflens_file_operation_duration_seconds",),
    object_label="fs",
    holds=("read", "write"),
    slept_in=("handle_userfault",),
    tight=_tight,
    promised=306,  # twice the empty pair of docs/benchmarks.md
)
