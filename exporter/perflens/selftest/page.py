"""A page of metrics, read back: its samples, and sums over those that fit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation

__all__ = ["Page"]

_SAMPLE = re.compile(r"([a-z_:]+)(?:\{(.*)\})? (\S+)(?: \S+)?")
_LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\(.)")
_PLAIN = {"n": "\n"}


class Page:
    """The samples of one scrape, in the text format of Prometheus."""

    def __init__(self, text: str) -> None:
        self._samples: dict[str, list[tuple[dict[str, str], Decimal]]] = {}
        for line in text.splitlines():
            match = _SAMPLE.fullmatch(line)
            if match:
                self._add(match)

    def _add(self, match: re.Match[str]) -> None:
        try:
            value = Decimal(match[3])
        except InvalidOperation:
            return
        labels = {name: _ESCAPED.sub(lambda own: _PLAIN.get(own[1], own[1]), text) for name, text in _LABEL.findall(match[2] or "")}
        self._samples.setdefault(match[1], []).append((labels, value))

    def each(self, name: str, wanted: Mapping[str, str]) -> Iterator[tuple[dict[str, str], Decimal]]:
        """Yield the labels and the value of each sample that has these labels."""
        return ((labels, value) for labels, value in self._samples.get(name, ()) if wanted.items() <= labels.items())

    def total(self, name: str, **wanted: str) -> Decimal:
        """Return the sum of a metric over the series with these labels."""
        return sum((value for _, value in self.each(name, wanted)), Decimal(0))

    def by(self, label: str, name: str, **wanted: str) -> dict[str, Decimal]:
        """Return the sums by the value of a label; series without it are left out."""
        found: dict[str, Decimal] = {}
        for labels, value in self.each(name, wanted):
            if label in labels:
                found[labels[label]] = found.get(labels[label], Decimal(0)) + value
        return found

    def values(self, label: str, name: str, **wanted: str) -> set[str]:
        """Return the values that a label has in the series of a metric."""
        return {labels[label] for labels, _ in self.each(name, wanted) if label in labels}

    def has(self, name: str) -> bool:
        """Whether a metric has a sample."""
        return name in self._samples
