"""aggregate/starts.py: who forks, and which programs are new."""

from __future__ import annotations

from perflens.aggregate.starts import Starts
from perflens.model import ProcessEvent, ProcessKey

PARENT, OTHER, CHILD = (ProcessKey(pid, pid) for pid in (1, 2, 3))


def _fork(parent: ProcessKey) -> ProcessEvent:
    return ProcessEvent("fork", 0, CHILD, parent, "sh", 7, "")


def _exec(path: str, owner: int = 7) -> ProcessEvent:
    return ProcessEvent("exec", 0, CHILD, PARENT, "sh", owner, path)


def test_forks_are_their_parents() -> None:
    """Each is told once."""
    own = Starts()
    own.add([_fork(PARENT), _fork(OTHER), _exec("/bin/true")])
    own.add([_fork(PARENT)])

    assert own.take() == {PARENT: 2, OTHER: 1}
    assert own.take() == {}


def test_parents_with_fewest_go_first_and_are_counted() -> None:
    own = Starts(limit=4)
    own.add([_fork(ProcessKey(pid, pid)) for pid in range(1, 6) for _ in range(pid)])

    assert own.take() == {ProcessKey(5, 5): 5, ProcessKey(4, 4): 4}
    assert own.evicted == 1 + 2 + 3


def test_programs_are_new_once_for_each_owner() -> None:
    own = Starts(limit=2)
    own.add([_exec("/a"), _exec("/a"), _exec("/a", owner=8), _exec("")])
    assert own.new_programs() == [(7, "/a"), (8, "/a")]
    own.add([_exec("/a"), _exec("/b")])
    assert own.new_programs() == [(7, "/b")]
    own.add([_exec("/a", owner=8)])  # gone for want of room
    assert own.new_programs() == [(8, "/a")]
