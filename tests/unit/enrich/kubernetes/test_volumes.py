"""enrich/kubernetes/volumes.py: which claim a mounted volume is of, as far as pods tell."""

from __future__ import annotations

from dataclasses import replace

import pytest

from perflens.enrich.kubernetes.objects import NO_CONTROLLER, PodFacts
from perflens.enrich.kubernetes.store import Known, PodStore
from perflens.enrich.kubernetes.volumes import Volumes, pod_volumes
from perflens.model import Device, PodVolume

KUBELET = "/var/lib/kubelet/pods"
UID = "00000000-0000-4000-8000-{:012d}".format
DISK = Device("sda", (8, 0), "disk", 1 << 40, False, True, "", "", "", "sda")
CSI, EBS = "kubernetes.io~csi/{}/mount".format, "kubernetes.io~aws-ebs/{}".format


def store(*pods: dict[str, str], namespace: str = "shop") -> PodStore:
    """Pods db-0, db-1 …, each with these volumes and their claims."""
    found = PodStore(600.0)
    for number, volumes in enumerate(pods):
        found.put(Known(PodFacts(UID(number), namespace, f"db-{number}", "node-1", NO_CONTROLLER, "", False, {}, volumes), "Pod/db"))
    return found


def mounted(name: str, *places: tuple[int, str]) -> Device:
    """A device that is mounted for pods by number."""
    return replace(DISK, name=name, mounts=tuple((f"{KUBELET}/{UID(number)}/volumes/{place}", "ext4") for number, place in places))


def claims(devices: list[Device], pods: PodStore) -> dict[str, str]:
    """The claim by device."""
    return {own.device: own.claim for own in pod_volumes(devices, pods)}


@pytest.mark.parametrize("place", [CSI("pvc-1"), EBS("pvc-1"), "kubernetes.io~local-volume/pvc-1"])
def test_one_claim(place: str) -> None:
    """A pod with one claim tells whose the volume is, whatever plugin it comes by."""
    pods = store({"data": "data-db-0", "config": "", "token": ""})

    assert pod_volumes([mounted("sda", (0, place))], pods) == [PodVolume("sda", UID(0), "shop", "db-0", "data", "pvc-1", "data-db-0")]


def test_folder_of_the_kubelet_at_two_paths() -> None:
    """Where its folder is a bind mount, each volume is mounted at two paths, and is one."""
    pods, device = store({"data": "data-db-0"}), mounted("sda", (0, CSI("pvc-1")))
    twice = replace(device, mounts=(*device.mounts, *((f"/mnt/disk{point}", fs) for point, fs in device.mounts)))

    assert pod_volumes([twice], pods) == pod_volumes([device], pods) != []
    assert Volumes(lambda: [twice], pods).of(UID(0), "sda") is not None


def test_a_volume_of_the_pod_itself() -> None:
    """One that is of no claim has the name that it has in the pod."""
    pods = store({"scratch": "", "data": "data-db-0"})

    assert pod_volumes([mounted("sda", (0, CSI("scratch")))], pods) == [PodVolume("sda", UID(0), "shop", "db-0", "scratch")]


def test_several_claims_of_one_pod() -> None:
    """Nothing tells which is which: they stay empty."""
    pods = store({"data": "data-db-0", "wal": "wal-db-0"})
    found = pod_volumes([mounted("sda", (0, CSI("pvc-1"))), mounted("sdb", (0, CSI("pvc-2")))], pods)

    assert [(own.volume, own.persistent_volume, own.claim) for own in found] == [("", "pvc-1", ""), ("", "pvc-2", "")]


def test_pods_that_share_a_volume() -> None:
    """What two pods share is of a claim that both have; what is left then is of the other claims."""
    pods = store({"data": "data", "wal": "wal"}, {"d": "data", "other": "other"})
    devices = [mounted("sda", (0, CSI("pvc-1")), (1, CSI("pvc-1"))), mounted("sdb", (0, CSI("pvc-2"))), mounted("sdc", (1, CSI("pvc-3")))]

    assert claims(devices, pods) == {"sda": "data", "sdb": "wal", "sdc": "other"}
    assert [own.volume for own in pod_volumes(devices, pods)] == ["data", "d", "wal", "other"]


def test_what_pods_say_does_not_fit() -> None:
    """A volume of a pod without claims, or with none in common, has no claim; nor has that of another namespace one here."""
    nothing = store({"config": ""}, {"a": "a"}, {"b": "b"})
    devices = [mounted("sda", (0, CSI("pvc-1"))), mounted("sdb", (1, CSI("pvc-2")), (2, CSI("pvc-2")))]

    assert claims(devices, nothing) == {"sda": "", "sdb": ""}


def test_a_claim_that_is_in_the_pod_twice() -> None:
    """The claim is known, and which of the two names it is not."""
    pods = store({"a": "data", "b": "data"})

    assert [(own.volume, own.claim) for own in pod_volumes([mounted("sda", (0, CSI("pvc-1")))], pods)] == [("", "data")]


@pytest.mark.parametrize(
    "point",
    [
        "/",
        "/var/lib/kubelet/plugins/kubernetes.io/csi/pv/pvc-1/globalmount",
        f"{KUBELET}/{UID(9)}/volumes/{CSI('pvc-1')}",
        f"{KUBELET}/{UID(0)}/volumes/kubernetes.io~csi/../mount",
        f"{KUBELET}/{UID(0)}/volume-subpaths/pvc-1/app/0",
    ],
)
def test_other_mounts(point: str) -> None:
    """What is no pod's volume, or of a pod that nobody told of, is left out."""
    assert pod_volumes([replace(DISK, mounts=((point, "ext4"),))], store({"data": "data-db-0"})) == []


def test_asked_for_a_pod() -> None:
    """The volume of a pod on a device, unless it has several there; what is known is looked at again after a while."""
    now = [100.0]
    devices = [mounted("sda", (0, CSI("pvc-1"))), mounted("sdb", (1, CSI("scratch")), (1, CSI("cache")))]
    own = Volumes(lambda: devices, store({"data": "data-db-0"}, {"scratch": "", "cache": ""}), lambda: now[0])

    assert own.of(UID(0), "sda") == PodVolume("sda", UID(0), "shop", "db-0", "data", "pvc-1", "data-db-0")
    assert own.of(UID(1), "sdb") is own.of(UID(1), "sda") is own.of("", "sda") is None
    assert len(own.all()) == 3
    devices.clear()
    assert len(own.all()) == 3
    now[0] += 5
    assert own.all() == []
