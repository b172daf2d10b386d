"""What a cluster does to this machine beside its folder, and that it is undone."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.cluster.files import ADDRESS, BRIDGE

__all__ = ["restored"]

_FOLDERS = ("/run/containerd", "/run/netns", "/var/lib/cni", "/var/lib/kubelet")
_SYSCTLS = ("vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops", "net/ipv4/ip_forward")  # the kubelet changes them


@contextmanager
def restored(folder: Path) -> Iterator[None]:
    """A machine with the address of the API server; at the end it is as before, without the folder and what runs of it."""
    if _cgroups():
        pytest.skip("this machine is a node of a cluster already")
    with ExitStack() as stack:
        stack.enter_context(_folders())
        stack.enter_context(_sysctls())
        stack.enter_context(_address())
        stack.callback(_left, folder)
        yield


@contextmanager
def _folders() -> Iterator[None]:
    """What the programs make at places of their own goes, unless it was there before."""
    made = [path for path in map(Path, _FOLDERS) if not path.exists()]
    try:
        yield
    finally:
        for path in made:
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _sysctls() -> Iterator[None]:
    before = {path: path.read_text() for path in (Path("/proc/sys", name) for name in _SYSCTLS)}
    try:
        yield
    finally:
        for path, value in before.items():
            path.write_text(value)


@contextmanager
def _address() -> Iterator[None]:
    _ip("address", "add", f"{ADDRESS}/32", "dev", "lo")
    try:
        yield
    finally:
        _ip("address", "del", f"{ADDRESS}/32", "dev", "lo")
        _ip("link", "del", BRIDGE, check=False)


def _ip(*words: str, check: bool = True) -> None:
    subprocess.run(["ip", *words], check=check, capture_output=True)


def _left(folder: Path) -> None:
    """Take away what containers left: their supervisors, processes, mounts and cgroups."""
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        with suppress(OSError):
            if f"{folder}/containerd.sock".encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(int(pid), signal.SIGKILL)
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for mount in sorted((own for own in mounts if own.startswith((f"{folder}/", "/run/netns/cni-"))), reverse=True):
        subprocess.run(["umount", "--lazy", mount], check=False, capture_output=True)
    for _ in range(20):  # what was killed takes a moment to be gone
        if not _cgroups():
            break
        _without_cgroups()
        time.sleep(0.2)
    shutil.rmtree(folder, ignore_errors=True)


def _cgroups() -> list[Path]:
    """Those of all pods, in each hierarchy."""
    return list(Path("/sys/fs/cgroup").glob("**/kubepods"))


def _without_cgroups() -> None:
    for parent in (Path(parent) for top in _cgroups() for parent, _, _ in os.walk(top, topdown=False)):
        with suppress(OSError):
            for pid in (parent / "cgroup.procs").read_text().split():
                os.kill(int(pid), signal.SIGKILL)
            parent.rmdir()
