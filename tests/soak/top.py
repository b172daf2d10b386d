"""`python -m tests.soak.top`: `perflens top` for an hour on a busy host; its memory and CPU time, and what it costs the agent. Root."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import fmean

from tests.bench.agent import one, running_agent, until_ready
from tests.bench.report import Result, document_of, table
from tests.bench.top import KEYS, child, writers
from tests.soak.watched import Sample, Watched, share, watch
from tests.terminal import Terminal, terminal

__all__ = ["Round", "lines", "main"]

_EVERY = 10.0  # s
_SHOWN, _STOPPED = 240.0, 20.0  # s
_SEEN = 5  # s: how long each view is seen
_WARM = 30.0  # s
_WRITERS, _PAUSE = 4, "0.05"
_CPU, _MORE, _SLOPE = 3.0, 1.0, 1.0
_LEAST = 20 * 60.0  # s: a shorter run says nothing of hours: the memory of its beginning grows

_ABOUT = (
    "# perflens top over hours\n\n"
    "Written by `make soak`: four processes sync a file a hundred times a second each, a shell starts programs,\n"
    "and every view is shown in turn for 5 s. Every 4 minutes the screen is stopped for 20 s, in which the agent works without it.\n"
    "What took {threshold} is slow."
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


@dataclass(frozen=True)
class Round:
    """The agent's CPU time with the screen stopped and with it, in % of a core, and the screen while it was seen."""

    alone: float
    beside: float
    top: Watched


def lines(rounds: Sequence[Round], turns: int) -> list[Result]:
    """Return what was measured."""
    top = Watched([sample for own in rounds for sample in own.top.samples])
    begin, middle, end = top.moments()
    seen = sum(own.top.seconds for own in rounds)
    alone, beside = fmean(own.alone for own in rounds), fmean(own.beside for own in rounds)
    more = [own.beside - own.alone for own in rounds]
    told = f"anonymous, of {len(top.samples)} samples; RSS {top.rss():.1f} MiB in the second half"
    return [
        one("top", "memory at the beginning", begin, "MiB", None, told),
        one("top", "memory in the middle", middle, "MiB", None, ""),
        one("top", "memory at the end", end, "MiB", None, ""),
        one("top", "growth in the second half", top.slope(), "MiB/h", _SLOPE if seen >= _LEAST else None, f"{seen / 120:.0f} min of it"),
        one(
            "top",
            "CPU of one core, all views in turn",
            fmean(own.top.cpu for own in rounds),
            "%",
            _CPU,
            f"{seen / 60:.0f} min, {turns} views",
        ),
        one("agent", "CPU of one core without the screen", alone, "%", None, f"{len(rounds)} times {_STOPPED:g} s"),
        one("agent", "CPU of one core more with it", beside - alone, "%", _MORE, f"{min(more):.2f} to {max(more):.2f} % in one of them"),
    ]


def _stopped(own: int, agent: int) -> float:
    """What the agent takes while the screen is stopped, which asks nothing then."""
    os.kill(own, signal.SIGSTOP)
    try:
        first = Sample.of(agent)
        time.sleep(_STOPPED)
        return share(first, Sample.of(agent))
    finally:
        os.kill(own, signal.SIGCONT)


def _round(own: Terminal, agent: int, press: Callable[[], None]) -> Round:
    pid = child(own)
    alone = _stopped(pid, agent)
    first = Sample.of(agent)
    top = watch(_SHOWN, _EVERY, lambda: Sample.of(pid), press)
    return Round(alone, share(first, Sample.of(agent)), top)


def measured(minutes: float, threshold: str) -> list[Result]:
    """Measure while the screen is seen for so many minutes; it is stopped in between, so that the host's load is the same without it."""
    seconds, pressed = count(), 0
    with running_agent(f"--threshold={threshold}", "--analyzer.state-file=") as agent, writers(_WRITERS), _starts():
        until_ready(agent)
        time.sleep(_WARM)
        command = (sys.executable, "-m", "perflens", "top", f"--url={agent.url.removesuffix('/metrics')}")
        with terminal(*command, size=(120, 40)) as own:
            own.shows("Slowest processes", "file write", seconds=60)

            def press() -> None:
                nonlocal pressed
                if not (at := next(seconds)) % _SEEN:
                    own.press(*KEYS[at // _SEEN % len(KEYS)])
                    pressed += 1

            rounds = [_round(own, agent.pid, press) for _ in range(max(round(minutes * 60 / _SHOWN), 1))]
    return lines(rounds, pressed)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, write a page if asked to; return 1 over a budget."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.top", description="Watch perflens top for a long time.")
    parser.add_argument("--minutes", type=float, default=60, help="how long it is seen, in rounds of 4 minutes (default: %(default)g)")
    parser.add_argument("--threshold", default="1ms", help="what is slow: the less, the more there is to show (default: %(default)s)")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write the table with the machine's facts there")
    given = parser.parse_args(arguments)
    if os.geteuid():
        parser.error("run it as root: it loads BPF programs")
    if not shutil.which("tmux"):
        parser.error("it needs tmux: deploy/install-packages --with-tests")
    found = measured(given.minutes, given.threshold)
    print(table(found))
    if given.page:
        given.page.write_text(document_of(_ABOUT.format(threshold=given.threshold), found))
    return int(any(line.verdict == "FAIL" for line in found))


if __name__ == "__main__":
    sys.exit(main())
