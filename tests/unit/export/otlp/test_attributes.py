"""export/otlp/attributes.py: what a span says of its operation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from perflens.export.otlp.attributes import BootClock, of_operation, of_request, of_wait
from perflens.model import NO_POD, BlockRequest, Evidence, FileIdentity, Pod, PodVolume, Wait

CLOCK = BootClock(1_700_000_000_000_000_000)
MS = 1_000_000


def test_read(make: Callable[..., Evidence]) -> None:
    """A read of a regular file, whole."""
    assert of_operation(make(), CLOCK) == {
        "process.pid": 4711,
        "process.parent_pid": 1,
        "process.executable.name": "postgres",
        "process.creation.time": "2023-11-14T22:13:23.000Z",
        "process.linux.cgroup": "/system.slice/postgresql.service",
        "thread.id": 4712,
        "thread.name": "worker",
        "system.device": "8:17",
        "perflens.file.device": "8:17",
        "disk.io.direction": "read",
        "code.stacktrace": "io_schedule+0x46\next4_file_read+0x8 [ext4]\npread+0x1a",
        "perflens.probe": "file",
        "perflens.operation": "read",
        "perflens.owner": "postgresql.service",
        "perflens.fs": "ext4",
        "perflens.file.path": "/srv/data/base/1",
        "perflens.file.path.complete": True,
        "perflens.file.inode": str(2**63 + 5),
        "perflens.bytes": 8_192,
        "perflens.on_cpu": 0.001,
        "perflens.runqueue": 0.002,
        "perflens.unattributed": 0.0,
        "perflens.blocked.io": 0.012,
        "perflens.blocked.lock": 0.005,
        "perflens.waits": 2,
    }


def test_disks(make: Callable[..., Evidence]) -> None:
    """The device is the disks by name, where they are known; the number stays beside them."""
    found = of_operation(replace(make(), devices=("loop0", "vd\na")), CLOCK)
    assert (found["system.device"], found["perflens.file.device"]) == ("loop0,vd\\x0aa", "8:17")


def test_unknown(make: Callable[..., Evidence]) -> None:
    """What is not known is left out."""
    bare = make(operation="fsync", object_name="", file=FileIdentity("", False, (0, 0), 0), blocked={}, result=0)
    found = of_operation(replace(bare, kernel_stack=(), user_stack=()), CLOCK)
    gone = {"system.device", "disk.io.direction", "code.stacktrace", "container.id", "error.type", "perflens.fs", "perflens.file.path"}
    assert not gone & set(found)
    assert found["perflens.bytes"] == 0


@pytest.mark.parametrize(("result", "expected"), [(-5, "EIO"), (-4, "EINTR"), (-4095, "4095")])
def test_error(make: Callable[..., Evidence], result: int, expected: str) -> None:
    """An error has its name, and no bytes."""
    found = of_operation(make(result=result), CLOCK)
    assert found["error.type"] == expected
    assert "perflens.bytes" not in found


REQUEST = BlockRequest("write", (259, 0), 2_048, 512, 1_000, 1_000_000, 2_000_000, 3_000_000, 0, "nvme0n1")


def test_request(make: Callable[..., Evidence]) -> None:
    """A request's object is its disk, its parts are what it took; what only a thread's operation has is not there."""
    blocked = {"held": 1_000_000, "queue": 2_000_000, "device": 3_000_000}
    found = of_operation(make(probe="block", operation="write", is_request=True, requests=(REQUEST,), blocked=blocked, result=512), CLOCK)

    assert (found["system.device"], found["disk.io.direction"], found["perflens.block.sector"]) == ("nvme0n1", "write", 2_048)
    assert [found[f"perflens.blocked.{part}"] for part in blocked] == [0.001, 0.002, 0.003]
    assert found["perflens.bytes"] == 512
    assert {"perflens.fs", "perflens.on_cpu", "perflens.waits", "perflens.requests", "perflens.file.device"}.isdisjoint(found)


def test_request_of_an_operation() -> None:
    """The span below an operation's says where the request went and what it took; a flush is nowhere."""
    assert of_request(REQUEST) == {
        "perflens.operation": "write",
        "perflens.bytes": 512,
        "system.device": "nvme0n1",
        "disk.io.direction": "write",
        "perflens.block.sector": 2_048,
        "perflens.blocked.held": 0.001,
        "perflens.blocked.queue": 0.002,
        "perflens.blocked.device": 0.003,
    }
    flush = of_request(REQUEST._replace(operation="flush", sector=2**64 - 1, disk="", error=5))
    assert (flush["system.device"], flush["error.type"]) == ("259:0", "EIO")
    assert {"disk.io.direction", "perflens.block.sector"}.isdisjoint(flush)


