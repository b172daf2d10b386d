"""readings/cgroup.py: a cgroup with what binds it, on each kind of host."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflens.analyzer.readings import cgroup_v1, cgroup_v2
from perflens.analyzer.readings.cgroup import CgroupReader, upwards
from perflens.analyzer.readings.hierarchies import Hierarchies
from perflens.analyzer.readings.values import (
    CgroupCpu,
    CgroupMemory,
    CgroupReading,
    IoLimit,
    Limits,
    MemoryEvents,
    Pressure,
    Throttling,
)
from tests.unit.analyzer.readings.trees import make

PRESSURE = "some avg10=0.00 avg60=0.00 avg300=0.00 total={}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total={}\n"
CPU_STAT = "usage_usec {}\nuser_usec 1\nsystem_usec 1\nnr_periods {}\nnr_throttled {}\nthrottled_usec {}\n"

V2 = {
    "cgroup.procs": "1\n",
    "a/cpu.max": "150000 100000\n",
    "a/cpu.stat": CPU_STAT.format(9_000_000, 100, 30, 4_000_000),
    "a/memory.max": "1000\n",
    "a/memory.high": "800\n",
    "a/memory.events": "low 0\nhigh 9\nmax 9\noom 0\noom_kill 0\n",
    "a/memory.events.local": "low 0\nhigh 3\nmax 4\noom 0\noom_kill 0\n",
    "a/io.max": "8:0 rbps=500 wbps=max riops=max wiops=70\n",
    "a/b/cpu.max": "max 100000\n",
    "a/b/cpu.stat": CPU_STAT.format(2_500_000, 0, 0, 0),
    "a/b/memory.max": "900\n",
    "a/b/memory.high": "max\n",
    "a/b/memory.current": "700\n",
    "a/b/memory.events": "low 0\nhigh 1\nmax 2\noom 0\noom_kill 5\n",
    "a/b/memory.stat": "anon 1\nworkingset_refault_anon 6\nworkingset_refault_file 7\n",
    "a/b/io.max": "8:0 rbps=600 wbps=90 riops=max wiops=60\n259:1 rbps=1 wbps=max riops=max wiops=max\n",
    "a/b/io.pressure": PRESSURE.format(20, 10),
    "a/b/cpu.pressure": PRESSURE.format(40, 30),
}


def test_v2(tmp_path: Path) -> None:
    """The tightest limits on the way to the root, and the counters of each level that has one."""
    reader = CgroupReader("/none", Hierarchies(make(tmp_path, V2)))
    limits = Limits(
        quota=1.5,
        quota_at="/a",
        memory_limit=800,
        memory_limit_at="/a",
        io_limits={
            "8:0": {"rbps": IoLimit(500, "/a"), "wbps": IoLimit(90, "/a/b"), "wiops": IoLimit(60, "/a/b")},
            "259:1": {"rbps": IoLimit(1, "/a/b")},
        },
    )

    assert reader.limits("/a/b") == limits
    assert reader.reading("/a/b") == CgroupReading(
        path="/a/b",
        cpu=CgroupCpu(2.5, 0, 0, 0.0, (Throttling("/a/b", 0, 0, 0.0), Throttling("/a", 100, 30, 4.0))),
        memory=CgroupMemory(700, 3, 5, 7, 6, (MemoryEvents("/a/b", 3), MemoryEvents("/a", 7))),
        limits=limits,
        pressure={"io": Pressure(20, 10), "cpu": Pressure(40, 30)},
    )


def test_v2_without_controllers(tmp_path: Path) -> None:
    """A cgroup that no controller is on tells nothing, one that is gone is None."""
    reader = CgroupReader("/none", Hierarchies(make(tmp_path, {"a/cgroup.procs": ""})))

    assert reader.reading("/a") == CgroupReading("/a")
    assert reader.reading("/gone") is None
    assert reader.limits("/gone") is None
    assert CgroupReader("/none", Hierarchies()).reading("/a") is None


UNLIMITED = f"{(1 << 63) - 4096}\n"


def v1(tmp_path: Path, where: str) -> CgroupReader:
    """A hybrid host where the process of memory:/a/b is in the cgroup ``where`` of the other hierarchies."""
    procfs = make(tmp_path / "proc", {"7/cgroup": f"4:cpu:{where}\n3:cpuacct:{where}\n2:blkio:{where}\n1:memory:/a/b\n0::{where}\n"})
    cpu = {
        "cpu.cfs_quota_us": "-1\n",
        "a/cpu.cfs_quota_us": "50000\n",
        "a/cpu.cfs_period_us": "100000\n",
        "a/cpu.stat": "nr_periods 10\nnr_throttled 5\nthrottled_time 2000000000\n",
        "a/b/cpu.cfs_quota_us": "-1\n",
        "a/b/cpu.stat": "nr_periods 0\nnr_throttled 0\nthrottled_time 0\n",
        "a/b/cpuacct.usage": "3000000000\n",
    }
    memory = {
        "memory.limit_in_bytes": UNLIMITED,
        "a/memory.limit_in_bytes": "4096\n",
        "a/memory.failcnt": "8\n",
        "a/b/memory.limit_in_bytes": UNLIMITED,
        "a/b/memory.usage_in_bytes": "2048\n",
        "a/b/memory.failcnt": "1\n",
        "a/b/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
        "a/b/memory.stat": "workingset_refault_file 1\ntotal_workingset_refault_file 11\ntotal_workingset_refault_anon 12\n",
        "a/b/cgroup.procs": "7\n",
    }
    blkio = {
        "a/blkio.throttle.read_bps_device": "8:0 1\n",
        "a/b/blkio.throttle.write_bps_device": "8:0 1048576\n",
        "a/b/blkio.throttle.read_iops_device": "8:0 50\n8:16 60\n",
    }
    roots = [make(tmp_path / name, files) for name, files in (("cpu", cpu), ("memory", memory), ("blkio", blkio))]
    unified = make(tmp_path / "unified", {"a/b/io.pressure": PRESSURE.format(2, 1), "io.pressure": PRESSURE.format(999, 999)})
    return CgroupReader(procfs, Hierarchies(unified, roots[0], roots[0], roots[1], roots[2]))


def test_v1(tmp_path: Path) -> None:
    """Limits of I/O are not inherited on v1; the v2 tree has the pressure."""
    assert v1(tmp_path, "/a/b").reading("/a/b") == CgroupReading(
        path="/a/b",
        cpu=CgroupCpu(3.0, 0, 0, 0.0, (Throttling("/a/b", 0, 0, 0.0), Throttling("/a", 10, 5, 2.0))),
        memory=CgroupMemory(2048, 1, 2, 11, 12, (MemoryEvents("/a", 8),)),
        limits=Limits(
            quota=0.5,
            quota_at="/a",
            memory_limit=4096,
            memory_limit_at="/a",
            io_limits={
                "8:0": {"wbps": IoLimit(1048576, "/a/b"), "riops": IoLimit(50, "/a/b")},
                "8:16": {"riops": IoLimit(60, "/a/b")},
            },
        ),
        pressure={"io": Pressure(2, 1)},
    )


def test_v1_in_a_shared_cgroup(tmp_path: Path) -> None:
    """Limits of the cgroup that its processes share bind it, but usage and pressure there are not its own."""
    found = v1(tmp_path, "/a").reading("/a/b")

    assert found is not None
    assert found.cpu == CgroupCpu(None, 10, 5, 2.0, (Throttling("/a", 10, 5, 2.0),))
    assert found.limits.quota_at == "/a"
    assert found.limits.io_limits == {"8:0": {"rbps": IoLimit(1, "/a")}}
    assert found.pressure == {}


def test_cpu_of_the_v2_tree_beside_v1_memory(tmp_path: Path) -> None:
    """A controller without a v1 hierarchy is that of the v2 tree, at the path that the process has there."""
    procfs = make(tmp_path / "proc", {"7/cgroup": "1:memory:/m\n0::/a/b\n"})
    memory = make(tmp_path / "memory", {"m/cgroup.procs": "7\n"})
    found = CgroupReader(procfs, Hierarchies(make(tmp_path / "v2", V2), memory=memory)).reading("/m")

    assert found is not None
    assert found.limits.quota_at == "/a"
    assert found.limits.io_limits["8:0"]["rbps"] == IoLimit(500, "/a")
    assert found.cpu == CgroupCpu(None, 0, 0, 0.0, (Throttling("/a/b", 0, 0, 0.0), Throttling("/a", 100, 30, 4.0)))


def test_upwards() -> None:
    """From the path to the root; a path of any depth ends."""
    assert list(upwards("/a/b")) == ["/a/b", "/a", "/"]
    assert list(upwards("/")) == ["/"]
    assert len(list(upwards("/a" * 100))) == 33


@pytest.mark.parametrize(("text", "quota"), [(b"max 100000\n", None), (b"50000 100000", 0.5), (b"1 0", None), (b"1", None), (b"", None)])
def test_cpu_max(text: bytes, quota: float | None) -> None:
    """No limit, and what is none."""
    assert cgroup_v2.parse_cpu_max(text) == quota


def test_older_refaults() -> None:
    """Before 5.9 there was one number for both kinds."""
    assert cgroup_v2.refaults(b"workingset_refault 5\n") == (5, None)


@given(
    st.lists(
        st.sampled_from([b"8:0", b":", b" ", b"\n", b"rbps=", b"wiops=5", b"max", b"12", b"-1", b"usage_usec 1", b"\xff", b"\xd9\xa1"])
    ).map(b"".join)
)
def test_any_text(text: bytes) -> None:
    """Whatever the files hold, nothing is raised."""
    cgroup_v2.parse_cpu_max(text)
    cgroup_v2.parse_cpu_stat(text)
    cgroup_v2.parse_io_max(text)
    cgroup_v1.parse_throttle_device(text)
