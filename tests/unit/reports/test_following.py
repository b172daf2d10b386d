"""reports/following.py: each operation once, and what was missed between two questions."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

import pytest

from perflens.reports.following import Back, Gone, Missed, Restarted, follow


class Silent(Exception):
    """No answer."""


class Server:
    """Gives prepared answers, and notes what it was asked and how long was waited."""

    def __init__(self, *answers: Any) -> None:
        self.answers, self.asked, self.waited = list(answers), list[Mapping[str, object]](), list[float]()

    def ask(self, query: Mapping[str, object]) -> Any:
        self.asked.append(query)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def follow(self, number: int) -> list[Any]:
        return list(islice(follow(self.ask, {"probe": "file"}, 2, self.waited.append, Silent), number))


def answer(cursor: str, *ids: str, missed: int = 0) -> dict[str, Any]:
    return {"events": [{"id": own} for own in ids], "cursor": cursor, "missed": missed}


def test_each_once() -> None:
    """The last ones first, the oldest of them before the others; then what comes after the cursor of each answer."""
    server = Server(answer("a-2", "2", "1"), answer("a-2"), answer("a-4", "3", "4"))

    assert [own["id"] for own in server.follow(4)] == ["1", "2", "3", "4"]
    assert server.asked == [
        {"probe": "file", "limit": 2},
        {"probe": "file", "after": "a-2", "limit": 1000},
        {"probe": "file", "after": "a-2", "limit": 1000},
    ]
    assert server.waited == [0.5, 0.5]


def test_full_answer() -> None:
    """After a full answer there may be more, so nothing is waited for."""
    server = Server(answer("a-0"), answer("a-1000", *map(str, range(1000))), answer("a-1001", "x"))

    assert server.follow(1001)[-1] == {"id": "x"}
    assert server.waited == [0.5, 0.0]


def test_missed() -> None:
    """What was let go of is told before what comes after it."""
    assert Server(answer("a-0"), answer("a-9", "9", missed=8)).follow(2) == [Missed(8), {"id": "9"}]


def test_restart() -> None:
    """An agent that is gone is told once and asked after longer pauses; another one in its place is told."""
    down = [Silent("gone") for _ in range(6)]
    server = Server(answer("a-7", "7"), *down, answer("b-1", "1"), answer("b-2", "2"))

    assert server.follow(6) == [{"id": "7"}, Gone("gone"), Back(), Restarted(), {"id": "1"}, {"id": "2"}]
    assert server.waited == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0, 0.5]
    assert server.asked[-1]["after"] == "b-1"


def test_nobody_there() -> None:
    """Without a first answer there is nothing to follow."""
    with pytest.raises(Silent):
        Server(Silent()).follow(1)
