"""enrich/kubernetes/objects.py: what is wanted of pods, whatever users wrote into them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perflens.enrich.kubernetes.objects import NO_CONTROLLER, Controller, PodFacts, controller_of, decoded, pod_facts, version_of

UID = "0f6a5a3e-3c0e-4c1f-9a52-0d1c9b9b0a11"
HASH = "0123456789abcdef0123456789abcdef"
A, B, C, D = (letter * 64 for letter in "abcd")


def told(**parts: Any) -> dict[str, Any]:
    """A pod as the API server has it."""
    metadata = {
        "name": "web-7d9c5-x2x7q",
        "namespace": "shop",
        "uid": UID,
        "labels": {"app": "web", "pod-template-hash": "7d9c5"},
        "ownerReferences": [
            {"apiVersion": "v1", "kind": "ConfigMap", "name": "other", "uid": UID},
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-7d9c5", "uid": UID, "controller": True},
        ],
        **parts.pop("metadata", {}),
    }
    return {"metadata": metadata, "spec": {"nodeName": "node-1"}, "status": {}, **parts}


def facts(**parts: Any) -> PodFacts:
    found = pod_facts(told(**parts))
    assert found
    return found


def test_a_pod() -> None:
    """A pod has its names, its node, what controls it and the hash of its template."""
    assert facts() == PodFacts(
        UID, "shop", "web-7d9c5-x2x7q", "node-1", Controller("apps", "ReplicaSet", "web-7d9c5", UID), "7d9c5", False, {}
    )


def test_containers() -> None:
    """Containers of each kind are known by the ids of their present and their last run."""
    status = {
        "containerStatuses": [
            {
                "name": "app",
                "containerID": f"containerd://{A}",
                "lastState": {"terminated": {"containerID": f"containerd://{B}"}},
            },
            {"name": "waits", "state": {"waiting": {}}},
        ],
        "initContainerStatuses": [{"name": "setup", "state": {"terminated": {"containerID": f"cri-o://{C}"}}}],
        "ephemeralContainerStatuses": [{"name": "debug", "containerID": f"docker://{D}"}],
    }

    assert facts(status=status).containers == {A: "app", B: "app", C: "setup", D: "debug"}


def test_volumes() -> None:
    """Volumes are known with the claim of each; an ephemeral one's is named after the pod, and what is no name is left out."""
    volumes = [
        {"name": "data", "persistentVolumeClaim": {"claimName": "data-web-0"}},
        {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {}}},
        {"name": "config", "configMap": {"name": "web"}},
        {"name": "odd", "persistentVolumeClaim": {"claimName": "../x"}},
        {"name": "odder", "persistentVolumeClaim": []},
        {"name": "No/Name"},
        7,
    ]
    found = facts(spec={"nodeName": "node-1", "volumes": volumes})

    assert found.volumes == {"data": "data-web-0", "scratch": "web-7d9c5-x2x7q-scratch", "config": "", "odd": "", "odder": ""}
    assert facts(spec={"nodeName": "node-1", "volumes": {}}).volumes == {}


def test_a_static_pod() -> None:
    """A mirror pod is known by the hash that its cgroup has; it belongs to the node."""
    node = [{"apiVersion": "v1", "kind": "Node", "name": "node-1", "uid": UID, "controller": True}]
    annotations = {"kubernetes.io/config.hash": HASH, "kubernetes.io/config.mirror": HASH, "kubernetes.io/config.source": "file"}
    found = facts(metadata={"name": "etcd-node-1", "annotations": annotations, "ownerReferences": node})

    assert (found.uid, found.is_static, found.controller) == (HASH, True, Controller("", "Node", "node-1", UID))


@pytest.mark.parametrize(
    ("source", "uid", "expected"), [("file", HASH, True), ("http", HASH, True), ("file", UID, True), ("api", UID, False)]
)
def test_a_static_pod_of_the_kubelet(source: str, uid: str, expected: bool) -> None:
    """The kubelet has the static pod itself, and says where it has it from; a file may give it an uid of the usual form."""
    own = told(metadata={"uid": uid, "annotations": {"kubernetes.io/config.source": source}, "ownerReferences": []})
    found = pod_facts(own, of_kubelet=True)

    assert found
    assert (found.uid, found.is_static, found.controller) == (uid, expected, NO_CONTROLLER)


