"""Opens a compiled object, sets its knobs and sizes, loads the programs of one rung, maps their memory and attaches them."""

from __future__ import annotations

import ctypes
import logging
import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from perflens.errors import ProbeError
from perflens.kernel.held import Held, told_of
from perflens.kernel.kprobes import Kprobes
from perflens.kernel.libbpf import TRACE_ITER, Library, OpenOptions, library
from perflens.layout import Variable

__all__ = ["Loaded", "Plan", "load"]

_log = logging.getLogger(__name__)

_ITERATED_AT_ONCE = 1 << 16
_KPROBES = ("kprobe", "kretprobe")
_FIRST = struct.pack("=I", 0)
_DETAILS = "see the log at level debug; perflens check names what is missing"


@dataclass(frozen=True, slots=True)
class Plan:
    """One attempt: the programs to load, those of them to attach in this order, and what to set before.

    Names of programs may be patterns; what fits ``left_out`` is not meant. Kprobes among them are attached to the functions of the
    programs that fit ``functions``; ``tails`` are programs by the table in which others find them.
    ``shared`` are maps of another object by name, as file descriptors, that take the place of its own if they are of the same shape.
    ``btf`` is a file with the kernel's types, None for the kernel's own and those of its modules.
    """

    object: Path
    programs: tuple[str, ...]
    attach: tuple[str, ...]
    knobs: Mapping[str, bytes]
    variables: Mapping[str, Variable]
    max_entries: Mapping[str, int]
    shared: Mapping[str, int] = field(default_factory=dict)
    functions: str = ""
    tails: Mapping[str, str] = field(default_factory=dict)
    left_out: str = ""
    btf: Path | None = None

    def expand(self, patterns: tuple[str, ...], names: Sequence[str]) -> tuple[str, ...]:
        """Return the names that are meant, in the order of the patterns; a pattern that nothing fits stays, to be complained of."""
        own = [name for name in names if not fnmatchcase(name, self.left_out)]
        found = {pattern: [name for name in own if fnmatchcase(name, pattern)] for pattern in patterns}
        return tuple(dict.fromkeys(name for pattern in patterns for name in found[pattern] or [pattern]))


class Loaded(Held):
    """A loaded object: its maps by name, its programs, its links. ``close`` detaches, last attached first."""

    def __init__(self, lib: Library, handle: int, plan: Plan) -> None:
        super().__init__(lib, {}, {})
        self._handle, self._plan = handle, plan
        self._own = dict(_programs(lib, handle))
        self._attach = plan.expand(plan.attach, tuple(self._own))
        self._links: dict[str, list[int]] = {}
        self._facts: dict[str, int] = {}
        self._kprobes = Kprobes(plan.object.name.partition(".")[0])

    def hold(self) -> None:
        """Hold what libbpf has loaded by descriptors of its own; ProbeError where there are no more."""
        programs = ((name, self._lib.bpf_program__fd(program)) for name, program in self._own.items())
        try:
            for held, loaded in ((self._programs, programs), (self._tables, _maps(self._lib, self._handle))):
                held.update((name, os.dup(fd)) for name, fd in loaded if fd >= 0)
        except OSError as error:
            raise ProbeError(f"what is loaded cannot be held: {error.strerror}", "raise the limit of open files (LimitNOFILE=)") from error

    def go_on(self, table: str, program: str) -> None:
        """Let the programs that look into a table of programs go on with this one."""
        if not self.update(table, _FIRST, struct.pack("=i", self.program_fd(program))):
            raise ProbeError(f"{program} cannot follow other programs: {self._lib.why()}", _DETAILS)

    def iterate(self, program: str) -> bytes:
        """Run an iterator program over all that it walks, and return what it wrote; ProbeError when the kernel has no such iterator."""
        link = self._lib.bpf_link_create(self.program_fd(program), 0, TRACE_ITER, None)
        if link < 0:
            raise ProbeError(f"{program} does not attach: {self._lib.why()}", "use a kernel from 5.9 on")
        try:
            fd = self._lib.bpf_iter_create(link)
            if fd < 0:
                raise ProbeError(f"{program} cannot be run: {self._lib.why()}", "use a kernel from 5.9 on")
            with open(fd, "rb", buffering=0) as walked:
                return b"".join(iter(lambda: walked.read(_ITERATED_AT_ONCE), b""))
        finally:
            os.close(link)

    def programs(self) -> dict[str, int]:
        """Return the file descriptors of the plan's programs to attach, by name."""
        return {name: self.program_fd(name) for name in self._attach}

    def missed(self) -> dict[tuple[str, str], int]:
        """Return how often the kernel did not run a program, by the program and the reason.

        ``recursion``: it was running on that CPU already, or another kprobe's was (told from 5.12 on); ``kprobe``, by kprobe: it was hit
        while one ran, or more calls slept in the function than can be followed.
        """
        skipped = {(name, "recursion"): self._recursion_misses(name) for name in self._attach}
        return skipped | {(event, "kprobe"): count for event, count in self._kprobes.missed().items()}

    def attach(self) -> None:
        """Attach the plan's programs in order; on a failure detach those that were, and raise ProbeError."""
        try:
            for name in self._attach:
                self._links[name] = []
                for link in self._attached(name):
                    self._links[name].append(link)
        except BaseException:
            self.detach()
            raise

    def _attached(self, name: str) -> Iterator[int]:
        """Attach one program, a kprobe to each of its functions."""
        program = self._program(name)
        section = self._section(name)
        if section not in _KPROBES:
            yield self._link(name, self._lib.bpf_program__attach(program))
            return
        for traced in self._plan.expand((self._plan.functions,), tuple(self._own)):
            event = self._kprobes.open(self._section(traced).partition("/")[2], at_return=section == "kretprobe")
            link = self._lib.bpf_program__attach_perf_event(program, event)
            if not link:
                why = self._lib.why()
                os.close(event)
                raise ProbeError(f"{name} does not attach: {why}", _DETAILS)
            yield int(link)

    def _link(self, name: str, link: int | None) -> int:
        if not link:
            raise ProbeError(f"{name} does not attach: {self._lib.why()}", _DETAILS)
        return link

    def detach(self) -> None:
        """Detach every program, the one that begins operations first."""
        while self._links:
            self.let_go(next(reversed(self._links)))
        self._kprobes.close()

    def is_attached(self, program: str) -> bool:
        """Whether one program is attached."""
        return program in self._links

    def let_go(self, program: str) -> None:
        """Detach one program, if it is attached."""
        for link in self._links.pop(program, ()):
            self._lib.bpf_link__destroy(link)

    def settle(self) -> None:
        """Let go of what only attaching takes: libbpf's own copy of the object, 0.3 MiB of a probe. It cannot be attached again."""
        if self._handle:
            self._lib.bpf_object__close(self._handle)
            self._handle = 0
            self._own.clear()

    def close(self) -> None:
        """Detach, unmap and unload."""
        self.detach()
        while self._facts:
            os.close(self._facts.popitem()[1])
        self.settle()
        super().close()

    def _program(self, wanted: str) -> int:
        if wanted not in self._own:
            raise ProbeError(f"{self._plan.object.name} has no program {wanted}", "reinstall perflens: the object does not belong to it")
        return self._own[wanted]

    def _section(self, program: str) -> str:
        return str(self._lib.bpf_program__section_name(self._program(program)).decode())

    def _recursion_misses(self, program: str) -> int:
        if program not in self._facts:  # kept open: each scrape asks
            self._facts[program] = os.open(f"/proc/self/fdinfo/{self.program_fd(program)}", os.O_RDONLY | os.O_CLOEXEC)
        _, _, rest = os.pread(self._facts[program], 1 << 12, 0).partition(b"recursion_misses:")
        return int(rest.split(maxsplit=1)[0]) if rest else 0


