"""Decodes ``struct process_event`` and ``struct cgroup_event``: processes and cgroups that come and go."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from typing import Literal, NamedTuple

from perflens.decode.sums import UndecodableEvent
from perflens.errors import LayoutError
from perflens.layout import Layout
from perflens.model import CgroupEvent, ProcessEvent, ProcessKey

__all__ = ["ProcessBatch", "ProcessDecoder"]

_RECORD = struct.Struct("=II")
# In the order of their offsets, as a Struct gives them.
_PROCESS = ("time", "path_length", "pid", "parent", "start", "parent_start", "owner", "comm")
_CGROUP = ("time", "path_length", "hierarchy", "cgroup")
_PROCESS_KINDS: tuple[Literal["fork", "exec", "exit"], ...] = ("fork", "exec", "exit")
_CGROUP_KINDS: tuple[Literal["mkdir", "rmdir"], ...] = ("mkdir", "rmdir")


class ProcessBatch(NamedTuple):
    """What a batch holds, each list in the kernel's order; ``refused`` says of each other record why it is in neither."""

    processes: list[ProcessEvent]
    cgroups: list[CgroupEvent]
    refused: list[str]


class ProcessDecoder:
    """Decodes the events of one probe. ``kinds`` are the labels of the events' kinds by number."""

    def __init__(self, process: Layout, cgroup: Layout, kinds: Mapping[int, str]) -> None:
        numbers = {label: number for number, label in kinds.items()}
        missing = [kind for kind in (*_PROCESS_KINDS, *_CGROUP_KINDS) if kind not in numbers]
        if missing:
            names = f"with {', '.join(missing)}"
            raise LayoutError(f"the object has no enum {names}")
        self._process_kinds = {numbers[kind]: kind for kind in _PROCESS_KINDS}
        self._cgroup_kinds = {numbers[kind]: kind for kind in _CGROUP_KINDS}
        self._process, self._cgroup = process.unpacker(*_PROCESS), cgroup.unpacker(*_CGROUP)
        kind = process["kind"]
        self._head = struct.Struct(f"=I{4 + kind.offset}x{kind.code}")  # of a record, its length before it
        self._names: dict[bytes, str] = {}

    def batch(self, batch: bytes | bytearray, used: int) -> ProcessBatch:
        """Return the events of a batch that the ring gave. A storm is 30,000 of them a second."""
        found = ProcessBatch([], [], [])
        self._names.clear()
        at, last = 0, used - self._head.size
        while at <= last:
            length, kind = self._head.unpack_from(batch, at)
            begin = at + _RECORD.size
            try:
                if begin + length > used:
                    raise UndecodableEvent("its end is missing")
                if kind in self._process_kinds:
                    found.processes.append(self._process_event(kind, batch, begin, length))
                else:
                    found.cgroups.append(self._cgroup_event(kind, batch, begin, length))
            except (UndecodableEvent, struct.error) as error:
                found.refused.append(f"a record of {length} bytes: {error}")
            at = begin + (length + 7 & ~7)
        if at < used:
            found.refused.append(f"a record of less than {used - at} bytes")
        return found

    def _process_event(self, kind: int, batch: bytes | bytearray, at: int, length: int) -> ProcessEvent:
        time, path_length, pid, parent, start, parent_start, owner, comm = self._process.unpack_from(batch, at)
        size = self._process.size
        if size + path_length > length:
            raise UndecodableEvent(f"a path of {path_length} bytes does not fit")
        path = os.fsdecode(bytes(batch[at + size : at + size + path_length])) if path_length else ""
        name = self._names.get(comm) or self._name(comm)
        return ProcessEvent(self._process_kinds[kind], time, ProcessKey(pid, start), ProcessKey(parent, parent_start), name, owner, path)

    def _cgroup_event(self, kind: int, batch: bytes | bytearray, at: int, length: int) -> CgroupEvent:
        if kind not in self._cgroup_kinds:
            raise UndecodableEvent(f"no kind {kind}")
        time, path_length, hierarchy, cgroup = self._cgroup.unpack_from(batch, at)
        size = self._cgroup.size
        if size + path_length > length:
            raise UndecodableEvent(f"a path of {path_length} bytes does not fit")
        path = os.fsdecode(bytes(batch[at + size : at + size + path_length]))
        return CgroupEvent(self._cgroup_kinds[kind], time, hierarchy, cgroup, tuple(part for part in path.split("/") if part))

    def _name(self, comm: bytes) -> str:
        """Decode a name once for each batch."""
        name = self._names[comm] = comm.split(b"\0", 1)[0].decode("utf-8", "backslashreplace")
        return name
