"""Bundles as the rules make them, and replies that suit them."""

from __future__ import annotations

from typing import Any

from perflens.analysis import Bundle, Fact, Hypothesis, Impact, Incident, Polarity, Severity, State, Subject
from perflens.analyzer.llm.prompt import Prompt, prompt_of
from perflens.analyzer.llm.tokens import Estimator
from perflens.analyzer.llm.vocabulary import Vocabulary

DISK = Subject("device", "nvme0n1")
DATABASE = Subject("owner", "postgresql.service")
BACKUP = Subject("process", "rsync[4711]")
FILE = Subject("file", "/var/lib/postgresql/base/16384")
SECOND = 1_000_000_000
VOCABULARY = Vocabulary(actions={"A01": "limit the culprit's bandwidth", "A02": "run it at another hour", "A03": "check the device"})


def fact(
    identity: str,
    text: str = "device latency",
    value: float = 0.0482,
    unit: str = "s",
    baseline: float | None = 0.0013,
    subject: Subject = DISK,
    polarity: Polarity = "support",
    detail: str = "",
    metric: str = "block.latency",
) -> Fact:
    """One fact, of 8123 samples."""
    return Fact(identity, metric, subject, text, value, unit, baseline, 8123, "exact", "bpf:block", polarity, detail)


def hypothesis(code: str, score: float, supporting: tuple[str, ...], **rest: Any) -> Hypothesis:
    """One hypothesis about the disk."""
    known: dict[str, Any] = {"subject": DISK, "culprit": None, "victims": (), "claim": f"{code} of nvme0n1", "against": (), "explains": 0.5}
    return Hypothesis(code=code, score=score, supporting=supporting, **{**known, **rest})


FACTS = (
    fact("E01"),
    fact("E02", "requests", 95.0, "1/s", 98.0),
    fact("E03", "share of the device's time", 0.813, "ratio", 0.05, BACKUP),
    fact("E04", "throttled periods", 0.0, "ratio", None, DATABASE, "refute"),
    fact("E05", "was started", 4.2, "s", None, BACKUP, "context", "rsync --password=hunter2 /srv"),
    fact("E06", "free memory", 2.5e8, "B", 1.0e9, Subject("host")),
)
NOISY = hypothesis(
    "NOISY_NEIGHBOUR_IO", 0.86, ("E01", "E03"), culprit=BACKUP, victims=(DATABASE,), against=("E04",), explains=0.81, actions=("A01", "A02")
)
SLOW = hypothesis("SLOW_DEVICE", 0.74, ("E01", "E02"), actions=("A03",))
CHILD = hypothesis("DIRTY_THROTTLE", 0.6, ("E06",), contributing=True)
BUNDLE = Bundle(
    "db-host-7", 0, 30 * SECOND, 20 * SECOND, Impact(412, 38.2, {DATABASE: 31.0}), FACTS, (NOISY, SLOW, CHILD), "incident", ("no stacks",)
)


def prompt(bundle: Bundle = BUNDLE, budget: int = 2_000, vocabulary: Vocabulary = VOCABULARY) -> Prompt:
    """The prompt of a bundle in the default mode."""
    return prompt_of(bundle, vocabulary, "alias", "", Estimator().tokens, budget)


def cause(code: str = "NOISY_NEIGHBOUR_IO", claim: str = "P1 takes 81.3 % of the time of D1.", **rest: Any) -> dict[str, Any]:
    """One cause of a reply."""
    known = {
        "code": code,
        "subject": "D1",
        "culprit": "",
        "victim": "",
        "claim": claim,
        "evidence": ["E01", "E03"],
        "against": [],
        "confidence": "medium",
        "actions": [],
    }
    return {**known, **rest}


def reply(*causes: dict[str, Any], **rest: Any) -> dict[str, Any]:
    """A reply, without a cause given one with the first of the rules."""
    known = {
        "verdict": "incident",
        "summary": "P1 makes D1 take 48.2 ms instead of 1.30 ms.",
        "summary_evidence": ["E01", "E03"],
        "causes": list(causes) or [cause()],
        "unknowns": [],
    }
    return {**known, **rest}


def incident(
    bundle: Bundle = BUNDLE, updated: int = 0, severity: Severity = "warning", state: State = "open", identity: str = "0a1b2c3d"
) -> Incident:
    """An incident that a bundle is the evidence of."""
    return Incident(identity, bundle.host, state, severity, 0, updated, updated, 0, "", bundle.causes, bundle)
