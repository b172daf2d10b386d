"""tui/reading.py, model.py and diagnoses.py: answers become values, or are refused."""

from __future__ import annotations

from typing import Any

import pytest

from perflens.http.openapi import ENDPOINTS, document
from perflens.tui import diagnoses, model
from perflens.tui.asks import ANALYSES, EVENTS, INCIDENTS, PROCESSES, STARTS, SUMMARY, TIMELINE, TREE, Ask
from perflens.tui.reading import Reader, Unreadable
from tests.openapi import problems
from tests.unit.tui.answers import HOSTILE, NOW, SAFE, event, example

ASKS: tuple[Ask[Any], ...] = (SUMMARY, PROCESSES, TREE, TIMELINE, STARTS, EVENTS, INCIDENTS, ANALYSES)


def test_the_examples_are_what_the_api_gives() -> None:
    """What these tests show is what the OpenAPI document says."""
    answers, own = example(), document()

    asked = [endpoint for endpoint in ENDPOINTS if endpoint.path in {ask.path for ask in ASKS}]
    assert {endpoint.path: found for endpoint in asked if (found := list(problems(answers[endpoint.path], endpoint.answer, own)))} == {}


def test_every_question_is_one_that_the_api_knows() -> None:
    """Paths and parameters of the questions are those of the API."""
    known = {endpoint.path: set(endpoint.parameters) for endpoint in ENDPOINTS}

    assert [ask.path for ask in ASKS if not {name for name, _ in ask.parameters} <= known[ask.path]] == []


def test_an_event() -> None:
    """A slow operation is read whole, its parts the greatest first."""
    own = model.event(Reader(event(4242, 900_000_000)))

    assert (own.process, own.process_name, own.owner, own.path) == ((4242, 4242000), "postgres", "db.service", "/var/lib/postgres/wal")
    assert own.parts == (("journal", 600_000_000), ("on cpu", 300_000_000))
    assert own.waits == ((1_000_000, 600_000_000, 2_000_000, "journal"),)
    assert own.result == 0
    assert own.end == pytest.approx(NOW - 2)


def test_an_incident() -> None:
    """An incident is read with its causes and facts; a window is named by its first cause."""
    answers = example()
    (own,) = diagnoses.incidents(Reader(answers["incidents"]))
    (window,) = diagnoses.analyses(Reader(answers["analyses"]))

    assert (own.id, own.cause, own.subject, own.opened) == ("0a1b2c3d", "JOURNAL_STALL", "device vda", NOW - 60)
    assert (own.causes[0].culprit, own.causes[0].against) == ("owner backup.service", ("E02",))
    assert [(fact.value, fact.baseline) for fact in own.analysis.facts] == [(2.5, 0.1), (0.4, None)]
    assert (window.state, window.cause, window.summary) == ("window", "JOURNAL_STALL", "The journal waits for backup.service.")


@pytest.mark.parametrize("ask", ASKS, ids=lambda ask: ask.path)
def test_every_text_is_safe(ask: Ask[Any]) -> None:
    """No text of an answer keeps a character that a terminal acts on."""
    hostile = ask.read(Reader(_everywhere(example()[ask.path])))

    assert list(_texts(hostile))
    assert all(text.isprintable() for text in _texts(hostile))


@pytest.mark.parametrize("ask", ASKS, ids=lambda ask: ask.path)
@pytest.mark.parametrize("wrong", [[], "text", 7, True])
def test_another_type_is_refused(ask: Ask[Any], wrong: Any) -> None:
    """An answer that is no object, or holds anything but the declared type, is refused by name and not shown."""
    with pytest.raises(Unreadable):
        ask.read(Reader(wrong))
    for name in example()[ask.path]:
        if not isinstance(wrong, list) and isinstance(example()[ask.path][name], list):
            with pytest.raises(Unreadable):
                ask.read(Reader({name: wrong}))


@pytest.mark.parametrize("ask", ASKS, ids=lambda ask: ask.path)
def test_what_is_missing_is_empty(ask: Ask[Any]) -> None:
    """An agent of another version that gives less is still shown."""
    ask.read(Reader({}))


def test_events_are_merged() -> None:
    """Events come together the newest first, each once, the newer answer of one that went on, and no more than are kept."""
    first, second, third = (model.event(Reader(event(pid, 10_000_000, back=pid))) for pid in (1, 2, 3))
    again = second._replace(comm="renamed")

    assert model.merged((second, third), (first, again), 3) == (first, again, third)
    assert model.merged((second, third), (first,), 2) == (first, second)


def _everywhere(own: Any) -> Any:
    if isinstance(own, dict):
        return {name: _everywhere(value) for name, value in own.items()}
    if isinstance(own, list):
        return [_everywhere(value) for value in own]
    return HOSTILE if isinstance(own, str) else own


def _texts(own: Any) -> list[str]:
    if isinstance(own, str):
        return [own]
    return [text for part in own for text in _texts(part)] if isinstance(own, tuple) else []


def test_the_hostile_name_is_told_whole() -> None:
    """What was escaped can still be read."""
    assert model.event(Reader(event(1, 10, HOSTILE))).process_name == SAFE
