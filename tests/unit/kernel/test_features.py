"""kernel/features.py: what the host says of itself."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from perflens.kernel.features import Host, capabilities, inspect, memory_hierarchy, memory_on_v1, mounts, possible_cpus
from perflens.model import Mount

HEADER = "#subsys_name\thierarchy\tnum_cgroups\tenabled\n"


@pytest.mark.parametrize(("text", "expected"), [("0", 1), ("0-3", 4), ("0-127", 128), ("0-3,8", 9), ("0,2-5,7-9", 10), ("0-3,8-11", 12)])
def test_possible_cpus(text: str, expected: int) -> None:
    """The list's last number decides, since CPU numbers index the shared tables."""
    assert possible_cpus(text) == expected


@pytest.mark.parametrize("text", ["", "nonsense", "0-"])
def test_possible_cpus_unknown(text: str) -> None:
    """A list that cannot be read gives the CPUs that the interpreter knows."""
    assert possible_cpus(text) == (os.cpu_count() or 1)


@pytest.mark.parametrize(
    ("bits", "expected"),
    [
        ("0000000000000000", set()),
        ("0000008000000000", {"CAP_BPF"}),
        ("000000c000000000", {"CAP_BPF", "CAP_PERFMON"}),
        ("0000000000200000", {"CAP_SYS_ADMIN"}),
        ("0000000000000001", set()),
    ],
)
def test_capabilities(bits: str, expected: set[str]) -> None:
    """The effective set is read, and the capabilities that PerfLens does not know are left out."""
    assert capabilities(f"Name:\tperflens\nCapPrm:\tffffffffffffffff\nCapEff:\t{bits}\nCapBnd:\tffffffffffffffff\n") == expected


def test_all_capabilities() -> None:
    """Root has every one of them."""
    assert {"CAP_BPF", "CAP_PERFMON", "CAP_SYS_ADMIN", "CAP_SYSLOG"} <= capabilities("CapEff:\t000001ffffffffff\n")


def test_no_capabilities_line() -> None:
    """A status without the line means none."""
    assert capabilities("Name:\tx\n") == frozenset()


def test_mounts() -> None:
    """Root, point, type, numbers, source and the super block's options are read; optional fields are skipped, however many there are."""
    text = (
        "31 23 0:26 / /sys/fs/cgroup ro,nosuid shared:4 master:2 - tmpfs tmpfs ro,mode=755\n"
        "35 31 0:32 / /sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory\n"
        "41 31 0:38 /a\\040b /sys/fs/c\\134g\\011roup rw shared:9 - cgroup2 none rw,nsdelegate\n"
    )

    assert mounts(text) == (
        Mount("/", "/sys/fs/cgroup", "tmpfs", frozenset({"ro", "mode=755"}), 31, 23, (0, 26), "tmpfs"),
        Mount("/", "/sys/fs/cgroup/memory", "cgroup", frozenset({"rw", "memory"}), 35, 31, (0, 32), "cgroup"),
        Mount("/a b", "/sys/fs/c\\g\troup", "cgroup2", frozenset({"rw", "nsdelegate"}), 41, 31, (0, 38), "none"),
    )


def test_mount_point_with_an_escaped_backslash() -> None:
    r"""A folder that is called ``\040`` is no space."""
    assert mounts("1 2 0:1 / /x\\134040 rw - ext4 /dev/sda rw\n")[0].point == "/x\\040"


def test_mount_point_that_would_end_a_line() -> None:
    """The kernel escapes the line feed alone: what Python takes for the end of a line begins no forged one."""
    forged = "2 1 0:9 / / rw - overlay overlay upperdir=/x"
    (found,) = mounts(f"1 2 0:1 / /x\x0b{forged.replace(' ', chr(0x2028))}\x85 rw - ext4 /dev/sda rw\n")

    assert (found.fstype, found.source, found.device) == ("ext4", "/dev/sda", (0, 1))


@pytest.mark.parametrize("line", ["", "\n", "35 31 0:32 / /x rw", "35 31 0:32 - cgroup cgroup rw", "35 31 0:32 / /x rw - cgroup", " - "])
def test_mount_lines_that_are_cut(line: str) -> None:
    """Lines that are not whole are left out."""
    assert mounts(line) == ()


def test_mounts_of_this_host() -> None:
    """The real text has a root and a procfs."""
    found = mounts(Path("/proc/self/mountinfo").read_text(errors="replace"))

    assert "/" in {mount.point for mount in found}
    assert "proc" in {mount.fstype for mount in found}


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("cpuset\t3\t1\t1\nmemory\t4\t27\t1\n", True),
        ("cpuset\t0\t1\t1\nmemory\t0\t112\t1\n", False),
        ("memory\t4\t1\t0\n", False),
        ("cpuset\t3\t1\t1\n", False),
        ("memory\t4\n", False),
        ("", False),
    ],
)
def test_memory_on_v1(lines: str, expected: bool) -> None:
    """The memory controller is on v1 when it is enabled on a hierarchy that is not 0, the v2 one's number."""
    assert memory_on_v1(HEADER + lines) is expected


