"""The agent in a storm of slow reads: its answers to scrapes, and its memory with everything on."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Self

from perflens.agent import tree_of
from perflens.config import Settings
from perflens.kernel.attached import Sizes
from perflens.kernel.features import inspect
from perflens.registry import discover
from tests.bench.agent import RunningAgent, kib, many_owners, map_bytes, mapped_kib, one, running_agent, until_ready, work_in
from tests.bench.report import Line, Result, Skipped
from tests.bench.rounds import Rounds

__all__ = ["Reads", "memory", "scrapes"]

_FLAGS = ("--threshold=file.read=1us", "--events.rate=0")
_SCRAPES = 300
_ROUNDS = 5
_WINDOW = "PERFLENS_BENCH_WINDOW"
_MIB = 2**20

_HERE = Path(__file__).parent
_ENDLESS = 10_000_000  # COUNT_MAX of load.c, five times


class Reads:
    """A process on the last CPU that reads a cached file as fast as it can, until the end."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.pid = process.pid

    @classmethod
    @contextmanager
    def begun(cls, call: str) -> Iterator[Self]:
        """Begin with a call of load.c."""
        with tempfile.TemporaryDirectory(prefix="perflens-bench-", dir="/var/tmp") as folder:
            program, file = Path(folder) / "load", Path(folder) / "file"
            subprocess.run(["cc", "-O2", "-Wno-unused-result", "-pthread", "-o", str(program), str(_HERE / "load.c")], check=True)
            file.write_bytes(os.urandom(65_536))
            command = [str(program), str(max(os.sched_getaffinity(0))), str(file)]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
            try:
                assert process.stdin is not None
                process.stdin.write(f"{call} {_ENDLESS}\n".encode() * 100)
                process.stdin.flush()
                yield cls(process)
            finally:
                process.kill()
                process.communicate()

    def pause(self) -> None:
        """Let the machine be quiet for a while."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Go on."""
        self._process.send_signal(signal.SIGCONT)