def _programs(lib: Library, handle: int) -> list[tuple[str, int]]:
    found, program = [], lib.bpf_object__next_program(handle, None)
    while program:
        found.append((lib.bpf_program__name(program).decode(), program))
        program = lib.bpf_object__next_program(handle, program)
    return found


def _maps(lib: Library, handle: int) -> Iterator[tuple[str, int]]:
    """Names and file descriptors; of a section's name libbpf puts the object's before it."""
    own = lib.bpf_object__next_map(handle, None)
    while own:
        _, dot, section = lib.bpf_map__name(own).decode().partition(".")
        yield dot + section if dot else _, lib.bpf_map__fd(own)
        own = lib.bpf_object__next_map(handle, own)


def _prepare(lib: Library, handle: int, plan: Plan) -> None:
    own = dict(_programs(lib, handle))
    wanted = plan.expand(plan.programs, tuple(own))
    for name, program in own.items():
        lib.bpf_program__set_autoload(program, name in wanted)
    for name, entries in plan.max_entries.items():
        own = lib.bpf_object__find_map_by_name(handle, name.encode())
        if own:
            lib.bpf_map__set_max_entries(own, entries)
    for name, fd in plan.shared.items():
        _share(lib, handle, name, fd)
    for name, value in plan.knobs.items():
        place = plan.variables[name]
        section = lib.bpf_object__find_map_by_name(handle, place.section.encode())
        base = lib.bpf_map__initial_value(section, ctypes.byref(ctypes.c_size_t()))
        if not base or len(value) > place.field.size:
            raise ProbeError(f"knob {name} cannot be set", "reinstall perflens: the object does not belong to it")
        ctypes.memmove(base + place.field.offset, value, len(value))


def _share(lib: Library, handle: int, name: str, fd: int) -> None:
    own = lib.bpf_object__find_map_by_name(handle, name.encode())
    if not own:
        return
    shape = (lib.bpf_map__type(own), lib.bpf_map__key_size(own), lib.bpf_map__value_size(own), lib.bpf_map__max_entries(own))
    if shape != _shape(fd) or lib.bpf_map__reuse_fd(own, fd):
        _log.warning("a table cannot be shared between probes", extra={"fields": {"table": name}})


def _shape(fd: int) -> tuple[int, ...]:
    """Type, size of a key and of a value, and entries of a map, as the kernel tells them."""
    found = told_of(fd)
    return tuple(int(found.get(name, "0")) for name in ("map_type", "key_size", "value_size", "max_entries"))


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
    options = OpenOptions(size=ctypes.sizeof(OpenOptions), btf_custom_path=os.fsencode(plan.btf) if plan.btf else None)
    handle = lib.bpf_object__open_file(os.fsencode(plan.object), ctypes.byref(options))
    if not handle:
        raise ProbeError(f"{plan.object}: {lib.why()}", "run make, or reinstall perflens")
    loaded = Loaded(lib, handle, plan)
    try:
        _prepare(lib, handle, plan)
        lib.said.clear()
        if lib.bpf_object__load(handle):
            raise ProbeError(f"the kernel refuses the programs: {_cause(lib)}", "see docs/troubleshooting.md#refused")
        loaded.hold()
        for table, program in plan.tails.items():
            loaded.go_on(table, program)
    except BaseException:
        loaded.close()
        raise
    return loaded
