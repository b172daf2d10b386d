"""What the selftest makes on a host: one folder and one cgroup, named after it, and what dead ones have left of theirs.

Each is locked (flock(2)) by the run that made it as long as that lives, so that the next run can tell what nobody needs any more.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

__all__ = ["PREFIX", "Claim", "claim", "own_name", "remove_cgroup", "remove_folder", "sweep"]

PREFIX = "perflens-selftest-"
_NAME = re.compile(rf"{PREFIX}([0-9]{{1,10}})-([0-9]{{1,20}})(?:-[0-9]{{1,4}})?")
_PATIENCE = 2.0  # s
_MOST = 100

Remove = Callable[[Path], None]


def _started(pid: int) -> int:
    """When a process began, in ticks since the boot (proc(5)); 0 when there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        return int(text.rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0


def own_name() -> str:
    """Return what this run calls what it makes: its PID, and when it began."""
    return f"{PREFIX}{os.getpid()}-{_started(os.getpid())}"


class Claim:
    """A folder of ours, locked. ``path`` is where it is."""

    def __init__(self, path: Path, fd: int, remove: Remove) -> None:
        self.path, self._fd, self._remove = path, fd, remove

    def close(self) -> None:
        """Remove it, and let the lock go; once is enough."""
        if self._fd >= 0:
            try:
                self._remove(self.path)
            finally:
                os.close(self._fd)
                self._fd = -1


def claim(parent: Path, remove: Remove) -> Claim:
    """Make a folder or cgroup of our name and lock it; OSError when it cannot be made."""
    for number in range(1, _MOST):
        path = parent / (own_name() if number == 1 else f"{own_name()}-{number}")
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            continue
        fd = _locked(path)
        if fd >= 0:
            return Claim(path, fd, remove)
    raise OSError(f"{parent} is full of what looks like ours")


def _locked(path: Path) -> int:
    """Open and lock; -1 when another run has taken it for a leftover in the moment since it was made."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return -1
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.stat(path).st_ino == os.fstat(fd).st_ino:
            return fd
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError:
        return fd  # a file system without locks: the name alone must do
    os.close(fd)
    return -1


def _is_alive(match: re.Match[str]) -> bool:
    return _started(int(match[1])) == int(match[2])


def sweep(parent: Path, remove: Remove) -> list[str]:
    """Remove what runs that are dead have left in a folder; return the names. What cannot be removed is left alone."""
    found = []
    with suppress(OSError):
        for path in sorted(parent.glob(f"{PREFIX}*")):
            match = _NAME.fullmatch(path.name)
            if match and not _is_alive(match) and _sweep(path, remove):
                found.append(path.name)
    return found


def _sweep(path: Path, remove: Remove) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        if os.fstat(fd).st_uid != os.geteuid() or not _lock(fd):
            return False
        remove(path)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def _lock(fd: int) -> bool:
    """Whether nobody else has the lock: a run in another PID namespace looks dead from here, and is not."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # a file system without locks
    return True


def remove_folder(path: Path) -> None:
    """Remove a folder with its files; OSError when that fails."""
    shutil.rmtree(path)


def remove_cgroup(path: Path) -> None:
    """Remove a cgroup and those below it, once their last processes are gone; OSError when they stay."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            for folder, _, _ in os.walk(path, topdown=False):
                os.rmdir(folder)
        except FileNotFoundError:
            pass
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
            continue
        return
