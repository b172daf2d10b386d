"""aggregate/starts.py: who forks, and which programs are new."""

from __future__ import annotations

from perflens.aggregate.starts import Started, Starts
from perflens.model import ProcessEvent, ProcessKey

PARENT, OTHER, CHILD = (ProcessKey(pid, pid) for pid in (1, 2, 3))


def _fork(parent: ProcessKey) -> ProcessEvent:
    return ProcessEvent("fork", 0, CHILD, parent, "sh", 7, "")


def _exec(path: str, owner: int = 7) -> ProcessEvent:
    return ProcessEvent("exec", 0, CHILD, PARENT, "sh", owner, path)


def _asked(own: Starts, second: float) -> tuple[float, int, dict[ProcessKey, int]]:
    found = own.lately(int(second * 10**9))
    return found.ns / 10**9, found.number, dict(found.parents)


def test_forks_are_their_parents() -> None:
    """Those of the last seconds, however often somebody asks; what lies before goes."""
    own = Starts(0)
    own.add([_fork(PARENT), _fork(OTHER), _exec("/bin/true")])
    own.add([_fork(PARENT)])

    assert _asked(own, 10) == (10, 3, {PARENT: 2, OTHER: 1})
    assert _asked(own, 10.001) == (10.001, 3, {PARENT: 2, OTHER: 1})
    own.add([_fork(OTHER)])
    assert _asked(own, 18.9) == (18.9, 4, {PARENT: 2, OTHER: 2})
    assert _asked(own, 19.5) == (9.499, 1, {OTHER: 1})


def test_parents_with_fewest_go_first_and_are_counted() -> None:
    own = Starts(0, limit=4)
    own.add([_fork(ProcessKey(pid, pid)) for pid in range(1, 6) for _ in range(pid)])

    assert _asked(own, 10) == (10, 15, {ProcessKey(5, 5): 5, ProcessKey(4, 4): 4})
    assert own.evicted == 1 + 2 + 3


def told(own: Starts, seconds: int) -> list[tuple[int, str]]:
    return [(each.owner_id, each.path) for each in own.programs(seconds * 10**9)]


def test_programs_are_told_once_in_five_minutes() -> None:
    """Each of each owner; one that was started meanwhile waits until then, and one that was not is not told again."""
    own = Starts(0)
    own.add([_exec("/a"), _exec("/b"), _exec("/a"), _exec("/a", owner=8), _exec("")])
    assert told(own, 0) == [(7, "/a"), (7, "/b"), (8, "/a")]
    own.add([_exec("/a"), _exec("/c")])
    assert told(own, 299) == [(7, "/c")]
    assert told(own, 300) == [(7, "/a")]
    assert told(own, 900) == []


def test_programs_are_told_with_who_ran_them_last() -> None:
    own = Starts(0)
    own.add([_exec("/a"), ProcessEvent("exec", 0, OTHER, PARENT, "sh", 7, "/a")])
    assert own.programs(0) == [Started(7, "/a", OTHER)]


def test_programs_are_bounded() -> None:
    """64 are told at once and the others wait, as many as there is room for; the rest is counted."""
    own = Starts(0, limit=100)
    own.add([_exec(f"/{number}") for number in range(110)])
    assert [path for _, path in told(own, 0)] == [f"/{number}" for number in range(10, 74)]
    assert [path for _, path in told(own, 1)] == [f"/{number}" for number in range(74, 110)]
    assert (own.programs_evicted, own.evicted) == (10, 0)
