"""enrich/units.py: the name that people use for a cgroup."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perflens.enrich.units import unit_of

HEX = "3f4e" * 16
POD = "kubepods-burstable-pod0b5c.slice"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", "/"),
        ("system.slice/nginx.service", "nginx.service"),
        ("system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service"),
        ("system.slice/nginx.service/worker", "nginx.service"),
        ("system.slice/a.service/b.service", "a.service"),
        ("init.scope", "init.scope"),
        ("system.slice/var-lib.mount", "var-lib.mount"),
        ("system.slice/dbus.socket", "dbus.socket"),
        ("system.slice/dev-sda.swap", "dev-sda.swap"),
        ("system.slice", "/system.slice"),
        ("user.slice/user-1000.slice", "/user.slice/user-1000.slice"),
        ("user.slice/user-1000.slice/session-3.scope", "session-3.scope"),
    ],
)
def test_systemd(path: str, expected: str) -> None:
    """The first unit below slices names a cgroup; a slice is no unit."""
    assert unit_of(path.split("/") if path else ()) == expected


USER = "user.slice/user-1000.slice/user@1000.service"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (USER, "user@1000.service"),
        (f"{USER}/init.scope", "user@1000.service/init.scope"),
        (f"{USER}/app.slice/app-firefox.scope", "user@1000.service/app-firefox.scope"),
        (f"{USER}/app.slice/a.service/b", "user@1000.service/a.service"),
        (f"{USER}/app.slice", "user@1000.service"),
        (f"{USER}/user.slice/user@1.service/x.service", "user@1000.service/user@1.service/x.service"),
    ],
)
def test_user_managers(path: str, expected: str) -> None:
    """A unit of a user's manager is named with its user, since every user has units of the same names."""
    assert unit_of(path.split("/")) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (f"docker/{HEX}", f"/docker/{HEX}"),
        (f"system.slice/docker-{HEX}.scope", f"docker-{HEX}.scope"),
        (f"docker/{HEX}/system.slice/nginx.service", f"/docker/{HEX}/system.slice/nginx.service"),
        (f"kubepods/burstable/pod0b5c/{HEX}", f"/kubepods/burstable/pod0b5c/{HEX}"),
        (f"kubepods.slice/{POD}/cri-containerd-{HEX}.scope", f"cri-containerd-{HEX}.scope"),
        (f"kubepods.slice/{POD}/crio-{HEX}.scope/system.slice/a.service", f"crio-{HEX}.scope"),
        ("lxc.payload.web/system.slice/nginx.service", "/lxc.payload.web/system.slice/nginx.service"),
        ("machine.slice/machine-web.scope/payload/system.slice/a.service", "machine-web.scope"),
    ],
)
def test_containers(path: str, expected: str) -> None:
    """A service of a systemd inside a container does not pass for one of the host."""
    assert unit_of(path.split("/")) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ((".service",), ".service"),
        (("a.slice", ".slice", "x"), "/a.slice/.slice/x"),
        (('a"b\\c.service',), 'a"b\\c.service'),
        (("a\nb",), "/a\\x0ab"),
        (("other",), "/other"),
        (("größe.service",), "größe.service"),
        (("a.service.d",), "/a.service.d"),
        (("A.SERVICE",), "/A.SERVICE"),
    ],
)
def test_hostile_names(path: tuple[str, ...], expected: str) -> None:
    """Names keep the characters that are text, and no cgroup can be called like the `other` series."""
    assert unit_of(path) == expected


def test_long_names_keep_their_end() -> None:
    """A path that is too long is cut at the root's end and marked."""
    path = [f"level{number}" for number in range(60)] + ["leaf"]
    name = unit_of(path)

    assert len(name) == 256
    assert name.startswith("…")
    assert name.endswith("/level59/leaf")
    assert unit_of(["x" * 251 + ".service"]) == "…" + "x" * 247 + ".service"
    assert unit_of(["x" * 248 + ".service"]) == "x" * 248 + ".service"


names = st.lists(st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=20) | st.sampled_from(["a.slice", "user@1.service"]))


@settings(deadline=None, max_examples=150)
@given(names)
def test_any_path(path: list[str]) -> None:
    """Every path has a name, that is neither empty, nor `other`, nor too long."""
    name = unit_of(path)

    assert 0 < len(name) <= 256
    assert name != "other"
