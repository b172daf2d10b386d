"""analyzer/llm/reply.py and extract.py: what breaks a rule is dropped, and nothing else comes through."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perflens.analyzer.llm.aliases import ALIASES
from perflens.analyzer.llm.extract import LARGEST, ReplyError, extracted
from perflens.analyzer.llm.reply import Answer, answer_of
from perflens.analyzer.llm.sentences import sentences_of
from tests.unit.analyzer.llm.bundles import BACKUP, BUNDLE, DATABASE, DISK, VOCABULARY, cause, prompt, reply
from tests.unit.analyzer.llm.corpus import CORPUS

PROMPT = prompt()


def answer(*causes: dict[str, Any], **rest: Any) -> Answer:
    return answer_of(reply(*causes, **rest), BUNDLE, PROMPT, VOCABULARY)


def test_whole() -> None:
    own = answer(
        cause(culprit="P1", victim="C1", confidence="high", against=["E04"], actions=["A02", "A01"]),
        cause("SLOW_DEVICE", "D1 takes 48.2 ms.", evidence=["E02"]),
    )
    assert own.verdict == "incident"
    assert own.summary == "rsync[4711] makes nvme0n1 take 48.2 ms instead of 1.30 ms."
    assert own.summary_evidence == ("E01", "E03")
    first = own.causes[0]
    assert (first.code, first.subject, first.culprit, first.victim) == ("NOISY_NEIGHBOUR_IO", DISK, BACKUP, DATABASE)
    assert first.claim == "rsync[4711] takes 81.3 % of the time of nvme0n1."
    assert (first.evidence, first.against, first.confidence) == (("E01", "E03"), ("E04",), "high")
    assert first.actions == ("A02", "A01")
    assert dict(own.dropped) == {"number": 1}
    assert own.kept == 2


@pytest.mark.parametrize(
    ("own", "reason"),
    [
        (cause(evidence=["E01", "E44"]), "unknown_id"),
        (cause(against=["E44"]), "unknown_id"),
        (cause(evidence=[]), "uncited"),
        (cause(evidence=["E01"], confidence="high"), "uncited"),
        (cause(evidence=["E01", "E01"], confidence="high"), "uncited"),
        (cause(evidence=["E02"], claim="D1 has 95.0 /s."), "unsupported"),
        (cause("IO_CGROUP_THROTTLE"), "vetoed"),
        (cause("DIRTY_THROTTLE"), "effect"),
        (cause(subject="C1"), "subject"),
        (cause(subject="D2"), "entity"),
        (cause(subject=""), "entity"),
        (cause(victim="P8"), "entity"),
        (cause(culprit="C1"), "culprit"),
        (cause("OTHER", confidence="medium"), "other"),
        (cause("MY_OWN_CODE"), "schema"),
        (cause(confidence="certain"), "schema"),
        (cause(extra=1), "schema"),
        (cause(evidence="E01"), "schema"),
        (cause(evidence=[1]), "schema"),
        ({**cause(), "claim": None}, "schema"),
        (cause(claim=""), "length"),
        (cause(claim=f"P1 slows D1 {'very ' * 60}much."), "length"),
        (cause(claim="P1 takes 90 % of D1."), "number"),
        (cause(claim="P1 is at /tmp/x on D1."), "entity"),
        (cause(claim="D1's latency fell to 48.2 ms."), "direction"),
        ({"code": "SLOW_DEVICE"}, "schema"),
    ],
)
def test_cause_goes(own: dict[str, Any], reason: str) -> None:
    found = answer(own, summary="")
    assert found.causes == ()
    assert dict(found.dropped) == {reason: 1}
    assert found.is_empty


def test_only_the_sentence_goes() -> None:
    own = answer(cause(claim="P1 takes 81.3 % of D1. P1 takes 99 % of D1. D1 is slow."))
    assert own.causes[0].claim == "rsync[4711] takes 81.3 % of nvme0n1. nvme0n1 is slow."
    assert dict(own.dropped) == {"number": 1}


@pytest.mark.parametrize(
    ("summary", "evidence", "reason"),
    [
        ("D1 takes 48.2 ms.", [], "uncited"),
        ("D1 takes 48.2 ms.", ["E55"], "unknown_id"),
        ("D1 takes 48.2 ms.", ["E03"], "number"),
        ("D1 is slow " + "again " * 80, ["E01"], "length"),
    ],
)
def test_summary_goes(summary: str, evidence: list[str], reason: str) -> None:
    own = answer(summary=summary, summary_evidence=evidence)
    assert (own.summary, own.summary_evidence) == ("", ())
    assert dict(own.dropped) == {reason: 1}


def test_sentences_that_are_too_many_go() -> None:
    own = answer(summary="D1 takes 48.2 ms. " * 30)
    assert len(own.summary_evidence) == 2
    assert dict(own.dropped) == {"length": 8}
    assert own.summary.count(".") == 44  # two a sentence, of 22 sentences with 399 characters


def test_most() -> None:
    """Three causes and four actions at most, each cause once, and known actions alone."""
    own = answer(cause(), cause(), cause("SLOW_DEVICE", "D1 is slow."), cause("OTHER", "D1 is odd.", confidence="low"))
    assert [each.code for each in own.causes] == ["NOISY_NEIGHBOUR_IO", "SLOW_DEVICE"]
    assert dict(own.dropped) == {"duplicate": 1, "length": 1}
    assert answer(cause(actions=["A02", "A03", "A99", "A02"])).causes[0].actions == ("A02",)


def test_other_is_last_and_never_the_headline() -> None:
    idea = cause("OTHER", "D1 is odd.", confidence="low", evidence=["E02"])
    own = answer(idea, cause())
    assert [each.code for each in own.causes] == ["NOISY_NEIGHBOUR_IO", "OTHER"]
    assert [each.code for each in own.listed] == ["NOISY_NEIGHBOUR_IO"]
    alone = answer(idea)
    assert (alone.summary, alone.listed, dict(alone.dropped)) == ("", (), {"other": 1})


def test_causes_of_no_incident_go() -> None:
    own = answer(verdict="benign", summary="D1 takes 48.2 ms.")
    assert (own.verdict, own.causes, dict(own.dropped)) == ("benign", (), {"verdict": 1})


def test_facts_that_were_not_sent_cannot_be_cited() -> None:
    small = prompt(budget=800)
    assert "E06" not in small.facts
    own = answer_of(reply(cause(evidence=["E01", "E06"]), summary=""), BUNDLE, small, VOCABULARY)
    assert dict(own.dropped) == {"unknown_id": 1}


@pytest.mark.parametrize(
    "rest",
    [{"verdict": "maybe"}, {"summary": 1}, {"causes": {}}, {"unknowns": None}, {"summary_evidence": [None]}, {"more": 1}, {"verdict": []}],
)
def test_no_reply(rest: dict[str, Any]) -> None:
    with pytest.raises(ReplyError):
        answer(**rest)


def test_missing_key() -> None:
    own = reply()
    del own["unknowns"]
    with pytest.raises(ReplyError):
        answer_of(own, BUNDLE, PROMPT, VOCABULARY)


@pytest.mark.parametrize(
    ("text", "is_bare"),
    [
        ('{"a": "}{"}', True),
        (' {"a": "}{"}\n', True),
        ('```json\n{"a": "}{"}\n```', False),
        ('Sure: {"a": "}{"} and {"b": 1}', False),
        ('<think>{"b": 1}</think>{"a": "}{"}', False),
        ('<THINK>\n{\n</THINK>\n{"a": "}{"}', False),
    ],
)
def test_extracted(text: str, is_bare: bool) -> None:
    found = extracted(text)
    assert (found.value, found.is_bare) == ({"a": "}{"}, is_bare)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no object",
        "[1]",
        "{",
        "{a: 1}",
        '{"a": 1, "a": 2}',
        '{"a": {"b": 1, "b": 1}}',
        '{"a": NaN}',
        '<think>{"a": 1}',
        '{"a":' * 5_000,
        '{"a": "' + "x" * LARGEST + '"}',
        '{"a": ' + "9" * 5_000 + "}",
    ],
)
def test_not_extracted(text: str) -> None:
    with pytest.raises(ReplyError):
        extracted(text)


WORDS = st.sampled_from(
    (
        "D1",
        "P1",
        "C1",
        "D2",
        "E01",
        "E99",
        "48.2",
        "ms",
        "x37",
        "81.3 %",
        "rose",
        "fell",
        "not",
        "is slow",
        "/tmp",
        "sudo",
        "evil.com",
        "12",
        ". ",
    )
)
TEXTS = st.one_of(st.lists(WORDS, max_size=12).map(" ".join), st.text(max_size=60), st.sampled_from(CORPUS))
IDS = st.lists(st.sampled_from(("E01", "E02", "E03", "E04", "E07", "E60", "x")), max_size=4)
LABELS = st.sampled_from(("", *ALIASES, "D9"))
CODES = st.sampled_from(("NOISY_NEIGHBOUR_IO", "SLOW_DEVICE", "DIRTY_THROTTLE", "CPU_STEAL", "OTHER", "x"))
CONFIDENCES = st.sampled_from(("low", "medium", "high", "x"))
CAUSES = st.fixed_dictionaries(
    {
        "code": CODES,
        "subject": st.one_of(st.just("D1"), LABELS),
        "culprit": LABELS,
        "victim": LABELS,
        "claim": TEXTS,
        "evidence": IDS,
        "against": IDS,
        "confidence": CONFIDENCES,
        "actions": st.lists(st.sampled_from(("A01", "A03", "A77")), max_size=6),
    }
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS), lambda own: st.lists(own) | st.dictionaries(TEXTS, own)
)
REPLIES = st.fixed_dictionaries(
    {
        "verdict": st.sampled_from(("incident", "incident", "benign", "insufficient_evidence", "x")),
        "summary": TEXTS,
        "summary_evidence": IDS,
        "causes": st.lists(st.one_of(CAUSES, CAUSES, JSON), max_size=5),
        "unknowns": st.lists(TEXTS, max_size=3),
    }
)


@settings(deadline=None, max_examples=300)
@given(REPLIES)
def test_nothing_uncited_comes_through(own: dict[str, Any]) -> None:
    """Whatever a model says, each sentence that is told cites facts that it was sent, has their numbers, and no path or address."""
    try:
        found = answer_of(own, BUNDLE, PROMPT, VOCABULARY)
    except ReplyError:
        return
    assert len(found.causes) <= 3
    told = [(found.summary, found.summary_evidence), *((each.claim, each.evidence) for each in found.causes)]
    assert sum(len(sentences_of(text)) for text, _ in told) <= found.kept
    for text, evidence in told:
        assert not text or evidence
        assert PROMPT.facts.issuperset(evidence)
        assert not set("<>`$|\x1b\u202e") & set(text)
        plain = text.replace("rsync[4711]", "").replace("postgresql.service", "").replace("nvme0n1", "")
        assert not re.search(r"/|\.[A-Za-z]|sudo|\b12\b", plain)
    for each in found.listed:
        [rule] = [rule for rule in BUNDLE.hypotheses if (rule.code, rule.subject) == (each.code, each.subject)]
        assert set(each.evidence) & set(rule.supporting)
        assert set(each.actions) <= set(rule.actions)


@settings(deadline=None, max_examples=300)
@given(
    st.one_of(st.text(), JSON.map(lambda own: json.dumps(own)), REPLIES.map(json.dumps).map(lambda own: own[:-1] + "]}"), st.just("{" * 99))
)
def test_parser_raises_its_own_error_alone(text: str) -> None:
    try:
        answer_of(extracted(text).value, BUNDLE, PROMPT, VOCABULARY)
    except ReplyError:
        return
