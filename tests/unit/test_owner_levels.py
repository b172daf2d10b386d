"""owner_levels.py: the name of an owner at a level, and the labels that it stands for."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perflens.model import NO_POD, OTHER, Pod
from perflens.owner_levels import LABELS, labels_of, name_at

UID, ID = "8f7d2c1e-5b1a-4c77-9d3e-0123456789ab", "3f4e" * 16
WEB = Pod(UID, ID, "shop", "web-7d9-x", "Deployment/web", "app")
LEVELS = ("workload", "pod", "container")


@pytest.mark.parametrize(
    ("unit", "pod", "expected"),
    [
        ("a", WEB, ["shop/Deployment/web", "shop/Deployment/web/web-7d9-x", "shop/Deployment/web/web-7d9-x/app"]),
        (
            "a",
            WEB._replace(container=""),
            ["shop/Deployment/web", "shop/Deployment/web/web-7d9-x", "shop/Deployment/web/web-7d9-x/3f4e3f4e3f4e"],
        ),
        (
            "a",
            WEB._replace(container="", container_id=""),
            ["shop/Deployment/web", "shop/Deployment/web/web-7d9-x", "shop/Deployment/web/web-7d9-x/"],
        ),
        ("a", Pod(UID, ID), [f"Pod/{UID}", f"Pod/{UID}/{UID}", f"Pod/{UID}/{UID}/3f4e3f4e3f4e"]),
        ("sshd.service", NO_POD, ["Unit/sshd.service"] * 3),
        ("/a/b", NO_POD, ["Unit//a/b"] * 3),
        ("unknown", NO_POD, ["unknown"] * 3),
    ],
)
def test_names(unit: str, pod: Pod, expected: list[str]) -> None:
    """A name is what there is of an owner down to its level; below the unit's there is none of its own."""
    assert [name_at(level, unit, pod) for level in LEVELS] == expected
    assert [name_at(level, unit, pod) for level in ("node", "unit")] == ["", ""]


@pytest.mark.parametrize(
    ("level", "name", "expected"),
    [
        ("node", "", ()),
        ("unit", "sshd.service", ("sshd.service",)),
        ("unit", "Unit/shop/x", ("Unit/shop/x",)),
        ("workload", "shop/Deployment/web", ("shop", "Deployment/web")),
        ("workload", "Unit//a/b/c", ("", "Unit//a/b/c")),
        ("container", "Unit//a/b/c", ("", "Unit//a/b/c", "", "")),
        ("pod", "shop/Deployment/web/web-7d9-x", ("shop", "Deployment/web", "web-7d9-x")),
        ("container", "shop/Deployment/web/web-7d9-x/app", ("shop", "Deployment/web", "web-7d9-x", "app")),
        ("container", "shop/Deployment/web/web-7d9-x/", ("shop", "Deployment/web", "web-7d9-x", "")),
        ("pod", f"Pod/{UID}/{UID}", ("", f"Pod/{UID}", UID)),
        ("workload", f"Pod/{UID}", ("", f"Pod/{UID}")),
        ("workload", OTHER, (OTHER, OTHER)),
        ("container", OTHER, (OTHER, OTHER, OTHER, OTHER)),
        ("pod", "unknown", ("", "unknown", "")),
    ],
)
def test_labels(level: str, name: str, expected: tuple[str, ...]) -> None:
    """A name stands for one value of each label of its level."""
    assert labels_of(level)(name) == tuple(zip(LABELS[level], expected, strict=True))


NAMES = st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,9}[a-z0-9])?", fullmatch=True)
KINDS = st.from_regex(r"[A-Z][A-Za-z0-9]{0,9}", fullmatch=True)
NAMESPACES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,9}[a-z0-9])?", fullmatch=True)


@settings(deadline=None)
@given(st.sampled_from(LEVELS), NAMESPACES, KINDS, NAMES, NAMES, NAMES)
def test_no_two_pods_share_a_name(level: str, namespace: str, kind: str, workload: str, pod: str, container: str) -> None:
    """The labels are what the name was made of, whatever pods are called."""
    own = Pod(UID, ID, namespace, pod, f"{kind}/{workload}", container)
    values = (namespace, f"{kind}/{workload}", pod, container)

    assert labels_of(level)(name_at(level, "a", own)) == tuple(zip(LABELS[level], values, strict=False))


@settings(deadline=None)
@given(st.sampled_from(LEVELS), st.text())
def test_any_unit(level: str, unit: str) -> None:
    """A unit is told apart from every pod, whatever it is called."""
    found = dict(labels_of(level)(name_at(level, unit, NO_POD)))

    assert found == {**dict.fromkeys(LABELS[level], ""), "workload": unit if unit == "unknown" else f"Unit/{unit}"}
