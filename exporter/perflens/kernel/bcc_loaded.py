"""Programs and tables that bcc made, as an AttachedProbe takes them."""

from __future__ import annotations

import mmap
import os
from collections.abc import Mapping

from perflens.errors import ProbeError
from perflens.kernel.libbpf import ANY, Library, test_run
from perflens.kernel.ring import Ring, map_ring

__all__ = ["BccLoaded"]


class BccLoaded:
    """Programs and tables that bcc made, as ``Loaded`` has those of an object: tables by name, links of the programs."""

    def __init__(self, lib: Library, programs: Mapping[str, int], tables: Mapping[str, int], tracepoints: Mapping[str, str]) -> None:
        self._lib, self._programs, self._tables, self._tracepoints = lib, dict(programs), dict(tables), tracepoints
        self._links: dict[str, int] = {}
        self._memories: list[mmap.mmap] = []

    def map_fd(self, name: str) -> int:
        """Return the file descriptor of a table."""
        try:
            return self._tables["variables" if name == ".bss" else name]
        except KeyError:
            raise ProbeError(f"the program has no table {name}", "reinstall perflens: bpf/bcc does not belong to it") from None

    def memory(self, name: str) -> mmap.mmap:
        """Map the values of a BPF_F_MMAPABLE array; ``.bss`` is the table of the variables."""
        fd = self.map_fd(name)
        shape = _facts(fd)
        size = -(-int(shape["value_size"]) // 8) * 8 * int(shape["max_entries"])
        try:
            self._memories.append(mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE))
        except OSError as error:
            raise ProbeError(f"cannot map {name}: {error.strerror}", "use a kernel from 5.8 on") from error
        return self._memories[-1]

    def ring(self, name: str, size: int) -> Ring:
        """Map the ring buffer, of ``size`` bytes."""
        ring, memories = map_ring(name, self.map_fd(name), size)
        self._memories += memories
        return ring

    def update(self, map_name: str, key: bytes | None, value: bytes) -> bool:
        """Set an element (``key`` None pushes to a queue); return whether the kernel took it."""
        return not self._lib.bpf_map_update_elem(self.map_fd(map_name), key, value, ANY)

    def delete(self, map_name: str, key: bytes) -> bool:
        """Delete an element; return whether it was there. A table that only other loaders have holds none."""
        return map_name in self._tables and not self._lib.bpf_map_delete_elem(self._tables[map_name], key)

    def run(self, program: str, arguments: bytes) -> int:
        """Run a program once with ``arguments`` as its context; return its result."""
        return test_run(self._lib, program, self._programs[program], arguments)

    def iterate(self, program: str) -> bytes:
        """Return nothing: there is no iterator over threads without BTF."""
        return b""

    def programs(self) -> dict[str, int]:
        """Return the file descriptors of the programs to attach, by name."""
        return {name: self._programs[name] for name in self._tracepoints}

    def missed(self) -> dict[tuple[str, str], int]:
        """Return how often the kernel skipped a program because it was already running on that CPU (5.12 and later)."""
        return {(name, "recursion"): int(_facts(fd).get("recursion_misses", 0)) for name, fd in self.programs().items()}

    def attach(self) -> None:
        """Attach the programs in order; on a failure detach those that were, and raise ProbeError."""
        for name, tracepoint in self._tracepoints.items():
            link = self._lib.bpf_raw_tracepoint_open(tracepoint.encode(), self._programs[name])
            if link < 0:
                why = self._lib.why()
                self.detach()
                raise ProbeError(f"{name} does not attach to {tracepoint}: {why}", "see perflens check")
            self._links[name] = link

    def detach(self) -> None:
        """Detach every program, the one that begins operations first."""
        while self._links:
            os.close(self._links.popitem()[1])

    def is_attached(self, program: str) -> bool:
        """Whether one program is attached."""
        return program in self._links

    def let_go(self, program: str) -> None:
        """Detach one program, if it is attached."""
        link = self._links.pop(program, None)
        if link is not None:
            os.close(link)

    def close(self) -> None:
        """Detach, unmap and unload."""
        self.detach()
        while self._memories:
            self._memories.pop().close()
        for own in (self._programs, self._tables):
            while own:
                os.close(own.popitem()[1])


def _facts(fd: int) -> dict[str, str]:
    """What the kernel tells of a file descriptor of this process."""
    with open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as info:
        return {name: value.strip() for name, _, value in (line.partition(":") for line in info)}
