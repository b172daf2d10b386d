"""What the analyzer costs: an agent with it beside one without it, under the same load at the same time."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tests.bench.agent import RunningAgent, cpu_seconds, many_owners, running_agent, until_ready, work_in
from tests.bench.report import Line, Result
from tests.bench.rounds import Rounds
from tests.bench.waiting import until
from tests.kernel.support import Page
from tests.lab.ground import MIB, Load, cgroup, ground

__all__ = ["idle", "incident"]

_FLAGS = ("--llm.base-url=", "--llm.cache-file=", "--analyzer.state-file=")
_WITHOUT = (*_FLAGS, "--no-analyzer.enabled")
_SECONDS, _ROUNDS = 20.0, 4  # two looks in turn each
_SCRAPES = 600
_THREADS, _A_SECOND = 32, 200


@dataclass(frozen=True, slots=True)
class _Pair:
    """The same agent twice."""

    without: RunningAgent
    analyzing: RunningAgent

    def cpu(self) -> dict[str, float]:
        """CPU seconds of each until now, and the analyzer's own count of looks and of their seconds."""
        _, page = self.without.scrape(), Page((self.analyzing.scrape() or b"").decode())
        told = {name: float(page.total(f"perflens_analysis_{name}_total")) for name in ("windows", "early_windows", "duration_seconds")}
        return {"without": cpu_seconds(self.without), "with": cpu_seconds(self.analyzing), "at": time.monotonic(), **told}

    def measured(self) -> tuple[Rounds, str]:
        """Measure some times how much of a core each takes; return it in percent, and what the analyzer did meanwhile."""
        first = before = self.cpu()
        rounds = []
        for _ in range(_ROUNDS):
            time.sleep(_SECONDS)
            now = self.cpu()
            took = now["at"] - before["at"]
            rounds.append({name: 100 * (now[name] - before[name]) / took for name in ("without", "with")})
            before = now
        looks, early, own = (before[name] - first[name] for name in ("windows", "early_windows", "duration_seconds"))
        if not looks:
            raise RuntimeError("the analyzer did not look")
        took = before["at"] - first["at"]
        each = f"{own / looks * 1e3:.1f} ms of its thread each"
        return Rounds(rounds), f"{looks:.0f} looks in {took:.0f} s, {early:.0f} of them early, {each}"


@contextmanager
def _pair() -> Iterator[_Pair]:
    with running_agent(*_WITHOUT) as without, running_agent(*_FLAGS) as analyzing:
        for own in (without, analyzing):
            until_ready(own)
        yield _Pair(without, analyzing)


def _cost(row: str, what: str, pair: _Pair, budget: float) -> Line:
    found, looks = pair.measured()
    told = ", ".join(f"{name} it {found.plain(name).median:.2f} %" for name in ("without", "with"))
    return Result(row, f"CPU of the analyzer, of one core, {what}", found.added("with", "without"), "%", budget, f"{told}; {looks}")


def _scrapes(row: str, what: str, pair: _Pair) -> Line:
    """The 99th percentile of scrapes that take turns, so that both see the same machine; each takes longer than some looks."""
    rounds, slowest = [], {"without": 0.0, "with": 0.0}
    for _ in range(_ROUNDS):
        took: dict[str, list[float]] = {"without": [], "with": []}
        for _ in range(_SCRAPES // _ROUNDS):
            for name, agent in (("without", pair.without), ("with", pair.analyzing)):
                began = time.monotonic()
                if agent.scrape() is None:
                    raise RuntimeError("a scrape was not answered")
                took[name].append(1e3 * (time.monotonic() - began))
                time.sleep(0.005)
        rounds.append({name: sorted(own)[len(own) * 99 // 100] for name, own in took.items()})
        slowest = {name: max(slowest[name], *own) for name, own in took.items()}
    found = Rounds(rounds)
    told = ", ".join(f"{name} it {found.plain(name).median:.1f} ms, at most {slowest[name]:.1f}" for name in slowest)
    title = f"99th percentile of {_SCRAPES} scrapes, {what}, with it / without"
    return Result(row, title, found.ratio("with", "without"), "×", 1.5, told)


def idle() -> Iterator[Line]:
    """At idle: of what this machine runs, then of many owners, each of whose cgroups is read."""
    with _pair() as pair:
        time.sleep(12)  # the first looks have nothing to compare with
        yield _cost("analyzer_idle", "this machine", pair, 1)
        with many_owners() as owners:
            work_in(owners)
            time.sleep(12)
            yield _cost("analyzer_idle", f"{len(owners)} owners more", pair, 1)
            yield _scrapes("analyzer_idle", f"{len(owners)} owners more", pair)


def incident() -> Iterator[Line]:
    """In an incident: threads that read a disk as fast as a limit of their cgroup lets them, each read some 160 ms."""
    with ExitStack() as stack:
        own = stack.enter_context(ground(1, 1 << 30))
        group = stack.enter_context(cgroup(f"perflens-bench-reader-{os.getpid()}"))
        file = own.file(own.disks[0], "file", 256 * MIB)
        pair, owners = stack.enter_context(_pair()), stack.enter_context(many_owners())
        work_in(owners)
        group.set("blkio", "blkio.throttle.read_iops_device", f"{own.disks[0].number} {_A_SECOND}")
        own.start(group, "reader", file, Load(threads=_THREADS, size=256 * MIB))
        until(lambda: b"\nperflens_incident_active{" in (pair.analyzing.scrape() or b""), 90, "an incident", interval=1)
        what = f"{_A_SECOND} slow reads a second, {len(owners)} owners more"
        yield _cost("analyzer_incident", what, pair, 3)
        yield _scrapes("analyzer_incident", what, pair)
