"""Runs a program with the system calls and the rules of memory that a systemd unit allows, without systemd: `sandbox.py UNIT COMMAND...`.

The groups of system calls are systemd's own, asked of systemd-analyze.
"""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
import sys
from pathlib import Path

ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM  # SCMP_ACT_ALLOW, SCMP_ACT_ERRNO of seccomp.h
SET_NO_NEW_PRIVS, SET_MDWE = 38, 65  # prctl(2)
UNKNOWN = -1  # __NR_SCMP_ERROR


def values(unit: str, key: str) -> list[str]:
    """What a unit says of a key, each time that it does."""
    return [line.partition("=")[2].strip() for line in unit.splitlines() if line.startswith(f"{key}=")]


def group(name: str) -> set[str]:
    """The system calls of one word of a filter: itself, or those of a group."""
    if not name.startswith("@"):
        return {name}
    done = subprocess.run(["systemd-analyze", "syscall-filter", name], capture_output=True, text=True, check=True)
    words = [line.strip() for line in done.stdout.splitlines()[1:] if line.strip() and not line.strip().startswith("#")]
    return set().union(*map(group, words))


def allowed(unit: str) -> set[str]:
    """The system calls that a unit allows; what begins with ~ is taken away again."""
    found = group("@default")
    for line in values(unit, "SystemCallFilter"):
        calls = set().union(*map(group, line.removeprefix("~").split()))
        found = found - calls if line.startswith("~") else found | calls
    return found


def confine(calls: set[str], *, no_new_code: bool) -> None:
    """Allow this process those and no others, and, with ``no_new_code``, no memory that is both written and run."""
    libc, seccomp = ctypes.CDLL(None, use_errno=True), ctypes.CDLL("libseccomp.so.2")
    seccomp.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(seccomp.seccomp_init(ctypes.c_uint32(REFUSE)))
    for name in sorted(calls):
        number = seccomp.seccomp_syscall_resolve_name(name.encode())
        if number != UNKNOWN:
            seccomp.seccomp_rule_add(context, ctypes.c_uint32(ALLOW), number, 0)
    if libc.prctl(SET_NO_NEW_PRIVS, 1, 0, 0, 0) or (
        no_new_code and libc.prctl(SET_MDWE, 1, 0, 0, 0) and ctypes.get_errno() != errno.EINVAL
    ):
        raise OSError(ctypes.get_errno(), "prctl")
    if seccomp.seccomp_load(context):
        raise OSError("seccomp_load")


if __name__ == "__main__":
    text = Path(sys.argv[1]).read_text()
    confine(allowed(text), no_new_code=values(text, "MemoryDenyWriteExecute") == ["yes"])
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 - the command's own words
