"""Known work, in prime numbers, and what it must be counted as."""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Callable
from pathlib import Path
from threading import Thread

FILE = {"read": 1_009, "write": 503, "fsync": 31, "sync_range": 7, "copy": 13}
FORKS, EXECS, THREADS = 23, 11, 5
# The child that does the work began in another cgroup, and ends in its own.
PROCESS = {"fork": FORKS + EXECS, "exec": EXECS, "exit": FORKS + EXECS + 1}
BLOCK = 4_096
_SIZE = 1 << 16
_SYNC_FILE_RANGE_WRITE = 2  # include/uapi/linux/fs.h

_libc = ctypes.CDLL(None, use_errno=True)


def prepare(folder: Path) -> None:
    """Make the files that the work is done on; not counted."""
    for name in ("data", "copy"):
        (folder / name).write_bytes(bytes(_SIZE))


def file_work(folder: Path) -> None:
    """Every form of each operation in turn, through the page cache and past it."""
    data, copy = (os.open(folder / name, os.O_RDWR) for name in ("data", "copy"))
    direct, block = os.open(folder / "data", os.O_RDWR | os.O_DIRECT), mmap.mmap(-1, BLOCK)
    calls: dict[str, list[Callable[[], object]]] = {
        "read": [
            lambda: os.pread(data, 1, 0),
            lambda: os.preadv(direct, [block], 0),
            lambda: os.read(data, 1),
            lambda: os.readv(data, [bytearray(1)]),
            lambda: os.preadv(data, [bytearray(1)], 0, os.RWF_HIPRI),
        ],
        "write": [
            lambda: os.pwrite(data, b"x", 0),
            lambda: os.pwritev(direct, [block], 0),
            lambda: os.writev(copy, [b"x"]),
            lambda: os.pwritev(data, [b"x"], 0, os.RWF_DSYNC),
            lambda: os.write(copy, b"x"),
        ],
        "fsync": [lambda: os.fsync(data), lambda: os.fdatasync(data)],
        "sync_range": [lambda: _libc.sync_file_range(data, ctypes.c_long(0), ctypes.c_long(BLOCK), _SYNC_FILE_RANGE_WRITE)],
        "copy": [lambda: os.sendfile(copy, data, 0, BLOCK), lambda: os.copy_file_range(data, copy, BLOCK, 0, 0)],
    }
    for name, number in FILE.items():
        for turn in range(number):
            calls[name][turn % len(calls[name])]()


def process_work() -> None:
    """Processes that begin and end, programs that they become, and threads, which are none."""
    for _ in range(THREADS):
        thread = Thread(target=lambda: None)
        thread.start()
        thread.join()
    for _ in range(FORKS):
        if not (pid := os.fork()):
            os._exit(0)
        os.waitpid(pid, 0)
    for _ in range(EXECS):
        os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)
