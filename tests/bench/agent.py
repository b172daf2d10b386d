"""The real agent, looked at from outside: its memory, how it idles and how fast it starts."""

from __future__ import annotations

import compileall
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import perflens
from perflens.agent import tree_of
from perflens.config import Settings
from perflens.kernel.features import inspect
from tests.bench.report import Line, Result
from tests.bench.rounds import Spread
from tests.bench.waiting import free_port, until

__all__ = [
    "RunningAgent",
    "cpu_seconds",
    "idle",
    "kib",
    "many_owners",
    "map_bytes",
    "mapped_kib",
    "memory",
    "one",
    "running_agent",
    "start",
    "until_ready",
    "work_in",
]

_SCRAPES = 200
_OWNERS = 200
_IDLE_SECONDS = 20
_STARTS = 5
_MIB = 2**20


@dataclass(frozen=True, slots=True)
class RunningAgent:
    """An agent in a process of its own."""

    pid: int
    url: str

    def scrape(self, *, gzip: bool = False) -> bytes | None:
        """Return the page as it is sent, or None when the agent does not answer with 200 yet."""
        request = urllib.request.Request(self.url, headers={"Accept-Encoding": "gzip"} if gzip else {})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return bytes(answer.read())
        except OSError:
            return None

    def proc(self, name: str) -> str:
        """Return the text of a file of /proc/PID."""
        return Path(f"/proc/{self.pid}/{name}").read_text()


@contextmanager
def running_agent(*flags: str, prefix: tuple[str, ...] = ()) -> Iterator[RunningAgent]:
    """Run an agent until the end, with its bytecode at hand, as pip leaves it; ``prefix`` is a command that becomes it."""
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PERFLENS_")}
    compileall.compile_dir(Path(perflens.__file__).parent, quiet=1)  # what compiles at its start keeps a MiB of it
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    python = (sys.executable, "-S")  # without what a machine's own .pth files import into every program
    command = [*prefix, *python, "-m", "perflens", "run", f"--web.listen-address=127.0.0.1:{port}", "--probes.strict", *flags]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    try:
        yield RunningAgent(process.pid, f"http://127.0.0.1:{port}/metrics")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(15)


def until_ready(agent: RunningAgent) -> None:
    """Return once the first page is there."""
    until(lambda: agent.scrape() is not None, 15, "the agent's first page", interval=0.005)


@contextmanager
def many_owners() -> Iterator[list[Path]]:
    """Cgroups of our own in the tree that owners come from."""
    parent = Path(tree_of(inspect(), Settings()).point) / f"perflens-bench-{os.getpid()}"
    found: list[Path] = []
    try:
        parent.mkdir()
        for number in range(_OWNERS):
            own = parent / f"customer-{number:05}.service"
            own.mkdir()
            found.append(own)
        yield found
    finally:
        for own in [*found, parent]:
            own.rmdir()


def work_in(owners: list[Path]) -> None:
    """Write, read and sync a file in each of the cgroups, in a process that goes from one to the next."""
    body = (
        "import os, sys\n"
        "file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)\n"
        "for owner in sys.argv[2:]:\n"
        "    with open(owner + '/cgroup.procs', 'w') as procs: procs.write('0')\n"
        "    for size in range(1, 65):\n"
        "        os.pwrite(file, bytes(size * 512), 0), os.pread(file, size * 512, 0)\n"
        "    os.fdatasync(file)\n"
    )
    with tempfile.TemporaryDirectory(prefix="perflens-bench-", dir="/var/tmp") as folder:
        subprocess.run([sys.executable, "-c", body, f"{folder}/file", *map(str, owners)], check=True)


def mapped_kib(smaps: str) -> int:
    """Return the KiB in memory of the mapped BPF maps."""
    found, ours = 0, False
    for line in smaps.splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            ours = "bpf-map" in line or "bpf_map" in line
        elif ours and line.startswith("Rss:"):
            found += int(line.split()[1])
    return found


