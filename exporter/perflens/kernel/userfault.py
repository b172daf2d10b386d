"""System calls that last as long as they are asked to: their memory is given to them late (userfaultfd(2))."""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import platform
import select
import struct
import threading
import time
from collections.abc import Callable

__all__ = ["Holder"]

_NUMBERS = {"x86_64": 323, "aarch64": 282}
_UFFD_API = 0xAA
_API, _REGISTER, _ZEROPAGE = 0xC018AA3F, 0xC020AA00, 0xC020AA04  # the UFFDIO_* of linux/userfaultfd.h
_MODE_MISSING = 1
_MESSAGE = 32
_PAGE = mmap.PAGESIZE
_ATTENTION = 1.0  # s


class Holder:
    """Holds system calls up while they copy to or from a page that does not exist yet. OSError when the kernel does not let us."""

    def __init__(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd = libc.syscall(_NUMBERS.get(platform.machine(), -1), os.O_CLOEXEC | os.O_NONBLOCK)
        if self._fd < 0:
            error = ctypes.get_errno()
            raise OSError(error, f"userfaultfd: {os.strerror(error)}")
        try:
            fcntl.ioctl(self._fd, _API, struct.pack("=3Q", _UFFD_API, 0, 0))
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Let go of everything."""
        os.close(self._fd)

    def hold(self, call: Callable[[mmap.mmap], object], seconds: float) -> tuple[int, int]:
        """Make one system call with a page of memory, and hold it up for so long; return the least and the most ns that it took.

        Both are of CLOCK_MONOTONIC: the call was inside of the kernel between the two moments of the first, and begun and over
        between those of the second.
        """
        page = mmap.mmap(-1, _PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        anchor = ctypes.c_char.from_buffer(page)
        address = ctypes.addressof(anchor)
        fcntl.ioctl(self._fd, _REGISTER, struct.pack("=4Q", address, _PAGE, _MODE_MISSING, 0))
        held: list[int] = []
        server = threading.Thread(target=self._serve, args=(address, seconds, held))
        server.start()
        began = time.monotonic_ns()
        try:
            call(page)
        finally:
            ended = time.monotonic_ns()
            server.join()
            del anchor
            page.close()
        return (held[1] - held[0] if held else 0), ended - began

    def _serve(self, address: int, seconds: float, held: list[int]) -> None:
        if not select.select([self._fd], [], [], _ATTENTION)[0]:
            return  # the call touched no memory
        os.read(self._fd, _MESSAGE)
        began = time.monotonic_ns()
        time.sleep(seconds)
        ended = time.monotonic_ns()
        fcntl.ioctl(self._fd, _ZEROPAGE, struct.pack("=4Q", address, _PAGE, 0, 0))
        held.extend((began, ended))
