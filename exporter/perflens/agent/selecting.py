"""The filter by the names of pods: kept up to date while the agent runs where there is one, and nothing where there is none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from perflens.agent.cluster import Cluster
from perflens.agent.filters import VERDICTS, names_of
from perflens.config import Settings
from perflens.enrich.cgroups import CgroupTree
from perflens.errors import ConfigError, Problem

if TYPE_CHECKING:
    from perflens.enrich.kubernetes.selection import Verdict

__all__ = ["NoSelection", "Selecting", "selection_of"]


class Selecting(Protocol):
    """What the agent asks of it; see enrich/kubernetes/selection.py."""

    def look(self) -> None: ...
    def made(self, cgroup_id: int, path: Sequence[str]) -> None: ...
    def settle(self) -> None: ...
    def verdicts(self) -> Mapping[int, Verdict]: ...
    def counts(self) -> Mapping[str, int]: ...


class NoSelection:
    """No names are asked for."""

    def look(self) -> None:
        """Do nothing."""

    def made(self, cgroup_id: int, path: Sequence[str]) -> None:
        """Do nothing."""

    def settle(self) -> None:
        """Do nothing."""

    def verdicts(self) -> Mapping[int, Verdict]:
        """Return none."""
        return MappingProxyType({})

    def counts(self) -> Mapping[str, int]:
        """Return none."""
        return MappingProxyType({})


def selection_of(settings: Settings, cluster: Cluster, tree: CgroupTree, decide: Callable[[int, Verdict], None]) -> Selecting:
    """Return the filter that the configuration asks for; ConfigError when it names pods and nobody tells their names."""
    names = names_of(settings)
    if not names:
        return NoSelection()
    if not cluster.node:
        what = "is by names of Kubernetes, and nobody tells them: this is no cluster, or kubernetes.enabled is off"
        cure = "run it in a cluster, set kubernetes.api_server, or use filter.cgroup"
        raise ConfigError(tuple(Problem("environment", f"filter.{key}", what, cure) for key in names))
    from perflens.enrich.kubernetes.selection import Selection, Wanted

    own = settings.filter
    return Selection(tree, Wanted(own.namespace, own.pod, own.container), cluster.pods, decide, VERDICTS)
