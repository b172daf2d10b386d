"""Which volume of which pod is mounted from a block device, told by the kubelet's mount points and by what pods say of their volumes.

The kubelet mounts a pod's volume at ``pods/UID/volumes/PLUGIN/NAME``, with ``/mount`` behind it for CSI. NAME is the volume's name in the
pod, or of a claim the name of the persistent volume that it is bound to. Which claim that is stands in no pod: a pod with one claim tells,
and of several claims those tell that other pods on this node do not share. pkg/volume and pkg/kubelet/kubelet_getters.go of
kubernetes/kubernetes.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from perflens.enrich.kubernetes.objects import PodFacts
from perflens.model import Device, PodVolume

__all__ = ["Volumes", "pod_volumes"]

_POINT = re.compile(
    r".*/pods/(?P<uid>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32})/volumes"
    r"/[a-z0-9.-]{1,64}~[a-z0-9.-]{1,64}/(?P<name>[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?)(?:/mount)?"
)
_AGE = 5.0  # s


class Facts(Protocol):
    """What it asks of the pods that are known."""

    def facts(self, uid: str) -> PodFacts | None: ...


class _Mounted(NamedTuple):
    device: str
    pod: PodFacts
    name: str


def pod_volumes(devices: Iterable[Device], pods: Facts) -> list[PodVolume]:
    """Return the volumes of the pods that are known."""
    mounted: dict[tuple[str, str, str], _Mounted] = {}  # where the kubelet's folder is a bind mount, each is mounted at two paths
    for device in devices:
        for point, _ in device.mounts:
            match = _POINT.fullmatch(point)
            pod = pods.facts(match["uid"]) if match else None
            if match and pod:
                mounted[device.name, pod.uid, match["name"]] = _Mounted(device.name, pod, match["name"])
    found = list(mounted.values())
    claims = _claims(found)
    return [_volume(own, claims) for own in found]


def _is_inline(pod: PodFacts, name: str) -> bool:
    """Whether it is a volume of the pod itself; that of a claim has the persistent volume's name."""
    return pod.volumes.get(name) == ""


def _claims(found: Sequence[_Mounted]) -> Mapping[tuple[str, str], str]:
    """The claim of each persistent volume, by namespace and name, where there is one left that it can be: a claim has one volume."""
    possible: dict[tuple[str, str], set[str]] = {}
    for own in found:
        if not _is_inline(own.pod, own.name):
            of_pod = {claim for claim in own.pod.volumes.values() if claim}
            key = own.pod.namespace, own.name
            possible[key] = possible.get(key, of_pod) & of_pod
    known: dict[tuple[str, str], str] = {}
    while True:
        taken = {(namespace, claim) for (namespace, _), claim in known.items()}
        left = {key: {own for own in claims if (key[0], own) not in taken} for key, claims in possible.items() if key not in known}
        new = {key: claims.pop() for key, claims in left.items() if len(claims) == 1}
        if not new:
            return known
        known |= new


def _volume(own: _Mounted, claims: Mapping[tuple[str, str], str]) -> PodVolume:
    pod = own.pod
    if _is_inline(pod, own.name):
        return PodVolume(own.device, pod.uid, pod.namespace, pod.name, own.name)
    claim = claims.get((pod.namespace, own.name), "")
    names = [name for name, of in pod.volumes.items() if claim and of == claim]
    return PodVolume(own.device, pod.uid, pod.namespace, pod.name, names[0] if len(names) == 1 else "", own.name, claim)


class Volumes:
    """The volumes of pods on ``devices``, looked through every few seconds at most. Any thread may ask; ``clock`` is in s."""

    def __init__(self, devices: Callable[[], Iterable[Device]], pods: Facts, clock: Callable[[], float] = time.monotonic) -> None:
        self._devices, self._pods, self._clock = devices, pods, clock
        self._known: tuple[float, Sequence[PodVolume], Mapping[tuple[str, str], PodVolume | None]] | None = None

    def all(self) -> Sequence[PodVolume]:
        """Return every volume."""
        return self._fresh()[0]

    def of(self, uid: str, device: str) -> PodVolume | None:
        """Return the volume that a pod has on a device; None when it has none there, or several."""
        return self._fresh()[1].get((uid, device))

    def _fresh(self) -> tuple[Sequence[PodVolume], Mapping[tuple[str, str], PodVolume | None]]:
        known, now = self._known, self._clock()
        if known is None or now - known[0] >= _AGE:
            found = pod_volumes(self._devices(), self._pods)
            of: dict[tuple[str, str], PodVolume | None] = {}
            for own in found:
                key = own.pod_uid, own.device
                of[key] = None if key in of else own
            known = self._known = now, found, of
        return known[1:]
