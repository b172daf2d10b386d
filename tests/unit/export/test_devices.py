"""export/prometheus/devices.py: what a device is, what it lies on, where it is mounted, and what was cut."""

from __future__ import annotations

from dataclasses import dataclass, replace

from prometheus_client.parser import text_string_to_metric_families

from perflens.export.prometheus.devices import MOST_EDGES, MOST_MOUNTS, MOST_VOLUMES, device_families
from perflens.export.prometheus.text import TEXT
from perflens.model import Device, PodVolume

DISK = Device("sda", (8, 0), "disk", 1 << 40, False, True, "", 'Super"Disk', "", "sda", above=("sda1",))
PART = replace(DISK, name="sda1", number=(8, 1), kind="partition", below=("sda",), mounts=(("/", "ext4"), ("/var", "ext4")))
UNUSED = replace(DISK, name="loop0", number=(7, 0), kind="loop", size=0, disk="loop0")


@dataclass
class Fake:
    devices: tuple[Device, ...]
    pairs: tuple[tuple[str, str], ...] = ()
    more: tuple[int, int] = (0, 0)

    def all(self) -> tuple[Device, ...]:
        return self.devices

    def edges(self) -> tuple[tuple[str, str], ...]:
        return self.pairs

    def left_out(self) -> tuple[int, int]:
        return self.more


def samples(devices: Fake, volumes: tuple[PodVolume, ...] = ()) -> list[tuple[str, dict[str, str], float]]:
    """The series of the page, in its order."""
    page = b"".join(device_families(devices, lambda: volumes)(lambda _: True, TEXT)).decode()
    found = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
    return [(own.name.removeprefix("perflens_block_device_"), own.labels, own.value) for own in found]


def test_families() -> None:
    """Each device that has a size is told, with what lies below it and its mounts."""
    found = samples(Fake((DISK, PART, UNUSED), (("sda1", "sda"),)))
    shared = {"title": "", "model": 'Super"Disk', "rotational": "true", "disk": "sda"}

    assert found == [
        ("info", {"device": "sda", "kind": "disk", **shared}, 1),
        ("info", {"device": "sda1", "kind": "partition", **shared}, 1),
        ("below_info", {"device": "sda1", "below": "sda"}, 1),
        ("mount_info", {"device": "sda1", "mountpoint": "/", "fs": "ext4"}, 1),
        ("mount_info", {"device": "sda1", "mountpoint": "/var", "fs": "ext4"}, 1),
        ("left_out", {"table": "devices"}, 0),
        ("left_out", {"table": "below"}, 0),
        ("left_out", {"table": "volumes"}, 0),
        ("left_out", {"table": "mounts"}, 0),
    ]


def test_limits() -> None:
    """What does not fit is counted, with what was left out before; the first mount of each device goes before the second ones."""
    many = tuple((f"/{number}", "xfs") for number in range(MOST_MOUNTS))
    pairs = tuple((f"dm-{number}", "sda") for number in range(MOST_EDGES + 23))
    found = samples(Fake((replace(DISK, mounts=many), PART), pairs, (5, 7)))
    mounts = [labels for name, labels, _ in found if name == "mount_info"]

    assert {labels["table"]: value for name, labels, value in found if name == "left_out"} == {
        "devices": 5,
        "below": 23,
        "volumes": 0,
        "mounts": 9,
    }
    assert len(mounts) == MOST_MOUNTS
    assert [(own["device"], own["mountpoint"]) for own in mounts[:4]] == [("sda", "/0"), ("sda1", "/"), ("sda", "/1"), ("sda1", "/var")]
    assert sum(name == "below_info" for name, *_ in found) == MOST_EDGES


def test_volumes_of_pods() -> None:
    """Each has its names, as far as they are known; what does not fit is counted."""
    own = PodVolume("sda1", "uid", "shop", "db-0", "data", "pvc-1", "data-db-0")
    found = samples(Fake((PART,)), (own, *[own._replace(pod=f"db-{number}", volume="", claim="") for number in range(MOST_VOLUMES)]))
    shown = [labels for name, labels, _ in found if name == "volume_info"]
    of_pod = {"device": "sda1", "namespace": "shop", "persistentvolume": "pvc-1"}

    assert shown[:2] == [
        {**of_pod, "pod": "db-0", "volume": "data", "persistentvolumeclaim": "data-db-0"},
        {**of_pod, "pod": "db-0", "volume": "", "persistentvolumeclaim": ""},
    ]
    assert len(shown) == MOST_VOLUMES
    assert ("left_out", {"table": "volumes"}, 1) in found
