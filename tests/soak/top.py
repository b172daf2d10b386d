"""`python -m tests.soak.top`: `perflens top` for an hour on a busy host; its memory and CPU time, and what it costs the agent. Root."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from tests.bench.agent import one, running_agent, until_ready
from tests.bench.report import Result, document_of, table
from tests.bench.top import KEYS, child, writers
from tests.soak.watched import Sample, Watched, share, watch
from tests.terminal import Terminal, terminal

__all__ = ["lines", "main"]

_EVERY = 10.0  # s
_SEEN = 5  # s: how long each view is seen
_WARM = 30.0  # s
_WRITERS, _PAUSE = 4, "0.05"
_CPU, _MORE, _SLOPE = 3.0, 1.0, 1.0
_LEAST = 20 * 60.0  # s: a shorter run says nothing of hours: the memory of its beginning grows

_ABOUT = (
    "# perflens top over hours\n\n"
    "Written by `make soak`: four processes sync a file a hundred times a second each, a shell starts programs,\n"
    "and every view is shown in turn for 5 s. What took {threshold} is slow."
)


@contextmanager
def _starts() -> Iterator[None]:
    """A shell that starts a program some twenty times a second."""
    own = subprocess.Popen(["sh", "-c", f"while :; do /bin/true; sleep {_PAUSE}; done"])
    try:
        yield
    finally:
        own.kill()
        own.wait()


def lines(top: Watched, alone: Sequence[float], beside: float, turns: int) -> list[Result]:
    """Return what was measured: ``alone`` is the agent's CPU time before and after, in % of a core, ``beside`` that with the screen."""
    begin, middle, end = top.moments()
    took = top.samples[-1].at - top.samples[0].at
    told = f"anonymous, of {len(top.samples)} samples; RSS {top.rss():.1f} MiB in the second half"
    mean = sum(alone) / len(alone)
    parts = f"with it {beside:.2f} %, without {', '.join(f'{own:.2f}' for own in alone)} % (before, after)"
    return [
        one("top", "memory at the beginning", begin, "MiB", None, told),
        one("top", "memory in the middle", middle, "MiB", None, ""),
        one("top", "memory at the end", end, "MiB", None, ""),
        one("top", "growth in the second half", top.slope(), "MiB/h", _SLOPE if took >= _LEAST else None, f"{took / 120:.0f} min of it"),
        one("top", "CPU of one core, all views in turn", top.cpu, "%", _CPU, f"{took / 60:.0f} min, {turns} views"),
        one("agent", "CPU of one core without the screen", mean, "%", None, f"{len(alone)} times"),
        one("agent", "CPU of one core more with it", beside - mean, "%", _MORE, parts),
    ]


def _alone(pid: int, seconds: float) -> float:
    first = Sample.of(pid)
    time.sleep(seconds)
    return share(first, Sample.of(pid))


def _seen(own: Terminal, pid: int, seconds: float) -> tuple[Watched, int]:
    turns, pressed = count(), 0

    def turn() -> None:
        nonlocal pressed
        if not (at := next(turns)) % _SEEN:
            own.press(*KEYS[at // _SEEN % len(KEYS)])
            pressed += 1

    return watch(seconds, _EVERY, lambda: Sample.of(pid), turn), pressed


def measured(minutes: float, baseline: float, threshold: str) -> list[Result]:
    """Measure for so many minutes, and the agent without the screen for ``baseline`` minutes before and after."""
    with running_agent(f"--threshold={threshold}", "--analyzer.state-file=") as agent, writers(_WRITERS), _starts():
        until_ready(agent)
        time.sleep(_WARM)
        before = _alone(agent.pid, baseline * 60)
        command = (sys.executable, "-m", "perflens", "top", f"--url={agent.url.removesuffix('/metrics')}")
        with terminal(*command, size=(120, 40)) as own:
            own.shows("Slowest processes", "file write", seconds=60)
            first = Sample.of(agent.pid)
            top, turns = _seen(own, child(own), minutes * 60)
            beside = share(first, Sample.of(agent.pid))
        after = _alone(agent.pid, baseline * 60)
    return lines(top, (before, after), beside, turns)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, write a page if asked to; return 1 over a budget."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.top", description="Watch perflens top for a long time.")
    parser.add_argument("--minutes", type=float, default=60, help="how long it runs (default: %(default)g)")
    parser.add_argument("--baseline", type=float, help="minutes without it, before and after (default: a tenth of that, 5 at most)")
    parser.add_argument("--threshold", default="1ms", help="what is slow: the less, the more there is to show (default: %(default)s)")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write the table with the machine's facts there")
    given = parser.parse_args(arguments)
    if os.geteuid():
        parser.error("run it as root: it loads BPF programs")
    if not shutil.which("tmux"):
        parser.error("it needs tmux: deploy/install-packages --with-tests")
    found = measured(given.minutes, given.baseline or max(min(given.minutes / 10, 5.0), 0.5), given.threshold)
    print(table(found))
    if given.page:
        given.page.write_text(document_of(_ABOUT.format(threshold=given.threshold), found))
    return int(any(line.verdict == "FAIL" for line in found))


if __name__ == "__main__":
    sys.exit(main())
