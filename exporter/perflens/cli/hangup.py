"""SIGHUP while a command begins: whoever sends it asks for a reload, and would end a process that does not take it yet."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["held"]

_HANGUP = frozenset({signal.SIGHUP})


@contextmanager
def held(*, wanted: bool) -> Iterator[None]:
    """Hold the signal back if it is ``wanted``, until what takes it lets it through, or to the end, where it is dropped."""
    if not wanted:
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HANGUP)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_BLOCK, _HANGUP)
        signal.sigtimedwait(_HANGUP, 0)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
