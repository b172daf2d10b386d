"""Has a program compiled by bcc, in a process of its own: see bcc_compile.py."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from perflens.errors import ProbeError
from perflens.kernel import bcc_compile

__all__ = ["Compiled", "compiled"]

_SYSTEMS_PYTHON = "/usr/bin/python3"  # which the packages of distributions are for
_AT_MOST = 900.0  # s; 2 s is usual, an emulated machine takes minutes
_ANSWER = 1 << 16
_DESCRIPTORS = 253  # SCM_MAX_FD of include/net/scm.h

_log = logging.getLogger("perflens")


class Compiled(NamedTuple):
    """What was loaded, as file descriptors by name."""

    programs: dict[str, int]
    tables: dict[str, int]


def compiled(name: str, text: str, programs: Sequence[str]) -> Compiled:
    """Compile the text of a probe, and load those of the programs that it has; ProbeError when bcc is missing or refuses."""
    reasons = []
    for interpreter in dict.fromkeys((sys.executable, _SYSTEMS_PYTHON)):
        try:
            return _compiled_by(interpreter, name, {"text": text, "programs": programs})
        except ImportError as error:
            reasons.append(f"{interpreter}: {error}")
    raise ProbeError(
        f"bcc is not installed ({'; '.join(reasons)})",
        "apt-get install python3-bpfcc (Debian, Ubuntu; bcc of PyPI is another project), or give a file with --btf.path",
    )


def _compiled_by(interpreter: str, name: str, request: Mapping[str, Any]) -> Compiled:
    """ImportError when this interpreter has no bcc, or is missing itself."""
    began = time.monotonic()
    answer, descriptors, said = _ask(interpreter, request)
    if answer["failed"] == "import":
        raise ImportError(answer["reason"])
    if answer["failed"]:
        for line in said.splitlines():
            _log.debug("bcc", extra={"fields": {"said": line}})
        raise ProbeError(f"bcc: {cause(said) or answer['reason']}", "see the log at level debug, and docs/troubleshooting.md#bcc")
    took, peak = round(time.monotonic() - began, 1), answer["peak_kib"] >> 10
    _log.info("compiled by bcc", extra={"fields": {"probe": name, "seconds": took, "peak_mib": peak}})
    count = len(answer["programs"])
    return Compiled(
        dict(zip(answer["programs"], descriptors[:count], strict=True)), dict(zip(answer["tables"], descriptors[count:], strict=True))
    )


def _ask(interpreter: str, request: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[int], str]:
    """Return the answer, the file descriptors that came with it, and what was said on standard error."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        command = [interpreter, "-I", str(bcc_compile.__file__), str(theirs.fileno())]
        try:
            done = subprocess.run(
                command,
                input=json.dumps(request).encode(),
                pass_fds=[theirs.fileno()],
                capture_output=True,
                timeout=_AT_MOST,
                check=False,
            )
        except OSError as error:
            raise ImportError(os.strerror(error.errno or 0)) from error
        except subprocess.TimeoutExpired as error:
            raise ProbeError(f"bcc: not done after {_AT_MOST:g} s", "report this as a bug, with the kernel's version") from error
        theirs.close()
        content, descriptors, _, _ = socket.recv_fds(ours, _ANSWER, _DESCRIPTORS)
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    said = done.stderr.decode(errors="backslashreplace")
    if not content:
        return {"failed": "ended", "reason": f"ended with status {done.returncode}"}, descriptors, said
    return json.loads(content), descriptors, said


def cause(said: str) -> str:
    """Return the line of the compiler or of the verifier that tells most, empty for none."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return next((line for line in lines if "error:" in line), lines[-1] if lines else "")