def test_memory_hierarchy() -> None:
    """The number of the v1 hierarchy that has the memory controller; 0 is that of v2."""
    assert memory_hierarchy(HEADER + "cpuset\t3\t1\t1\nmemory\t12\t27\t1\n") == 12
    assert memory_hierarchy(HEADER + "memory\t0\t27\t1\n") == 0
    assert memory_hierarchy(HEADER + "memory\t4\t27\t0\n") == 0


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_inspect(tmp_path: Path) -> None:
    """Every fact comes from the given procfs and sysfs."""
    proc, sys = tmp_path / "proc", tmp_path / "sys"
    write(proc / "cgroups", HEADER + "memory\t4\t27\t1\n")
    write(proc / "sys/kernel/pid_max", "32768\n")
    write(proc / "sys/kernel/perf_event_paranoid", "-1\n")
    write(proc / "1/stat", "1 (init) S 0\n")
    write(sys / "devices/system/cpu/possible", "0-7\n")
    write(sys / "kernel/security/lockdown", "none [integrity] confidentiality\n")
    write(sys / "kernel/btf/vmlinux", "\0int\0bpf_rdonly_cast\0btf_trace_contention_begin\0")
    write(sys / "kernel/tracing/events/x", "")
    host = inspect(str(proc), str(sys), sys / "kernel/btf/vmlinux")

    assert (host.pid_max, host.perf_event_paranoid, host.possible_cpus, host.lockdown) == (32_768, -1, 8, "integrity")
    assert (host.read_by_cast, host.traces_locks, host.owner_by_memory, host.tracefs) == (True, True, True, True)
    assert (host.owner_hierarchy, host.sees_all_processes) == (4, True)
    assert host.btf == sys / "kernel/btf/vmlinux"


@pytest.mark.parametrize("btf", ["", "\0bpf_rdonly_cast_other\0", "bpf_rdonly_cast"])
def test_function_that_the_kernel_does_not_have(tmp_path: Path, btf: str) -> None:
    """A name is known only when it stands whole among the BTF's strings; an empty file knows none."""
    write(tmp_path / "kernel/btf/vmlinux", btf)

    assert inspect(str(tmp_path), str(tmp_path), tmp_path / "kernel/btf/vmlinux").read_by_cast is False


@pytest.mark.parametrize(
    ("btf", "expected"),
    [("\0btf_trace_contention_begin\0", True), ("\0trace_contention_begin\0", False), ("\0btf_trace_contention_end\0", False), ("", False)],
)
def test_locks_that_the_kernel_traces(tmp_path: Path, btf: str, expected: bool) -> None:
    """A kernel before 5.19 has no tracepoint where a lock is waited for."""
    write(tmp_path / "kernel/btf/vmlinux", btf)

    assert inspect(str(tmp_path), str(tmp_path), tmp_path / "kernel/btf/vmlinux").traces_locks is expected


def test_inspect_of_nothing(tmp_path: Path) -> None:
    """A host that says nothing is described by the safe defaults, without an error."""
    host = inspect(str(tmp_path), str(tmp_path), tmp_path / "none")

    assert (host.pid_max, host.perf_event_paranoid, host.btf, host.lockdown) == (4_194_304, None, None, "unknown")
    assert (host.read_by_cast, host.traces_locks, host.owner_by_memory, host.tracefs) == (False, False, False, False)
    assert (host.owner_hierarchy, host.sees_all_processes) == (0, False)


def test_processes_of_another_namespace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A procfs that has been mounted elsewhere is of the namespace of its first process, where that can be looked at."""
    write(tmp_path / "1/stat", "1 (init) S 0\n")
    write(tmp_path / "1/ns/pid", "")
    assert not inspect(str(tmp_path)).sees_all_processes

    monkeypatch.setattr("perflens.kernel.features._INITIAL_PID_NAMESPACE", (tmp_path / "1/ns/pid").stat().st_ino)
    assert inspect(str(tmp_path)).sees_all_processes


def test_processes_that_are_hidden(tmp_path: Path) -> None:
    """Where not even the first process is shown, others that are not shown need not be gone (hidepid=2)."""
    write(tmp_path / "sys/kernel/pid_max", "32768\n")

    assert not inspect(str(tmp_path)).sees_all_processes


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        (set(), False),
        ({"CAP_BPF"}, False),
        ({"CAP_PERFMON"}, False),
        ({"CAP_BPF", "CAP_PERFMON"}, True),
        ({"CAP_SYS_ADMIN"}, True),
    ],
)
def test_may_load(tmp_path: Path, own: set[str], expected: bool) -> None:
    """CAP_SYS_ADMIN, or CAP_BPF with CAP_PERFMON, are what loading needs."""
    host: Host = replace(inspect(str(tmp_path), str(tmp_path)), capabilities=frozenset(own))

    assert host.may_load is expected


@pytest.mark.parametrize(("switch", "untraceable"), [("0\n", "kernel.ftrace_enabled is 0"), ("1\n", ""), (None, "")])
def test_functions_are_not_traced_where_ftrace_is_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, switch: str | None, untraceable: str
) -> None:
    """The verifier takes such programs all the same, and they are never called."""
    monkeypatch.setattr("perflens.kernel.features.why_functions_cannot_be_traced", lambda: "")
    sysctls = tmp_path / "sys" / "kernel"
    sysctls.mkdir(parents=True)
    if switch:
        (sysctls / "ftrace_enabled").write_text(switch)

    host = inspect(procfs=str(tmp_path))

    assert (host.untraceable, host.ftrace_enabled) == (untraceable, not untraceable)
