"""The container that a cgroup belongs to, told by its path alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

__all__ = ["Container", "container_of", "pods_around"]


class Container(NamedTuple):
    """A container: its id of 64 hex digits, the runtime when the name tells it, and the pod's uid; each empty where there is none."""

    id: str = ""
    runtime: str = ""
    pod_uid: str = ""


_RUNTIMES = {
    "docker": "docker",
    "cri-containerd": "containerd",
    "nerdctl": "containerd",
    "crio": "cri-o",
    "libpod": "podman",
}
_HEX = "[0-9a-f]{64}"
_NAMED = re.compile(rf"({'|'.join(_RUNTIMES)})-({_HEX})(?:\.scope)?")
_BARE = re.compile(_HEX)
# containerd takes the systemd driver's name for a plain one when only the kubelet was told of that driver.
_COLONS = re.compile(rf"(?:.*-pod([0-9a-f_]{{32,36}})\.slice):({'|'.join(_RUNTIMES)}):({_HEX})")
# Before it stands the kubelet's cgroupRoot, each dash in which it makes an underscore.
_POD_SLICE = re.compile(r"(?:[A-Za-z0-9_.-]+-)?kubepods(?:-burstable|-besteffort)?-pod([0-9a-f_]{32,36})\.slice")
_POD_FOLDER = re.compile(r"pod([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32})")
_PODMAN_PODS = "libpod_parent"  # a bare id below it is a pod's


def container_of(path: Sequence[str]) -> Container:
    """Return the innermost container of a cgroup path given from the root down, and the pod that is around it."""
    *_, found = (Container(), *_downwards(path))
    return found


def _downwards(path: Sequence[str]) -> Iterator[Container]:
    """Yield the innermost container of each cgroup on a path, from the root down."""
    found = Container()
    parent, in_kubepods = "", False
    for name in path:
        pod_uid = _pod(name, in_kubepods)
        if pod_uid:
            found = found._replace(pod_uid=pod_uid)
        found = _container(name, parent, found)
        in_kubepods = in_kubepods or name == "kubepods"
        parent = name
        yield found


def pods_around(path: Sequence[str]) -> Iterator[Container]:
    """Yield the pods around a cgroup from the outside in, each with the outermost container in it that its path tells.

    Who may make cgroups in a pod may give them the names of another pod: the outer one that is known is the true one.
    """
    found, outer, last = Container(), "", ""
    for now in _downwards(path):
        if now.pod_uid != found.pod_uid:
            if found.pod_uid:
                yield found
            outer = last  # a container that the pod runs in is none of its own
            found = now._replace(id="", runtime="") if now.id == outer else now
        elif found.pod_uid and not found.id and now.id != outer:
            found = now
        last = now.id
    if found.pod_uid:
        yield found


def _pod(name: str, in_kubepods: bool) -> str:
    match = _POD_SLICE.fullmatch(name) or (_POD_FOLDER.fullmatch(name) if in_kubepods else None)
    return match[1].replace("_", "-") if match else ""


def _container(name: str, parent: str, around: Container) -> Container:
    if match := _NAMED.fullmatch(name):
        return Container(match[2], _RUNTIMES[match[1]], around.pod_uid)
    if _BARE.fullmatch(name) and parent != _PODMAN_PODS:
        return Container(name, "docker" if parent == "docker" else "", around.pod_uid)
    if match := _COLONS.fullmatch(name):
        return Container(match[3], _RUNTIMES[match[2]], match[1].replace("_", "-"))
    return around
