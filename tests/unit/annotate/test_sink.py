"""annotate/sink.py: one annotation for each incident, whatever the server does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import formatdate
from typing import Any

import pytest

from perflens.analysis import Incident
from perflens.annotate.html import brief_of, tags_of, text_of
from perflens.annotate.sink import GrafanaSink
from tests.unit.annotate.incidents import BEGIN, HOST, Clock, abandon, incident, methods, ms, only, settings, sink_of, work
from tests.unit.annotate.server import TOKEN, Grafana, Row, serving

URL = "https://agent.example"
OPEN, LATER, DONE = incident(), incident(updated=120), incident(updated=150, resolved=300)


@asynccontextmanager
async def running(grafana: Grafana, clock: Clock, **changes: Any) -> AsyncIterator[GrafanaSink]:
    async with serving(grafana) as url:
        sink = sink_of(settings(url, **changes), clock)
        yield sink
        await abandon(sink)


def shows(row: Row, own: Incident, text: str = "") -> bool:
    """Whether an annotation is the last word on an incident."""
    end = own.last_bad if own.resolved else own.updated
    expected = (own.opened // 1_000_000, end // 1_000_000, text or text_of(own, URL), list(tags_of(own)))
    return (row.time, row.end, row.text, row.tags) == expected


async def tell(sink: GrafanaSink, clock: Clock, until: float = 3_600.0) -> None:
    """The life of an incident: open, longer, resolved, and time for what has to be tried again."""
    for own in (OPEN, LATER, DONE):
        sink.put(own)
        await work(sink, clock, 90)
    await work(sink, clock, until)


async def test_an_incident_is_one_annotation_that_grows_and_ends() -> None:
    grafana, clock = Grafana(), Clock()
    async with running(grafana, clock) as sink:
        sink.put(OPEN)
        await work(sink, clock)
        assert shows(only(grafana), OPEN)
        clock.passed = 90
        sink.put(LATER)
        await work(sink, clock)
        assert shows(only(grafana), LATER)
        sink.put(DONE)
        await work(sink, clock)
        assert shows(only(grafana), DONE)
        assert methods(grafana) == ["GET", "POST", "GET", "PATCH", "GET", "PATCH"]
        assert grafana.bodies[3] == {"timeEnd": ms(120)}
        counts = sink.counts()
    assert (dict(counts.delivered), dict(counts.failed), dict(counts.dropped)) == ({"create": 1, "update": 1, "resolve": 1}, {}, {})
    assert (counts.pending, counts.up) == (0, True)


async def test_an_open_incident_is_patched_once_a_minute_at_most() -> None:
    grafana, clock = Grafana(), Clock()
    async with running(grafana, clock) as sink:
        for tick in range(41):  # 20 minutes
            sink.put(incident(updated=30 + 30 * tick))
            await work(sink, clock, 30)
        assert methods(grafana).count("POST") == 1
        assert methods(grafana).count("PATCH") == 20
        assert shows(only(grafana), incident(updated=1200))


async def test_nothing_is_asked_while_nothing_changes() -> None:
    grafana, clock = Grafana(), Clock()
    async with running(grafana, clock) as sink:
        sink.put(OPEN)
        await work(sink, clock)
        for _ in range(20):
            sink.put(OPEN)
            await work(sink, clock, 30)
        assert methods(grafana) == ["GET", "POST"]


async def test_an_incident_that_reopens_keeps_its_annotation() -> None:
    grafana, clock = Grafana(), Clock()
    async with running(grafana, clock) as sink:
        await tell(sink, clock, until=120)
        sink.put(again := incident(updated=500, reopened=1))
        await work(sink, clock, 120)
        assert shows(only(grafana), again)
        sink.put(last := incident(resolved=900, reopened=1))
        await work(sink, clock)
        assert shows(only(grafana), last)


async def test_a_later_incident_of_the_same_cause_has_an_annotation_of_its_own() -> None:
    grafana, clock = Grafana(), Clock()
    async with running(grafana, clock) as sink:
        await tell(sink, clock)
        sink.put(second := incident(opened=4_000, updated=4_030))
        await work(sink, clock)
        assert len(grafana.rows) == 2
        assert shows(grafana.rows[1], DONE)
        assert shows(grafana.rows[2], second)


FAULTS = [
    {"POST": ["lost"]},
    {"POST": ["lost", "lost", "lost"]},
    {"POST": ["huge"]},
    {"POST": ["late"]},
    {"POST": ["late", "late"]},
    {"POST": ["500", "502", "503"]},
    {"POST": ["429:30"]},
    {"POST": ["429:" + formatdate(BEGIN + 45, usegmt=True)]},
    {"POST": ["503:junk"]},
    {"POST": ["409"]},
    {"POST": ["408", "425"]},
    {"POST": ["401"]},
    {"POST": ["403"]},
    {"POST": ["404"]},
    {"POST": ["302"]},
    {"POST": ["lost"], "GET": ["", "500", "huge", "lost", "302", "401", "404"]},
    {"GET": ["500", "down", "huge"]},
    {"POST": ["lost"], "GET": ["", "400", "413", "409", "429:5"]},
    {"PATCH": ["lost", "500", "409"]},
    {"PATCH": ["409", "409"]},
    {"PATCH": ["huge"]},
    {"PATCH": ["silent"]},
    {"PATCH": ["silent"] * 99},
    {"PATCH": ["silent"] * 99, "PUT": ["silent"] * 99},
    {"PATCH": ["silent"] * 99, "PUT": ["silent"] * 99, "DELETE": ["lost", "500"], "POST": ["", "lost", "lost", "500"]},
    {"PATCH": ["silent"] * 99, "PUT": ["500", "lost", "409"]},
    {"PATCH": ["401", "302", "429:10"]},
    {"*": ["down"] * 40},
    {"*": ["500"] * 40},
    {"*": ["503"] * 40},
]


@pytest.mark.parametrize("faults", FAULTS, ids=str)
@pytest.mark.parametrize("random", [0.0, 1.0])
async def test_a_fault_that_passes_loses_and_doubles_nothing(faults: dict[str, list[str]], random: float) -> None:
    grafana, clock = Grafana(faults={method: list(each) for method, each in faults.items()}), Clock(random=random)
    async with running(grafana, clock) as sink:
        await tell(sink, clock, until=36_000)
        assert shows(only(grafana), DONE)
        assert (sink.counts().pending, dict(sink.counts().dropped), sink.counts().up) == (0, {}, True)


async def test_a_request_that_is_never_answered_is_given_up() -> None:
    grafana, clock = Grafana(faults={"POST": ["hang"], "PATCH": ["hang"]}), Clock()
    async with running(grafana, clock, timeout=0.3) as sink:
        await tell(sink, clock)
        assert shows(only(grafana), DONE)
        assert sink.counts().failed["timeout"] >= 2


async def test_an_outage_of_ten_minutes() -> None:
    grafana, clock = Grafana(always={"*": "down"}), Clock()
    own = [incident(f"0000000{n}", opened=n, resolved=300 + n) for n in range(5)]
    async with running(grafana, clock) as sink:
        for each in own:
            sink.put(incident(each.id, opened=(each.opened / 1e9 - BEGIN), updated=60))
            await work(sink, clock, 10)
        for each in own:
            sink.put(each)
        await work(sink, clock, 550)
        assert (sink.counts().pending, sink.counts().up, grafana.rows) == (5, False, {})
        assert len(grafana.asked) < 40  # aiohttp itself repeats a GET
        grafana.always.clear()
        await work(sink, clock, 60)
        assert len(grafana.rows) == 5
        assert all(shows(row, each) for row, each in zip(grafana.rows.values(), own, strict=True))
        assert (sink.counts().pending, sink.counts().up) == (0, True)


async def test_nobody_listens_for_a_while() -> None:
    grafana, clock = Grafana(), Clock()
    async with serving(grafana) as url:
        pass
    sink = sink_of(settings(url), clock)
    sink.put(OPEN)
    await work(sink, clock, 600)
    assert (sink.counts().pending, sink.counts().up, list(sink.counts().failed)) == (1, False, ["connect"])
    await abandon(sink)


async def test_retry_after_is_honoured() -> None:
    for after in ("30", formatdate(BEGIN + 30, usegmt=True)):
        grafana, clock = Grafana(faults={"GET": [f"429:{after}"]}), Clock(random=0.0)
        async with running(grafana, clock) as sink:
            sink.put(OPEN)
            assert await sink.turn() == 30.0


async def test_waits_grow_to_a_minute() -> None:
    grafana, clock, waits = Grafana(always={"*": "500"}), Clock(), []
    async with running(grafana, clock) as sink:
        for _ in range(9):
            wait = await sink.turn()
            assert wait is not None
            waits.append(wait)
            clock.passed += wait
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]


@pytest.mark.parametrize("status", ["401", "403", "404", "302"])
async def test_what_somebody_has_to_cure_is_tried_every_ten_minutes(status: str, caplog: pytest.LogCaptureFixture) -> None:
    grafana, clock = Grafana(always={"*": status}), Clock(random=0.0)
    async with running(grafana, clock) as sink:
        sink.put(OPEN)
        await work(sink, clock, 3_599)
        assert (len(grafana.asked), sink.counts().up, sink.counts().pending) == (6, False, 1)
    assert [record.message for record in caplog.records] == ["Grafana takes no annotations"]


async def test_a_redirect_gets_no_token() -> None:
    grafana, clock = Grafana(always={"*": "302"}), Clock()
    async with running(grafana, clock) as sink:
        await sink.turn()
    assert [path for _, path in grafana.asked] == ["/api/annotations"]


async def test_the_token_is_in_no_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    secret = "glsa_wrong_but_secret"  # noqa: S105
    for token, faults in ((secret, []), (TOKEN, ["down", "500", "huge"])):
        grafana, clock = Grafana(faults={"*": faults}), Clock()
        async with running(grafana, clock, token=token) as sink:
            sink.put(OPEN)
            await work(sink, clock, 600)
    lines = [f"{record.getMessage()} {record.__dict__}" for record in caplog.records]
    assert lines
    assert not any(secret in line or TOKEN in line for line in lines)


async def test_a_refused_annotation_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    grafana, clock = Grafana(faults={"POST": ["400"]}), Clock()
    async with running(grafana, clock) as sink:
        await tell(sink, clock)
        assert grafana.rows == {}
        assert (dict(sink.counts().dropped), sink.counts().pending, sink.counts().up) == ({"refused": 1}, 0, True)
    assert [record.message for record in caplog.records] == ["an annotation is given up"]


async def test_a_refused_change_is_dropped_and_the_next_is_sent() -> None:
    grafana, clock = Grafana(faults={"PATCH": ["400"]}), Clock()
    async with running(grafana, clock) as sink:
        await tell(sink, clock)
        assert (only(grafana).end, only(grafana).tags[-1]) == (ms(240), "state:resolved")
        assert dict(sink.counts().dropped) == {"refused": 1}


async def test_a_deleted_annotation_is_not_made_again() -> None:
    grafana, clock = Grafana(), Clock()
    async with running(grafana, clock) as sink:
        sink.put(OPEN)
        await work(sink, clock)
        grafana.rows.clear()
        await tell(sink, clock)
        assert grafana.rows == {}
        assert (dict(sink.counts().dropped), sink.counts().pending) == ({"detached": 1}, 0)


async def test_a_text_that_is_too_long_is_shortened_once() -> None:
    grafana, clock = Grafana(longest_body=430), Clock()
    async with running(grafana, clock) as sink:
        await tell(sink, clock)
        assert shows(only(grafana), DONE, brief_of(DONE, URL))
        assert dict(sink.counts().dropped) == {}
    grafana, clock = Grafana(longest_body=10), Clock()
    async with running(grafana, clock) as sink:
        await tell(sink, clock)
        assert (grafana.rows, methods(grafana)) == ({}, ["GET", "POST", "POST"])
        assert dict(sink.counts().dropped) == {"too_large": 1}


async def test_one_that_always_fails_does_not_hold_up_the_others() -> None:
    grafana, clock = Grafana(), Clock()
    async with running(grafana, clock) as sink:
        await work(sink, clock)
        grafana.faults["POST"] = ["500", "", *["500"] * 20]
        sink.put(incident("00000001"))
        sink.put(incident("00000002", opened=1))
        await work(sink, clock, 10)
        assert [row.tags[2] for row in grafana.rows.values()] == ["incident:00000002"]


async def test_the_budget_of_an_hour_and_of_a_day() -> None:
    grafana, clock = Grafana(), Clock()
    async with running(grafana, clock) as sink:
        for minute in range(20):
            sink.put(incident(f"000000{minute:02}", opened=60 * minute, updated=60 * minute + 30))
            await work(sink, clock, 60)
        notes = [row for row in grafana.rows.values() if "incident:budget" in row.tags]
        assert (len(grafana.rows), len(notes)) == (7, 1)
        assert notes[0].text.startswith("<b>annotation budget reached</b><br>14 incidents are not shown")
        assert dict(sink.counts().dropped) == {"budget": 14}
        for hour in range(1, 10):
            clock.passed = hour * 3_600 + 1_200
            for number in range(8):
                sink.put(incident(f"0000{hour:02}{number:02}", opened=clock.passed, resolved=clock.passed + 90))
            await work(sink, clock)
        assert sum("incident:budget" not in row.tags for row in grafana.rows.values()) == 30


async def test_an_incident_without_a_row_stays_without() -> None:
    grafana, clock = Grafana(), Clock()
    async with running(grafana, clock, rows_per_hour=0) as sink:
        await tell(sink, clock)
        assert only(grafana).tags == ["perflens", f"host:{HOST}", "incident:budget"]
        assert (dict(sink.counts().dropped), sink.counts().pending) == ({"budget": 1}, 0)


async def test_run_delivers_what_any_thread_puts_and_stop_ends_it() -> None:
    grafana = Grafana()
    created = asyncio.Event()
    async with serving(grafana) as url:
        sink = GrafanaSink(settings(url))
        grafana.after_request = lambda method: created.set() if grafana.rows else None
        task = asyncio.create_task(sink.run())
        threading.Thread(target=sink.put, args=(OPEN,)).start()
        await created.wait()
        await sink.stop()
        assert task.done()
        assert task.exception() is None
    assert shows(only(grafana), OPEN)
    sink.put(LATER)  # nobody listens any more, and nothing breaks


async def test_stop_gives_a_hanging_request_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perflens.annotate.sink._LAST_REQUEST", 0.0)
    grafana = Grafana(faults={"POST": ["hang"]})
    created = asyncio.Event()
    grafana.after_request = lambda method: created.set() if grafana.rows else None
    async with serving(grafana) as url:
        sink = GrafanaSink(settings(url))
        sink.put(OPEN)
        task = asyncio.create_task(sink.run())
        await created.wait()
        await sink.stop()
        assert task.cancelled()
    assert sink.counts().pending == 1


async def test_puts_are_bounded() -> None:
    sink = sink_of(settings("http://127.0.0.1:9"), Clock())
    for number in range(300):
        sink.put(incident(f"{number:08}"))
        sink.put(incident(f"{number:08}", updated=60))
    assert (sink.counts().pending, dict(sink.counts().dropped)) == (256, {"overflow": 88})
