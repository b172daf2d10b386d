"""aggregate/starts.py: who forks, and which programs are new."""

from __future__ import annotations

from perflens.aggregate.starts import Started, Starts
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


def told(own: Starts, seconds: int) -> list[tuple[int, str]]:
    return [(each.owner_id, each.path) for each in own.programs(seconds * 10**9)]


def test_programs_are_told_once_in_five_minutes() -> None:
    """Each of each owner; one that was started meanwhile waits until then, and one that was not is not told again."""
    own = Starts()
    own.add([_exec("/a"), _exec("/b"), _exec("/a"), _exec("/a", owner=8), _exec("")])
    assert told(own, 0) == [(7, "/a"), (7, "/b"), (8, "/a")]
    own.add([_exec("/a"), _exec("/c")])
    assert told(own, 299) == [(7, "/c")]
    assert told(own, 300) == [(7, "/a")]
    assert told(own, 900) == []


def test_programs_are_told_with_who_ran_them_last() -> None:
    own = Starts()
    own.add([_exec("/a"), ProcessEvent("exec", 0, OTHER, PARENT, "sh", 7, "/a")])
    assert own.programs(0) == [Started(7, "/a", OTHER)]


def test_programs_are_bounded() -> None:
    """64 are told at once and the others wait, as many as there is room for; the rest is counted."""
    own = Starts(limit=100)
    own.add([_exec(f"/{number}") for number in range(110)])
    assert [path for _, path in told(own, 0)] == [f"/{number}" for number in range(10, 74)]
    assert [path for _, path in told(own, 1)] == [f"/{number}" for number in range(74, 110)]
    assert (own.programs_evicted, own.evicted) == (10, 0)
