"""Makes the ground that a selftest stands on, and removes it whatever happens."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType

from perflens.enrich.cgroups import CgroupTree
from perflens.enrich.units import unit_of
from perflens.errors import StartError
from perflens.selftest.case import Owner
from perflens.selftest.model import Disk
from perflens.selftest.proof import Ground
from perflens.selftest.scratch import Claim, claim, remove_cgroup, remove_folder, sweep
from perflens.selftest.throttle import Throttle, throttle_of

__all__ = ["ended_by_signals", "stand", "sweep_all"]

_BESIDE, _MEMBERS = "beside", "cgroup.procs"


def sweep_all(disk: Disk, tree: CgroupTree, throttles: str) -> list[str]:
    """Remove what runs that are dead have left; return the names. ``throttles`` is the tree of ``throttle_tree``."""
    trees = dict.fromkeys(filter(None, (tree.point, throttles)))
    return [*sweep(Path(disk.folder), remove_folder), *(name for own in trees for name in sweep(Path(own), remove_cgroup))]


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let the signals that end a process raise SystemExit, once: what follows them is the clean-up."""

    def end(number: int, _: FrameType | None) -> None:
        for own in before:
            signal.signal(own, signal.SIG_IGN)
        print(f"perflens: ended by {signal.Signals(number).name}", file=sys.stderr)
        raise SystemExit(128 + number)

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    for number in before:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def stand(disk: Disk, tree: CgroupTree, throttles: str, deadline: float) -> Iterator[Ground]:
    """A folder, a cgroup and one with a throttle of our own, gone at the end.

    Without a cgroup, where none can be made, the owner says why, and so does the throttle.
    """
    with ExitStack() as stack:
        try:
            folder = claim(Path(disk.folder), remove_folder)
        except OSError as error:
            raise StartError(f"no folder can be made in {disk.folder}: {error.strerror or error}; choose another with --dir") from error
        stack.callback(_quietly, folder.close)
        owner, cgroup = Owner(), None
        if not tree.usable:
            owner = Owner(shared=f"the cgroup tree cannot be seen from its root at {tree.point}: the owner is shared with others")
        else:
            try:
                cgroup = claim(Path(tree.point), remove_cgroup)
                stack.callback(_quietly, cgroup.close)
                (cgroup.path / _BESIDE).mkdir()
                owner = Owner(unit_of((cgroup.path.name,)), unit_of((cgroup.path.name, _BESIDE)))
            except OSError as error:
                owner = Owner(shared=f"no cgroup can be made in {tree.point}: {error.strerror or error}: the owner is shared with others")
        throttle = _throttle(stack, disk, throttles, cgroup if throttles == tree.point else None)
        if cgroup is None or owner.shared:
            yield Ground(folder.path, disk, owner, "", "", deadline, throttle)
        else:
            yield Ground(folder.path, disk, owner, f"{cgroup.path}/{_MEMBERS}", f"{cgroup.path}/{_BESIDE}/{_MEMBERS}", deadline, throttle)


def _throttle(stack: ExitStack, disk: Disk, throttles: str, cgroup: Claim | None) -> Throttle:
    """The throttle of the cgroup that we have, or of another one that is made for it."""
    if not throttles:
        return Throttle(lacks="no controller of cgroups limits requests here: neither blkio, nor io for the cgroups of the root")
    if cgroup:
        return throttle_of(cgroup.path, disk.number, join=False)
    try:
        own = claim(Path(throttles), remove_cgroup)
    except OSError as error:
        return Throttle(lacks=f"no cgroup can be made in {throttles}: {error.strerror or error}")
    stack.callback(_quietly, own.close)
    return throttle_of(own.path, disk.number, join=True)


def _quietly(close: Callable[[], None]) -> None:
    """What cannot be removed now the next run removes."""
    with suppress(OSError):
        close()
