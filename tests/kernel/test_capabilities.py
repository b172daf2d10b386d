"""With the least capabilities everything attaches and works; then they are given up in every thread, and everything goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from perflens.capability import needed
from perflens.kernel.capabilities import Sets, exceeding, maps_need_bpf, of_threads
from perflens.kernel.features import number
from perflens.registry import discover
from tests.kernel.preconditions import attached, checked, without
from tests.kernel.slow import RATE, api, cold_file, functions, in_group, program, throttled, until, wait_for_events
from tests.kernel.support import PATIENCE, RunningAgent, agent, closed_ledger, group, scrape, wait
from tests.throttle import BLOCK

NOBODY = 65534
BEFORE_5_11 = tuple(map(int, os.uname().release.split(".")[:2])) < (5, 11)  # which tells tables that count to the limit of locked memory
TABLE = ("bpf", "perfmon", "sys_ptrace", "checkpoint_restore", "dac_read_search", "syslog", *(("sys_resource",) if BEFORE_5_11 else ()))
GRANTED = ",".join(("-all", *(f"+{name}" for name in TABLE)))
POD = ("setpriv", "--no-new-privs", f"--bounding-set={GRANTED}")
UNIT = (
    *("setpriv", "--no-new-privs", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"),
    *(f"--bounding-set={GRANTED}", f"--inh-caps={GRANTED}", f"--ambient-caps={GRANTED}"),
)
ALL = dict.fromkeys(discover(), 1)
READS, OWNERS = 1009, 24


def lasting() -> frozenset[str]:
    """What of the table an agent keeps on this kernel."""
    maps = maps_need_bpf(number(Path("/proc/sys/kernel/unprivileged_bpf_disabled")))
    return needed((name.upper() for name in TABLE), maps=maps)


@dataclass(frozen=True)
class Least:
    """An agent that began with the table's capabilities, and its configuration file."""

    running: RunningAgent
    config: Path
    prefix: tuple[str, ...]

    @property
    def log(self) -> str:
        return self.running.log.read_text()

    @property
    def threads(self) -> dict[int, tuple[str, Sets]]:
        return of_threads(Path(f"/proc/{self.running.process.pid}/task"))


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that other users may use."""
    readable = subprocess.run([*UNIT, sys.executable, "-c", "import perflens"], capture_output=True, check=False)
    if readable.returncode:
        pytest.skip("needs a checkout that other users may read")
    with TemporaryDirectory() as name:
        os.chmod(name, 0o777)  # noqa: S103 - the agent is to write its state there
        yield Path(name)


@pytest.fixture(scope="module", params=[POD, UNIT, ()], ids=["pod", "unit", "root"])
def least(request: pytest.FixtureRequest, folder: Path) -> Iterator[Least]:
    """User 0 as in a pod, another user with ambient ones as under systemd, and root with all that this machine gives."""
    config = folder / f"perflens-{time.monotonic_ns()}.yaml"
    config.write_text("threshold: 100ms\n")
    with agent(folder, "--probes.strict", f"--config.file={config}", prefix=request.param) as running:
        yield Least(running, config, request.param)


def test_every_family_attaches_and_counts_exactly(least: Least, data_file: Path) -> None:
    """All probes are there, and every ledger closes over known reads."""
    fd = os.open(data_file, os.O_RDONLY)
    with group("capabilities") as own:
        wait(own.run(lambda: [os.pread(fd, 1, 0) for _ in range(READS)]))
        page = closed_ledger(least.running.url)
        assert page.count(own.unit, "read") == READS
    os.close(fd)

    assert attached(least.running) == ALL


def test_the_log_has_them_before_and_after(least: Least) -> None:
    """What it had, what it gave up, what it has, in how many threads; nothing is missing."""
    before, after = (line for line in least.log.splitlines() if "msg=capabilities " in line or 'msg="capabilities dropped"' in line)

    if least.prefix:
        assert all(name.upper() in before for name in TABLE)
        assert "has=DAC_READ_SEARCH,SYS_PTRACE,SYSLOG" in after
        assert "PERFMON" in after.partition("dropped=")[2].partition(" has=")[0]
    assert "threads=" in after
    assert [line for line in least.log.splitlines() if "capabilit" in line and "level=info" not in line] == []


def test_every_thread_has_what_is_needed_and_no_more(least: Least) -> None:
    """In the effective, permitted, inheritable and ambient sets, of threads that began later too."""
    scrape(least.running.url)
    api(least.running.url, "summary")
    threads = least.threads

    assert len(threads) >= 3
    assert exceeding(threads, lasting()) == {}
    assert {sets.effective for _, sets in threads.values()} == {lasting()}


def test_the_page_says_which_it_has(least: Least) -> None:
    """1 for what is kept, 0 for what was given up or never had."""
    page = scrape(least.running.url)
    found = {name.upper() for name in TABLE if page.total("perflens_capability_effective", capability=name.upper())}

    assert found == lasting()
    assert page.total("perflens_capability_effective", capability="PERFMON") == 0


def test_slow_operations_have_their_names(least: Least, folder: Path) -> None:
    """Kernel functions, and path and functions of a program that only another user may read."""
    own, file = program(folder / f"reads-{time.monotonic_ns()}"), cold_file(folder)
    os.chown(own, 1, 1)
    own.chmod(0o700)
    with throttled(folder) as limited:
        command = in_group(limited, "setpriv", "--reuid=1", "--regid=1", "--clear-groups", own, file, "direct", "stay")
        with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
            assert process.stdin is not None
            (event,) = wait_for_events(
                least.running.url, 1, owner=f"/{limited.name}", pid=process.pid, operation="read", min_duration="100ms"
            )
            helpers = _children(least.running.process.pid)
            threads = [of_threads(Path(f"/proc/{pid}/task")) for pid in helpers]
            process.stdin.close()
            assert process.wait(20) == 0

    assert event["result"] == BLOCK
    assert event["program"] == str(own)
    assert {"inner_step", "outer_step", "main"} <= set(functions(event["user_stack"]))
    assert "vfs_read" in functions(event["kernel_stack"])
    assert helpers
    assert [exceeding(found, lasting()) for found in threads] == [{}] * len(helpers)


def _children(pid: int) -> list[int]:
    return [int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()]


def test_what_hangs_is_shown(least: Least, tmp_path: Path) -> None:
    """An iterator is made and run for it, long after the drop."""
    own, file = program(tmp_path / "hangs"), cold_file(tmp_path)
    with throttled(tmp_path, reads=RATE // 16) as limited, subprocess.Popen(in_group(limited, own, file, "direct")) as process:
        (event,) = wait_for_events(least.running.url, 1, in_progress=True, owner=f"/{limited.name}", operation="read")
        process.kill()

    assert event["process"]["pid"] == process.pid
    assert "operations in progress cannot be shown" not in least.log


def test_no_program_can_be_loaded_with_what_is_left(least: Least) -> None:
    """With the sets of its threads no probe attaches: the kernel refuses the programs."""
    left = ",".join(("-all", *(f"+{name.lower()}" for name in lasting())))
    user = least.prefix[2:5] if least.prefix == UNIT else ()
    sets = (f"--bounding-set={left}", *((f"--inh-caps={left}", f"--ambient-caps={left}") if user else ()))
    found = checked("setpriv", "--no-new-privs", *user, *sets)
    missing = [name for name in ("CAP_BPF", "CAP_PERFMON") if name.removeprefix("CAP_") not in lasting()]

    assert found.code == 1
    assert {name: own["mechanism"] for name, own in found.report["probes"].items()} == dict.fromkeys(discover())
    assert set(missing) <= found.gaps


def test_a_reload_changes_thresholds(least: Least, data_file: Path) -> None:
    """They are variables of the programs, in memory that the agent has mapped."""
    fd = os.open(data_file, os.O_RDONLY)
    with group("reloaded") as own:

        def slow() -> int:
            wait(own.run(lambda: [os.pread(fd, 4096, 0) for _ in range(READS)]))
            return scrape(least.running.url).slow(own.unit, "read")

        assert slow() == 0
        least.config.write_text("threshold: 1us\n")
        least.running.process.send_signal(signal.SIGHUP)
        until(lambda: 'msg="configuration reloaded" changed=threshold' in least.log, 10 * PATIENCE)
        assert slow() > 0
    os.close(fd)


def test_owners_that_are_gone_give_their_cells_back(least: Least, data_file: Path) -> None:
    """Which takes elements out of tables and puts others in."""
    gives_cells_back(least.running.url, data_file)

    closed_ledger(least.running.url)
    assert "Traceback" not in least.log
    assert "upkeep failed" not in least.log


def gives_cells_back(url: str, file: Path) -> None:
    """Make owners with a cell each, let them go, and wait until most of so many cells are free again: others come and go meanwhile."""
    fd = os.open(file, os.O_RDONLY)
    with ExitStack() as stack:
        for _ in range(OWNERS):
            own = stack.enter_context(group("gone"))
            wait(own.run(lambda: os.pread(fd, 1, 0)))
            assert scrape(url).count(own.unit, "read") == 1
        used = _cells(url)
    os.close(fd)
    until(lambda: _cells(url) <= used - OWNERS // 2, 40 * PATIENCE)


def _cells(url: str) -> int:
    return int(scrape(url).total("perflens_cells_used", probe="file"))


def test_the_end(folder: Path, tmp_path: Path) -> None:
    """An agent that has given everything up detaches, keeps its state and ends with 0."""
    with agent(folder, "--capabilities.keep=none", environment={"PERFLENS_ANALYZER_STATE_FILE": f"{folder}/state.json"}) as running:
        until(lambda: bool(attached(running)))
        threads = of_threads(Path(f"/proc/{running.process.pid}/task"))
        running.process.terminate()
        assert running.process.wait(10 * PATIENCE) == 0
    log = running.log.read_text()

    assert exceeding(threads, ()) == {}
    assert "capabilities that are needed are not kept" in log
    assert "Traceback" not in log
    assert (folder / "state.json").exists()


def test_threads_of_libraries_drop_them_too(folder: Path) -> None:
    """Those that gRPC made in C before the drop, which Python does not know."""
    pytest.importorskip("grpc")
    flags = ("--otlp.endpoint=http://127.0.0.1:9", "--otlp.protocol=grpc")
    with agent(folder, *flags, prefix=POD) as running:
        until(lambda: "capabilities dropped" in running.log.read_text())
        threads = of_threads(Path(f"/proc/{running.process.pid}/task"))

    assert "grpc_global_tim" in {name for name, _ in threads.values()}
    assert exceeding(threads, lasting()) == {}


def test_everything_is_kept_on_demand(folder: Path) -> None:
    """`all` changes nothing."""
    with agent(folder, "--capabilities.keep=all") as running:
        threads = of_threads(Path(f"/proc/{running.process.pid}/task"))

    assert {sets.effective for _, sets in threads.values()} == {of_threads()[os.getpid()][1].effective}
    assert 'msg="capabilities kept"' in running.log.read_text()


@pytest.mark.parametrize("name", ["sys_ptrace", "dac_read_search", "checkpoint_restore"])
def test_one_that_is_missing_is_told(folder: Path, name: str) -> None:
    """The log has its name, what is lost and the cure, and every probe attaches."""
    instead = {"dac_read_search": ("dac_override",)}.get(name, ())
    with agent(folder, prefix=without(name, *instead)) as running:
        assert attached(running) == ALL
    (line,) = [line for line in running.log.read_text().splitlines() if "a capability is missing" in line]

    assert f"capability={name.upper()}" in line
    assert "lost=" in line
    assert f'cure="grant CAP_{name.upper()}' in line


def test_a_name_that_is_none() -> None:
    """Exit code 2, and one line with the cure."""
    command = [sys.executable, "-m", "perflens", "run", "--capabilities.keep=BPFS"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20 * PATIENCE)

    assert done.returncode == 2
    assert done.stderr == (
        "perflens: --capabilities.keep: capabilities.keep: 'BPFS' is no capability; write needed, all, none, or names as capabilities(7) "
        "has them, such as BPF or SYSLOG, with commas between\n"
    )
