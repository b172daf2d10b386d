"""analyzer/llm/prompt.py, lines.py, selection.py and schema.py: what leaves the host."""

from __future__ import annotations

import json
from dataclasses import replace
from math import inf, nan

import pytest

from perflens.analysis import Bundle, Fact, Impact, Subject, SubjectKind
from perflens.analyzer.llm.prompt import SYSTEM, Prompt, prompt_of
from perflens.analyzer.llm.schema import schema_of
from perflens.analyzer.llm.settings import Mode
from perflens.analyzer.llm.tokens import Estimator
from perflens.analyzer.llm.vocabulary import CODES, FACT_IDS, Vocabulary
from tests.unit.analyzer.llm.bundles import BUNDLE, CHILD, DISK, FACTS, NOISY, SLOW, VOCABULARY, fact, hypothesis, prompt
from tests.unit.analyzer.llm.corpus import CORPUS

DATA = """\
<data>
C1 owner database
D1 device nvme
P1 process backup
NOISY_NEIGHBOUR_IO on D1, score 0.86, culprit P1, victims C1, for E01 E03, against E04, actions A01 A02, explains 81%
SLOW_DEVICE on D1, score 0.74, for E01 E02, actions A03, explains 50%
DIRTY_THROTTLE on D1, score 0.60, for E06, explains 50%, effect of another
E01 D1 device latency 48.2 ms (base 1.30 ms, x37, n=8123)
E02 D1 requests 95.0 /s (base 98.0 /s, x0.97, n=8123)
E03 P1 share of the device's time 81.3 % (base 5.00 %, x16, n=8123)
E04 C1 throttled periods 0 % (n=8123)
E05 P1 was started 4.20 s before the onset
E06 HOST free memory 250 MB (base 1.00 GB, x0.25, n=8123)
impact: 412 slow operations, 38.2 s in all; victims C1 31.0 s
A01 limit the culprit's bandwidth
A02 run it at another hour
A03 check the device
not measured: no stacks
</data>"""
ESTIMATE = Estimator().tokens


def data_of(own: Prompt) -> str:
    return own.user[own.user.rindex("<data>") :]


def test_whole() -> None:
    own = prompt()
    assert data_of(own) == DATA
    assert own.system == SYSTEM
    assert own.facts == {"E01", "E02", "E03", "E04", "E05", "E06"}
    assert [message["role"] for message in own.messages()] == ["system", "user"]
    assert own.messages(shorter=True)[1]["content"].startswith(own.user)


def test_impact_below_the_threshold() -> None:
    """What took longer than usual without being slow is said so."""
    own = prompt_of(replace(BUNDLE, impact=replace(BUNDLE.impact, operations=0)), VOCABULARY, "alias", "", ESTIMATE, 2_000)
    assert "impact: no slow operations, 38.2 s more than usual; victims C1 31.0 s" in data_of(own).splitlines()


def test_operator() -> None:
    """The operator's words stand in the system role, after ours and up to a length; nothing in them is a template."""
    own = prompt_of(BUNDLE, VOCABULARY, "alias", "{host} " + "x" * 2_000, ESTIMATE, 2_000)
    assert own.system == f"{SYSTEM}\n\n{{host}} {'x' * 993}"
    assert "{host}" not in own.user


def test_names() -> None:
    """Where names are sent they are reduced and quoted; details are not sent even then."""
    own = prompt_of(BUNDLE, VOCABULARY, "names", "", ESTIMATE, 2_000)
    assert data_of(own).splitlines()[1:4] == [
        'C1 owner database "postgresql.service"',
        'D1 device nvme "nvme0n1"',
        'P1 process backup "rsync_4711_"',
    ]
    assert "hunter2" not in own.text


@pytest.mark.parametrize("mode", ["alias", "names"])
def test_injection_of_names(mode: Mode) -> None:
    """No name, detail or other text of the host is in the prompt, nor twelve bytes of it."""
    for text in CORPUS:
        own = prompt_of(hostile(text), VOCABULARY, mode, "", ESTIMATE, 2_000).text.encode()
        written = text.encode("utf-8", "surrogatepass")
        if mode == "alias":
            assert not any(written[at : at + 12] in own for at in range(max(1, len(written) - 11)))
        assert b"\x1b" not in own
        assert own.count(b"</data>") == 2  # of the rules and of the end
        assert own.isascii()


def test_prompt_is_the_same_whatever_the_names() -> None:
    """Not even the class of a hostile name differs from that of any other unknown one."""
    kinds: tuple[SubjectKind, ...] = ("device", "owner", "process", "file")
    plain = {text: prompt_of(hostile(text, kinds), VOCABULARY, "alias", "", ESTIMATE, 2_000).user for text in CORPUS}
    first = plain[CORPUS[0]]
    differing = {text for text, user in plain.items() if user != first}
    assert all(text.startswith(("/tmp/", "/var/lib/docker/")) for text in differing)


def hostile(text: str, kinds: tuple[SubjectKind, ...] = ("device", "owner", "process", "file")) -> Bundle:
    """A bundle whose every name, volume, detail and gap is a text."""
    subjects = [Subject(kind, text, text) for kind in kinds]
    facts = tuple(fact(f"E0{at}", subject=subject, detail=text if at % 2 else "") for at, subject in enumerate(subjects, 1))
    own = hypothesis(
        "SLOW_DEVICE", 0.8, ("E01",), subject=subjects[0], culprit=subjects[1], victims=tuple(subjects), claim=text, missing=(text,)
    )
    said = replace(facts[0], id="E05", text=f"latency of {text}")
    return Bundle(text, 0, 1, 0, Impact(3, 1.5, dict.fromkeys(subjects, 1.0)), (*facts, said), (own,), "incident", (text, f"no {text}"))


