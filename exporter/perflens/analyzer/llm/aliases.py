"""Pseudonyms of the subjects of one bundle, for what leaves the host, and back again for what comes in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from perflens.analysis import HOST, Bundle, Subject, SubjectKind

__all__ = ["ALIASES", "HOST_ALIAS", "POOL", "Aliases", "aliases_of", "reduced"]

HOST_ALIAS = "HOST"
POOL = 8
"""Most subjects of a kind that have a pseudonym; of the others nothing is said."""

_LETTERS: Mapping[SubjectKind, str] = MappingProxyType({"device": "D", "owner": "C", "process": "P", "file": "F"})
ALIASES = (*(f"{letter}{number}" for letter in _LETTERS.values() for number in range(1, POOL + 1)), HOST_ALIAS)
"""Every pseudonym there can be, the same for each bundle: D1-D8, C1-C8, P1-P8, F1-F8, HOST."""

_LONGEST = 32
_FOREIGN = re.compile(r"[^A-Za-z0-9._/-]+")
_ALIAS = re.compile(r"\b(?:[DCPF][1-8]|HOST)\b")


@dataclass(frozen=True, slots=True)
class Aliases:
    """Both directions: pseudonyms by subject, and subjects by pseudonym."""

    labels: Mapping[Subject, str]
    subjects: Mapping[str, Subject]

    def label(self, subject: Subject | None) -> str:
        """Return the pseudonym of a subject, empty where it has none."""
        return self.labels.get(subject, "") if subject else ""

    def expanded(self, text: str) -> str:
        """Return text with the names of this host for the pseudonyms in it; plain text, names are as hostile as they were."""
        return _ALIAS.sub(lambda found: self._name(found[0]), text)

    def _name(self, label: str) -> str:
        subject = self.subjects.get(label)
        return str(subject) if subject else label


def aliases_of(bundle: Bundle) -> Aliases:
    """Return pseudonyms, the first numbers for what the best hypotheses speak of; the same for the same bundle."""
    labels: dict[Subject, str] = {HOST: HOST_ALIAS}
    used = dict.fromkeys(_LETTERS.values(), 0)
    for subject in _subjects(bundle):
        letter = _LETTERS.get(subject.kind)
        if subject in labels or letter is None or used[letter] == POOL:
            continue
        used[letter] += 1
        labels[subject] = f"{letter}{used[letter]}"
    return Aliases(MappingProxyType(labels), MappingProxyType({label: subject for subject, label in labels.items()}))


def reduced(name: str) -> str:
    """Return a name of letters, digits and ``._/-`` in quotes, at most 32 characters; each run of others is one underscore."""
    return f'"{_FOREIGN.sub("_", name)[:_LONGEST]}"'


def _subjects(bundle: Bundle) -> Iterator[Subject]:
    for own in bundle.hypotheses:
        yield own.subject
        if own.culprit:
            yield own.culprit
        yield from own.victims
    for fact in bundle.facts:
        yield fact.subject
    yield from bundle.impact.victims
