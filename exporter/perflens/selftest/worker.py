"""The process that does the known work: told by lines of JSON on its input, it answers by lines of JSON.

Input and output are pipes, which the probes take for no files; all it needs is imported before it enters the cgroup that is measured.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from contextlib import suppress
from typing import Any

from perflens.kernel.lifetime import die_with_parent
from perflens.kernel.userfault import Holder
from perflens.selftest.families import family_of
from perflens.selftest.model import Family, Place
from perflens.selftest.throttle import Throttle

__all__ = ["LARGEST_FILE", "main"]

LARGEST_FILE = 8 << 20
_LAST = 60  # s: no worker outlives a run that hangs


def _holder() -> tuple[Holder | None, str]:
    try:
        return Holder(), ""
    except OSError as error:
        return None, f"no call can be held up here: {error.strerror}"


class Worker:
    """Does what it is told; OSError and ValueError for what cannot be done."""

    def __init__(self) -> None:
        self._holder, self._unheld = _holder()

    def do(self, order: dict[str, Any]) -> Any:
        """Carry out one order and return the answer."""
        family = family_of(order["family"])
        assert family is not None
        if order["join"]:
            _join(order["join"])
        throttle = Throttle(**order["throttle"])
        place = Place(order["folder"], order["hold"], order["whole"], self._holder, self._unheld, throttle)
        return getattr(self, f"_{order['do']}")(family, place, order)

    @staticmethod
    def _prepare(family: Family, place: Place, _: dict[str, Any]) -> None:
        os.makedirs(place.folder, exist_ok=True)
        family.prepare(place)

    @staticmethod
    def _work(family: Family, place: Place, _: dict[str, Any]) -> Any:
        return family.work(place).to_json()

    @staticmethod
    def _tight(family: Family, place: Place, order: dict[str, Any]) -> int:
        return family.tight(place, order["number"]) if family.tight else 0


def _join(members: str) -> None:
    fd = os.open(members, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, b"0")
    finally:
        os.close(fd)


def main(parent: int) -> None:
    """Answer until the input ends."""
    die_with_parent(parent)
    signal.alarm(_LAST)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE))
    worker, source, sink = Worker(), sys.stdin, sys.stdout
    for line in source:
        try:
            answer = {"answer": worker.do(json.loads(line))}
        except OSError as error:
            answer = {"error": f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"}
        print(json.dumps(answer), file=sink, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
