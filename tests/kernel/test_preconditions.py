"""What is taken away is named with its cure, costs what was promised and nothing else, and the agent runs on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

import perflens
from perflens.registry import discover
from tests.kernel.preconditions import (
    LEAST,
    NOBODY,
    Checked,
    attached,
    checked,
    over,
    running_without,
    with_tracefs,
    without,
    without_mount,
)
from tests.kernel.support import Group, RunningAgent, agent, closed_ledger, group, scrape, wait

READS = 1009
ALL, NONE = dict.fromkeys(discover(), 1), dict.fromkeys(discover(), 0)
USER_SYMBOLS = {"CAP_SYS_PTRACE", "CAP_CHECKPOINT_RESTORE"}


@pytest.fixture(scope="module")
def whole() -> Checked:
    """This host as it is, by which it is told what a test took away."""
    found = checked()
    assert found.code == 0
    return found


@pytest.fixture
def own() -> Iterator[Group]:
    """A cgroup for known work."""
    with group("precondition") as found:
        yield found


def counted(running: RunningAgent, own: Group, data_file: Path) -> int:
    """How many of READS reads an agent counts."""
    fd = os.open(data_file, os.O_RDONLY)
    wait(own.run(lambda: [os.pread(fd, 1, 0) for _ in range(READS)]))
    os.close(fd)
    return closed_ledger(running.url).count(own.unit, "read")


@pytest.mark.parametrize(
    ("prefix", "gap", "reason"),
    [
        (without("bpf"), "CAP_BPF", "CAP_BPF missing"),
        (without("perfmon"), "CAP_PERFMON", "CAP_PERFMON missing"),
        ((*over("/sys/kernel/btf"), "env", "PERFLENS_LOADER=libbpf"), "BTF", "no BTF"),
    ],
    ids=["CAP_BPF", "CAP_PERFMON", "BTF"],
)
def test_what_every_probe_needs(tmp_path: Path, whole: Checked, prefix: tuple[str, ...], gap: str, reason: str) -> None:
    """Without it no probe attaches, the exit code is 1, and check and log have one reason and its cure for each probe."""
    found = checked(*prefix)
    has, log = running_without(tmp_path, *prefix)
    lines = [line for line in log.splitlines() if "probe not attached" in line]

    assert found.code == 1
    assert found.gaps - whole.gaps == {gap, *discover()}
    assert found.findings[gap]["lost"] == [f"all of {name}" for name in discover()]
    assert {name: own["mechanism"] for name, own in found.report["probes"].items()} == dict.fromkeys(discover())
    assert has == NONE
    assert len(lines) == len(discover())
    assert all(reason in line and "cure=" in line for line in lines)


def test_check_in_words(whole: Checked) -> None:
    """The text has what the JSON has: this host in two lines, and each gap with what is lost and its cure."""
    done = subprocess.run(
        [*without("bpf"), sys.executable, "-m", "perflens", "check"], capture_output=True, text=True, check=False, timeout=60
    )
    lines = done.stdout.splitlines()

    assert done.returncode == 1
    assert lines[0] == f"{whole.report['host']['kernel']} {whole.report['host']['machine']}: block none, file none, process none"
    assert lines[1].startswith("lost: all of block; all of file; all of process")
    assert "GAP  CAP_BPF: missing" in lines
    assert lines[lines.index("GAP  CAP_BPF: missing") + 2].startswith("     cure: run as root, or grant CAP_BPF")


@pytest.mark.parametrize("mechanism", ["tp_btf", "raw_tp"])
def test_each_rung_is_tried(whole: Checked, mechanism: str) -> None:
    """Every probe attaches by each of the rungs that need nothing else, and waits are told where it has them."""
    rungs = {name: own for name, probe in whole.report["probes"].items() for own in probe["rungs"] if own["mechanism"] == mechanism}

    assert {name: own["attaches"] for name, own in rungs.items()} == dict.fromkeys(discover(), True)
    assert {name for name, own in rungs.items() if own["waits"]} == {name for name, probe in discover().items() if probe.has_waits}


def test_without_tracefs(tmp_path: Path, whole: Checked) -> None:
    """No rung of a probe needs it."""
    prefix = without_mount("/sys/kernel/tracing", "/sys/kernel/debug")
    found = checked(*prefix)

    assert found.findings["tracefs"]["detail"].startswith("not mounted")
    assert (found.code, found.gaps) == (0, whole.gaps)
    assert running_without(tmp_path, *prefix)[0] == ALL


def test_tracefs_that_only_root_may_read(tmp_path: Path, whole: Checked, own: Group, data_file: Path) -> None:
    """An agent that is not root, with the least capabilities, counts exactly without it."""
    prefix = (*with_tracefs(), *NOBODY)
    readable = subprocess.run([*NOBODY, sys.executable, "-c", "import perflens"], capture_output=True, check=False)
    if readable.returncode:
        pytest.skip("needs a checkout that other users may read")
    found = checked(*prefix)
    with agent(tmp_path, prefix=prefix) as running:
        assert attached(running) == ALL
        assert counted(running, own, data_file) == READS

    assert found.code == 0
    assert found.findings["tracefs"]["detail"].startswith("not readable")
    assert found.gaps - whole.gaps == {*USER_SYMBOLS, "CAP_DAC_READ_SEARCH", "kernel symbols"}
    assert "Traceback" not in running.log.read_text()


@pytest.mark.parametrize(
    ("prefix", "gaps"),
    [(without("syslog"), {"kernel symbols"}), (LEAST, {*USER_SYMBOLS, "CAP_DAC_READ_SEARCH", "kernel symbols"})],
    ids=["CAP_SYSLOG", "least"],
)
def test_what_only_names_need(tmp_path: Path, whole: Checked, own: Group, data_file: Path, prefix: tuple[str, ...], gaps: set[str]) -> None:
    """Without it every probe counts exactly; that names are lost is said by the check and, of the kernel's, once by the log."""
    found = checked(*prefix)
    if "kernel symbols" not in found.gaps:
        pytest.skip("kernel.kptr_restrict and kernel.perf_event_paranoid let everybody read kernel symbols")
    with agent(tmp_path, prefix=prefix) as running:
        assert attached(running) == ALL
        assert counted(running, own, data_file) == READS
    log = running.log.read_text()

    assert found.code == 0
    assert found.gaps - whole.gaps == gaps
    assert found.findings["kernel symbols"]["cure"].startswith("grant CAP_SYSLOG")
    assert log.count("kernel symbols cannot be read") == 1
    assert "Traceback" not in log