def kib(status: str, name: str) -> int:
    """Return a number of a file of lines ``name: number kB``."""
    return int(re.findall(rf"^{name}:\s+(\d+) kB", status, re.MULTILINE)[0])


def map_bytes(pid: int) -> int:
    """Return what the kernel charges for the BPF maps that the process holds, each once."""
    maps = {}
    for entry in Path(f"/proc/{pid}/fdinfo").iterdir():
        with suppress(FileNotFoundError):  # it closes others meanwhile
            found = dict(re.findall(r"^(map_id|memlock):\s+(\d+)", entry.read_text(), re.MULTILINE))
            if "map_id" in found:
                maps[found["map_id"]] = int(found["memlock"])
    return sum(maps.values())


def _memory(agent: RunningAgent, when: str) -> Iterator[Line]:
    for number in range(_SCRAPES):
        agent.scrape(gzip=bool(number % 2))
    samples = sum(not line.startswith(b"#") for line in (agent.scrape() or b"").splitlines())
    status, maps = agent.proc("status"), mapped_kib(agent.proc("smaps"))
    anonymous, file, shared, peak = (kib(status, name) for name in ("RssAnon", "RssFile", "RssShmem", "VmHWM"))
    files = file + shared - maps
    parts = f"RssAnon {anonymous / 1024:.1f}, file pages {files / 1024:.1f}, peak with BPF maps {peak / 1024:.1f} MiB"
    medians = f"after {_SCRAPES} scrapes of {samples:,} samples: {parts}"
    yield one("memory", f"RssAnon + file pages, {when}", (anonymous + files) / 1024, "MiB", 50, medians)


def memory() -> Iterator[Line]:
    """Memory of the agent after scrapes: of what this machine runs, then of many owners."""
    with running_agent() as agent:
        until_ready(agent)
        yield from _memory(agent, "this machine")
        with many_owners() as owners:
            work_in(owners)
            yield from _memory(agent, f"{_OWNERS} owners more")
        mapped = f"{mapped_kib(agent.proc('smaps')) / 1024:.1f} MiB of them mapped and in memory, left out above"
        yield one("memory", "BPF maps, as the kernel charges them", map_bytes(agent.pid) / _MIB, "MiB", None, mapped)


def one(row: str, what: str, value: float, unit: str, budget: float | None, medians: str) -> Result:
    """Return a line of what was measured once."""
    return Result(row, what, Spread(value, value, value), unit, budget, medians)


def _switches(agent: RunningAgent) -> int:
    found = 0
    for task in Path(f"/proc/{agent.pid}/task").iterdir():
        found += sum(map(int, re.findall(r"ctxt_switches:\s+(\d+)", (task / "status").read_text())))
    return found


def cpu_seconds(agent: RunningAgent) -> float:
    """Return the CPU time of all threads, to the nanosecond (schedstat, first field)."""
    return sum(int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{agent.pid}/task").iterdir()) / 1e9


def idle() -> Iterator[Line]:
    """Wake-ups and CPU time of an agent that nobody scrapes."""
    with running_agent() as agent:
        until_ready(agent)
        time.sleep(2)
        began, switches, cpu = time.monotonic(), _switches(agent), cpu_seconds(agent)
        time.sleep(_IDLE_SECONDS)
        switches, cpu, took = _switches(agent) - switches, cpu_seconds(agent) - cpu, time.monotonic() - began
    yield one("idle", "wake-ups a second, all threads", switches / took, "/s", 10, f"{switches} context switches in {took:.1f} s")
    yield one("idle", "CPU of one core", 100 * cpu / took, "%", 0.3, f"{cpu * 1e3:.1f} ms in {took:.1f} s")


def start() -> Iterator[Line]:
    """From the start of the process to its first page."""
    found = []
    for _ in range(_STARTS):
        began = time.monotonic()
        with running_agent() as agent:
            until_ready(agent)
            found.append(time.monotonic() - began)
    yield Result("start", "process start to the first page", Spread.of(found), "s", 1.5, f"{_STARTS} starts")
