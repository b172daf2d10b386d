"""Opens a compiled object, sets its knobs and sizes, loads the programs of one rung, maps their memory and attaches them."""

from __future__ import annotations

import ctypes
import logging
import mmap
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from perflens.errors import ProbeError
from perflens.kernel.libbpf import ANY, Library, TestRun, library
from perflens.kernel.ring import Ring
from perflens.layout import Variable

__all__ = ["Loaded", "Plan", "load"]

_log = logging.getLogger(__name__)

_ITERATED_AT_ONCE = 1 << 16


@dataclass(frozen=True, slots=True)
class Plan:
    """One attempt: the programs to load, those of them to attach in this order, and what to set before."""

    object: Path
    programs: tuple[str, ...]
    attach: tuple[str, ...]
    knobs: Mapping[str, bytes]
    variables: Mapping[str, Variable]
    max_entries: Mapping[str, int]


class Loaded:
    """A loaded object: its maps by name, its programs, its links. ``close`` detaches, last attached first."""

    def __init__(self, lib: Library, handle: int, plan: Plan) -> None:
        self._lib, self._handle, self._plan = lib, handle, plan
        self._links: list[int] = []
        self._memories: list[mmap.mmap] = []

    def map_fd(self, name: str) -> int:
        """Return the file descriptor of a map."""
        return int(self._lib.bpf_map__fd(self._map(name)))

    def memory(self, name: str) -> mmap.mmap:
        """Map the values of a BPF_F_MMAPABLE array."""
        own = self._map(name)
        size = -(-self._lib.bpf_map__value_size(own) // 8) * 8 * self._lib.bpf_map__max_entries(own)
        try:
            mapped = mmap.mmap(self._lib.bpf_map__fd(own), size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        except OSError as error:
            raise ProbeError(f"cannot map {name}: {error.strerror}", "report this as a bug, with the kernel's version") from error
        self._memories.append(mapped)
        return mapped

    def ring(self, name: str, size: int) -> Ring:
        """Map a BPF ring buffer of ``size`` bytes: the consumer's page, then the producer's with the data twice."""
        page, fd = mmap.PAGESIZE, self.map_fd(name)
        try:
            consumer = mmap.mmap(fd, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
            producer = mmap.mmap(fd, page + 2 * size, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)
        except OSError as error:
            raise ProbeError(f"cannot map {name}: {error.strerror}", "report this as a bug, with the kernel's version") from error
        self._memories += [consumer, producer]
        return Ring(fd, consumer, producer)

    def update(self, map_name: str, key: bytes | None, value: bytes) -> bool:
        """Set an element (``key`` None pushes to a queue); return whether the kernel took it."""
        return not self._lib.bpf_map_update_elem(self.map_fd(map_name), key, value, ANY)

    def delete(self, map_name: str, key: bytes) -> bool:
        """Delete an element; return whether it was there."""
        return not self._lib.bpf_map_delete_elem(self.map_fd(map_name), key)

    def run(self, program: str, arguments: bytes) -> int:
        """Run a raw tracepoint program once with ``arguments`` as its context; return its result."""
        context = ctypes.create_string_buffer(arguments, len(arguments))
        options = TestRun(size=ctypes.sizeof(TestRun), ctx_in=ctypes.addressof(context), ctx_size_in=len(arguments))
        if self._lib.bpf_prog_test_run_opts(self._lib.bpf_program__fd(self._program(program)), ctypes.byref(options)):
            raise ProbeError(f"{program} cannot be run: {self._lib.why()}", "use a kernel from 5.10 on")
        return int(options.retval)

    def iterate(self, program: str) -> bytes:
        """Run an iterator program over all that it walks, and return what it wrote; ProbeError when the kernel has no such iterator."""
        link = self._lib.bpf_program__attach_iter(self._program(program), None)
        if not link:
            raise ProbeError(f"{program} does not attach: {self._lib.why()}", "use a kernel from 5.9 on")
        try:
            fd = self._lib.bpf_iter_create(self._lib.bpf_link__fd(link))
            if fd < 0:
                raise ProbeError(f"{program} cannot be run: {self._lib.why()}", "use a kernel from 5.9 on")
            with open(fd, "rb", buffering=0) as walked:
                return b"".join(iter(lambda: walked.read(_ITERATED_AT_ONCE), b""))
        finally:
            self._lib.bpf_link__destroy(link)

    def missed(self) -> int:
        """Return how often the kernel skipped a program because it was already running on that CPU (5.12 and later)."""
        return sum(self._recursion_misses(name) for name in self._plan.attach)

    def attach(self) -> None:
        """Attach the plan's programs in order; on a failure detach those that were, and raise ProbeError."""
        for name in self._plan.attach:
            link = self._lib.bpf_program__attach(self._program(name))
            if not link:
                why = self._lib.why()
                self.detach()
                raise ProbeError(f"{name} does not attach: {why}", "see the log at level debug; perflens check names what is missing")
            self._links.append(link)

    def detach(self) -> None:
        """Detach every program, the one that begins operations first."""
        while self._links:
            self._lib.bpf_link__destroy(self._links.pop())

    def close(self) -> None:
        """Detach, unmap and unload."""
        self.detach()
        while self._memories:
            self._memories.pop().close()
        if self._handle:
            self._lib.bpf_object__close(self._handle)
            self._handle = 0

    def _map(self, name: str) -> int:
        own = self._lib.bpf_object__find_map_by_name(self._handle, name.encode())
        if not own:
            raise ProbeError(f"{self._plan.object.name} has no map {name}", "reinstall perflens: the object does not belong to it")
        return int(own)

    def _program(self, wanted: str) -> int:
        for name, own in _programs(self._lib, self._handle):
            if name == wanted:
                return own
        raise ProbeError(f"{self._plan.object.name} has no program {wanted}", "reinstall perflens: the object does not belong to it")

    def _recursion_misses(self, program: str) -> int:
        fd = self._lib.bpf_program__fd(self._program(program))
        with open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as info:
            return next((int(line.split()[1]) for line in info if line.startswith("recursion_misses:")), 0)


def _programs(lib: Library, handle: int) -> list[tuple[str, int]]:
    found, program = [], lib.bpf_object__next_program(handle, None)
    while program:
        found.append((lib.bpf_program__name(program).decode(), program))
        program = lib.bpf_object__next_program(handle, program)
    return found


def _prepare(lib: Library, handle: int, plan: Plan) -> None:
    for name, program in _programs(lib, handle):
        lib.bpf_program__set_autoload(program, name in plan.programs)
    for name, entries in plan.max_entries.items():
        lib.bpf_map__set_max_entries(lib.bpf_object__find_map_by_name(handle, name.encode()), entries)
    for name, value in plan.knobs.items():
        place = plan.variables[name]
        section = lib.bpf_object__find_map_by_name(handle, place.section.encode())
        base = lib.bpf_map__initial_value(section, ctypes.byref(ctypes.c_size_t()))
        if not base or len(value) > place.field.size:
            raise ProbeError(f"knob {name} cannot be set", "reinstall perflens: the object does not belong to it")
        ctypes.memmove(base + place.field.offset, value, len(value))


def _cause(lib: Library) -> str:
    """Return libbpf's line about the program or map that failed; its last line only says that the object did."""
    why = lib.why()
    lines = [line.removeprefix("libbpf: ") for line in lib.said]
    for line in lines:
        _log.debug("libbpf", extra={"fields": {"said": line}})
    return next((line for line in lines if "failed" in line and "failed to load object" not in line), why)


def load(plan: Plan) -> Loaded:
    """Load the programs of ``plan`` without attaching them; ProbeError with the kernel's own words when it refuses."""
    lib = library()
    handle = lib.bpf_object__open_file(os.fsencode(plan.object), None)
    if not handle:
        raise ProbeError(f"{plan.object}: {lib.why()}", "run make, or reinstall perflens")
    loaded = Loaded(lib, handle, plan)
    try:
        _prepare(lib, handle, plan)
        lib.said.clear()
        if lib.bpf_object__load(handle):
            raise ProbeError(f"the kernel refuses the programs: {_cause(lib)}", "see docs/troubleshooting.md#refused")
    except BaseException:
        loaded.close()
        raise
    return loaded
