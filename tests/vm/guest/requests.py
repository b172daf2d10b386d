"""Requests of a disk while something is done: by the kernel's own count, and by every rung of the block family."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from perflens.registry import discover
from tests.kernel.disks import diskstats
from tests.kernel.support import PATIENCE, Group, group
from tests.vm.guest.ladder import Ladder, Tap

Requests = tuple[int, int]
"""How many, and their bytes."""

PARTS = {part.name.split("_")[1]: number for number, part in enumerate(discover()["block"].parts)}


@dataclass(frozen=True)
class Seen:
    """Requests and bytes of a disk: by the kernel's own count, by each rung, and of these those of who made them."""

    kernel: Requests
    rungs: Mapping[str, Requests]
    own: Mapping[str, Requests]

    @property
    def agreed(self) -> Requests:
        """What the kernel and every rung have counted."""
        assert self.rungs == dict.fromkeys(self.rungs, self.kernel)
        return self.kernel


def requests(each: Tap, disk: str, operation: str, **wanted: int) -> Requests:
    """Requests and bytes that a rung has of a disk."""
    queue, size = (each.of(part=PARTS[part], object_name=disk, operation=operation, **wanted) for part in ("queue", "bytes"))
    return queue.number, size.total


def seen(rungs: Ladder, disk: str, operation: str, do: Callable[[Group], object], seconds: float = 5) -> Seen:
    """Requests of a disk while something is done, once the rungs have as many as the kernel, or a while has passed."""
    before, taps = diskstats(disk, operation), rungs.of("block")
    known = {each.mechanism: requests(each, disk, operation) for each in taps}
    deadline = time.monotonic() + seconds * PATIENCE
    with group("requests") as own:
        owner = own.folder.stat().st_ino
        do(own)
        while True:
            kernel, found = diskstats(disk, operation).since(before).population, {}
            for each in taps:
                (number, size), (was, had) = requests(each, disk, operation), known[each.mechanism]
                found[each.mechanism] = number - was, size - had
            if set(found.values()) == {kernel} or time.monotonic() > deadline:
                break
            time.sleep(0.1)
        return Seen(kernel, found, {each.mechanism: requests(each, disk, operation, owner=owner) for each in taps})
