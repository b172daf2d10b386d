"""readings/reader.py: readings of a host, of one that tells nothing, and of this one."""

from __future__ import annotations

import os
import time
from pathlib import Path

from perflens.analyzer.readings.changes import changes
from perflens.analyzer.readings.delta import delta
from perflens.analyzer.readings.hierarchies import Hierarchies, find_hierarchies
from perflens.analyzer.readings.reader import HostReader
from perflens.analyzer.readings.settings import DiskSettings, MountSettings, SettingsReading
from perflens.analyzer.readings.values import CgroupCpu, CgroupReading, CpuTimes, HostReading, Limits, Load, Pressure, Throttling
from tests.unit.analyzer.readings.trees import make

HZ = os.sysconf("SC_CLK_TCK")
PRESSURE = "some avg10=0.00 avg60=0.00 avg300=0.00 total=5\n"
PROC = {
    "stat": f"cpu  {HZ} 0 0 {HZ} 0 0 0 0 0 0\ncpu0 1\nprocesses 9\nprocs_running 1\nprocs_blocked 0\n",
    "loadavg": "0.20 0.18 0.12 1/80 11206\n",
    "vmstat": "pgfault 4\n",
    "meminfo": "MemTotal: 2 kB\n",
    "diskstats": "8 0 sda 0 0 0 0 0 0 0 0 0 0 0\n",
    "pressure/io": PRESSURE,
    "sys/vm/dirty_ratio": "20\n",
    "1/mountinfo": "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n",
}


def reader(tmp_path: Path, most: int = 500) -> HostReader:
    """A reader of a host with two cgroups."""
    tree = {"a/cpu.stat": "usage_usec 1000000\n", "a/cpu.max": "100000 100000\n", "b/io.pressure": PRESSURE}
    sysfs = make(tmp_path / "sys", {"block/sda/queue/nr_requests": "64\n"})
    hierarchies = Hierarchies(make(tmp_path / "cgroup", tree))
    return HostReader(make(tmp_path / "proc", PROC), sysfs, hierarchies, most=most, clock=lambda: 42)


def test_reading(tmp_path: Path) -> None:
    """All of it, with what is lacking told."""
    found = reader(tmp_path).read({"A": "/a", "B": "b", "gone": "/gone", "outside": "/../x"})

    assert found.time_ns == 42
    assert found.cpu == CpuTimes(1.0, 1.0, 0.0, 0.0, 1)
    assert (found.running, found.blocked, found.forks, found.load) == (1, 0, 9, Load(0.2, 0.18, 0.12, 1, 80))
    assert found.pressure == {"io": Pressure(5, 0)}
    assert (found.vmstat, found.meminfo, list(found.disks)) == ({"pgfault": 4}, {"MemTotal": 2048}, ["sda"])
    assert found.cgroups == {
        "A": CgroupReading("/a", CgroupCpu(1.0, levels=(Throttling("/a", 0, 0, 0.0),)), limits=Limits(1.0, "/a")),
        "B": CgroupReading("/b", pressure={"io": Pressure(5, 0)}),
    }
    assert found.gaps == (
        "2 of 4 cgroups are gone",
        "no CPU of 1 of 2 cgroups",
        "no memory of 2 of 2 cgroups",
        "no pressure of 1 of 2 cgroups",
        "no pressure of cpu, memory: the kernel needs CONFIG_PSI and psi=1",
    )


def test_settings(tmp_path: Path) -> None:
    """All that may be set."""
    assert reader(tmp_path).settings({"A": "/a"}) == SettingsReading(
        time_ns=42,
        disks={"sda": DiskSettings("", 64, None)},
        sysctls={"vm.dirty_ratio": 20},
        mounts={"/": MountSettings("ext4", ("rw",))},
        cgroups={"A": Limits(1.0, "/a")},
    )


def test_bound(tmp_path: Path) -> None:
    """The first cgroups are read, and how many were left is told."""
    found = reader(tmp_path, most=1).settings({"A": "/a", "B": "/b"})

    assert list(found.cgroups) == ["A"]
    assert found.gaps == ("1 cgroups were not read: more than 1",)


def test_host_that_tells_nothing(tmp_path: Path) -> None:
    """Nothing is raised; everything is absent, and told."""
    empty = HostReader(str(tmp_path), str(tmp_path), Hierarchies(), clock=lambda: 1)

    found = empty.read({"a": "/a"})
    assert found == HostReading(1, gaps=found.gaps)
    assert found.gaps == (
        "/proc/stat cannot be read",
        "no cgroup hierarchy is mounted",
        "/proc/loadavg cannot be read",
        "no pressure of cpu, io, memory: the kernel needs CONFIG_PSI and psi=1",
        "/proc/vmstat cannot be read",
        "/proc/meminfo cannot be read",
        "/proc/diskstats cannot be read",
    )
    assert empty.settings({}).gaps == ("disk settings cannot be read", "sysctls cannot be read", "mounts cannot be read")


def test_this_host() -> None:
    """A real kernel's files are understood, and two readings make sense together."""
    own = HostReader("/proc", "/sys", find_hierarchies(Path("/proc/self/mountinfo").read_bytes()), mountinfo="/proc/self/mountinfo")
    before, settings = own.read({"root": "/"}), own.settings({"root": "/"})
    time.sleep(0.05)
    after = own.read({"root": "/"})
    found = delta(before, after)

    assert before.cpu is not None
    assert before.cpu.cpus == os.cpu_count()
    assert before.meminfo["MemTotal"] > before.meminfo["MemFree"] > 0
    assert before.vmstat["pgfault"] > 0
    assert before.load is not None
    assert set(before.cgroups) <= {"root"}
    assert settings.sysctls["vm.swappiness"] <= 200
    assert settings.mounts
    assert changes(settings, settings) == ()
    assert found is not None
    assert 0.05 <= found.seconds < 60
    assert set(found.disks) == set(before.disks)
    assert all(0 <= own.some <= 1 for own in found.pressure.values())
