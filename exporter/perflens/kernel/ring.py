"""The ring of events that BPF programs fill and the agent drains."""

from __future__ import annotations

import errno
import mmap
import threading
from contextlib import ExitStack

from perflens.errors import ProbeError
from perflens.kernel import _native

__all__ = ["Ring", "map_ring", "unmapped"]

_ROOM = 1 << 18


_of_thread = threading.local()


def _batch() -> bytearray:
    """What this thread drains into: one for all its rings, since it is done with a batch before it drains the next."""
    found: bytearray | None = getattr(_of_thread, "batch", None)
    if found is None:
        found = _of_thread.batch = bytearray(_ROOM)
    return found


class Ring:
    """A mapped BPF ring buffer, which one thread drains. ``fd`` becomes readable when the kernel side forces a wake-up."""

    def __init__(self, fd: int, consumer: mmap.mmap, producer: mmap.mmap) -> None:
        self.fd = fd
        self._consumer, self._producer = consumer, producer

    @property
    def has_data(self) -> bool:
        """Whether there is anything to drain; any thread may ask."""
        return self._consumer[:8] != self._producer[:8]

    def drain(self) -> tuple[bytearray, int, int, int]:
        """Move the next records out; return (batch, bytes used, records, bytes left in the ring).

        The batch is valid until the thread's next call for any ring. A record is u32 length, u32 0, then the payload padded to 8 bytes.
        """
        batch = _batch()
        records, used, left = _native.drain(self._consumer, self._producer, batch, mmap.PAGESIZE)
        return batch, used, records, left


def unmapped(name: str, error: OSError) -> ProbeError:
    """Why a table cannot be mapped: each mapping takes a descriptor too."""
    files = error.errno in (errno.EMFILE, errno.ENFILE)
    cure = "raise the limit of open files (LimitNOFILE=)" if files else "raise the memory limit of the agent's cgroup, or lower cells"
    return ProbeError(f"cannot map {name}: {error.strerror}", cure)


def map_ring(name: str, fd: int, size: int) -> tuple[Ring, tuple[mmap.mmap, mmap.mmap]]:
    """Map a BPF ring buffer of ``size`` bytes; return its memories too: the consumer's page, then the producer's with the data twice."""
    page, memories = mmap.PAGESIZE, ExitStack()
    try:
        with memories:
            consumer = memories.enter_context(mmap.mmap(fd, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE))
            producer = mmap.mmap(fd, page + 2 * size, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)
            memories.pop_all()
    except OSError as error:
        raise unmapped(name, error) from error
    return Ring(fd, consumer, producer), (consumer, producer)
