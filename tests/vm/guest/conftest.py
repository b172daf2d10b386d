"""What runs inside of a guest: an agent, disks of the kernel's own making, and a cgroup v2 tree with its controllers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel.support import RunningAgent, agent, owner_tree
from tests.vm.guest.disks import NATIVE, Parted, ext4, null_disk, scsi_disk


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Before the session's agent what its programs would stand in the way of; at the end what a kernel does not take back."""
    places = {"test_preconditions.py": 0, "test_lockdown.py": 2}
    items.sort(key=lambda item: places.get(item.path.name, 1))


@pytest.fixture(scope="session", autouse=True)
def controllers() -> None:
    """Groups below the root have io and memory controllers."""
    controls = owner_tree() / "cgroup.subtree_control"
    if controls.exists() or not NATIVE:
        controls.write_text("+io +memory")


@pytest.fixture(scope="session", autouse=True)
def tainted() -> int:
    """What the kernel had complained of before the tests began."""
    return int(Path("/proc/sys/kernel/tainted").read_text())


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAgent]:
    """An agent with every family, attached by its best rung; what is slow by accident of emulation is no event."""
    with agent(tmp_path_factory.mktemp("agent"), "--probes.strict", "--threshold=100ms") as found:
        yield found


@pytest.fixture
def url(running: RunningAgent) -> str:
    """Where its metrics are."""
    return running.url


@pytest.fixture(scope="session")
def disk() -> Iterator[str]:
    """A disk with two queues and no scheduler, that nobody else uses; its name."""
    with null_disk() as name:
        yield name


@pytest.fixture(scope="session")
def slow() -> Iterator[Parted]:
    """A SCSI disk whose requests take as long as they are told to."""
    with scsi_disk() as parted:
        yield parted


@pytest.fixture(scope="session")
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder on a disk: in a guest an ext4 on the SCSI disk."""
    point = tmp_path_factory.mktemp("files")
    if NATIVE:
        yield point
        return
    with ext4(request.getfixturevalue("slow").files, point):
        yield point
