"""tui/feed.py: who is asked when, how old an answer is, and that no failure of a source is one of the screen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from perflens.tui.asks import ANALYSES, EVENTS, INCIDENTS, PROCESSES, STARTS, SUMMARY, TIMELINE, TREE, Ask, of_process
from perflens.tui.feed import Feed
from tests.unit.tui.answers import NOW, Answers, event, example, start


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of the examples."""
    monkeypatch.setattr("perflens.tui.feed.time.time", lambda: float(NOW))


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Held(Answers):
    """A source that answers when it is let."""

    def __init__(self, parts: Mapping[str, Any]) -> None:
        super().__init__(parts)
        self.gate = asyncio.Event()

    async def get(self, path: str, query: Mapping[str, str]) -> Any:
        await self.gate.wait()
        return await super().get(path, query)


class Broken(Answers):
    """A source with a bug."""

    async def get(self, path: str, query: Mapping[str, str]) -> Any:
        raise ZeroDivisionError("a \x1b bug")


def feed_of(source: Answers, changed: Callable[[], None] = lambda: None) -> tuple[Feed, Clock]:
    clock = Clock()
    return Feed(source, changed, clock), clock


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_each_question_has_its_pace() -> None:
    """What is seen is asked again when it is due, each at its own pace; what is not seen is not asked."""
    source = Answers(example())
    feed, clock = feed_of(source)
    for _ in range(11):
        feed.look((SUMMARY, INCIDENTS))
        await settled()
        clock.now += 0.5

    assert [path for path, _ in source.asked].count("summary") == 6
    assert [path for path, _ in source.asked].count("incidents") == 2
    assert {path for path, _ in source.asked} == {"summary", "incidents"}


async def test_a_computer_that_slept(monkeypatch: pytest.MonkeyPatch) -> None:
    """After it woke all of what passed meanwhile is asked for, and until it comes what is shown is told as old."""
    source = Answers(example())
    feed = Feed(source, lambda: None)
    feed.look((TIMELINE,))
    await settled()
    awake = time.clock_gettime(time.CLOCK_BOOTTIME)
    monkeypatch.setattr(time, "clock_gettime", lambda _: awake + 120.0)
    age, _ = feed.stale()
    feed.look((TIMELINE,))
    await settled()

    assert 119 < age < 121
    assert source.asked[1] == ("timeline", {"seconds": "126"})


async def test_a_slow_answer_is_waited_for_once() -> None:
    """Nothing is asked again while it is on the way, and the screen says how old it is."""
    source = Held(example())
    feed, clock = feed_of(source)
    for _ in range(20):
        feed.look((SUMMARY,))
        await settled()
        clock.now += 1

    assert feed.stale() == (20.0, "no answer yet")
    source.gate.set()
    await settled()
    assert len(source.asked) == 1
    assert feed.stale() == (0.0, "")
    assert feed.data().of(SUMMARY) is not None


async def test_the_last_answer_stays_while_the_agent_is_gone() -> None:
    """After a failure the last answer stays, its age and the reason are told, pauses double to 15 s, and a new answer ends it."""
    source = Answers(example())
    feed, clock = feed_of(source)
    feed.look((SUMMARY,))
    await settled()
    source.error = "Connection refused"
    for _ in range(120):
        clock.now += 1
        feed.look((SUMMARY,))
        await settled()

    assert feed.data().of(SUMMARY) is not None
    assert feed.stale() == (120.0, "Connection refused")
    assert 9 <= len(source.asked) <= 13, "1, 2, 4, 8 and then 15 s apart, with up to a quarter more"
    source.error = ""
    clock.now += 20
    feed.look((SUMMARY,))
    await settled()
    assert feed.stale() == (0.0, "")


async def test_a_view_that_is_looked_at_again_is_not_stale_at_once() -> None:
    """The age counts from when the view is seen, as long as nothing fails."""
    feed, clock = feed_of(Answers(example()))
    feed.look((SUMMARY,))
    await settled()
    clock.now += 60
    feed.look((TREE,))
    await settled()
    clock.now += 60
    feed.look((SUMMARY,))

    assert feed.stale() == (0.0, "")


async def test_events_are_asked_for_from_the_last_one_on() -> None:
    """Only what is new is asked for, a little before the newest; what came before stays."""
    source = Answers({"events": {"events": [event(1, 1_000_000, back=10)]}})
    feed, clock = feed_of(source)
    feed.look((EVENTS,))
    await settled()
    clock.now += 2
    source.parts["events"] = {"events": [event(2, 1_000_000, back=5)]}
    feed.look((EVENTS,))
    await settled()

    assert [query.get("since") for _, query in source.asked] == [None, f"{NOW - 12:.3f}"]
    assert [own.process.pid for own in feed.data().of(EVENTS) or ()] == [2, 1]


