"""readings/settings.py: what may be set."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflens.analyzer.readings.settings import DiskSettings, MountSettings, parse_mounts, parse_scheduler, read_disks, read_sysctls
from tests.unit.analyzer.readings.trees import make


@pytest.mark.parametrize(("text", "name"), [(b"none [mq-deadline] kyber\n", "mq-deadline"), (b"none\n", "none"), (b"a b\n", ""), (b"", "")])
def test_scheduler(text: bytes, name: str) -> None:
    """The one in brackets, or the only one."""
    assert parse_scheduler(text) == name


def test_disks(tmp_path: Path) -> None:
    """What has no queue to tell of is left out; a name's slash is stored as another mark."""
    queue = {"scheduler": "[none] bfq\n", "nr_requests": "64\n", "read_ahead_kb": "128\n"}
    files = {f"block/cciss!c0d0/queue/{name}": text for name, text in queue.items()} | {
        "block/zram0/queue/read_ahead_kb": "4\n",
        "block/sr0/size": "1\n",
    }

    assert read_disks(make(tmp_path, files)) == {"cciss/c0d0": DiskSettings("none", 64, 128), "zram0": DiskSettings("", None, 4)}
    assert read_disks("/none") == {}


def test_sysctls(tmp_path: Path) -> None:
    """Those that the kernel has."""
    assert read_sysctls(make(tmp_path, {"sys/vm/dirty_ratio": "20\n", "sys/vm/swappiness": "x\n"})) == {"vm.dirty_ratio": 20}


def test_mounts() -> None:
    """What lies on storage, the last mount of a point, an overlay without its folders."""
    text = b"""\
1 0 8:1 / / rw,relatime - ext4 /dev/sda1 rw,data=ordered
2 1 0:1 / /proc rw - proc proc rw
3 1 0:2 / /run rw - tmpfs tmpfs rw
4 1 8:2 / /data rw - ext4 /dev/sdb rw
5 1 8:3 / /data ro - xfs /dev/sdc rw
6 1 0:9 / /merged rw - overlay overlay rw,lowerdir=/a:/b,upperdir=/c,workdir=/d,volatile
"""

    assert parse_mounts(text) == {
        "/": MountSettings("ext4", ("rw", "relatime", "data=ordered")),
        "/data": MountSettings("xfs", ("ro", "rw")),
        "/merged": MountSettings("overlay", ("rw", "volatile")),
    }


@given(
    st.binary(max_size=200)
    | st.lists(st.sampled_from([b"[", b"]", b"a", b" ", b" - ", b"\n", b"overlay", b"dir", b"=", b"\xff"])).map(b"".join)
)
def test_any_text(text: bytes) -> None:
    """Whatever the files hold, nothing is raised."""
    parse_scheduler(text)
    parse_mounts(text)