def test_processes_of_another_namespace(whole: Checked) -> None:
    """In a PID namespace of its own every probe attaches, and the check says what cannot be seen."""
    found = checked("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")

    assert (found.code, found.gaps - whole.gaps) == (0, {"processes"})


def test_locked_memory_that_does_not_matter(whole: Checked) -> None:
    """Where tables are not counted to the limit of locked memory a low one is no gap."""
    if whole.findings["locked memory"]["detail"] != "no limit for tables":
        pytest.skip("this kernel counts tables to it")
    found = checked("prlimit", "--memlock=65536:65536", *without("sys_resource"))

    assert (found.code, found.gaps) == (0, whole.gaps)


@pytest.fixture
def own_folder() -> Iterator[Path]:
    """A folder whose files other users can name."""
    readable = subprocess.run([*NOBODY, sys.executable, "-c", "import perflens"], capture_output=True, check=False)
    if readable.returncode:
        pytest.skip("needs a checkout that other users may read")
    with TemporaryDirectory() as name:
        os.chmod(name, 0o711)  # noqa: S103 - others are to find what is in it
        yield Path(name)


WAYS = """
import sys
from perflens.enrich.symbols.process import Process
own = Process("/proc", int(sys.argv[1]))
print(len(list(own.open(own.mappings()[0]))) if own.mappings() else 0)
"""


@pytest.mark.parametrize(
    ("private", "capabilities", "ways"),
    [
        (False, (), 0),
        (False, ("sys_ptrace",), 2),
        (False, ("sys_ptrace", "dac_read_search", "checkpoint_restore"), 3),
        (True, ("sys_ptrace",), 0),
        (True, ("sys_ptrace", "dac_read_search"), 2),
        (True, ("sys_ptrace", "dac_read_search", "checkpoint_restore"), 3),
    ],
)
def test_what_user_functions_need(own_folder: Path, private: bool, capabilities: tuple[str, ...], ways: int) -> None:
    """The file of another user's process is reached by its root and its own link with CAP_SYS_PTRACE, if it is private with
    CAP_DAC_READ_SEARCH, and by what is mapped, whatever lies at its path now, with CAP_CHECKPOINT_RESTORE."""
    program = shutil.which("sleep") or "sleep"
    if private:
        program = shutil.copy(program, str(own_folder))
        os.chown(program, 1, 1)
        os.chmod(program, 0o700)
    sleeper = subprocess.Popen(["setpriv", "--reuid=1", "--regid=1", "--clear-groups", program, "60"])
    try:
        while Path(f"/proc/{sleeper.pid}/comm").read_text() != "sleep\n":
            assert sleeper.poll() is None
        granted = ",".join(("-all", *(f"+{name}" for name in capabilities)))
        caps = (f"--inh-caps={granted}", f"--ambient-caps={granted}")
        asked = [*NOBODY[:4], *caps, sys.executable, "-c", WAYS, str(sleeper.pid)]
        assert subprocess.run(asked, capture_output=True, text=True, check=True).stdout == f"{ways}\n"
    finally:
        sleeper.kill()
        sleeper.wait()


@pytest.fixture
def broken(tmp_path: Path) -> dict[str, str]:
    """The environment of a copy of the package in which one family asks for a tracepoint that no kernel has."""
    copy = tmp_path / "copy" / "perflens"
    shutil.copytree(Path(perflens.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (copy / "objects").glob("*/process.bpf.o"):
        content = path.read_bytes()
        assert content.count(b"/sched_process_fork\0") >= 2
        path.write_bytes(content.replace(b"/sched_process_fork\0", b"/sched_process_knif\0"))
    return {"PYTHONPATH": str(copy.parent)}


def test_one_family_that_cannot_attach(tmp_path: Path, whole: Checked, broken: dict[str, str], own: Group, data_file: Path) -> None:
    """The others attach and count exactly; the log and the check say which one is missing and why."""
    found = checked(environment=broken)
    with agent(tmp_path, environment=broken) as running:
        assert attached(running) == {**ALL, "process": 0}
        assert counted(running, own, data_file) == READS
        assert scrape(running.url).total("perflens_probe_info", probe="process") == 0
    log = running.log.read_text()
    (line,) = [line for line in log.splitlines() if "probe not attached" in line]

    assert found.code == 1
    assert found.gaps - whole.gaps == {"process: tp_btf", "process: raw_tp"}
    assert found.report["lost"][-1] == "all of process"
    assert "probe=process" in line
    assert "tp_btf: " in line
    assert "raw_tp: process_fork_raw_tp does not attach: No such file or directory" in line
    assert "Traceback" not in log
