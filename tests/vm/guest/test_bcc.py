"""Where the kernel has no BTF bcc loads the probes: it counts what libbpf does, and what bcc's own tools do."""

from __future__ import annotations

import os
import platform
import re
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from threading import Thread
from typing import NamedTuple

import pytest

from perflens.errors import ProbeError
from perflens.kernel import bcc_headers
from tests.kernel.disks import Requests
from tests.kernel.headers import needs_bcc
from tests.kernel.loaders import (
    COMPILES,
    DIRECT,
    DIRECT_READS,
    DIRECT_WRITES,
    EXPECTED,
    PARTS,
    READS,
    WITHOUT_BTF,
    WRITES,
    Seen,
    done,
    seen,
)
from tests.kernel.support import RunningAgent, agent, group, wait
from tests.vm.guest.disks import Parted
from tests.vm.guest.test_owners import SIZE, dirty, sync

pytestmark = pytest.mark.timeout(1_200)  # five of them compile before the first test

BY_FILE = "fileslower-bpfcc"
TOOLS = {BY_FILE: ("0",), "bitesize-bpfcc": (), "biolatency-bpfcc": ("-D",)}
READY = "Tracing"
SECONDS = 400  # an emulated machine compiles for a minute, and several at once
FILE = "of-the-work"
PAUSE = 0.005  # in which an emulated machine prints a line: what it cannot keep up with is lost


class Traced(NamedTuple):
    """What a tool printed; or why it printed nothing, in its own words."""

    text: str
    failure: str = ""


class Work(NamedTuple):
    """What both loaders and each of the tools made of one workload."""

    bcc: Seen
    libbpf: Seen
    tools: dict[str, Traced]


@pytest.fixture(scope="module", autouse=True)
def can_compile() -> None:
    """Skip where bcc or headers are missing."""
    needs_bcc()
    try:
        bcc_headers.find(Path("/proc/sys/kernel/osrelease").read_text().strip())
    except ProbeError as error:
        pytest.skip(error.reason)


class Tool:
    """A tool of bcc that traces from its start on until it is asked for what it found.

    It writes into a pipe: of a regular file it would trace its own writes too, and never come to an end. Nobody waits in a read
    of that: the kretprobes of fileslower follow as few calls at once as there are CPUs (5.10's trace/kprobes.rst), and miss the others.
    """

    def __init__(self, command: list[str]) -> None:
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
        )
        self._printed = bytearray()
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        pipe, poll = self._process.stdout.fileno(), select.poll()
        poll.register(pipe, select.POLLIN)
        while poll.poll() and (printed := os.read(pipe, 65_536)):
            self._printed += printed

    @property
    def text(self) -> str:
        """What it printed so far."""
        return self._printed.decode(errors="replace")

    def await_ready(self) -> None:
        """Wait until it traces, or has ended because it cannot."""
        deadline = time.monotonic() + SECONDS
        while READY not in self.text and self._process.poll() is None:
            assert time.monotonic() < deadline, self.text
            time.sleep(0.5)

    def await_caught_up(self, folder: Path) -> None:
        """Wait until it printed a write of now on each CPU: what came before, of the agents' start, is behind it then."""
        allowed, deadline = os.sched_getaffinity(0), time.monotonic() + SECONDS
        while self._process.poll() is None and not all(f"caught-up-{cpu}\n" in self.text for cpu in allowed):
            assert time.monotonic() < deadline, self.text[-4_096:]
            for cpu in allowed:
                os.sched_setaffinity(0, {cpu})
                (folder / f"caught-up-{cpu}").write_bytes(b"x")
            os.sched_setaffinity(0, allowed)
            time.sleep(0.5)

    def found(self) -> Traced:
        """End it; return what it printed, or the last line of that if it could not trace."""
        traced = self._process.poll() is None
        self.close()
        if traced:
            return Traced(self.text)
        return Traced("", next((line.strip() for line in reversed(self.text.splitlines()) if line.strip()), "it ended at once"))

    def close(self) -> None:
        """End it, as a person would: again, where it was in a callback that cannot be interrupted."""
        deadline = time.monotonic() + SECONDS
        while self._process.poll() is None:
            assert time.monotonic() < deadline, self._process.args
            self._process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
        self._reader.join(10)
        if self._process.stdout:
            self._process.stdout.close()


@pytest.fixture(scope="module")
def tools(disk: str) -> Iterator[dict[str, Tool]]:
    """Those that are installed, which compile meanwhile; the disk is there before, as the kernel looks for partitions on it."""
    with ExitStack() as ends:
        found = {}
        for name, arguments in TOOLS.items():
            if shutil.which(name):
                found[name] = Tool([name, *arguments])
                ends.callback(found[name].close)
        yield found


@pytest.fixture(scope="module")
def agents(tools: dict[str, Tool], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningAgent, RunningAgent]]:
    """One that sees no BTF, and one that does; when no tool compiles any more."""
    for tool in tools.values():
        tool.await_ready()
    folder = tmp_path_factory.mktemp("agents")
    with agent(folder, "--probes.strict", prefix=WITHOUT_BTF, seconds=COMPILES) as bcc, agent(folder, "--probes.strict") as libbpf:
        yield bcc, libbpf