async def test_events_are_followed_by_their_cursor() -> None:
    """After as many as fit in an answer the newest are asked for again: an agent that tells more is not followed ever later."""
    source = Answers({"events": {"events": [event(1, 1_000_000, back=10)], "cursor": "a-1", "missed": 0}})
    feed, clock = feed_of(source)
    for told in ([event(2, 1_000_000, back=5)], [event(own, 1_000_000, back=4) for own in range(3, 503)], []):
        feed.look((EVENTS,))
        await settled()
        source.parts["events"] = {"events": told, "cursor": f"a-{len(told)}", "missed": 0}
        clock.now += 2
    feed.look((EVENTS,))
    await settled()

    assert [query.get("after") for _, query in source.asked] == [None, "a-1", "a-1", None]
    assert [query.get("since") for _, query in source.asked] == [None, None, None, f"{NOW - 6:.3f}"]
    known = feed.data().of(EVENTS)
    assert known is not None
    assert len(known) == 502


async def test_of_the_timeline_the_last_seconds_are_asked_for() -> None:
    """What was told late is taken over, and what is older than the window goes; an agent whose clock was set back begins anew."""

    def told(*times: int, forks: int = 0) -> dict[str, object]:
        slow = {"count": 0, "duration_seconds": 0.0, "duration_ns": 0, "suppressed": 0}
        return {"seconds": [{"time_seconds": at, "slow": slow, "forks": forks, "execs": 0, "operations": []} for at in times]}

    source = Answers({"timeline": told(*range(1_000, 1_300))})
    feed, clock = feed_of(source)
    seen = []
    for answer, pause in ((told(*range(1_296, 1_303), forks=1), 2.5), (told(*range(1_400, 1_700)), 400), (told(90, 91), 1)):
        feed.look((TIMELINE,))
        await settled()
        source.parts["timeline"] = answer
        clock.now += pause
        feed.look((TIMELINE,))
        await settled()
        seen.append([(own.time, own.forks) for own in feed.data().of(TIMELINE) or ()])

    assert [query["seconds"] for _, query in source.asked] == ["300", "8", "300", "6"]
    assert seen[0] == [(at, 0) for at in range(1_003, 1_296)] + [(at, 1) for at in range(1_296, 1_303)]
    assert seen[1] == [(at, 0) for at in range(1_400, 1_700)]
    assert seen[2] == [(90, 0), (91, 0)]


async def test_an_answer_that_took_long_is_as_old_as_its_question() -> None:
    """A network that holds an answer back leaves no second of the timeline out."""
    source = Held({"timeline": {"seconds": []}})
    feed, clock = feed_of(source)
    feed.look((TIMELINE,))
    await settled()
    clock.now += 20
    source.gate.set()
    await settled()
    clock.now += 1
    feed.look((TIMELINE,))
    await settled()

    assert [query["seconds"] for _, query in source.asked] == ["300", "26"]


async def test_forks_and_execs_are_asked_for_from_the_last_one_on() -> None:
    """One that comes again is there once."""
    first, second = start("fork", 1, "sh", 10), start("exec", 1, "true", 9)
    source = Answers({"process-starts": {"starts": [first]}})
    feed, clock = feed_of(source)
    feed.look((STARTS,))
    await settled()
    clock.now += 2
    source.parts["process-starts"] = {"starts": [second, first]}
    feed.look((STARTS,))
    await settled()

    assert [query.get("since") for _, query in source.asked] == [None, f"{NOW - 12:.3f}"]
    assert [own.kind for own in feed.data().of(STARTS) or ()] == ["exec", "fork"]


@pytest.mark.parametrize(
    ("ask", "make"), [(EVENTS, lambda back: event(1, 10, back=back)), (STARTS, lambda back: start("fork", 1, "sh", back))]
)
async def test_what_no_window_reaches_is_let_go(ask: Ask[Any], make: Callable[[float], dict[str, Any]]) -> None:
    """Also by the clock of an agent that was set back: what is of a time to come then stays, and hides nothing."""
    name = ask.path.removeprefix("process-")
    source = Answers({ask.path: {name: [make(back) for back in (500, 450, 400)]}})
    feed, clock = feed_of(source)
    seen = []
    for new in ([make(120)], [], [make(90)], [make(1_000)]):
        feed.look((ask,))
        await settled()
        source.parts[ask.path] = {name: new}
        clock.now += 2
        feed.look((ask,))
        await settled()
        seen.append([round(NOW - own.end) for own in feed.data().of(ask) or ()])

    assert seen == [[120, 400], [120, 400], [90, 120], [90, 120, 1_000]]


