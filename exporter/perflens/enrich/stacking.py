"""Block devices as they lie on each other, at one moment: a value that is built once and asked by any thread."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from perflens.enrich.mounts import MountTree, layers
from perflens.enrich.sysfs_block import Found
from perflens.enrich.units import shown
from perflens.model import Device, Mount

__all__ = ["Stacking"]

_MOUNTS_OF_ONE = 64
_OVERLAYS = 16  # below one another, or beside each other below one
_ANSWERS = 4_096


class Stacking:
    """All devices with what is below and above them. ``left_out`` counts mounts that are not among those of their device."""

    def __init__(self, found: Iterable[Found], mounts: Sequence[Mount], btrfs: Mapping[str, Sequence[str]]) -> None:
        found = tuple(found)
        self.tree = MountTree(mounts)
        self.left_out = 0
        self._btrfs = btrfs
        self._use([own.device for own in found])
        backing = {own.device.name: self._of_path(own.backing) for own in found if own.backing}
        self._use([replace(own, below=backing[own.name]) if own.name in backing else own for own in self.devices])
        above, mounted = self._above(), self._mounted()
        self._use([replace(own, above=tuple(above[own.name]), mounts=mounted.get(own.name, ())) for own in self.devices])
        self._answers: dict[tuple[tuple[int, int], bool], tuple[str, ...]] = {}

    def _use(self, devices: Sequence[Device]) -> None:
        self.devices = tuple(devices)
        self.by_name = {own.name: own for own in devices}
        self.by_number = {own.number: own for own in devices if own.number != (0, 0)}

    def disks(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return the disks at the bottom of these devices. A loop is one itself, above those that its file lies on."""
        disks: dict[str, None] = {}
        for own in self._walk(names):
            device = self.by_name[own]
            if device.kind == "loop" or not any(below in self.by_name for below in device.below):
                disks[own] = None
        return tuple(disks)

    def edges(self) -> tuple[tuple[str, str], ...]:
        """Return each device with every device below it, however deep."""
        return tuple((own.name, below) for own in self.devices for below in self._walk(own.below) if below != own.name)

    def knows(self, number: tuple[int, int]) -> bool:
        """Whether the number is that of a device, or of a super block that is mounted."""
        return number in self.by_number or self.tree.of(number) is not None

    def real(self, number: tuple[int, int], *, writes: bool) -> tuple[str, ...] | None:
        """Return the disks below a super block with this number, None when nothing is known of it. What was asked for is kept."""
        key = number, writes
        answer = self._answers.get(key)
        if answer is None and self.knows(number):
            own, mount = self.by_number.get(number), self.tree.of(number)
            answer = self.disks((own.name,) if own else self._of_mount(mount, self.tree, writes=writes) if mount else ())
            self.keep(number, answer, writes=writes)
        return answer

    def keep(self, number: tuple[int, int], answer: tuple[str, ...], *, writes: bool) -> None:
        """Remember the answer for a super block."""
        if len(self._answers) < _ANSWERS:
            self._answers[number, writes] = answer

    def real_in(self, tree: MountTree, number: tuple[int, int], *, writes: bool) -> tuple[str, ...]:
        """Return the same as another mount namespace has it."""
        mount = tree.of(number)
        return self.disks(self._of_mount(mount, tree, writes=writes)) if mount else ()

    def _walk(self, names: Iterable[str]) -> dict[str, None]:
        seen: dict[str, None] = {}
        waiting = list(names)[::-1]
        while waiting:
            name = waiting.pop()
            if name in self.by_name and name not in seen:
                seen[name] = None
                waiting += self.by_name[name].below[::-1]
        return seen

    def _of_path(self, path: str) -> tuple[str, ...]:
        mount = self.tree.at(path)
        return self._of_mount(mount, self.tree) if mount else ()

    def _of_mount(self, mount: Mount, tree: MountTree, *, writes: bool = False) -> tuple[str, ...]:
        """The devices that a mount lies on, the next ones only."""
        return tuple(dict.fromkeys(self._under(mount, tree, set(), writes=writes)))

    def _under(self, mount: Mount, tree: MountTree, overlays: set[tuple[int, int]], *, writes: bool = False) -> Iterator[str]:
        """Each overlay is looked at once: its layers are given as paths, and whoever mounts may have them lead anywhere, also back."""
        own = self.by_number.get(mount.device)
        if own:
            yield own.name
        elif mount.fstype == "btrfs":
            yield from self._members(mount.source)
        elif mount.fstype == "overlay" and mount.device not in overlays and len(overlays) < _OVERLAYS:
            overlays.add(mount.device)
            upper, lower = layers(mount)
            for path in upper if writes else (*upper, *lower):  # a file is read from the layer that it lies in, which is not told
                below = tree.at(path)
                if below:
                    yield from self._under(below, tree, overlays)

    def _members(self, source: str) -> tuple[str, ...]:
        name = self._named(os.path.basename(source))
        for members in self._btrfs.values():
            if name in members or len(self._btrfs) == 1:  # the source may have a name of its own, such as /dev/root
                return tuple(members)
        return ()

    def _named(self, name: str) -> str:
        own = shown(name)
        return own if own in self.by_name else next((dm.name for dm in self.devices if dm.kind == "dm" and dm.title == own), "")

    def _above(self) -> Mapping[str, list[str]]:
        above: dict[str, list[str]] = defaultdict(list)
        for own in self.devices:
            for below in own.below:
                above[below].append(own.name)
        return above

    def _mounted(self) -> Mapping[str, tuple[tuple[str, str], ...]]:
        """The mount points of each device; a part of a file system that is mounted as a whole is a bind mount, of which come many."""
        points: dict[str, dict[tuple[str, str], None]] = defaultdict(dict)
        whole = {own.device for own in self.tree.mounts if own.root == "/" and own.fstype != "btrfs"}
        for mount in self.tree.mounts:
            is_left_out = mount.fstype == "overlay" or (mount.root != "/" and mount.device in whole)
            for name in () if is_left_out else self._of_mount(mount, self.tree):
                points[name][shown(mount.point), shown(mount.fstype)] = None
        self.left_out = sum(max(len(own) - _MOUNTS_OF_ONE, 0) for own in points.values())
        return {name: tuple(own)[:_MOUNTS_OF_ONE] for name, own in points.items()}
