"""Reads an answer: what breaks a rule is dropped and counted, nothing is made to fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, cast

from perflens.analysis import Bundle, Hypothesis, Subject, Verdict
from perflens.analyzer.llm.extract import ReplyError
from perflens.analyzer.llm.prompt import Prompt
from perflens.analyzer.llm.schema import CAUSE_KEYS, CONFIDENCES, REPLY_KEYS, VERDICTS
from perflens.analyzer.llm.sentences import Grounds, fault_of, sentences_of
from perflens.analyzer.llm.vocabulary import UNLISTED, Vocabulary

__all__ = ["Answer", "Cause", "answer_of"]

_SUMMARY_LONGEST = 400
_CLAIM_LONGEST = 240
_CAUSES_MOST = 3
_ACTIONS_MOST = 4

Confidence = Literal["low", "medium", "high"]


@dataclass(frozen=True, slots=True)
class Cause:
    """A cause that a model chose, ``OTHER`` for an idea of its own. ``claim`` is plain text with real names: who shows it escapes it."""

    code: str
    subject: Subject
    culprit: Subject | None
    victim: Subject | None
    claim: str
    evidence: tuple[str, ...]
    against: tuple[str, ...]
    confidence: Confidence
    actions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What is left of a reply, in the model's order with ideas of its own last. ``summary`` is plain text with real names.

    ``dropped`` counts sentences by the rule that they broke, ``kept`` those that are left; a cause that went whole counts as one.
    """

    verdict: Verdict
    summary: str
    summary_evidence: tuple[str, ...]
    causes: tuple[Cause, ...]
    dropped: Mapping[str, int]
    kept: int

    @property
    def listed(self) -> tuple[Cause, ...]:
        """The causes that the rules have too."""
        return tuple(cause for cause in self.causes if cause.code != UNLISTED)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left of what was said."""
        return not self.kept and bool(self.dropped)


def answer_of(value: Mapping[str, Any], bundle: Bundle, prompt: Prompt, vocabulary: Vocabulary) -> Answer:
    """Return what holds of a reply to a prompt; ReplyError when it does not have the form of one."""
    if not _is_reply(value):
        raise ReplyError("the reply does not match the schema")
    return _Judge(bundle, prompt, vocabulary).answer(value)


@dataclass(slots=True)
class _Judge:
    """Judges one reply and counts what it drops."""

    bundle: Bundle
    prompt: Prompt
    vocabulary: Vocabulary
    dropped: Counter[str] = field(default_factory=Counter)
    kept: int = 0
    chosen: set[tuple[str, Subject]] = field(default_factory=set)

    def answer(self, value: Mapping[str, Any]) -> Answer:
        verdict = cast(Verdict, value["verdict"])
        causes = self._causes(value["causes"], verdict)
        only_ideas = bool(causes) and all(cause.code == UNLISTED for cause in causes)
        summary, evidence = self._summary(value, only_ideas)
        return Answer(verdict, summary, evidence, causes, MappingProxyType(dict(self.dropped)), self.kept)

    def _causes(self, found: Sequence[Any], verdict: Verdict) -> tuple[Cause, ...]:
        causes: list[Cause] = []
        for position, each in enumerate(found):
            fault = "verdict" if verdict != "incident" else "length" if position >= _CAUSES_MOST else ""
            cause = fault or self._cause(each)
            if isinstance(cause, Cause):
                causes.append(cause)
                self.chosen.add((cause.code, cause.subject))
            elif cause:
                self._drop(cause)
        return tuple(sorted(causes, key=lambda cause: cause.code == UNLISTED))

    def _cause(self, found: Any) -> Cause | str:
        """Return a cause, or why it is none; empty when it lost every sentence, which are counted."""
        if not self._is_cause(found):
            return "schema"
        subjects = self.prompt.aliases.subjects
        named = [found[key] for key in ("subject", "culprit", "victim") if found[key]]
        if any(label not in subjects for label in named) or not found["subject"]:
            return "entity"
        subject, culprit, victim = (subjects.get(found[key]) for key in ("subject", "culprit", "victim"))
        assert subject
        if (found["code"], subject) in self.chosen:
            return "duplicate"
        evidence, against = tuple(dict.fromkeys(found["evidence"])), tuple(dict.fromkeys(found["against"]))
        fault = self._fault_of_evidence(evidence, against, found["confidence"]) or self._fault_of_choice(found, subject, culprit, evidence)
        if fault:
            return fault
        claim = self._told(found["claim"], evidence, _CLAIM_LONGEST)
        if not claim:
            return ""
        return Cause(found["code"], subject, culprit, victim, claim, evidence, against, found["confidence"], self._actions(found, subject))

    def _fault_of_evidence(self, evidence: tuple[str, ...], against: tuple[str, ...], confidence: str) -> str:
        if not self.prompt.facts.issuperset((*evidence, *against)):
            return "unknown_id"
        return "uncited" if len(evidence) < (2 if confidence == "high" else 1) else ""

    def _fault_of_choice(self, found: Mapping[str, Any], subject: Subject, culprit: Subject | None, evidence: tuple[str, ...]) -> str:
        """Why a cause is none that the rules left open; ideas of the model's own must be held for unlikely."""
        if found["code"] == UNLISTED:
            return "" if found["confidence"] == "low" else "other"
        same = [own for own in self.bundle.hypotheses if own.code == found["code"]]
        if not same:
            return "vetoed"
        own = next((own for own in same if own.subject == subject), None)
        if own is None or own.contributing:
            return "effect" if own else "subject"
        if culprit not in (None, own.culprit):
            return "culprit"
        return "" if set(evidence) & set(own.supporting) else "unsupported"

    def _actions(self, found: Mapping[str, Any], subject: Subject) -> tuple[str, ...]:
        own = _hypothesis(self.bundle, found["code"], subject)
        known = [action for action in dict.fromkeys(found["actions"]) if own and action in own.actions][:_ACTIONS_MOST]
        for _ in range(len(found["actions"]) - len(known)):
            self._drop("action")
        return tuple(known)

    def _summary(self, value: Mapping[str, Any], only_ideas: bool) -> tuple[str, tuple[str, ...]]:
        text, evidence = value["summary"].strip(), tuple(dict.fromkeys(value["summary_evidence"]))
        if not text:
            return "", ()
        fault = "other" if only_ideas else self._fault_of_evidence(evidence, (), "low")
        if fault:
            self._drop(fault)
            return "", ()
        told = self._told(text, evidence, _SUMMARY_LONGEST)
        return told, evidence if told else ()

    def _told(self, text: str, evidence: tuple[str, ...], longest: int) -> str:
        """Return the sentences of a text that hold by the facts that it cites, with real names."""
        grounds = Grounds({identity: self.bundle.fact(identity) for identity in evidence}, self._labels(), self._codes())
        told: list[str] = []
        for sentence in sentences_of(text) or [""]:
            is_long = len(" ".join((*told, sentence))) > longest
            fault = "length" if is_long or not sentence else fault_of(sentence, grounds)
            if fault:
                self._drop(fault)
            else:
                told.append(sentence)
        self.kept += len(told)
        return self.prompt.aliases.expanded(" ".join(told))

    def _labels(self) -> frozenset[str]:
        return frozenset((*self.prompt.aliases.subjects, *self.vocabulary.actions))

    def _codes(self) -> frozenset[str]:
        return frozenset(own.code for own in self.bundle.hypotheses)

    def _is_cause(self, found: Any) -> bool:
        if not isinstance(found, dict) or found.keys() != set(CAUSE_KEYS):
            return False
        lists = ("evidence", "against", "actions")
        texts = all(isinstance(found[key], str) for key in CAUSE_KEYS if key not in lists)
        if not texts or not all(map(_is_texts, (found[key] for key in lists))):
            return False
        return found["code"] in (*self.vocabulary.codes, UNLISTED) and found["confidence"] in CONFIDENCES

    def _drop(self, reason: str) -> None:
        self.dropped[reason] += 1


def _is_reply(value: Mapping[str, Any]) -> bool:
    if value.keys() != set(REPLY_KEYS) or value["verdict"] not in VERDICTS or not isinstance(value["summary"], str):
        return False
    return isinstance(value["causes"], list) and _is_texts(value["summary_evidence"]) and _is_texts(value["unknowns"])


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _hypothesis(bundle: Bundle, code: str, subject: Subject) -> Hypothesis | None:
    return next((own for own in bundle.hypotheses if own.code == code and own.subject == subject), None)
