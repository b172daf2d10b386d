"""agent/selecting.py: a filter by names takes a cluster."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from perflens.agent.cluster import NoCluster, cluster_of
from perflens.agent.selecting import NoSelection, selection_of
from perflens.config import Settings
from perflens.config.settings import Filter, Kubernetes
from perflens.enrich.cgroups import CgroupTree
from perflens.errors import ConfigError
from tests.api_server import NODE, TOKEN, pod, uid_of
from tests.certificates import Authority
from tests.kubelet_server import Kubelet, serving

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


async def test_names_from_the_kubelet(tmp_path: Path) -> None:
    """A cgroup of a pod that began just now has the kubelet asked early, and is decided as soon as that has told."""
    (tmp_path / "token").write_text(TOKEN)
    authority, kubelet, decided = Authority(tmp_path), Kubelet(), asyncio.Queue[tuple[int, str]]()
    async with serving(kubelet, authority.issue("kubelet")) as address:
        own = Kubernetes(
            source="kubelet", kubelet=address, kubelet_ca=str(authority.certificate), token_file=f"{tmp_path}/token", node_name=NODE
        )
        settings = Settings(filter=Filter(pod=("web-*",)), kubernetes=own)
        cluster = cluster_of(settings, {})
        selection = selection_of(settings, cluster, CgroupTree("/nowhere"), lambda *what: decided.put_nowait(what))
        cluster.when_names_come(selection.settle)
        task = asyncio.create_task(cluster.run())
        try:
            async with asyncio.timeout(4):  # less than it rests when nobody asks
                while not kubelet.asked:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                kubelet.put(pod("web-1", uid_of("web-1")))
                path = ("kubepods", f"pod{uid_of('web-1')}")
                cluster.made(path)
                selection.made(7, path)
                found = [await decided.get(), await decided.get()]
        finally:
            task.cancel()
            await asyncio.wait((task,))

    assert found == [(7, "undecided"), (7, "wanted")]
