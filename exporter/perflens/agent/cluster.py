"""The names of pods: those that the API server or the kubelet tells in a cluster, and none elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from perflens.config import Settings
from perflens.config.settings import Kubernetes
from perflens.enrich.containers import pods_around
from perflens.enrich.kubernetes.place import Place, is_cluster, is_told, kubelet_of, place_of
from perflens.enrich.owners import NoPods, Pods
from perflens.errors import ConfigError, Problem
from perflens.logs import fields
from perflens.model import Device, KubernetesCounts, PodVolume

if TYPE_CHECKING:
    from perflens.enrich.kubernetes.kubelet import KubeletPods
    from perflens.enrich.kubernetes.store import PodStore
    from perflens.enrich.kubernetes.watch import PodWatch

__all__ = ["Cluster", "NoCluster", "NoVolumes", "PodVolumes", "cluster_of", "level_of"]

_log = logging.getLogger("perflens")

_SECOND = 1_000_000_000
_REMEMBERED = 600.0  # s, at least


class PodVolumes(Protocol):
    """Volumes of pods that lie on block devices; see enrich/kubernetes/volumes.py."""

    def all(self) -> Sequence[PodVolume]: ...
    def of(self, uid: str, device: str) -> PodVolume | None: ...


class NoVolumes:
    """There are none."""

    def all(self) -> Sequence[PodVolume]:
        """Return none."""
        return ()

    def of(self, uid: str, device: str) -> None:
        """Return None."""


class Cluster(Protocol):
    """What the agent asks of a cluster. ``node`` is the name of this node there, empty outside of one."""

    node: str

    @property
    def pods(self) -> Pods: ...
    def counts(self, unresolved: Mapping[str, int]) -> KubernetesCounts | None: ...
    def volumes(self, devices: Callable[[], Iterable[Device]]) -> PodVolumes:
        """Return the volumes of pods on devices."""

    def when_names_come(self, call: Callable[[], None]) -> None:
        """Call it for each pod that is new or changed, on the loop's thread."""

    def made(self, path: Sequence[str]) -> None:
        """Take in that a cgroup was made, by its path from the root down; any thread may tell."""

    async def run(self) -> None:
        """Watch until this is cancelled, or return when there is nothing to watch."""


class NoCluster:
    """There is none."""

    node = ""
    pods = NoPods()

    def counts(self, unresolved: Mapping[str, int]) -> None:
        """Return nothing."""

    def volumes(self, devices: Callable[[], Iterable[Device]]) -> NoVolumes:
        """Return none."""
        return NoVolumes()

    def when_names_come(self, call: Callable[[], None]) -> None:
        """Do nothing."""

    def made(self, path: Sequence[str]) -> None:
        """Do nothing."""

    async def run(self) -> None:
        """Do nothing."""


class _Told:
    pods: PodStore

    def __init__(self, node: str, pods: PodStore, source: PodWatch | KubeletPods) -> None:
        self.node, self.pods, self.counts, self.run = node, pods, source.counts, source.run

    def volumes(self, devices: Callable[[], Iterable[Device]]) -> PodVolumes:
        from perflens.enrich.kubernetes.volumes import Volumes

        return Volumes(devices, self.pods)

    def when_names_come(self, call: Callable[[], None]) -> None:
        self.pods.changed = call

    def made(self, path: Sequence[str]) -> None:
        around = next(pods_around(path), None)
        if around:
            self.pods.find(around.pod_uid, around.id)  # what has no name is asked for, where that helps


def cluster_of(settings: Settings, environment: Mapping[str, str]) -> Cluster:
    """Return the cluster that the configuration or a pod's variables name; ConfigError when one is asked for and none is named."""
    own = settings.kubernetes
    of_kubelet = own.source == "kubelet"
    inside = is_told(own.token_file) if of_kubelet else is_cluster(own.api_server, own.token_file, environment)
    if own.enabled == "off" or (own.enabled == "auto" and not inside):
        return NoCluster()
    place = _kubelet(own) if of_kubelet else _api_server(own, environment)
    if not own.node_name:
        cure = "set PERFLENS_KUBERNETES_NODE_NAME from spec.nodeName"
        _log.warning("no node is named: the host's name is taken for it", extra=fields(node=place.node, cure=cure))
    from perflens.enrich.kubernetes.store import PodStore

    store = PodStore(max(_REMEMBERED, settings.series.expiry / _SECOND))
    return _Told(place.node, store, _source(place, store, of_kubelet=of_kubelet))


def _source(place: Place, store: PodStore, *, of_kubelet: bool) -> PodWatch | KubeletPods:
    if of_kubelet:
        from perflens.enrich.kubernetes.kubelet import KubeletPods

        return KubeletPods(place, store)
    from perflens.enrich.kubernetes.watch import PodWatch

    return PodWatch(place, store)


def _api_server(own: Kubernetes, environment: Mapping[str, str]) -> Place:
    place = place_of(own.api_server, own.token_file, own.ca_file, own.node_name, environment)
    if place is None:
        problem = Problem("environment", "kubernetes.enabled", "is on, but no API server is known", "set kubernetes.api_server, or auto")
        raise ConfigError((problem,))
    return place


def _kubelet(own: Kubernetes) -> Place:
    if not own.kubelet:
        cure = "set PERFLENS_KUBERNETES_KUBELET from status.hostIP"
        raise ConfigError((Problem("environment", "kubernetes.source", "is kubelet, but no kubelet is known", cure),))
    return kubelet_of(own.kubelet, own.token_file, own.kubelet_ca, own.node_name, verify=not own.kubelet_insecure_skip_verify)


def level_of(settings: Settings, cluster: Cluster) -> str:
    """Return the level at which series tell owners apart: that of the configuration, else workloads in a cluster and units elsewhere."""
    if settings.owner.level == "auto":
        return "workload" if cluster.node else "unit"
    return settings.owner.level
