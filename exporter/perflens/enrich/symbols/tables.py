"""The functions of the files that were seen, by build-id: a process that has ended is still named by them."""

from __future__ import annotations

import os

from perflens.enrich.symbols.elf import BadFile, Functions, Image
from perflens.enrich.symbols.process import open_regular

__all__ = ["Known", "Tables", "image_of"]

_WEIGHT = 8 << 20
_HEAVIEST = 32 << 20
_FILES = 4096
_DEBUG = "/usr/lib/debug/.build-id"


def image_of(fd: int) -> Image:
    """Return the ELF file that is open as ``fd``; BadFile when it is none."""
    return Image(lambda offset, length: os.pread(fd, length, offset))


class Known:
    """The functions of a file, the name it was found by, and whether it is root's."""

    __slots__ = ("functions", "module", "roots")

    def __init__(self, functions: Functions, module: bytes, roots: bool) -> None:
        self.functions, self.module, self.roots = functions, module, roots

    def yields_to(self, other: Known) -> bool:
        """Whether ``other``, of the same build-id, tells more; anybody can give a file any build-id, but only root root's."""
        if self.roots != other.roots:
            return other.roots
        return other.functions.full and not self.functions.full


class Tables:
    """Least recently used tables of functions, within a bound in bytes.

    A key is a build-id or, where a file has none, what tells that file from others.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, Known] = {}
        self._files: dict[bytes, bytes] = {}
        self._weight = 0

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, key: bytes) -> bool:
        return key in self._known

    def get(self, key: bytes) -> Known | None:
        """Return what is known of a file."""
        found = self._known.pop(key, None)
        if found is not None:
            self._known[key] = found
        return found

    def learn(self, fd: int, module: bytes) -> bytes:
        """Remember the functions of an open file; return its key, empty when it is no ELF file."""
        status = os.fstat(fd)
        identity = b"%d:%d:%d:%d:%d" % (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        key = self._files.get(identity)
        if key is None or (key and key not in self._known):
            key = self._read(fd, identity, module, status.st_uid == 0)
            if len(self._files) >= _FILES:
                self._files.clear()
            self._files[identity] = key
        return key

    def trim(self) -> None:
        """Drop the tables not used for longest until the rest is within the bound; the last one may be heavy."""
        while self._weight > (_WEIGHT if len(self._known) > 1 else _HEAVIEST):
            self._drop(next(iter(self._known)))

    def _read(self, fd: int, identity: bytes, module: bytes, roots: bool) -> bytes:
        try:
            image = image_of(fd)
            build_id = image.build_id()
            functions = image.functions()
            if build_id and not functions.full:
                functions = _with_debug_file(image, build_id) or functions
        except BadFile:
            return b""
        key, new = build_id or identity, Known(functions, module, roots)
        old = self._known.get(key)
        if old is None or old.yields_to(new):
            self._drop(key)
            self._known[key] = new
            self._weight += functions.weight
        return key

    def _drop(self, key: bytes) -> None:
        if key in self._known:
            self._weight -= self._known.pop(key).functions.weight


def _with_debug_file(image: Image, build_id: bytes) -> Functions | None:
    name = build_id.hex()
    try:
        fd = open_regular(f"{_DEBUG}/{name[:2]}/{name[2:]}.debug")
    except OSError:
        return None
    try:
        debug = image_of(fd)
        return image.functions(debug) if debug.build_id() == build_id else None
    except BadFile:
        return None
    finally:
        os.close(fd)