def _p99(agent: RunningAgent) -> float:
    """Return the ms that 99 of 100 scrapes take at most."""
    took = []
    for _ in range(_SCRAPES):
        began = time.monotonic()
        if agent.scrape() is None:
            raise RuntimeError("a scrape was not answered")
        took.append(time.monotonic() - began)
    return sorted(took)[_SCRAPES * 99 // 100] * 1e3


def scrapes() -> Iterator[Line]:
    """The slowest scrapes in a storm, as a multiple of those of the same agent without one."""
    rounds = []
    with running_agent(*_FLAGS) as agent, Reads.begun("read_65536") as reads:
        until_ready(agent)
        for _ in range(_ROUNDS):
            reads.pause()
            time.sleep(0.5)
            idle = _p99(agent)
            reads.resume()
            time.sleep(0.5)
            rounds.append({"idle": idle, "storm": _p99(agent)})
    found = Rounds(rounds)
    told = ", ".join(f"{name} {found.plain(name).median:.1f} ms" for name in ("idle", "storm"))
    value = found.ratio("storm", "idle")
    yield Result("scrape_storm", f"99th percentile of {_SCRAPES} scrapes, in a storm / idle", value, "×", 5, told)


class _Collector(BaseHTTPRequestHandler):
    """Takes every batch."""

    protocol_version = "HTTP/1.1"
    taken = 0

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        _Collector.taken += 1
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def _collector() -> Iterator[str]:
    """A collector on this machine, and its URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Collector)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def _own_cgroup() -> Iterator[Path]:
    """A cgroup of the hierarchy that counts memory, empty."""
    folder = Path(tree_of(inspect(), Settings()).point) / f"perflens-bench-agent-{os.getpid()}"
    folder.mkdir()
    try:
        yield folder
    finally:
        folder.rmdir()


def _peak(folder: Path) -> float | None:
    """Return the most memory that a cgroup had, in MiB; None where the kernel does not tell."""
    for name in ("memory.peak", "memory.max_usage_in_bytes"):
        if (folder / name).exists():
            return int((folder / name).read_text()) / _MIB
    return None


def _helpers(pid: int) -> list[int]:
    children = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    return [int(child) for text in children for child in text.split()]


def _own_kib(pid: int) -> tuple[int, int]:
    """Return the KiB in memory of a process, and those of them that it shares with no other."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return kib(rollup, "Rss"), kib(rollup, "Private_Clean") + kib(rollup, "Private_Dirty")


def _resident(agent: RunningAgent, window: float, whose: str, budget: float | None) -> Iterator[Line]:
    status, maps = agent.proc("status"), mapped_kib(agent.proc("smaps"))
    anonymous, files = kib(status, "RssAnon") / 1024, (kib(status, "RssFile") + kib(status, "RssShmem") - maps) / 1024
    helpers = [_own_kib(pid) for pid in _helpers(agent.pid)]
    resident, private = (sum(pair[i] for pair in helpers) / 1024 for i in (0, 1))
    page = (agent.scrape() or b"").decode()
    explained = sum(map(float, re.findall(r"^perflens_slow_events_explained_total\S* (\S+)", page, re.MULTILINE)))
    told = f"{window:.0f} s of a storm, {explained:,.0f} events explained, {_Collector.taken} batches of spans taken"
    parts = f"RssAnon {anonymous:.1f}, file pages {files:.1f} MiB; {told}"
    yield one("memory_storm", f"RssAnon + file pages, everything on, {whose}", anonymous + files, "MiB", budget, parts)
    parts = f"{len(helpers)} helper: {resident:.1f} MiB in memory, {private:.1f} MiB of its own"
    yield one("memory_storm", f"the same with the symbol helper's own pages, {whose}", anonymous + files + private, "MiB", None, parts)


def _of_cgroup(peak: float, charged: float, whose: str, budget: float | None) -> Iterator[Line]:
    from docs.tables import host_bytes

    probes, host = discover(), inspect()
    cpus = {"here": host, "there": replace(host, possible_cpus=128, pid_max=4_194_304)}
    sizes = {name: Sizes.of(own, Settings().cells) for name, own in cpus.items()}
    here, there = (sum(host_bytes(probes, sizes[name], own.possible_cpus).values()) / _MIB for name, own in cpus.items())
    told = f"BPF maps {charged:.1f} MiB as the kernel charges them, {here:.1f} with the programs by the formula"
    yield one("memory_storm", f"peak of the agent's cgroup, BPF maps included, {whose}", peak, "MiB", budget, told)
    told = f"the peak, with the maps of 128 possible CPUs by the formula of docs/memory.md: {there:.1f} MiB"
    yield one("memory_storm", f"the same at 128 possible CPUs, {whose}", peak - here + there, "MiB", budget, told)


def memory() -> Iterator[Line]:
    """Memory of an agent that drains, explains, sends and is scraped until its tables are full; then with many more owners."""
    yield from _memory("this machine", 50, 128, work=False)
    yield from _memory("200 owners more", None, None, work=True)


def _memory(whose: str, resident: float | None, in_all: float | None, *, work: bool) -> Iterator[Line]:
    window = float(os.environ.get(_WINDOW, "310"))
    with _own_cgroup() as folder, _collector() as url, many_owners() as owners:
        prefix = ("sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', str(folder))
        with running_agent(*_FLAGS, f"--otlp.endpoint={url}", prefix=prefix) as agent, Reads.begun("read_65536"):
            until_ready(agent)
            if work:
                work_in(owners)
            until = time.monotonic() + window
            while time.monotonic() < until:
                agent.scrape(gzip=bool(int(until - time.monotonic()) % 2))
                time.sleep(1)
            yield from _resident(agent, window, whose, resident)
            charged, peak = map_bytes(agent.pid) / _MIB, _peak(folder)
        if peak is None:
            yield Skipped("memory_storm", "peak of the agent's cgroup", f"{folder} does not tell its peak")
        else:
            yield from _of_cgroup(peak, charged, whose, in_all)
