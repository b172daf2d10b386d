"""Triggers of pressure: the kernel tells when tasks waited for a resource for longer than a part of a window (accounting/psi.rst)."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from perflens.analyzer.readings.values import RESOURCES, Resource

__all__ = ["STALL_US", "WINDOW_US", "PressureTriggers"]

STALL_US = 150_000
"""How long some task has to wait within a window."""

WINDOW_US = 1_000_000
"""The window: 500 ms to 10 s."""

_UNPRIVILEGED_US = 2_000_000  # from 6.5 on the kernel takes multiples of it without CAP_SYS_RESOURCE, and none before


class PressureTriggers:
    """One trigger a resource, while it is open. ``files`` are to be polled for POLLPRI, by resource; ``gaps`` says which there are not.

    The kernel reports at most once a window. Where it takes only longer windows, those are asked for, with the same part of them.
    A host without pressure, or where it is not permitted, has no files.
    """

    def __init__(self, procfs: str, *, stall_us: int = STALL_US, window_us: int = WINDOW_US) -> None:
        self._files: dict[Resource, int] = {}
        gaps = []
        for resource in RESOURCES:
            try:
                self._files[resource] = _permitted(f"{procfs}/pressure/{resource}", stall_us, window_us)
            except OSError as error:
                gaps.append(f"no trigger of {resource} pressure: {error.strerror}")
        self.gaps = tuple(gaps)

    @property
    def files(self) -> Mapping[Resource, int]:
        """The file descriptors, which are this object's to close."""
        return self._files

    def close(self) -> None:
        """Take the triggers back; it may be called again."""
        while self._files:
            os.close(self._files.popitem()[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _permitted(path: str, stall_us: int, window_us: int) -> int:
    try:
        return _trigger(path, stall_us, window_us)
    except OSError as error:
        longer = -(-window_us // _UNPRIVILEGED_US) * _UNPRIVILEGED_US
        if error.errno != errno.EINVAL or longer == window_us:
            raise
        return _trigger(path, stall_us * longer // window_us, longer)


def _trigger(path: str, stall_us: int, window_us: int) -> int:
    file = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        os.write(file, f"some {stall_us} {window_us}\0".encode())  # the kernel ends the text at the last byte, whichever it is
    except BaseException:
        os.close(file)
        raise
    return file