def test_hostile(make: Callable[..., Evidence]) -> None:
    """Names that anybody can choose are escaped and bounded."""
    file = FileIdentity("/" + "\udcff" * 5_000, False, (8, 1), 1)
    found = of_operation(replace(make(comm="\x1b[2J\udc80", process_name="n" * 99, file=file), container_id="c\n"), CLOCK)
    assert (found["thread.name"], found["container.id"]) == (r"\x1b[2J\x80", r"c\x0a")
    assert len(str(found["process.executable.name"])) == 16
    assert len(str(found["perflens.file.path"])) == 4_096
    assert all(str(value).encode() for value in found.values())


def test_wait() -> None:
    """A wait says how long it slept and how long it queued for a CPU."""
    assert of_wait(Wait(10 * MS, 14 * MS, 15 * MS, "io")) == {
        "perflens.wait.reason": "io",
        "perflens.wait.blocked": 0.004,
        "perflens.wait.runqueue": 0.001,
    }


UID = "8f7d2c1e-5b1a-4c77-9d3e-0123456789ab"


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        (NO_POD, {}),
        (Pod(UID, "3f4e" * 16), {"k8s.pod.uid": UID}),
        (
            Pod(UID, "", "shop", "web-1", "Deployment/web", "app"),
            {
                "k8s.pod.uid": UID,
                "k8s.namespace.name": "shop",
                "k8s.pod.name": "web-1",
                "k8s.container.name": "app",
                "k8s.deployment.name": "web",
            },
        ),
        (
            Pod(UID, "", "shop", "sync-1", "CronJob/sync"),
            {"k8s.pod.uid": UID, "k8s.namespace.name": "shop", "k8s.pod.name": "sync-1", "k8s.cronjob.name": "sync"},
        ),
        (
            Pod(UID, "", "shop", "db-1", "Cluster/db"),
            {"k8s.pod.uid": UID, "k8s.namespace.name": "shop", "k8s.pod.name": "db-1"},
        ),
    ],
)
def test_pod(make: Callable[..., Evidence], pod: Pod, expected: dict[str, str]) -> None:
    """What is known of the pod has the names of the conventions, and the owner that of its series."""
    own = make()
    found = of_operation(replace(own, owner=replace(own.owner, pod=pod, label="shop/Deployment/web")), CLOCK)

    assert {key: value for key, value in found.items() if key.startswith("k8s.")} == expected
    assert found["perflens.owner"] == "shop/Deployment/web"


def test_volume(make: Callable[..., Evidence]) -> None:
    """The volume of the pod has the names of the conventions, those that are known."""
    own = PodVolume("sda1", UID, "shop", "db-0", "data", "pvc-1", "data-db-0")
    names = ("k8s.volume.name", "k8s.persistentvolume.name", "k8s.persistentvolumeclaim.name")

    def told(volume: PodVolume | None) -> list[object]:
        found = of_operation(replace(make(), volume=volume), CLOCK)
        return [found.get(name) for name in names]

    assert told(own) == ["data", "pvc-1", "data-db-0"]
    assert told(own._replace(volume="", claim="")) == [None, "pvc-1", None]
    assert told(None) == [None] * 3
