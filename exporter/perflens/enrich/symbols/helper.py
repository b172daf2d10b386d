"""The process that reads what is not to be trusted: ELF files, perf maps, mangled names.

It may be killed at any time, and ends by itself when nobody asks it for a while or when its parent has ended.
"""

from __future__ import annotations

import os
import resource
import select
import sys

from perflens.enrich.symbols import wire
from perflens.enrich.symbols.reader import Reader

__all__ = ["main"]

_IDLE = 60_000  # ms
_CPU = 5  # s for one request
_MEMORY = 320 << 20


def _limit() -> None:
    limits = ((resource.RLIMIT_AS, _MEMORY), (resource.RLIMIT_NOFILE, 64), (resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, 0))
    for kind, wanted in limits:
        hard = resource.getrlimit(kind)[1]
        own = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(kind, (own, own))


def _limit_time() -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    wanted = int(used.ru_utime + used.ru_stime) + _CPU
    resource.setrlimit(resource.RLIMIT_CPU, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


def _receive(size: int) -> bytes:
    """Return ``size`` bytes; fewer when the parent has closed."""
    parts = []
    while size and (part := os.read(0, size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _send(message: bytes) -> None:
    while message:
        message = message[os.write(1, message) :]


def main(procfs: str, idle: int = _IDLE) -> None:
    """Answer until the parent closes or asks no more."""
    _limit()
    reader = Reader(procfs)
    waiting = select.poll()
    waiting.register(0, select.POLLIN)
    _send(wire.READY)
    while waiting.poll(idle):
        header = _receive(4)
        if len(header) < 4:
            return
        _limit_time()
        request = wire.unpack(_receive(wire.size(header)))
        try:
            answer = reader.answer(request)
        except MemoryError:
            reader = Reader(procfs)
            answer = []
        _send(wire.pack(answer))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
