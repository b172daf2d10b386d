"""The ring of events that BPF programs fill and the agent drains."""

from __future__ import annotations

import mmap

from perflens.kernel import _native

__all__ = ["Ring"]

_ROOM = 1 << 20


class Ring:
    """A mapped BPF ring buffer, which one thread drains. ``fd`` becomes readable when the kernel side forces a wake-up."""

    def __init__(self, fd: int, consumer: mmap.mmap, producer: mmap.mmap) -> None:
        self.fd = fd
        self._consumer, self._producer = consumer, producer
        self._batch = bytearray(_ROOM)

    @property
    def has_data(self) -> bool:
        """Whether there is anything to drain; any thread may ask."""
        return self._consumer[:8] != self._producer[:8]

    def drain(self) -> tuple[bytearray, int, int, int]:
        """Move the next records out; return (batch, bytes used, records, bytes left in the ring).

        The batch is valid until the next call. A record is u32 length, u32 0, then the payload padded to 8 bytes.
        """
        records, used, left = _native.drain(self._consumer, self._producer, self._batch, mmap.PAGESIZE)
        return self._batch, used, records, left
