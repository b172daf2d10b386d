"""Requests that last as long as they are asked to: the limit of a cgroup of ours holds them back until it is lifted."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from perflens.model import Mount

__all__ = ["Throttle", "mark_of", "throttle_of", "throttle_tree"]

_V1, _V2 = "blkio.throttle.{}_bps_device", "io.max"
_LATEST = 1.0  # s after which it lets go of its own, whatever became of us
_ASLEEP = 0.01  # s of sleep that are no wait on the way to the throttle
_POLL = 0.001


def throttle_tree(mounts: Sequence[Mount]) -> str:
    """Return where cgroups can be made whose requests can be limited; empty where that is nowhere."""
    for mount in mounts:
        if mount.fstype == "cgroup" and "blkio" in mount.options:
            return mount.point
    for mount in mounts:
        with suppress(OSError):
            if mount.fstype == "cgroup2" and "io" in Path(mount.point, "cgroup.subtree_control").read_text().split():
                return mount.point
    return ""


def mark_of(folder: Path) -> str:
    """Return what the threads whose requests are held back are called: a request tells no path, only who made it."""
    return hashlib.blake2b("/".join(folder.parts[-2:]).encode(), digest_size=7).hexdigest()


@dataclass(frozen=True, slots=True)
class Throttle:
    """The limits of the cgroup ``folder`` on ``disk``, MAJOR:MINOR; ``lacks`` says why there are none.

    ``members`` is the list to join for them, empty for who is in it already.
    """

    folder: str = ""
    disk: str = ""
    members: str = ""
    lacks: str = ""

    def hold(self, operation: str, call: Callable[[], object], size: int, seconds: float, mark: str) -> tuple[int, int]:
        """Make one request of ``size`` bytes from a thread called ``mark``, hold it back, and return the least and the most ns.

        Both are of CLOCK_MONOTONIC. The least is 0 if it went before it was let go: the disk does not heed the limit, or the host
        stood still. OSError when no limit can be set, or the call fails.
        """
        own = _Request(call, mark)
        self._limit(operation, max(1, int(size / (seconds + _LATEST))))
        try:
            own.start()
            asleep = _wait_asleep(own)
            time.sleep(seconds)
            until = time.monotonic_ns()
            was_held = not own.ended
        finally:
            self._limit(operation, 0)
            own.join()
        if own.error:
            raise own.error
        return (until - asleep if was_held else 0), own.ended - own.began

    def lift(self) -> None:
        """Let go whatever is held back, as far as there is a throttle; OSError when that cannot be."""
        if self.folder:
            for operation in ("read", "write"):
                self._limit(operation, 0)

    def _limit(self, operation: str, rate: int) -> None:
        """Set the limit in bytes a second, 0 for none; whoever waits for the old one is looked at again at once."""
        v1 = Path(self.folder, _V1.format(operation))
        if v1.exists():
            v1.write_text(f"{self.disk} {rate}")
        else:
            Path(self.folder, _V2).write_text(f"{self.disk} {operation[0]}bps={rate or 'max'}")


class _Request(threading.Thread):
    """Makes one call; when it began and ended, in ns of CLOCK_MONOTONIC, or its error."""

    def __init__(self, call: Callable[[], object], mark: str) -> None:
        super().__init__()
        self._call, self._mark = call, mark
        self.began = self.ended = 0
        self.error: OSError | None = None

    def run(self) -> None:
        """Make it."""
        try:
            Path("/proc/thread-self/comm").write_text(self._mark)
            self.began = time.monotonic_ns()
            self._call()
        except OSError as error:
            self.error = error
        self.ended = time.monotonic_ns()


def throttle_of(cgroup: Path, disk: str, *, join: bool) -> Throttle:
    """Return the throttle of a cgroup on a disk; ``join`` if those who work are not in it."""
    if not disk:
        return Throttle(lacks="the disk lies on others, which each have a throttle of their own")
    if not (cgroup / _V2).exists() and not (cgroup / _V1.format("write")).exists():
        return Throttle(lacks="the kernel has no throttle of requests")
    return Throttle(str(cgroup), disk, str(cgroup / "cgroup.procs") if join else "")


def _wait_asleep(thread: threading.Thread) -> int:
    """Wait until a thread has slept for a while, or is over; return the moment."""
    since = time.monotonic()
    deadline = since + _LATEST
    while thread.is_alive() and (now := time.monotonic()) < min(deadline, since + _ASLEEP):
        if not _sleeps(thread.native_id):
            since = now
        time.sleep(_POLL)
    return time.monotonic_ns()


def _sleeps(tid: int | None) -> bool:
    try:
        return Path(f"/proc/self/task/{tid}/stat").read_text(errors="replace").rpartition(") ")[2].startswith("D")
    except OSError:
        return False
