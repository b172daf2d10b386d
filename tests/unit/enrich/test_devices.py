"""Block devices of a sysfs and a mountinfo that are made up."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflens.enrich import devices as module
from perflens.enrich.devices import Devices
from perflens.enrich.mounts import MountTree, layers, read_mountinfo
from perflens.enrich.stacking import Stacking
from perflens.enrich.sysfs_block import Found, listed
from perflens.kernel.features import mounts
from perflens.model import Device, Mount
from tests.evidence import slow_event

PIECES = ("1", "2", "3", "0:1", "0:2", "/", "/a", "/a/b", "overlay", "btrfs", "lowerdir=/a:/a/b", "upperdir=/a", "lowerdir+=/a")
PCI = "pci0000:00/0000:00:02.0"
GIB = 1 << 30


@dataclass
class Host:
    """A host of files; ``now`` is its clock, in s."""

    root: Path
    now: float = 100.0
    lines: dict[int, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for folder in ("sys/class/block", "sys/fs/btrfs", "proc"):
            (self.root / folder).mkdir(parents=True)
        self.mount("/", "8:2", "ext4", "/dev/sda2")

    def device(self, path: str, number: str, size: int = GIB, below: tuple[str, ...] = (), **attributes: Any) -> str:
        """Add a device at a path below /sys/devices; a double underscore in an attribute's name is a slash. Return its entry."""
        folder, name = self.root / "sys/devices" / path, os.path.basename(path)
        (folder / "slaves").mkdir(parents=True)
        known = {"size": str(size // 512), "ro": "0", "hidden": "0", **({"dev": number} if number else {}), **attributes}
        for key, value in known.items():
            file = folder / key.replace("__", "/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(os.fsencode(str(value)) + b"\n")
        for slave in below:
            (folder / "slaves" / slave).symlink_to("../nowhere")
        (self.root / "sys/class/block" / name).symlink_to(f"../../devices/{path}")
        return name

    def disk(self, name: str, number: str, **attributes: Any) -> str:
        known: dict[str, Any] = {"queue__rotational": "0", "device__model": "SuperDisk 9   ", "device__wwid": "naa.5000c500a1b2c3d4"}
        return self.device(f"{PCI}/block/{name}", number, **{**known, **attributes})

    def virtual(self, name: str, number: str, below: tuple[str, ...] = (), **attributes: Any) -> str:
        return self.device(f"virtual/block/{name}", number, below=below, queue__rotational="1", **attributes)

    def btrfs(self, uuid: str, *members: str) -> None:
        for member in members:
            folder = self.root / "sys/fs/btrfs" / uuid / "devices"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / member).symlink_to("../nowhere")

    def mount(self, point: str, number: str, fstype: str, source: str, options: str = "rw", root: str = "/", pid: int = 1) -> None:
        """Mount something in a process's namespace: all of them are children of the root."""
        lines = self.lines.setdefault(pid, [])
        parent = 20 if lines else 1
        lines.append(f"{20 + len(lines)} {parent} {number} {root} {point} rw shared:1 - {fstype} {source} {options}\n")
        folder = self.root / "proc" / str(pid)
        folder.mkdir(exist_ok=True)
        (folder / "mountinfo").write_text("".join(lines))

    def devices(self) -> Devices:
        return Devices(str(self.root / "sys"), str(self.root / "proc"), lambda: self.now, mounts)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A disk with two partitions, the second of which has the root."""
    made = Host(tmp_path / "host")
    made.disk("sda", "8:0")
    for part in ("1", "2"):
        made.device(f"{PCI}/block/sda/sda{part}", f"8:{part}", partition=part)
    return made


def test_disk_and_partition(host: Host) -> None:
    """A partition has its disk's model and knows it; what is above and where it is mounted is told."""
    disk, part = host.devices().of((8, 0)), host.devices().by_name("sda2")

    assert disk is not None
    assert part is not None
    assert (disk.kind, disk.size, disk.read_only, disk.rotational, disk.model) == ("disk", GIB, False, False, "SuperDisk 9")
    assert (disk.wwid, disk.disk, disk.below, disk.above) == ("naa.5000c500a1b2c3d4", "sda", (), ("sda1", "sda2"))
    assert (part.kind, part.number, part.disk, part.below, part.model) == ("partition", (8, 2), "sda", ("sda",), "SuperDisk 9")
    assert part.mounts == (("/", "ext4"),)


@pytest.mark.parametrize(
    ("attributes", "number", "expected"),
    [
        ({"dm__name": "vg-root", "dm__uuid": "LVM-abc"}, "253:0", ("dm", "vg-root", "LVM-abc")),
        ({"md__level": "raid1"}, "9:0", ("md", "raid1", "")),
        ({"mm_stat": "0", "initstate": "1"}, "252:0", ("zram", "", "")),
        ({"loop__backing_file": "/srv/a.img"}, "7:0", ("loop", "/srv/a.img", "")),
        ({}, "7:1", ("loop", "", "")),
        ({}, "1:0", ("ram", "", "")),
        ({}, "43:0", ("nbd", "", "")),
        ({}, "251:0", ("virtual", "", "")),
        ({"bcache__label": ""}, "250:0", ("bcache", "", "")),
    ],
)
def test_kinds(host: Host, attributes: dict[str, Any], number: str, expected: tuple[str, str, str]) -> None:
    """The kind is what sysfs says, whatever the name; the title is what people call it."""
    name = host.virtual("sdz", number, **attributes)
    own = host.devices().by_name(name)

    assert own is not None
    assert (own.kind, own.title, own.wwid) == expected


def test_the_serial_of_a_virtio_disk_is_not_read(host: Host) -> None:
    """For it the driver sends a request to the disk, which may not answer."""
    host.device(f"{PCI}/virtio1/block/vda", "254:0", serial="x", device__vendor="0x1af4", queue__rotational="1")
    own = host.devices().by_name("vda")

    assert own is not None
    assert (own.kind, own.wwid, own.model, own.rotational) == ("disk", "", "", True)


def test_a_stack_ends_at_its_disks(host: Host) -> None:
    """A volume on a RAID of a partition and a whole disk lies on two disks, and every pair is told."""
    host.disk("sdb", "8:16")
    host.virtual("md0", "9:0", below=("sda1", "sdb"), md__level="raid1")
    host.virtual("dm-0", "253:0", below=("md0",), dm__name="vg-root")
    own = host.devices()

    assert own.disks_of((253, 0)) == ("sda", "sdb")
    assert own.disks_of((8, 2)) == ("sda",)
    assert {below for device, below in own.edges() if device == "dm-0"} == {"md0", "sda1", "sda", "sdb"}
    assert own.disks_of((99, 0)) == ()


def test_a_loop_is_a_disk_above_those_of_its_file(host: Host) -> None:
    """Its file's mount is found by its path, whose spaces are escaped there."""
    host.disk("sdb", "8:16")
    host.mount("/my\\040files", "8:16", "xfs", "/dev/sdb")
    host.mount("/srv", "8:1", "ext4", "/dev/sda1")
    host.virtual("loop0", "7:0", loop__backing_file="/srv/x.img (deleted)")
    host.virtual("loop1", "7:1", loop__backing_file="/my files/x.img")
    host.device("virtual/block/loop0/loop0p1", "259:0", partition="1")
    own = host.devices()

    assert own.disks_of((259, 0)) == ("loop0", "sda")
    assert own.disks_of((7, 1)) == ("loop1", "sdb")
    assert own.by_name("loop0").below == ("sda1",)  # type: ignore[union-attr]


def test_a_mount_that_was_mounted_over_is_not_found() -> None:
    """Below a point that another file system covers, its own mounts lead nowhere."""
    tree = MountTree(
        mounts(
            "1 1 0:1 / / rw - rootfs rootfs rw\n"
            "20 1 8:1 / / rw - ext4 a rw\n"
            "21 20 8:2 / /srv rw - ext4 b rw\n"
            "22 21 8:3 / /srv/deep rw - ext4 c rw\n"
            "23 21 8:4 / /srv rw - ext4 d rw\n"
        )
    )
    found = {path: tree.at(path) for path in ("/srv/deep/x", "/srv", "/srvx", "/", "relative", "")}

    assert {path: own and own.source for path, own in found.items()} == {
        "/srv/deep/x": "d",
        "/srv": "d",
        "/srvx": "a",
        "/": "a",
        "relative": None,
        "": None,
    }


def test_nvme_with_several_paths(host: Host) -> None:
    """The disk that people see lies on hidden ones, which sysfs lists or only names."""
    for path in ("nvme0c0n1", "nvme0c1n1", "nvme0c0n2"):
        host.device(f"{PCI}/nvme/{path}", "", hidden="1")
    for entry, number in (("nvme0n1", "259:0"), ("nvme0n2", "259:1")):
        host.device(f"virtual/nvme-subsystem/nvme-subsys0/{entry}", number, device__model="NVMe 1", wwid="eui.1")
    told = host.root / "sys/class/block/nvme0n2/multipath/nvme0c0n2"
    told.mkdir(parents=True)
    own = host.devices()

    assert own.disks_of((259, 0)) == ("nvme0c0n1", "nvme0c1n1")
    assert own.disks_of((259, 1)) == ("nvme0c0n2",)
    assert [(one.kind, one.number) for one in own.all() if one.name == "nvme0c0n1"] == [("nvme_path", (0, 0))]
    assert own.by_name("nvme0n1").kind == "nvme_multipath"  # type: ignore[union-attr]


def test_cycles_are_cut(host: Host) -> None:
    """Devices that lie on each other, which the kernel does not allow, end somewhere."""
    host.virtual("dm-0", "253:0", below=("dm-1",), dm__name="a")
    host.virtual("dm-1", "253:1", below=("dm-0",), dm__name="b")
    host.mount("/loop", "7:0", "ext4", "/dev/loop0")
    host.virtual("loop0", "7:0", loop__backing_file="/loop/itself")
    own = host.devices()

    assert own.disks_of((253, 0)) == ()
    assert own.disks_of((7, 0)) == ("loop0",)
    assert ("loop0", "loop0") not in own.edges()


def test_file_on_a_plain_file_system(host: Host) -> None:
    """Its number is that of the device; a file system without a device has none."""
    own = host.devices()

    assert own.real_device((8, 2), "ext4") == ("sda",)
    assert [own.real_device((0, 23), fstype) for fstype in ("tmpfs", "nfs4", "fuse", "zfs")] == [()] * 4
    assert own.real_device((0, 23), "overlay") == ()


@pytest.mark.parametrize("source", ["/dev/sdb", "/dev/mapper/vg-data", "/dev/root"])
def test_file_on_btrfs(host: Host, source: str) -> None:
    """Its file system has all its devices, whichever the mount names, and a name that nobody has is of the only one."""
    host.disk("sdb", "8:16")
    host.virtual("dm-3", "253:3", below=("sda1",), dm__name="vg-data")
    host.btrfs("5f0e-11", "sdb", "dm-3")
    host.mount("/data", "0:45", "btrfs", source, root="/@data")
    own = host.devices()

    assert sorted(own.real_device((0, 45), "btrfs")) == ["sda", "sdb"]
    assert own.by_name("sdb").mounts == (("/data", "btrfs"),)  # type: ignore[union-attr]


def test_btrfs_that_is_not_the_only_one(host: Host) -> None:
    """Then a source without a known name tells nothing."""
    for name, number in (("sdb", "8:16"), ("sdc", "8:32")):
        host.btrfs(f"id-{name}", host.disk(name, number))
    host.mount("/data", "0:45", "btrfs", "/dev/root")
    host.mount("/more", "0:46", "btrfs", "/dev/sdc")

    assert host.devices().real_device((0, 45), "btrfs") == ()
    assert host.devices().real_device((0, 46), "btrfs") == ("sdc",)


@pytest.fixture
def layered(host: Host) -> Host:
    """Three disks with an overlay over them: the upper layer on sdb, a lower one on sda and on sdc."""
    for name, number, point in (("sdb", "8:16", "/up"), ("sdc", "8:32", "/lo,w:1")):
        host.disk(name, number)
        host.mount(point, number, "ext4", f"/dev/{name}")
    return host


OPTIONS = "rw,lowerdir=/lo\\134\\054w\\134:1/l:/l2:rel/l3::/data,upperdir=/up/u,workdir=/up/w"


def test_file_on_an_overlay(layered: Host) -> None:
    """A write goes to the upper layer; a read may come from any."""
    layered.mount("/merged", "0:50", "overlay", "overlay", OPTIONS)
    own = layered.devices()

    assert own.real_device((0, 50), "overlay", writes=True) == ("sdb",)
    assert set(own.real_device((0, 50), "overlay")) == {"sda", "sdb", "sdc"}
    assert own.by_name("sdb").mounts == (("/up", "ext4"),)  # type: ignore[union-attr]


def test_overlay_of_another_mount_namespace(layered: Host) -> None:
    """Where only the process has it mounted its own mounts are asked; a container that sees none of the layers tells nothing."""
    for pid, point in ((77, "/merged"), (88, "/")):
        if pid == 77:
            layered.mount("/", "8:2", "ext4", "/dev/sda2", pid=pid)
            layered.mount("/up", "8:32", "ext4", "/dev/sdc", pid=pid)
        layered.mount(point, f"0:{pid}", "overlay", "overlay", OPTIONS, pid=pid)
    own = layered.devices()

    assert own.real_device((0, 77), "overlay", writes=True) == ()
    assert own.real_device((0, 77), "overlay", 77, writes=True) == ("sdc",)
    assert own.real_device((0, 77), "overlay", writes=True) == ("sdc",)  # remembered
    assert own.real_device((0, 88), "overlay", 88, writes=True) == ()
    assert own.real_device((0, 99), "overlay", 99) == ()


def test_overlay_on_an_overlay(layered: Host) -> None:
    """A lower layer may be one itself; one that lies on itself ends."""
    layered.mount("/one", "0:50", "overlay", "overlay", "rw,lowerdir=/up/a:/up/b")
    layered.mount("/two", "0:51", "overlay", "overlay", "rw,lowerdir=/one/x,upperdir=/two/u")
    layered.mount("/three", "0:52", "overlay", "overlay", "rw,lowerdir+=/up:1,lowerdir+=/three/x,datadir+=/lo\\054w:1/d")
    own = layered.devices()

    assert own.real_device((0, 51), "overlay") == ("sdb",)
    assert own.real_device((0, 51), "overlay", writes=True) == ()
    assert set(own.real_device((0, 52), "overlay")) == {"sda", "sdc"}


def test_overlays_whose_layers_lead_to_each_other() -> None:
    """Who is root in a user namespace may mount anything over the layers of an overlay: each overlay is looked at once all the same."""
    of = {name: "lowerdir=" + ":".join(f"/{name}{index}" for index in range(60)) for name in "ab"}
    lines = ["1 1 0:5 / / rw - tmpfs t rw", f"2 1 0:6 / /A rw - overlay o rw,{of['a']}", "3 1 8:0 / /disk rw - ext4 d rw"]
    for index in range(60):
        lines.append(f"{10 + index} 1 0:7 / /a{index} rw - overlay o rw,{of['b']}:/disk/x")
        lines.append(f"{100 + index} 1 0:6 / /b{index} rw - overlay o rw,{of['a']}")
    looked: list[str] = []

    class Watched(MountTree):
        def at(self, path: str) -> Mount | None:
            looked.append(path)
            return super().at(path)

    disk = Found(Device("sda", (8, 0), "disk", GIB, False, None, "", "", "", "sda"))
    assert Stacking([disk], (), {}).real_in(Watched(mounts("\n".join(lines))), (0, 6), writes=False) == ("sda",)
    assert len(looked) <= 2 * 61


def test_layers() -> None:
    """Colons and backslashes are escaped in a list, and stand for themselves in single ones."""
    (mount,) = mounts("1 2 0:9 / / rw - overlay o rw,lowerdir=/a\\134:b:/c\\134\\134d:/e,upperdir=/u\\040v\\054=:w\n")

    assert layers(mount) == (("/u v,=:w",), ("/a:b", "/c\\d", "/e"))


def test_events(host: Host) -> None:
    """A block request names its device; a call is on the disks of its file."""
    own = host.devices()

    assert own.of_event(slow_event(probe="block", object_name="nvme0n1", is_request=True)) == ("nvme0n1",)
    assert own.of_event(slow_event()) == ("sda",)


HOSTILE = b"a\x1b[2J\nb\xff\xe9\x00"


@pytest.mark.parametrize("length", [1, 500])
def test_hostile_text(host: Host, length: int) -> None:
    """What others named is text of bounded length that can be sent, and line feeds forge nothing."""
    raw = os.fsdecode((HOSTILE * length).replace(b"\0", b""))
    host.virtual("loop0", "7:0", loop__backing_file=f"/{raw}")
    host.virtual("dm-0", "253:0", dm__name=raw, dm__uuid=raw)
    host.disk("sdb", "8:16", device__model=raw, device__wwid=raw)
    own = host.devices()
    texts = [text for one in own.all() for text in (one.title, one.model, one.wwid)]

    assert all(text.isprintable() and len(text.encode()) <= 258 for text in texts)
    assert own.disks_of((7, 0)) == ("loop0", "sda")
    if length == 1:
        assert own.by_name("dm-0").title == "a\\x1b[2J\\x0ab\\xff\\xe9"  # type: ignore[union-attr]


def test_name_with_a_slash(host: Host) -> None:
    """Sysfs writes an exclamation mark for it."""
    host.disk("cciss!c0d0", "104:0")
    host.device(f"{PCI}/block/cciss!c0d0/cciss!c0d0p1", "104:1", partition="1")

    assert host.devices().disks_of((104, 1)) == ("cciss/c0d0",)


@pytest.mark.parametrize("missing", ["dev", "size", "queue/rotational", "slaves", "."])
def test_what_vanishes_is_left_empty(host: Host, missing: str) -> None:
    """A device that goes while it is read is gone, or lacks what was not read."""
    gone = host.root / "sys/class/block/sda" / missing
    shutil.rmtree(gone.resolve()) if gone.is_dir() else gone.unlink()
    own = host.devices()

    assert (own.by_name("sda") is None) == (missing in ("dev", "."))
    assert own.real_device((8, 2), "ext4") in (("sda",), ("sda2",), ())


@pytest.mark.parametrize("text", ["", ":", "x:y", "8", "8:0:0", "-1:5", "9" * 400 + ":1"])
def test_attributes_that_are_no_numbers(host: Host, text: str) -> None:
    """They cost the device, or its size, and nothing else."""
    host.virtual("odd", text, size=0)
    (host.root / "sys/class/block/sda/size").write_text(text)

    assert host.devices().disks_of((8, 1)) == ("sda",)


def test_no_sysfs(tmp_path: Path) -> None:
    """A host that shows nothing has no devices."""
    own = Devices(str(tmp_path / "sys"), "", lambda: 0.0, mounts)

    assert (own.all(), own.of((8, 0)), own.by_name("sda"), own.real_device((8, 0), "ext4", 1)) == ((), None, None, ())


def test_read_again(host: Host) -> None:
    """Every 10 s, and after a second when something is asked for that is not known."""
    own = host.devices()
    assert len(own.all()) == 3
    host.disk("sdb", "8:16")
    assert len(own.all()) == 3
    assert own.of((8, 16)) is None
    host.now += 1
    assert own.of((8, 0)) is not None
    assert len(own.all()) == 3
    assert own.of((8, 16)) is not None
    host.disk("sdc", "8:32")
    host.now += 9.9
    assert len(own.all()) == 4
    host.now += 0.1
    assert len(own.all()) == 5


def test_bound(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Real devices come first; the others are counted, and so are mounts that are too many."""
    monkeypatch.setattr(module, "MOST", 4)
    for number in range(5):
        host.virtual(f"loop{number}", f"7:{number}")
    for number in range(71):
        host.mount(f"/own{number}", "8:1", "ext4", "/dev/sda1")
    own = host.devices()

    assert [one.name for one in own.all()] == ["sda", "sda1", "sda2", "loop0"]
    assert own.left_out() == (4, 7)
    mounted = own.by_name("sda1").mounts  # type: ignore[union-attr]
    assert (len(mounted), mounted[0]) == (64, ("/own0", "ext4"))


def test_bind_mounts(host: Host) -> None:
    """They are not told beside the whole; a file system of which only parts are mounted has those, and btrfs all subvolumes."""
    host.mount("/bind", "8:2", "ext4", "/dev/sda2", root="/srv")
    host.mount("/part", "8:1", "ext4", "/dev/sda1", root="/x")
    host.btrfs("id", host.disk("sdb", "8:16"))
    for root in ("/", "/@home"):
        host.mount(f"/b{root.strip('/')}", "0:45", "btrfs", "/dev/sdb", root=root)
    mounted = {own.name: own.mounts for own in host.devices().all()}

    assert mounted["sda2"] == (("/", "ext4"),)
    assert mounted["sda1"] == (("/part", "ext4"),)
    assert mounted["sdb"] == (("/b", "btrfs"), ("/b@home", "btrfs"))


@given(st.lists(st.tuples(*[st.sampled_from(PIECES) | st.text(max_size=8)] * 6), max_size=8), st.text(max_size=30))
def test_any_mountinfo(lines: list[tuple[str, ...]], path: str) -> None:
    """Whatever mounts there are, looking one up ends, without an error."""
    text = "".join(f"{own[0]} {own[1]} {own[2]} / {own[3]} rw - {own[4]} none rw,{own[5]}\n" for own in lines)
    tree = MountTree(mounts(text))
    stacking = Stacking((), tree.mounts, {})

    assert tree.at(path) is None or path.startswith("/")
    assert all(stacking.real(own.device, writes=False) == () for own in tree.mounts)


def late(caplog: pytest.LogCaptureFixture) -> list[Any]:
    return [record.fields["reason"] for record in caplog.records if record.message.startswith("the block devices are not read in time")]  # type: ignore[attr-defined]


def test_a_kernel_that_does_not_answer(host: Host, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """What was known stays, which is logged once, nobody waits twice, and no second thread begins."""
    own = host.devices()
    assert len(own.all()) == 3
    answers = threading.Event()

    def hang(*arguments: Any) -> Any:
        answers.wait(30)
        return listed(*arguments)

    monkeypatch.setattr(module, "listed", hang)
    monkeypatch.setattr(module, "_PATIENCE", 0.01)
    for _ in range(5):
        host.now += 10
        assert len(own.all()) == 3
    readers = [thread for thread in threading.enumerate() if thread.name == "devices"]
    answers.set()
    for reader in readers:
        reader.join(30)

    assert len(readers) == 1
    assert late(caplog) == ["the kernel has not answered in time"]


def test_a_host_without_room_for_a_thread(host: Host, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """What was known stays until there is room again."""
    own = host.devices()
    assert len(own.all()) == 3
    host.disk("sdb", "8:16")
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", lambda _: (_ for _ in ()).throw(RuntimeError("can't start new thread")))
        for _ in range(2):
            host.now += 10
            assert len(own.all()) == 3
    host.now += 10

    assert len(own.all()) == 4
    assert late(caplog) == ["can't start new thread"]


def test_a_bug_leaves_what_was_known(host: Host, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and the next time is another attempt."""
    own = host.devices()
    assert len(own.all()) == 3
    host.now += 10
    with monkeypatch.context() as patch:
        patch.setattr(module, "btrfs_members", lambda _: 1 / 0)
        assert len(own.all()) == 3
    host.disk("sdb", "8:16")
    host.now += 10

    assert len(own.all()) == 4
    assert "the block devices cannot be read" in caplog.text


def test_mountinfo_that_is_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last line is left out whole; one that is not there is empty."""
    file = tmp_path / "mountinfo"
    file.write_bytes(b"1 2 3\n4 5 \xff\n7 8 9\n")
    monkeypatch.setattr("perflens.enrich.mounts.LONGEST", 14)

    assert read_mountinfo(str(file)) == "1 2 3\n4 5 \udcff\n"
    assert read_mountinfo(str(tmp_path / "none")) == ""


def test_values_are_shared(host: Host) -> None:
    """The same question has the same answer in memory: evidence keeps thousands of them."""
    own = host.devices()
    answers: Mapping[int, tuple[str, ...]] = {number: own.real_device((8, 2), "ext4") for number in range(2)}

    assert answers[0] is answers[1]
