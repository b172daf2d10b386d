"""agent/selecting.py: a filter by names takes a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from perflens.agent.cluster import NoCluster, cluster_of
from perflens.agent.selecting import NoSelection, selection_of
from perflens.config import Settings
from perflens.config.settings import Filter, Kubernetes
from perflens.errors import ConfigError

NOBODY: Any = None


def test_without_names(tmp_path: Path) -> None:
    """Nothing is asked for, in a cluster or out of one."""
    own = selection_of(Settings(filter=Filter(pid=("1",), cgroup=("/a",))), NoCluster(), NOBODY, NOBODY)
    own.look()
    own.made(1, ("kubepods", "x"))
    own.settle()

    assert isinstance(own, NoSelection)
    assert (dict(own.verdicts()), dict(own.counts())) == ({}, {})


def test_outside_of_a_cluster() -> None:
    """Each key that nobody can answer is told, with the cure."""
    with pytest.raises(ConfigError) as caught:
        selection_of(Settings(filter=Filter(namespace=("shop",), container=("app",))), NoCluster(), NOBODY, NOBODY)

    what = "is by names of Kubernetes, and nobody tells them: this is no cluster, or kubernetes.enabled is off"
    cure = "run it in a cluster, set kubernetes.api_server, or use filter.cgroup"
    assert str(caught.value).splitlines() == [f"environment: filter.{key}: {what}; {cure}" for key in ("namespace", "container")]


def test_in_a_cluster(tmp_path: Path) -> None:
    """Names come from the cluster's pods, which call when there are new ones."""
    (tmp_path / "token").write_text("x")
    settings = Settings(
        filter=Filter(pod=("web-*",)),
        kubernetes=Kubernetes(api_server="http://127.0.0.1:1", token_file=f"{tmp_path}/token", node_name="node-1"),
    )
    cluster = cluster_of(settings, {})
    own, called = selection_of(settings, cluster, NOBODY, NOBODY), []
    cluster.when_names_come(lambda: called.append(1))
    cluster.pods.changed()  # type: ignore[attr-defined]

    assert called == [1]
    assert own.counts() == {"wanted": 0, "unwanted": 0, "undecided": 0, "no_room": 0}
