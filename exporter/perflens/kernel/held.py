"""Programs and tables in the kernel that this process holds by their file descriptors, whichever loader brought them there."""

from __future__ import annotations

import mmap
import os
from collections.abc import Mapping

from perflens.errors import ProbeError
from perflens.kernel.libbpf import ANY, Library, test_run
from perflens.kernel.ring import Ring, map_ring, unmapped

__all__ = ["Held", "told_of"]

_REINSTALL = "reinstall perflens: what is compiled does not belong to it"


class Held:
    """Programs and tables by name. ``close`` unmaps the tables and lets go of all."""

    def __init__(self, lib: Library, programs: Mapping[str, int], tables: Mapping[str, int]) -> None:
        self._lib, self._programs, self._tables = lib, dict(programs), dict(tables)
        self._memories: list[mmap.mmap] = []

    def map_fd(self, name: str) -> int:
        """Return the file descriptor of a table."""
        if name not in self._tables:
            raise ProbeError(f"there is no table {name}", _REINSTALL)
        return self._tables[name]

    def program_fd(self, name: str) -> int:
        """Return the file descriptor of a program."""
        if name not in self._programs:
            raise ProbeError(f"there is no program {name}", _REINSTALL)
        return self._programs[name]

    def memory(self, name: str) -> mmap.mmap:
        """Map the values of a BPF_F_MMAPABLE array."""
        fd = self.map_fd(name)
        try:
            shape = told_of(fd)
            size = -(-int(shape["value_size"]) // 8) * 8 * int(shape["max_entries"])
            self._memories.append(mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE))
        except OSError as error:
            raise unmapped(name, error) from error
        return self._memories[-1]

    def ring(self, name: str, size: int) -> Ring:
        """Map a BPF ring buffer of ``size`` bytes."""
        ring, memories = map_ring(name, self.map_fd(name), size)
        self._memories += memories
        return ring

    def update(self, map_name: str, key: bytes | None, value: bytes) -> bool:
        """Set an element (``key`` None pushes to a queue); return whether the kernel took it."""
        return not self._lib.bpf_map_update_elem(self.map_fd(map_name), key, value, ANY)

    def delete(self, map_name: str, key: bytes) -> bool:
        """Delete an element; return whether it was there."""
        return not self._lib.bpf_map_delete_elem(self.map_fd(map_name), key)

    def run(self, program: str, arguments: bytes) -> int:
        """Run a raw tracepoint program once with ``arguments`` as its context; return its result."""
        return test_run(self._lib, program, self.program_fd(program), arguments)

    def close(self) -> None:
        """Unmap the tables and let go of them and of the programs."""
        while self._memories:
            self._memories.pop().close()
        for own in (self._programs, self._tables):
            while own:
                os.close(own.popitem()[1])


def told_of(fd: int) -> dict[str, str]:
    """What the kernel tells of a file descriptor of this process (``/proc/self/fdinfo``)."""
    with open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as info:
        return {name: value.strip() for name, _, value in (line.partition(":") for line in info)}
