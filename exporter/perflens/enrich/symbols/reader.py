"""What the helper process answers: learn the files of a process, or name the frames of one of its stacks."""

from __future__ import annotations

import os
from collections.abc import Sequence

from perflens.enrich.symbols.demangle import demangle
from perflens.enrich.symbols.elf import BadFile, Functions, Image
from perflens.enrich.symbols.perfmap import PerfMaps
from perflens.enrich.symbols.process import Mapping, Process, open_regular
from perflens.enrich.symbols.tables import Tables, image_of

__all__ = ["Reader"]

_MOST_FILES = 256
_LARGEST_VDSO = 1 << 16

Frame = tuple[bytes, bytes, bytes, bytes]  # function, offset in it or in the module, module, b"1" when that is the last word


class Reader:
    """Answers requests, lists of byte strings; what cannot be read is left without a name."""

    def __init__(self, procfs: str) -> None:
        self._procfs = procfs
        self._tables = Tables()
        self._perf_maps = PerfMaps()
        self._vdso: Functions | None = None

    def answer(self, request: Sequence[bytes]) -> list[bytes]:
        """Do what the first field says."""
        verb, *fields = request
        try:
            if verb == b"learn":
                return self._learn(int(fields[0]), int(fields[1]))
            if verb == b"path":
                return self._learn_path(fields[0], fields[1:])
            if verb == b"build":
                return self._build_of(fields[0], int(fields[1]), int(fields[2]))
            return self._names(*fields)
        except (OSError, ValueError, TypeError, IndexError):  # a process that ended meanwhile, or a request that makes no sense
            return []
        finally:
            self._tables.trim()

    def _learn(self, pid: int, start: int | None) -> list[bytes]:
        """Return the build-id and the path of each file that the process runs."""
        try:
            process = Process(self._procfs, pid, start)
        except OSError:
            return []
        try:
            return self._learn_files(process)
        finally:
            process.close()

    def _learn_files(self, process: Process) -> list[bytes]:
        answer: list[bytes] = []
        seen: set[tuple[bytes, int]] = set()
        for mapping in process.mappings():
            file = (mapping.device, mapping.inode)
            if mapping.inode and file not in seen and len(seen) < _MOST_FILES:
                seen.add(file)
                if key := self._key_of(process, mapping, any_file=True):
                    answer += [key, mapping.path.removesuffix(b" (deleted)")]
        return answer

    def _key_of(self, process: Process, mapping: Mapping, *, any_file: bool) -> bytes:
        """Learn the mapped file; with ``any_file`` also one that stands in its place, which its own build-id will tell apart."""
        key = b""
        for fd, exact in process.open(mapping):
            if exact or any_file:
                key = self._tables.learn(fd, mapping.module) or key
            if exact:
                break
        return key

    def _learn_path(self, path: bytes, pids: Sequence[bytes]) -> list[bytes]:
        """Return build-id and path of a program, as the file systems of the processes ``pids`` have it, else as ours have it."""
        if not path.startswith(b"/"):
            return []
        for root in [*(b"%b/%d/root" % (os.fsencode(self._procfs), int(pid)) for pid in pids), b""]:
            try:
                fd = open_regular(root + path)
            except (OSError, ValueError):
                continue
            try:
                if key := self._tables.learn(fd, path.rsplit(b"/", 1)[-1]):
                    return [key, path]
            finally:
                os.close(fd)
        return []

    def _build_of(self, path: bytes, pid: int, start: int) -> list[bytes]:
        """Return the build-id of the program at a path, as a living process has it: little of the file is read for it."""
        process = Process(self._procfs, pid, start)
        try:
            fd = open_regular(b"root" + path, process.folder)
            try:
                return [image_of(fd).build_id()]
            except BadFile:
                return []
            finally:
                os.close(fd)
        finally:
            process.close()

    def _names(self, pid: bytes, start: bytes, near: bytes, paths: bytes, *frames: bytes) -> list[bytes]:
        """Name frames of three fields: build-id, offset, and how many bytes before it the function is looked up.

        ``near`` lists other PIDs whose files may be the same, ``paths`` programs and their PIDs that were seen with these build-ids.
        The answer is how many perf maps were refused, and four fields for each frame.
        """
        process: Process | None
        try:
            process = Process(self._procfs, int(pid), int(start))
        except OSError:
            process = None
        try:
            self._find_files(set(frames[::3]) - {b""}, process, near.split(), paths)
            found = [self._frame(process, frames[i], int(frames[i + 1]), int(frames[i + 2])) for i in range(0, len(frames), 3)]
        finally:
            if process is not None:
                process.close()
        return [b"%d" % self._perf_maps.take_refused(), *(field for frame in found for field in frame)]

    def _find_files(self, wanted: set[bytes], process: Process | None, near: Sequence[bytes], paths: bytes) -> None:
        if process is not None and not self._all_known(wanted):
            self._learn_files(process)
        for line in paths.split(b"\0"):
            if not self._all_known(wanted) and line:
                pid, _, path = line.partition(b" ")
                self._learn_path(path, [pid, *near])
        for pid in near:
            if not self._all_known(wanted):
                self._learn(int(pid), None)

    def _all_known(self, wanted: set[bytes]) -> bool:
        return all(build_id in self._tables for build_id in wanted)

    def _frame(self, process: Process | None, build_id: bytes, offset: int, back: int) -> Frame:
        if build_id:
            return self._in_file(build_id, offset, back)
        if process is None:
            return b"", b"%d" % offset, b"", b"0"
        mapping = process.at(offset)
        if mapping is not None and mapping.path.startswith(b"/"):
            key = self._key_of(process, mapping, any_file=False)
            found = self._in_file(key, offset - mapping.start + mapping.offset, back)
            if found[0]:
                return (*found[:3], b"0")
        return self._in_memory(process, mapping, offset, back)

    def _in_file(self, key: bytes, offset: int, back: int) -> Frame:
        known = self._tables.get(key)
        if known is None:
            return b"", b"%d" % offset, b"", b"0"
        found = known.functions.at_offset(offset, back)
        if found is None:
            return b"", b"%d" % offset, known.module, b"1"
        return demangle(found[0]), b"%d" % found[1], known.module, b"1"

    def _in_memory(self, process: Process, mapping: Mapping | None, address: int, back: int) -> Frame:
        if mapping is None:
            return b"", b"%d" % address, b"", b"0"
        offset = address - mapping.start + mapping.offset
        if mapping.module == b"[vdso]":
            found = self._own_vdso(mapping).at_offset(offset, back)
        else:
            found = self._perf_maps.find(process, address - back)
            found = found and (found[0], found[1] + back)
        if found is None:
            return b"", b"%d" % (offset if mapping.path else address), mapping.module, b"0"
        return demangle(found[0]), b"%d" % found[1], mapping.module, b"0"

    def _own_vdso(self, theirs: Mapping) -> Functions:
        """Return the functions of our own vdso, which the kernel maps into every process of our kind."""
        if self._vdso is None:
            self._vdso = _read_vdso()
        return self._vdso if theirs.end > 1 << 32 else Functions((), (), b"", full=False)  # one of 32 bits is another


def _read_vdso() -> Functions:
    try:
        own = Process("/proc", os.getpid())
        mapping = next(mapping for mapping in own.mappings() if mapping.module == b"[vdso]")
        own.close()
        fd = os.open("/proc/self/mem", os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, StopIteration):
        return Functions((), (), b"", full=False)
    try:
        content = os.pread(fd, min(mapping.end - mapping.start, _LARGEST_VDSO), mapping.start)
        return Image(lambda offset, length: content[offset : offset + length]).functions()
    except (OSError, BadFile):
        return Functions((), (), b"", full=False)
    finally:
        os.close(fd)