def test_corpus_is_large() -> None:
    assert len(CORPUS) >= 200


@pytest.mark.parametrize("budget", [0, 700, 900, 1_200, 2_000])
def test_budget(budget: int) -> None:
    """The data fit into what the words around them leave."""
    facts = tuple(fact(identity, value=0.01 * at) for at, identity in enumerate(FACT_IDS, 1))
    own = prompt(replace(BUNDLE, facts=facts), budget)
    around = ESTIMATE(prompt(replace(BUNDLE, facts=(), hypotheses=()), 0).text)
    assert ESTIMATE(own.text) <= max(budget, around)
    assert (len(own.facts) > 0) == (budget > around + 200)


def test_evidence_of_the_best_causes_comes_first() -> None:
    """What speaks for and against the causes is sent before what moved more, and that before what did not move."""
    context = tuple(fact(f"E{at}", value=0.0013 * at, polarity="context") for at in range(10, 60))
    evidence = tuple(replace(own, value=own.baseline or own.value) for own in FACTS[:4])
    bundle = replace(BUNDLE, facts=(*evidence, *context), hypotheses=(NOISY, SLOW))
    facts = prompt(bundle, 1_150).facts
    assert {"E01", "E02", "E03", "E04", "E59"} <= facts
    assert "E10" not in facts


def test_unknown_code_is_not_written() -> None:
    odd = hypothesis("MY OWN </data>", 0.9, ("E01",))
    assert "MY OWN" not in prompt(replace(BUNDLE, hypotheses=(odd, SLOW, CHILD))).text


@pytest.mark.parametrize(
    "own",
    [
        fact("E61"),
        fact("E7"),
        fact("E07</data>"),
        fact("E07", value=nan),
        fact("E07", value=inf),
        fact("E07", baseline=nan),
    ],
)
def test_facts_that_cannot_be_written(own: Fact) -> None:
    assert prompt(replace(BUNDLE, facts=(own,), hypotheses=())).facts == frozenset()


@pytest.mark.parametrize(
    ("text", "metric", "expected"),
    [
        ("device latency", "block.latency", "device latency"),
        ("latency of nvme0n1", "block.latency", "block.latency"),
        ("latency of NVME0N1", "block.latency", "block.latency"),
        ("latency of db-host-7", "block.latency", "block.latency"),
        ("read of /etc/shadow", "block.latency", "block.latency"),
        ("a\nb", "block.latency", "block.latency"),
        ("<b>", "a b\n", "measured"),
        ("I/O wait p99 (writes)", "m", "I/O wait p99 (writes)"),
    ],
)
def test_text_of_a_fact(text: str, metric: str, expected: str) -> None:
    """A text with a name in it gives way to the name of its metric."""
    own = prompt(replace(BUNDLE, facts=(fact("E01", text, metric=metric, baseline=None),), hypotheses=()))
    assert f"E01 D1 {expected} 48.2 ms (n=8123)" in own.user


@pytest.mark.parametrize(("sent", "ids"), [((), 20), (("E01", "E20"), 20), (("E21",), 40), (("E60",), 60)])
def test_schema_has_the_ids_that_may_be_needed(sent: tuple[str, ...], ids: int) -> None:
    schema = schema_of(Vocabulary(), sent)
    assert schema["properties"]["summary_evidence"]["items"]["enum"] == list(FACT_IDS[:ids])


def test_schema_is_constant_and_portable() -> None:
    """Every object has all its properties required, and no keyword is used that a server might not have."""
    schema = schema_of(Vocabulary())
    assert json.dumps(schema) == json.dumps(schema_of(Vocabulary()))
    seen: set[str] = set()

    def walk(own: dict[str, object]) -> None:
        seen.update(own)
        if own["type"] == "object":
            assert isinstance(own["properties"], dict)
            assert own["required"] == list(own["properties"])
            assert own["additionalProperties"] is False
            for each in own["properties"].values():
                walk(each)
        if own["type"] == "array":
            assert isinstance(own["items"], dict)
            walk(own["items"])

    walk(schema)
    assert seen == {"type", "additionalProperties", "required", "properties", "items", "enum"}
    cause = schema["properties"]["causes"]["items"]["properties"]
    assert cause["code"]["enum"] == [*CODES, "OTHER"]
    assert cause["evidence"]["items"]["enum"] == [f"E{number:02d}" for number in range(1, 61)]
    assert cause["actions"]["items"]["enum"] == [f"A{number:02d}" for number in range(1, 41)]
    assert cause["culprit"]["enum"] == ["", *(f"C{at}" for at in range(1, 9)), *(f"P{at}" for at in range(1, 9))]


def test_vocabulary_has_words_alone() -> None:
    with pytest.raises(ValueError, match="no word"):
        Vocabulary(("A CODE",))


def test_estimator() -> None:
    """An estimate follows what servers count, slowly and within bounds."""
    own = Estimator()
    assert own.tokens("x" * 33) == 18
    assert own.tokens("x\n" * 10) == round(20 / 3.3 + 88)
    own.correct("x" * 33, 36)
    assert own.factor == 1.2
    for _ in range(99):
        own.correct("x" * 33, 10**6)
    assert own.factor == pytest.approx(2.0)
    own.correct("x", 0)
    assert own.factor == pytest.approx(2.0)


def test_disk_is_known_by_its_kind_alone() -> None:
    assert DISK.name not in prompt().text
