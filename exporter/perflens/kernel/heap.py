"""How the agent gives memory back that it does not need to keep: large blocks, what the start has left, code that only the start ran."""

from __future__ import annotations

import ctypes
import gc
import mmap
import re
from collections.abc import Iterable, Iterator
from dataclasses import FrozenInstanceError, fields
from typing import Any

__all__ = ["give_back_free_pages", "give_back_large_blocks", "idle_code", "share_what_dataclasses_repeat", "trim"]

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h
_LARGE = 128 << 10
_MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) ([-rwxsp]{4}) \S+ \S+ \d+ *(.*)")


def give_back_large_blocks() -> None:
    """Fix the threshold from which malloc maps a block of its own at 128 KiB; glibc raises it to the largest block ever freed.

    So pages and tables that come and go leave no holes. One arena for all threads, which the interpreter's lock keeps apart anyway,
    spares another 2 to 4 MiB; a thread that has begun has its own already, so this comes before the first. Other C libraries have
    no such threshold and no mallopt.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE)
        mallopt(_M_TRIM_THRESHOLD, 4 * _LARGE)
        mallopt(_M_ARENA_MAX, 1)


def trim() -> None:
    """Give back what the start has left behind: the garbage of imports, what was read once, and the pages of code that has run once."""
    gc.collect()
    give_back_free_pages()
    try:
        with open("/proc/self/smaps") as smaps:
            ranges = list(idle_code(smaps))
    except OSError:
        return
    libc = ctypes.CDLL(None)
    for begin, length in ranges:
        libc.madvise(ctypes.c_void_p(begin), ctypes.c_size_t(length), mmap.MADV_DONTNEED)


def share_what_dataclasses_repeat() -> None:
    """Let our frozen classes with slots refuse changes and show themselves by the same functions, in place of three for each class.

    So the classes go too that these were made from. Python before 3.14 keeps them: in the functions that are no more, and in the
    ``__weakref__`` of the new one's namespace (gh-135228), of no use to a class with slots. In all 0.8 MiB, of 180 classes.
    """
    own: Any
    for own in object.__subclasses__():
        names = vars(own)
        is_frozen = getattr(names.get("__dataclass_params__"), "frozen", False)
        if not (is_frozen and "__slots__" in names and own.__module__.startswith("perflens.")):
            continue
        own.__setattr__ = own.__delattr__ = _refuse
        if hasattr(names.get("__repr__"), "__wrapped__"):  # dataclass wraps what it makes
            own.__repr__ = _show
        if "__weakref__" in names and names["__weakref__"].__objclass__ is not own:
            del own.__weakref__
    gc.collect()


def _refuse(own: object, name: str, *_: object) -> None:
    raise FrozenInstanceError(f"{type(own).__name__}.{name} cannot be changed")


def _show(own: Any) -> str:
    """As ``dataclass`` does, for values that do not hold themselves."""
    shown = ", ".join(f"{one.name}={getattr(own, one.name)!r}" for one in fields(own) if one.repr)
    return f"{type(own).__qualname__}({shown})"


def give_back_free_pages() -> None:
    """Give back whole pages between blocks in use, about 1 ms; malloc itself does so at the end of its heap only."""
    release = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if release is not None:
        release(0)


def idle_code(smaps: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Yield begin and length of the mappings whose every page can be mapped again from its file (``/proc/PID/smaps``, proc(5)).

    Those are private, of a file, not writable, and hold no page of their own: a relocated one, or one with a breakpoint, would be lost.
    Their pages stay in the page cache, and what runs again comes back without a read.
    """
    begin = end = 0
    for line in smaps:
        if found := _MAPPING.match(line):
            begin, end = int(found[1], 16), int(found[2], 16)
            if not (found[3][1] == "-" and found[3][3] == "p" and found[4].startswith("/")):
                begin = end
        elif begin != end and line.split() == ["Anonymous:", "0", "kB"]:
            yield begin, end - begin
