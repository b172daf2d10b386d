"""enrich/containers.py: which container a cgroup path tells."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflens.enrich import containers
from perflens.enrich.containers import Container, container_of, pods_around

A, B = "3f4e" * 16, "0a9c" * 16
UID = "8f7d2c1e-5b1a-4c77-9d3e-0123456789ab"
SLICE = UID.replace("-", "_")
STATIC = "4b1f" * 8


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (f"docker/{A}", Container(A, "docker")),
        (f"docker/{A}/init", Container(A, "docker")),
        (f"system.slice/docker-{A}.scope", Container(A, "docker")),
        (f"system.slice/docker-{A}.scope/docker/{B}", Container(B, "docker")),
        (f"my-parent/{A}", Container(A)),
        (f"ecs/5e1f0c/{A}", Container(A)),
        (f"k8s.io/{A}", Container(A)),
        (f"system.slice/nerdctl-{A}.scope", Container(A, "containerd")),
        (f"default/{A}", Container(A)),
        (f"kubepods/burstable/pod{UID}/{A}", Container(A, "", UID)),
        (f"kubepods/pod{UID}/{A}", Container(A, "", UID)),
        (f"kubepods/besteffort/pod{STATIC}/{A}", Container(A, "", STATIC)),
        (f"kubepods/besteffort/pod{UID}/crio-{A}", Container(A, "cri-o", UID)),
        (f"kubepods/besteffort/pod{UID}", Container("", "", UID)),
        (
            f"kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{SLICE}.slice/cri-containerd-{A}.scope",
            Container(A, "containerd", UID),
        ),
        (f"kubepods.slice/kubepods-pod{SLICE}.slice/crio-{A}.scope", Container(A, "cri-o", UID)),
        (f"kubepods.slice/kubepods-pod{SLICE}.slice/crio-{A}.scope/container", Container(A, "cri-o", UID)),
        (f"kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{SLICE}.slice/crio-conmon-{A}.scope", Container("", "", UID)),
        (f"kubepods.slice/kubepods-pod{STATIC}.slice/docker-{A}.scope", Container(A, "docker", STATIC)),
        (f"system.slice/containerd.service/kubepods-burstable-pod{SLICE}.slice:cri-containerd:{A}", Container(A, "containerd", UID)),
        (
            f"system.slice/docker-{B}.scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/"
            f"kubelet-kubepods-burstable-pod{SLICE}.slice/cri-containerd-{A}.scope",
            Container(A, "containerd", UID),
        ),
        (
            f"my_root.slice/my_root-kubepods.slice/my_root-kubepods-pod{SLICE}.slice/cri-containerd-{A}.scope",
            Container(A, "containerd", UID),
        ),
        (f"docker/{B}/kubelet/kubepods/burstable/pod{UID}/{A}", Container(A, "", UID)),
        (f"kubepods/burstable/pod{UID}/{B}/docker/{A}", Container(A, "docker", UID)),
        (f"machine.slice/libpod-{A}.scope", Container(A, "podman")),
        (f"machine.slice/libpod-{A}.scope/container", Container(A, "podman")),
        (f"machine.slice/machine-libpod_pod_{B}.slice/libpod-{A}.scope", Container(A, "podman")),
        (f"user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{A}.scope", Container(A, "podman")),
        (f"libpod_parent/libpod-{A}", Container(A, "podman")),
        (f"libpod_parent/{B}", Container()),
        (f"libpod_parent/{B}/libpod-{A}", Container(A, "podman")),
        ("libpod_parent/conmon", Container()),
        (f"machine.slice/libpod-conmon-{A}.scope", Container()),
        ("machine.slice/machine-web.scope/payload", Container()),
        ("machine.slice/systemd-nspawn@web.service", Container()),
        ("lxc.payload.web/system.slice/a.service", Container()),
        ("lxc.monitor.web", Container()),
        ("system.slice/docker.service", Container()),
        ("system.slice/containerd.service", Container()),
        ("", Container()),
    ],
)
def test_real_paths(path: str, expected: Container) -> None:
    """Every runtime's own way to name a cgroup; the innermost container is taken, and conmon is none."""
    assert container_of(tuple(path.split("/"))) == expected


@pytest.mark.parametrize(
    "name",
    [
        "docker-.scope",
        f"docker-{A[:-1]}.scope",
        f"docker-{A}0.scope",
        f"docker-{A.upper()}.scope",
        f"docker-{'g' * 64}.scope",
        f"docker-{A}.scope\n",
        f"{A}\n",
        f"x{A}",
        f"docker-{A}.service",
        f"kubepods-pod{SLICE}.slice:cri-containerd:{A[1:]}",
        f"pod{UID}",  # no kubepods above
        "docker-" * 600 + A,
        "\udcff" * 64,
        "-pod" * 1000 + ".slice:docker:" + "a" * 63,
        "٣" * 64,  # digits, but not hex digits
    ],
)
def test_names_that_only_look_alike(name: str) -> None:
    """A name that anybody could have chosen gives no id."""
    assert container_of(("a", name)) == Container()


NAMES = st.one_of(
    st.text(max_size=80),
    st.sampled_from(
        ["kubepods", "docker", "libpod_parent", A, f"docker-{A}.scope", f"pod{UID}", f"kubepods-pod{SLICE}.slice", f"crio-{A}"]
    ),
)


@given(st.lists(NAMES, max_size=8))
def test_ids_are_ids(path: list[str]) -> None:
    """Whatever the names are, an id is empty or 64 hex digits, and a uid holds nothing but hex digits and dashes."""
    found = container_of(path)

    assert re.fullmatch("(?:[0-9a-f]{64})?", found.id)
    assert re.fullmatch("[0-9a-f-]*", found.pod_uid)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("system.slice/a.service", []),
        (f"docker/{A}", []),
        (f"kubepods/burstable/pod{UID}", [Container("", "", UID)]),
        (f"kubepods/burstable/pod{UID}/{A}/init.scope", [Container(A, "", UID)]),
        (f"kubepods/burstable/pod{UID}/{A}/docker/{B}", [Container(A, "", UID)]),
        (f"docker/{B}/kubepods/pod{UID}/{A}", [Container(A, "", UID)]),
        (f"docker/{B}/kubepods/pod{UID}", [Container("", "", UID)]),
        (
            f"kubepods/pod{UID}/{A}/kubepods/pod{STATIC}/{B}",
            [Container(A, "", UID), Container(B, "", STATIC)],
        ),
        (f"kubepods/pod{UID}/{A}/kubepods/pod{STATIC}", [Container(A, "", UID), Container("", "", STATIC)]),
        (f"kubepods.slice/kubepods-pod{SLICE}.slice/cri-containerd-{A}.scope", [Container(A, "containerd", UID)]),
        (f"kubepods.slice/kubepods-pod{SLICE}.slice:cri-containerd:{A}", [Container(A, "containerd", UID)]),
    ],
)
def test_pods_around(path: str, expected: list[Container]) -> None:
    """The pods around a cgroup, the outermost first, each with the outermost container in it."""
    assert list(pods_around(path.split("/"))) == expected


def test_pods_around_what_is_deep(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user can nest cgroups as deep as he likes: each name is looked at once."""
    looked: list[str] = []
    real = containers._container

    def look(name: str, parent: str, around: Container) -> Container:
        looked.append(name)
        return real(name, parent, around)

    monkeypatch.setattr(containers, "_container", look)
    path = ("kubepods", f"pod{'0' * 32}", *["a"] * 2_000)

    assert list(pods_around(path)) == [Container(pod_uid="0" * 32)]
    assert len(looked) == len(path)
