"""Processes that begin, become another program and end; threads, which are none."""

from __future__ import annotations

import os
import sys
import threading

from perflens.selftest.model import Family, Place, Report

__all__ = ["FAMILY"]

_WHOLE, _SHARE = (13, 7), (3, 2)  # those that only fork, those that become another program
_THREADS = 5
_PROGRAMS = (("/bin/true",), ("/usr/bin/true",), (sys.executable, "-I", "-S", "-c", ""))


def _program() -> tuple[str, ...]:
    return next(program for program in _PROGRAMS if os.access(program[0], os.X_OK))


def _work(place: Place) -> Report:
    forks, execs = _WHOLE if place.whole else _SHARE
    for _ in range(_THREADS):
        thread = threading.Thread(target=lambda: None)
        thread.start()
        thread.join()
    for _ in range(forks):
        pid = os.fork()
        if not pid:
            os._exit(0)
        os.waitpid(pid, 0)
    program = _program()
    for _ in range(execs):
        os.waitpid(os.posix_spawn(program[0], program, os.environ), 0)
    return Report({"fork": forks + execs, "exec": execs, "exit": forks + execs})


FAMILY = Family(
    work=_work,
    counters={
        "fork": "perflens_processes_forked_total",
        "exec": "perflens_processes_executed_total",
        "exit": "perflens_processes_exited_total",
    },
)
