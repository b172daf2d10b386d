"""Programs and tables that bcc made, as an AttachedProbe takes them."""

from __future__ import annotations

import os
from collections.abc import Mapping

from perflens.errors import ProbeError
from perflens.kernel.held import Held, told_of
from perflens.kernel.libbpf import Library

__all__ = ["BccLoaded"]


class BccLoaded(Held):
    """Programs and tables that bcc made, as ``Loaded`` has those of an object: tables by name, links of the programs."""

    def __init__(self, lib: Library, programs: Mapping[str, int], tables: Mapping[str, int], tracepoints: Mapping[str, str]) -> None:
        super().__init__(lib, programs, {".bss" if name == "variables" else name: fd for name, fd in tables.items()})
        self._tracepoints = tracepoints
        self._links: dict[str, int] = {}

    def delete(self, map_name: str, key: bytes) -> bool:
        """Delete an element; return whether it was there. A table that only other loaders have holds none."""
        return map_name in self._tables and super().delete(map_name, key)

    def iterate(self, program: str) -> bytes:
        """Return nothing: there is no iterator over threads without BTF."""
        return b""

    def programs(self) -> dict[str, int]:
        """Return the file descriptors of the programs to attach, by name."""
        return {name: self._programs[name] for name in self._tracepoints}

    def missed(self) -> dict[tuple[str, str], int]:
        """Return how often the kernel skipped a program because it was already running on that CPU (5.12 and later)."""
        return {(name, "recursion"): int(told_of(fd).get("recursion_misses", 0)) for name, fd in self.programs().items()}

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

    def settle(self) -> None:
        """Do nothing: bcc has let go of what only attaching takes."""

    def close(self) -> None:
        """Detach, unmap and unload."""
        self.detach()
        super().close()
