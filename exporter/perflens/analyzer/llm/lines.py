"""A bundle as lines of text, one fact each, without anything that somebody on the host could have written."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from perflens.analysis import Bundle, Fact, Hypothesis, Subject
from perflens.analyzer.llm.aliases import Aliases, reduced
from perflens.analyzer.llm.classes import class_of, program_of
from perflens.analyzer.llm.numbers import times, written
from perflens.analyzer.llm.settings import Mode
from perflens.analyzer.llm.vocabulary import FACT_IDS, Vocabulary

__all__ = ["Writer", "is_change"]

_IDS = frozenset(FACT_IDS)
_LONGEST = 120
_PLAIN = re.compile(r"[A-Za-z0-9 ,.()+%_/'-]+")
_PATH = re.compile(r"(?<!\w)[/~.]\w|\w/\w+/|//")
_METRIC = re.compile(r"[a-z][a-z0-9_.]{0,63}")
_UNKNOWN = "measured"


def is_change(fact: Fact) -> bool:
    """Whether a fact is of something that was changed before the onset."""
    return bool(fact.detail)


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes the lines of one bundle. A line that cannot be written, of a subject without a pseudonym, is empty.

    Details of facts, claims of the rules and the host's name are never written, other names in the mode ``names`` alone.
    """

    bundle: Bundle
    aliases: Aliases
    vocabulary: Vocabulary
    mode: Mode
    hostile: re.Pattern[str] | None = None

    @classmethod
    def of(cls, bundle: Bundle, aliases: Aliases, vocabulary: Vocabulary, mode: Mode) -> Writer:
        """Return the writer of a bundle."""
        return cls(bundle, aliases, vocabulary, mode, _names_in(bundle))

    def fact(self, fact: Fact) -> str:
        """``E07 D1 device latency 48.2 ms (base 1.30 ms, x37, n=8123)``"""
        label = self.aliases.label(fact.subject)
        numbers = [fact.value] if fact.baseline is None else [fact.value, fact.baseline]
        if not label or fact.id not in _IDS or not all(map(math.isfinite, numbers)):
            return ""
        value = written(fact.value, fact.unit)
        if is_change(fact):
            return f"{fact.id} {label} {self._text(fact)} {value} before the onset"
        return f"{fact.id} {label} {self._text(fact)} {value} ({', '.join(_notes(fact))})"

    def hypothesis(self, own: Hypothesis, sent: Iterable[str]) -> str:
        """``SLOW_DEVICE on D1, score 0.86, victims C1, for E07 E11, against E20, explains 81 %``; of the facts those that are sent."""
        subject = self.aliases.label(own.subject)
        if not subject or own.code not in self.vocabulary.codes:
            return ""
        known = frozenset(sent)
        parts = [f"{own.code} on {subject}", f"score {own.score:.2f}"]
        parts += _listed("culprit", [self.aliases.label(own.culprit)])
        parts += _listed("victims", [self.aliases.label(victim) for victim in own.victims])
        parts += _listed("for", [identity for identity in own.supporting if identity in known])
        parts += _listed("against", [identity for identity in own.against if identity in known])
        parts += _listed("actions", [action for action in own.actions if action in self.vocabulary.actions])
        parts += [f"explains {own.explains:.0%}", *(["effect of another"] if own.contributing else [])]
        return ", ".join(parts)

    def action(self, identity: str) -> str:
        """``A03 lower the limit``; empty for an action without a text."""
        text = self.vocabulary.actions.get(identity, "")
        return f"{identity} {text}" if text else ""

    def subject(self, subject: Subject) -> str:
        """``C1 owner database``, with the reduced name of the subject where names are sent."""
        label = self.aliases.label(subject)
        if not label or subject.kind == "host":
            return ""
        line = f"{label} {subject.kind} {class_of(subject)}"
        return f"{line} {reduced(subject.name)}" if self.mode == "names" else line

    def impact(self) -> str:
        """``impact: 412 slow operations, 38.2 s in all; victims C1 31.0 s``"""
        impact = self.bundle.impact
        labels = ((self.aliases.label(victim), seconds) for victim, seconds in list(impact.victims.items())[:3])
        victims = ", ".join(f"{label} {written(seconds, 's')}" for label, seconds in labels if label)
        took = written(impact.seconds, "s")
        slow = f"{impact.operations} slow operations, {took} in all" if impact.operations else f"no slow operations, {took} more than usual"
        total = f"impact: {slow}"
        return f"{total}; victims {victims}" if victims else total

    def missing(self, text: str) -> str:
        """``not measured: …``; empty where the text is not plain or has a name in it."""
        return f"not measured: {text}" if self._is_plain(text) else ""

    def _text(self, fact: Fact) -> str:
        """Return what a fact is of: its text where that is plain, else its metric."""
        if self._is_plain(fact.text):
            return fact.text
        return fact.metric if _METRIC.fullmatch(fact.metric) and self._is_plain(fact.metric) else _UNKNOWN

    def _is_plain(self, text: str) -> bool:
        if len(text) > _LONGEST or not _PLAIN.fullmatch(text) or _PATH.search(text):
            return False
        return not (self.hostile and self.hostile.search(text))


def _listed(name: str, values: Iterable[str]) -> list[str]:
    words = " ".join(value for value in values if value)
    return [f"{name} {words}"] if words else []


def _notes(fact: Fact) -> list[str]:
    notes = [] if fact.baseline is None else [f"base {written(fact.baseline, fact.unit)}"]
    if fact.ratio is not None and fact.ratio > 0:
        notes.append(times(fact.ratio))
    return [*notes, f"n={fact.samples}", *([] if fact.quality == "exact" else [fact.quality])]


def _names_in(bundle: Bundle) -> re.Pattern[str] | None:
    """Return what finds a name of the bundle, whole or in its usual short form, in text that should have none."""
    names = {bundle.host}
    for subject in _subjects(bundle):
        names |= {subject.name, subject.volume, program_of(subject.name), subject.name.rpartition("/")[2]}
    names |= {fact.detail for fact in bundle.facts}
    words = sorted((re.escape(name.strip()) for name in names if name.strip()), key=len, reverse=True)
    return re.compile(rf"(?<![A-Za-z0-9])(?:{'|'.join(words)})(?![A-Za-z0-9])", re.IGNORECASE) if words else None


def _subjects(bundle: Bundle) -> Iterable[Subject]:
    for own in bundle.hypotheses:
        yield from (own.subject, *own.victims, *((own.culprit,) if own.culprit else ()))
    yield from (fact.subject for fact in bundle.facts)
    yield from bundle.impact.victims
