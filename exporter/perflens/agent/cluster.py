"""The names of pods: watched in a cluster, and none asked for elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from perflens.config import Settings
from perflens.enrich.kubernetes.place import is_cluster, place_of
from perflens.enrich.owners import NoPods, Pods
from perflens.errors import ConfigError, Problem
from perflens.logs import fields
from perflens.model import Device, KubernetesCounts, PodVolume

if TYPE_CHECKING:
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

    async def run(self) -> None:
        """Do nothing."""


class _Watched:
    pods: PodStore

    def __init__(self, node: str, pods: PodStore, watch: PodWatch) -> None:
        self.node, self.pods, self.counts, self.run = node, pods, watch.counts, watch.run

    def volumes(self, devices: Callable[[], Iterable[Device]]) -> PodVolumes:
        from perflens.enrich.kubernetes.volumes import Volumes

        return Volumes(devices, self.pods)

    def when_names_come(self, call: Callable[[], None]) -> None:
        self.pods.changed = call


def cluster_of(settings: Settings, environment: Mapping[str, str]) -> Cluster:
    """Return the cluster that the configuration or a pod's variables name; ConfigError when one is asked for and none is named."""
    own = settings.kubernetes
    inside = is_cluster(own.api_server, own.token_file, environment)
    if own.enabled == "off" or (own.enabled == "auto" and not inside):
        return NoCluster()
    place = place_of(own.api_server, own.token_file, own.ca_file, own.node_name, environment)
    if place is None:
        problem = Problem("environment", "kubernetes.enabled", "is on, but no API server is known", "set kubernetes.api_server, or auto")
        raise ConfigError((problem,))
    if not own.node_name:
        cure = "set PERFLENS_KUBERNETES_NODE_NAME from spec.nodeName"
        _log.warning("no node is named: the host's name is taken for it", extra=fields(node=place.node, cure=cure))
    from perflens.enrich.kubernetes.store import PodStore
    from perflens.enrich.kubernetes.watch import PodWatch

    store = PodStore(max(_REMEMBERED, settings.series.expiry / _SECOND))
    return _Watched(place.node, store, PodWatch(place, store))


def level_of(settings: Settings, cluster: Cluster) -> str:
    """Return the level at which series tell owners apart: that of the configuration, else workloads in a cluster and units elsewhere."""
    if settings.owner.level == "auto":
        return "workload" if cluster.node else "unit"
    return settings.owner.level
