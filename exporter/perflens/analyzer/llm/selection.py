"""Which lines of a bundle are sent where not all have room: what speaks for and against the best causes first."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain, zip_longest

from perflens.analysis import Bundle, Fact, Hypothesis, Subject
from perflens.analyzer.llm.lines import Writer, is_change

__all__ = ["Selection", "selected"]

_HYPOTHESES = 5
_MISSING = 3


@dataclass(frozen=True, slots=True)
class Selection:
    """Lines of a prompt, and the ids of the facts among them."""

    lines: tuple[str, ...]
    facts: frozenset[str]


def selected(writer: Writer, tokens: Callable[[str], int], room: int) -> Selection:
    """Return the lines that fit into ``room`` tokens, in an order that does not depend on the room."""
    basket = _Basket(writer, tokens, room)
    bundle = writer.bundle
    hypotheses = [own for own in bundle.hypotheses[:_HYPOTHESES] if basket.takes(writer.hypothesis(own, _ids(own)), *_subjects(own))]
    facts = {fact.id: fact for fact in bundle.facts}
    sent = {fact.id for fact in _evidence(hypotheses, facts) if basket.takes(writer.fact(fact), fact.subject)}
    impact = writer.impact()
    told = [impact] if basket.takes(impact, *list(bundle.impact.victims)[:3]) else []
    sent |= {fact.id for fact in _rest(bundle, sent) if basket.takes(writer.fact(fact), fact.subject)}
    told += [line for line in _actions(writer, hypotheses) if basket.takes(line)]
    told += [line for line in _missing(writer, hypotheses) if basket.takes(line)]
    listed = [line for own in hypotheses if (line := writer.hypothesis(own, sent))]
    measured = [writer.fact(fact) for fact in sorted(bundle.facts, key=lambda fact: fact.id) if fact.id in sent]
    return Selection((*basket.subjects(), *listed, *measured, *told), frozenset(sent))


@dataclass(slots=True)
class _Basket:
    """Takes lines while there is room, and with each the lines of subjects that none before it spoke of."""

    writer: Writer
    tokens: Callable[[str], int]
    room: int
    _labels: dict[str, str] = field(default_factory=dict)
    _taken: set[str] = field(default_factory=set)

    def takes(self, line: str, *subjects: Subject) -> bool:
        if not line or line in self._taken:
            return False
        written = {self.writer.aliases.label(subject): self.writer.subject(subject) for subject in subjects}
        new = {label: text for label, text in written.items() if text and label not in self._labels}
        cost = sum(self.tokens(text) + 1 for text in (line, *new.values()))  # with the end of the line
        if cost > self.room:
            return False
        self.room -= cost
        self._labels |= new
        self._taken.add(line)
        return True

    def subjects(self) -> list[str]:
        return [self._labels[label] for label in sorted(self._labels)]


def _ids(own: Hypothesis) -> tuple[str, ...]:
    return (*own.supporting, *own.against)


def _subjects(own: Hypothesis) -> tuple[Subject, ...]:
    return (own.subject, *((own.culprit,) if own.culprit else ()), *own.victims)


def _evidence(hypotheses: list[Hypothesis], facts: dict[str, Fact]) -> Iterator[Fact]:
    """Yield the facts for and against each cause by turns, each fact once."""
    turns = chain.from_iterable(chain.from_iterable(zip_longest(own.supporting, own.against)) for own in hypotheses)
    for identity in dict.fromkeys(turns):
        if identity in facts:
            yield facts[identity]


def _rest(bundle: Bundle, sent: set[str]) -> list[Fact]:
    """Return the other facts: changes by how near the onset they were, then what moved most."""
    return sorted((fact for fact in bundle.facts if fact.id not in sent), key=_rank)


def _rank(fact: Fact) -> tuple[int, float, str]:
    if is_change(fact):
        return (0, abs(fact.value), fact.id)
    ratio = fact.ratio
    return (1, -abs(math.log2(ratio)) if ratio and 0 < ratio < math.inf else 0.0, fact.id)


def _actions(writer: Writer, hypotheses: list[Hypothesis]) -> list[str]:
    identities = dict.fromkeys(action for own in hypotheses for action in own.actions)
    return [line for identity in identities if (line := writer.action(identity))]


def _missing(writer: Writer, hypotheses: list[Hypothesis]) -> list[str]:
    texts = dict.fromkeys((*writer.bundle.gaps, *(text for own in hypotheses for text in own.missing)))
    return [line for text in texts if (line := writer.missing(text))][:_MISSING]