@pytest.mark.parametrize("annotations", [{"kubernetes.io/config.source": "api"}, {"kubernetes.io/config.source": ["file"]}, None])
def test_a_hash_that_is_no_static_pod_s(annotations: object) -> None:
    """A hash is an uid of what the kubelet has of a file alone, and of nothing that an API server tells."""
    own = told(metadata={"uid": HASH, "annotations": annotations})

    assert pod_facts(own, of_kubelet=True) is None
    assert pod_facts(told(metadata={"uid": HASH, "annotations": {"kubernetes.io/config.source": "file"}})) is None


@pytest.mark.parametrize(
    "change",
    [
        {"annotations": {"kubernetes.io/config.hash": HASH, "kubernetes.io/config.mirror": HASH}},  # controlled by a ReplicaSet
        {"annotations": {"kubernetes.io/config.hash": HASH}, "ownerReferences": [{"apiVersion": "v1", "kind": "Node"}]},
        {
            "annotations": {"kubernetes.io/config.hash": "0f6a5a3e-3c0e-4c1f-9a52-0d1c9b9b0a12", "kubernetes.io/config.mirror": UID},
            "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "node-1", "controller": True}],
        },
    ],
)
def test_a_pod_that_pretends_to_be_another(change: dict[str, Any]) -> None:
    """Annotations do not give a pod the uid of another one."""
    found = facts(metadata=change)

    assert (found.uid, found.is_static) == (UID, False)


@pytest.mark.parametrize(
    "change",
    [
        {"uid": ""},
        {"uid": None},
        {"uid": "../../../etc"},
        {"uid": UID.upper()},
        {"name": "a\nb"},
        {"name": "a" * 254},
        {"name": 'x",namespace="y'},
        {"name": "a/b"},
        {"namespace": "a/b"},
        {"namespace": "Unit"},
        {"namespace": 7},
    ],
)
def test_a_pod_without_a_proper_name(change: dict[str, Any]) -> None:
    """A pod whose names cannot be names is none."""
    assert pod_facts(told(metadata=change)) is None


@pytest.mark.parametrize(
    "references",
    [
        None,
        {},
        "x",
        [None, 7, "x"],
        [{"controller": True}],
        [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web"}],
        [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "controller": "true"}],
        [{"apiVersion": "apps/v1", "kind": "replica/set", "name": "web", "controller": True}],
        [{"apiVersion": "apps/v1", "kind": "K" * 64, "name": "web", "controller": True}],
        [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web/../x", "controller": True}],
        [{"apiVersion": "a/b/c", "kind": "ReplicaSet", "name": "web", "controller": True}],
        [{"apiVersion": 1, "kind": "ReplicaSet", "name": "web", "controller": True}],
    ],
)
def test_references_that_say_nothing(references: object) -> None:
    """What is no proper reference of a controller is none."""
    assert controller_of({"ownerReferences": references}) == NO_CONTROLLER


def test_too_many_containers() -> None:
    """Of each kind of container 512 are read."""
    statuses = [{"name": f"c{number}", "containerID": f"containerd://{number:064x}"} for number in range(600)]

    assert len(facts(status={"containerStatuses": statuses}).containers) == 512


@pytest.mark.parametrize("text", [b"", b"[]", b"7", b"{", b"\xff", b"[" * 100_000, b'{"a":' * 50_000])
def test_what_is_no_object(text: bytes) -> None:
    """Garbage is a ValueError, however deep it is."""
    with pytest.raises(ValueError, match=r"."):
        decoded(text)


def test_versions() -> None:
    """A version is text of a version's length."""
    assert version_of({"metadata": {"resourceVersion": "1234"}}) == "1234"
    for wrong in (7, "", "1" * 65, "1 2", "é"):
        assert version_of({"metadata": {"resourceVersion": wrong}}) == ""


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(max_size=8), below, max_size=4),
    max_leaves=20,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["metadata", "spec", "status"]), JSON), JSON, JSON, JSON)
def test_any_json(found: dict[str, Any], references: object, statuses: object, annotations: object) -> None:
    """Whatever JSON a pod is, it is read or left out."""
    pod_facts(found)
    pod_facts(found, of_kubelet=True)
    parts = {"ownerReferences": references, "annotations": annotations, "labels": statuses}
    pod_facts(told(metadata=parts, status={"containerStatuses": statuses, "initContainerStatuses": [statuses]}, spec=references))