@pytest.fixture(scope="module")
def work(agents: tuple[RunningAgent, RunningAgent], tools: dict[str, Tool], disk: str, tmp_path_factory: pytest.TempPathFactory) -> Work:
    """The workload."""
    file = tmp_path_factory.mktemp("work") / FILE
    file.with_name("not-yet").write_bytes(bytes(4_096))
    file.with_name("not-yet").rename(file)
    if BY_FILE in tools:
        tools[BY_FILE].await_caught_up(file.parent)
    with done(file, disk, PAUSE) as own:
        bcc, libbpf = (seen(each.url, disk, own) for each in agents)
        time.sleep(5)  # for the tool that prints as it goes
        return Work(bcc, libbpf, {name: tool.found() for name, tool in tools.items()})


def traced(work: Work, tool: str) -> str:
    """What a tool found; the test is skipped if it is missing or cannot trace this kernel."""
    found = work.tools.get(tool, Traced("", "it is not installed (bpfcc-tools)"))
    if found.failure:
        pytest.skip(f"{tool} does not work here: {found.failure}")
    return found.text


def in_buckets(text: str) -> int:
    """The counts of a histogram of bcc, summed."""
    return sum(int(found) for found in re.findall(r"^\s*\d+ -> \d+\s+: (\d+)", text, re.MULTILINE))


def test_auto_takes_bcc_without_btf(agents: tuple[RunningAgent, RunningAgent]) -> None:
    bcc, libbpf = (each.log.read_text() for each in agents)
    assert "loader=bcc" in bcc
    assert "the kernel has no BTF at /sys/kernel/btf/vmlinux" in bcc
    assert bcc.count("mechanism=bcc") == 3
    assert "loader=libbpf" in libbpf


def test_both_loaders_count_the_same(work: Work) -> None:
    assert asdict(work.bcc) == asdict(work.libbpf)
    assert {name: asdict(work.bcc)[name] for name in EXPECTED} == EXPECTED


def test_fileslower_counts_the_same(work: Work) -> None:
    text = traced(work, BY_FILE)
    own = [line.split() for line in text.splitlines() if line.split()[-1:] == [FILE]]
    by_direction = {name: sum(fields[-4] == letter for fields in own) for name, letter in (("read", "R"), ("write", "W"))}
    expected = {"read": READS, "write": WRITES}
    assert {name: work.bcc.files[name] for name in expected} == expected
    assert by_direction["write"] == WRITES
    if 0 < by_direction["read"] < READS and "PREEMPT" not in platform.version():
        pytest.skip(f"fileslower missed {READS - by_direction['read']} of {READS} reads: as many as there are CPUs it follows at once here")
    assert by_direction == expected, re.findall("^.*lost.*$", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("tool", "section"),
    [
        ("bitesize-bpfcc", rf"Process Name = ({DIRECT}|kworker/\S+)"),  # who issues it: of writes that are plugged a kworker
        ("biolatency-bpfcc", "disk = nullb0"),
    ],
    ids=["bitesize", "biolatency"],
)
def test_tools_count_the_same_requests(work: Work, tool: str, section: str) -> None:
    parts = re.split(r"^(?=Process Name = |disk = )", traced(work, tool), flags=re.MULTILINE)
    found = sum(in_buckets(part) for part in parts if re.match(rf"{section}\n", part))
    assert found == DIRECT_READS + DIRECT_WRITES
    assert sum(work.bcc.requests[name][PARTS.index("device")] for name in ("read", "write")) == found


def test_the_writer_owns_what_another_syncs(agents: tuple[RunningAgent, RunningAgent], slow: Parted, folder: Path) -> None:
    file = folder / f"bcc-{time.monotonic_ns()}"
    with group("writer") as writer, group("syncer") as syncer:
        requests = Requests(agents[0].url, slow.name)
        wait(writer.run(lambda: dirty(file)))
        wait(syncer.run(lambda: sync(file)))
        requests.settle()
        assert requests.by_agent(writer.unit)[1] == SIZE
        assert requests.by_agent(syncer.unit)[1] < SIZE // 10  # of the journal, at most
        assert requests.methods["blkcg"] > 0


def test_what_the_loaders_take(agents: tuple[RunningAgent, RunningAgent], record_property: Callable[[str, object], None]) -> None:
    """Memory of each agent, and the time from its start to its page; what bcc's own process took has ended with it."""
    found = []
    for each in agents:
        log = each.log.read_text()
        name = re.search(r"loader=(\w+)", log)
        times = [datetime.fromisoformat(stamp) for stamp in re.findall(r"ts=(\S+Z) .*?msg=(?:starting|\"listening)", log)]
        memory = re.search(r"^RssAnon:\s+(\d+) kB$", Path(f"/proc/{each.process.pid}/status").read_text(), re.MULTILINE)
        assert name
        assert memory
        assert len(times) == 2
        peaks = [int(own) for own in re.findall(r"peak_mib=(\d+)", log)]
        compiler = f", {max(peaks)} MiB while it compiles" if peaks else ""
        found.append(f"{name[1]} {int(memory[1]) >> 10} MiB{compiler}, {(times[1] - times[0]).total_seconds():.0f} s to the first page")
    record_property("measured", "; ".join(found))
