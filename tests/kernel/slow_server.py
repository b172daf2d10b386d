"""A file system with one file, `disk`, whose reads, writes and syncs take as long as is asked for: a FUSE server on /dev/fuse.

As a program, `slow_server.py FD BYTES DELAYS`: FD is /dev/fuse of the mount, DELAYS a file of three doubles, seconds, which may change
at any time. The contents lie in memory. What is sent and got is laid out as in include/uapi/linux/fuse.h.
"""

from __future__ import annotations

import errno
import mmap
import os
import stat
import struct
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

NAME = b"disk"
DELAYS = struct.Struct("=3d")  # of a read, a write, a sync
LARGEST = 1 << 20
ROOT, FILE = 1, 2
THREADS = 16
NO_ANSWER = {2, 36, 42}  # FORGET, INTERRUPT, BATCH_FORGET

_IN = struct.Struct("=IIQQIIII")
_OUT = struct.Struct("=IiQ")
_WRITE = struct.Struct("=QQIIQII")
_READ = struct.Struct("=QQI")


class Server:
    """Answers the requests of one mount."""

    def __init__(self, fd: int, size: int, delays: Path) -> None:
        self._fd, self._size = fd, size
        self._data = mmap.mmap(-1, size)
        with delays.open("r+b") as own:
            self._delays = mmap.mmap(own.fileno(), DELAYS.size)
        empty = {18, 20, 25, 29, 38}  # RELEASE, FSYNC, FLUSH, RELEASEDIR, DESTROY
        self._answers: dict[int, Callable[[int, bytes], bytes]] = {
            1: self._look_up,
            3: self._attributes,
            4: self._attributes,
            14: lambda *_: struct.pack("=QIi", 0, 1 | 1 << 6, 0),  # FOPEN_DIRECT_IO, FOPEN_PARALLEL_DIRECT_WRITES
            15: self._read,
            16: self._write,
            17: lambda *_: struct.pack("=5Q4I24x", 1 << 20, 1 << 20, 1 << 20, 9, 9, 4096, 255, 4096, 0),
            26: self._begin,
            27: lambda *_: struct.pack("=QIi", 0, 0, 0),
            **dict.fromkeys(empty, lambda *_: b""),
            20: self._sync,
        }

    def serve(self) -> None:
        """Answer until the file system is unmounted."""
        while True:
            try:
                request = os.read(self._fd, LARGEST + 4096)
            except OSError as error:
                if error.errno in (errno.EINTR, errno.EAGAIN, errno.ENOENT):
                    continue
                return
            opcode, unique, node = _IN.unpack_from(request)[1:4]
            if opcode not in NO_ANSWER:
                self._answer(opcode, unique, node, request[_IN.size :])

    def _answer(self, opcode: int, unique: int, node: int, body: bytes) -> None:
        error, answer = 0, b""
        try:
            answer = self._answers[opcode](node, body)
        except KeyError:
            error = errno.ENOSYS
        except FileNotFoundError:
            error = errno.ENOENT
        try:
            os.write(self._fd, _OUT.pack(_OUT.size + len(answer), -error, unique) + answer)
        except OSError:
            return  # who asked is gone

    def _sleep(self, number: int) -> None:
        began = time.monotonic()
        while (left := began + DELAYS.unpack_from(self._delays)[number] - time.monotonic()) > 0:
            time.sleep(min(left, 0.25))  # it may become less meanwhile

    def _begin(self, _: int, body: bytes) -> bytes:
        major, _, readahead = struct.unpack_from("=III", body)
        flags = 1 | 1 << 5 | 1 << 22  # ASYNC_READ, BIG_WRITES, MAX_PAGES
        return struct.pack("=IIIIHHIIHHII24x", major, 31, readahead, flags, 64, 48, LARGEST, 1, LARGEST // 4096, 0, 0, 0)

    def _attribute(self, node: int) -> bytes:
        mode, size = (stat.S_IFDIR | 0o755, 0) if node == ROOT else (stat.S_IFREG | 0o600, self._size)
        return struct.pack("=6Q10I", node, size, size // 512, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)

    def _look_up(self, _: int, body: bytes) -> bytes:
        if body.rstrip(b"\0") != NAME:
            raise FileNotFoundError
        return struct.pack("=4QII", FILE, 0, 60, 60, 0, 0) + self._attribute(FILE)

    def _attributes(self, node: int, _: bytes) -> bytes:
        return struct.pack("=QII", 60, 0, 0) + self._attribute(node)

    def _read(self, _: int, body: bytes) -> bytes:
        _, offset, size = _READ.unpack_from(body)
        self._sleep(0)
        return self._data[offset : offset + size]

    def _write(self, _: int, body: bytes) -> bytes:
        offset, size = _WRITE.unpack_from(body)[1:3]
        self._sleep(1)
        self._data[offset : offset + size] = body[_WRITE.size : _WRITE.size + size]
        return struct.pack("=II", size, 0)

    def _sync(self, _: int, __: bytes) -> bytes:
        self._sleep(2)
        return b""


def main(fd: int, size: int, delays: Path) -> None:
    """Serve with several threads, so that requests wait side by side."""
    server = Server(fd, size, delays)
    threads = [threading.Thread(target=server.serve) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
