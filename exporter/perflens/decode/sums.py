"""Sums up the events of a batch, whatever else they hold: a storm has more than can be decoded in full."""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import NamedTuple

from perflens.layout import Layout
from perflens.model import ProcessKey, SlowEvent

__all__ = ["RECORD", "Batch", "ProcessSum", "SummingDecoder", "UndecodableEvent", "device_of", "text"]

RECORD = struct.Struct("=II")
"""Before each event of a batch: its length, and 0."""

_HEAD = ("start", "duration", "process_start", "pid", "operation")  # in the order of their offsets, as a Struct gives them
_SECOND = 1_000_000_000
_ENDLESS = 1 << 64
_SPARE = 256  # how many more than asked for are kept until the longest of them are chosen
_MINOR_BITS = 20  # MINORBITS of include/linux/kdev_t.h


class UndecodableEvent(ValueError):
    """A record that is not laid out as the object says."""


class ProcessSum(NamedTuple):
    """The events of one process and operation that ended in the same second of CLOCK_MONOTONIC: how many, the ns they took in all,
    and of the longest how long it took, when it ended and where its record lies in the batch."""

    process: ProcessKey
    name: str
    operation: int
    second: int
    events: int
    total: int
    maximum: int
    end: int
    at: int


class Batch(NamedTuple):
    """What a batch holds: every event in ``sums``, where the ``longest`` of them lie, and why ``refused`` records are in neither."""

    sums: list[ProcessSum]
    longest: list[int]
    refused: list[str]


class SummingDecoder(ABC):
    """Decodes the events of one probe, which all begin with the same members."""

    def __init__(self, event: Layout) -> None:
        self._name = event["process_name"]
        self._head = struct.Struct(f"=I4x{event.unpacker(*_HEAD).format[1:]}")  # of a record, its length before it

    @abstractmethod
    def whole(self, batch: bytes | bytearray, at: int, length: int) -> SlowEvent:
        """Return the event at ``at``; UndecodableEvent when its parts do not fit its length, or its times its duration."""

    def record(self, batch: bytes | bytearray, at: int) -> SlowEvent:
        """Return the event whose record lies at ``at`` in a batch; UndecodableEvent when its parts do not fit its length."""
        return self.whole(batch, at + RECORD.size, RECORD.unpack_from(batch, at)[0])

    def sums(self, batch: bytes | bytearray, used: int, most: int) -> Batch:
        """Sum up every record of a batch that the ring gave, and find the ``most`` longest. A storm is 200,000 events a second."""
        at, unpack, size = 0, self._head.unpack_from, self._head.size - RECORD.size
        groups: dict[tuple[int, int, int, int], list[int]] = {}
        longest: list[tuple[int, int]] = []
        refused: list[str] = []
        bar = -1 if most else _ENDLESS
        last = used - self._head.size
        while at <= last:
            length, start, duration, process_start, pid, operation = unpack(batch, at)
            if not size <= length <= used - at - 8:
                refused.append(f"a record of {length} bytes")
                at += 8 + (length + 7 & ~7)
                continue
            end = start + duration
            key = process_start, pid, operation, end // _SECOND
            own = groups.get(key)
            if own is None:
                groups[key] = [1, duration, duration, end, at]
            else:
                own[0] += 1
                own[1] += duration
                if duration > own[2]:
                    own[2:] = duration, end, at
            if duration > bar:
                longest.append((duration, at))
                if len(longest) >= most + _SPARE:
                    longest.sort(reverse=True)
                    del longest[most:]
                    bar = longest[-1][0]
            at += 8 + (length + 7 & ~7)
        refused += _short(batch, at, used)
        sums = [
            ProcessSum(ProcessKey(pid, start), self._name_at(batch, own[4]), operation, second, *own)
            for (start, pid, operation, second), own in groups.items()
        ]
        longest.sort(reverse=True)
        return Batch(sums, [place for _, place in longest[:most]], refused)

    def _name_at(self, batch: bytes | bytearray, at: int) -> str:
        first = at + RECORD.size + self._name.offset
        return text(bytes(batch[first : first + self._name.size]))


def _short(batch: bytes | bytearray, at: int, used: int) -> Iterator[str]:
    """Tell of what is left of a batch, too short for an event."""
    while at + RECORD.size <= used:
        length, _ = RECORD.unpack_from(batch, at)
        yield f"a record of {length} bytes"
        at += RECORD.size + (length + 7 & ~7)


def text(raw: bytes) -> str:
    """Return a name that ends with its first NUL; what is no UTF-8 is escaped."""
    return raw.split(b"\0", 1)[0].decode("utf-8", "backslashreplace")


def device_of(number: int) -> tuple[int, int]:
    """Return (major, minor) of a device's number as the kernel keeps it."""
    return number >> _MINOR_BITS, number & (1 << _MINOR_BITS) - 1