async def test_windows_are_asked_for_after_the_last_one() -> None:
    """Each is large, and stays as it is; the newest 20 are shown."""
    (one,) = example()["analyses"]["analyses"]
    windows = [{**one, "end_time_ns": (NOW - back) * 1_000_000_000} for back in range(10, 220, 10)]
    source = Answers({"analyses": {"analyses": windows[1:]}})
    feed, clock = feed_of(source)
    feed.look((ANALYSES,))
    await settled()
    for found in (windows[:1], []):
        clock.now += 5
        source.parts["analyses"] = {"analyses": found}
        feed.look((ANALYSES,))
        await settled()

    assert [query.get("since") for _, query in source.asked] == [None, f"{NOW - 20 + 0.001:.3f}", f"{NOW - 10 + 0.001:.3f}"]
    assert [own.updated for own in feed.data().of(ANALYSES) or ()] == [NOW - back for back in range(10, 210, 10)]


async def test_an_event_of_a_time_to_come() -> None:
    """An event that ends in a hundred years, or before 1970, does not keep the others from being asked for."""
    source = Answers(
        {"events": {"events": [event(3, 1_000_000, back=-(10**10)), event(2, 1_000_000, back=10), event(1, 10, back=NOW + 9)]}}
    )
    feed, clock = feed_of(source)
    for _ in range(2):
        feed.look((EVENTS,))
        await settled()
        clock.now += 2

    assert [query.get("since") for _, query in source.asked] == [None, f"{NOW - 12:.3f}"]


async def test_paused() -> None:
    """While paused only what has no answer is asked, and nothing is stale; the age counts from when it goes on."""
    source = Answers(example())
    feed, clock = feed_of(source)
    feed.look((SUMMARY,))
    await settled()
    clock.now += 10
    feed.look((SUMMARY, PROCESSES), paused=True)
    await settled()
    clock.now += 10
    feed.look((SUMMARY, PROCESSES), paused=True)
    await settled()

    assert [path for path, _ in source.asked] == ["summary", "processes"]
    clock.now += 1
    assert feed.stale() == (0.0, "")


async def test_an_answer_of_another_kind_is_told() -> None:
    """An answer that is not what the API gives is a reason, as is a bug of a source, both safe to show."""
    source = Answers({"summary": {"operations": "none"}})
    feed, clock = feed_of(source)
    feed.look((SUMMARY,))
    await settled()
    clock.now += 5
    broken, _ = feed_of(Broken({}))
    broken.look((SUMMARY,))
    await settled()

    assert (feed.stale(), feed.missing(SUMMARY)) == ((5.0, "operations is no list"), "operations is no list")
    assert broken.missing(SUMMARY) == "ZeroDivisionError: a \\x1b bug"


async def test_it_keeps_no_more_than_16_answers() -> None:
    """Processes come and go; what was not seen for longest goes first, and what all views ask stays."""
    source = Answers(example())
    feed, clock = feed_of(source)
    asks = [of_process(pid) for pid in range(40)]
    for ask in asks:
        feed.look((ask, SUMMARY))
        await settled()
        clock.now += 2.0

    known = feed.data()
    assert [ask for ask in asks if known.of(ask) is not None] == asks[-15:]
    feed.look((TREE,))
    await settled()
    clock.now += 2.0
    feed.look((SUMMARY, TREE))
    assert feed.data().of(SUMMARY) is not None
    assert [path for path, _ in source.asked].count("summary") == 40
    await settled()
    await feed.close()


async def test_the_end() -> None:
    """What is on the way is given up, and the source is let go."""
    source = Held(example())
    feed, _ = feed_of(source)
    feed.look((SUMMARY,))
    await settled()
    await feed.close()

    assert source.closed
    assert source.asked == []


async def test_what_came_is_told() -> None:
    """Every answer and every failure is a reason to draw."""
    drawn: list[int] = []
    source = Answers(example())
    feed, clock = feed_of(source, lambda: drawn.append(1))
    feed.look((SUMMARY,))
    await settled()
    source.error = "gone"
    clock.now += 2
    feed.look((SUMMARY,))
    await settled()

    assert len(drawn) == 2
