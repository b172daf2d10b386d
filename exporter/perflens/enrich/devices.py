"""Block devices as people know them, and the disks that a file lies on."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from perflens.enrich.mounts import MountTree, read_mountinfo
from perflens.enrich.stacking import Stacking
from perflens.enrich.sysfs_block import Found, btrfs_members, listed, paths_of, read
from perflens.logs import fields
from perflens.model import Device, Mount, SlowEvent

__all__ = ["MOST", "Devices"]

_log = logging.getLogger("perflens")

MOST = 1_024
"""Devices that are kept."""

_AGE, _AGE_UNKNOWN = 10.0, 1.0  # s: how old what is known may be, and how old when something is asked that it does not have
_PATIENCE, _PATIENCE_FIRST = 0.5, 5.0  # s: nothing is known at first
_ANONYMOUS = frozenset({"btrfs", "overlay"})  # file systems on disks whose super blocks have a number of no device


class Devices:
    """The block devices of this host, read when they are asked for.

    Any thread may ask. What is known is a value that a thread of its own replaces: should the kernel not answer it, what was known
    stays and nobody waits for long. ``procfs`` is empty where processes are not to be seen; ``parse`` reads a mountinfo; ``clock`` is
    in s.
    """

    def __init__(self, sysfs: str, procfs: str, clock: Callable[[], float], parse: Callable[[str], Sequence[Mount]]) -> None:
        self._sysfs, self._procfs, self._clock, self._parse = sysfs, procfs, clock, parse
        self._known, self._unlisted = Stacking((), (), {}), 0
        self._began: float | None = None
        self._is_late = False
        self._reading = threading.Lock()

    def all(self) -> tuple[Device, ...]:
        """Return every device, the real ones first."""
        return self._fresh().devices

    def of(self, number: tuple[int, int]) -> Device | None:
        """Return the device with this number (major, minor)."""
        if number[0] == 0:
            return None
        return self._fresh().by_number.get(number) or self._fresh(_AGE_UNKNOWN).by_number.get(number)

    def known(self) -> Mapping[tuple[int, int], Device]:
        """Return the devices by number as they were last read: another value after each time."""
        return self._known.by_number

    def by_name(self, name: str) -> Device | None:
        """Return the device with the kernel's name for it."""
        return self._fresh().by_name.get(name) or self._fresh(_AGE_UNKNOWN).by_name.get(name)

    def edges(self) -> tuple[tuple[str, str], ...]:
        """Return each device with every device below it, however deep."""
        return self._fresh().edges()

    def left_out(self) -> tuple[int, int]:
        """Return how many devices and how many mounts of devices there are beyond what is kept."""
        return self._unlisted, self._fresh().left_out

    def disks_of(self, number: tuple[int, int]) -> tuple[str, ...]:
        """Return the names of the disks at the bottom of a device: of a loop itself, then those that its file lies on."""
        own = self.of(number)
        return self._known.disks((own.name,)) if own else ()

    def of_event(self, event: SlowEvent) -> tuple[str, ...]:
        """Return the disks that an operation was about."""
        if event.is_request:
            return (event.object_name,)
        return self.real_device(event.file.device, event.object_name, event.process.pid, writes=event.operation != "read")

    def real_device(self, number: tuple[int, int], fstype: str, pid: int = 0, *, writes: bool = False) -> tuple[str, ...]:
        """Return the disks that a file lies on, by its super block's number and type; none when there are none, or it cannot be told.

        ``pid`` is a process that has it mounted. What is written to an overlay goes to its upper layer; what is read may come from any.
        """
        if number[0] == 0 and fstype not in _ANONYMOUS:
            return ()
        known = self._fresh()
        if not known.knows(number):
            known = self._fresh(_AGE_UNKNOWN)
        answer = known.real(number, writes=writes)
        if answer is None and number[0] == 0 and pid and self._procfs:
            text = read_mountinfo(f"{self._procfs}/{pid}/mountinfo")
            if text:
                answer = known.real_in(MountTree(self._parse(text)), number, writes=writes)
                known.keep(number, answer, writes=writes)
        return answer or ()

    def _fresh(self, age: float = _AGE) -> Stacking:
        now = self._clock()
        if (self._began is None or now - self._began >= age) and self._reading.acquire(blocking=False):
            patience = _PATIENCE_FIRST if self._began is None else _PATIENCE
            self._began = now
            self._tell_late(self._read_within(patience))
        return self._known

    def _read_within(self, patience: float) -> str:
        """Have a thread read, and wait for it for so many seconds; return why it is not done then."""
        reader = threading.Thread(target=self._read, name="devices", daemon=True)
        try:
            reader.start()
        except RuntimeError as error:  # no thread can be had now
            self._reading.release()
            return str(error)
        reader.join(patience)
        return "the kernel has not answered in time" if reader.is_alive() else ""

    def _tell_late(self, why: str) -> None:
        """Once until it is in time again."""
        if why and not self._is_late:
            _log.warning("the block devices are not read in time: what was known of them stays", extra=fields(reason=why))
        self._is_late = bool(why)

    def _read(self) -> None:
        try:
            entries, self._unlisted = listed(self._sysfs, MOST)
            found = [own for entry, link in entries if (own := read(self._sysfs, entry, link))]
            names = [own.device.name for own in found if own.device.kind == "nvme_path"]
            text = (self._procfs and read_mountinfo(f"{self._procfs}/1/mountinfo")) or read_mountinfo("/proc/self/mountinfo")
            self._known = Stacking([self._with_paths(own, names) for own in found], self._parse(text), btrfs_members(self._sysfs))
        except Exception:
            _log.exception("the block devices cannot be read")
        finally:
            self._reading.release()

    def _with_paths(self, own: Found, names: Sequence[str]) -> Found:
        if own.device.kind != "nvme_multipath":
            return own
        return own._replace(device=replace(own.device, below=tuple(sorted(paths_of(own.device, self._sysfs, names)))))
