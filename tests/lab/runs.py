"""The runs that were made: one file each, so that they add up over days."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.lab.scenarios import SCENARIOS

__all__ = ["Outcome", "kept", "load", "nameless", "rules"]

_OURS = re.compile(r"/(q4x|z8m)\d+")
_PATH = re.compile(r"/(?!usr/|bin/|sbin/|proc/|sys/|var/tmp/lab-)(?:[\w.+-]+/)+([\w.+-]+)")
_RULES = Path(__file__).parents[2] / "exporter/perflens/analyzer"


@dataclass(frozen=True)
class Outcome:
    """One run of a scenario.

    ``said`` has the first cause of each incident in the order in which they opened, ``ranked`` the causes of the first one, best first;
    ``seconds`` is from the begin of the fault until its cause was the first one of an open incident, None if it never was. ``felt``:
    whether the victim was hurt by its own clock. ``lasted`` is how long the fault was there. ``rules`` names the rules' text.
    """

    scenario: str
    truth: tuple[str, ...]
    said: tuple[str, ...]
    ranked: tuple[str, ...]
    seconds: float | None
    subject: str
    culprit: str
    culprit_right: bool | None
    again: bool
    felt: bool
    lasted: float
    when: str
    rules: str
    paces: tuple[float, ...] = ()
    evidence: tuple[dict[str, Any], ...] = field(default=(), repr=False)

    @property
    def fault(self) -> str:
        """What was wrong, by whatever means."""
        return self.scenario.partition(".")[0]

    @property
    def is_negative(self) -> bool:
        """Whether nothing was wrong, or nobody felt it."""
        return not self.truth or not self.felt

    @property
    def right(self) -> bool:
        """Whether the first cause of the first incident is right; where nothing was wrong, whether nothing was said."""
        if not self.truth:
            return not self.said
        return bool(self.said) and self.said[0] in self.truth


def rules() -> str:
    """Return the name of the rules as they are now: a hash of their text."""
    texts = [own.read_bytes() for own in sorted(_RULES.rglob("*.py")) if "llm" not in own.parts]
    return hashlib.sha256(b"".join(texts)).hexdigest()[:8]


def kept(outcome: Outcome, folder: Path) -> Path:
    """Write a run, and return the file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{outcome.when.replace(':', '')}-{outcome.scenario}.json.gz"
    path.write_bytes(gzip.compress(json.dumps(asdict(outcome)).encode(), mtime=0))
    return path


def nameless(evidence: Any) -> Any:
    """Return evidence without the names of the host, and of owners and folders on it that are none of the lab's."""
    others = sorted({own for own in _owners(evidence) if len(own) > 1 and not _OURS.fullmatch(own)}, key=len, reverse=True)
    return _renamed(evidence, {own: f"/other{at}" for at, own in enumerate(others)})


def _owners(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if value.get("kind") == "owner" and "name" in value:
            yield value["name"]
        value = list(value.values())
    if isinstance(value, list | tuple):
        for own in value:
            yield from _owners(own)


def _renamed(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: "host" if key == "host" else _renamed(own, names) for key, own in value.items()}
    if isinstance(value, list | tuple):
        return [_renamed(own, names) for own in value]
    if isinstance(value, str):
        for old, new in names.items():
            value = value.replace(old, new)
        return _PATH.sub(r"/other/\1", value)
    return value


def load(folder: Path) -> list[Outcome]:
    """Return every run, the oldest first. Its half is that of its scenario as it is now: a rule may have been changed under it since."""
    return [_outcome(json.loads(gzip.decompress(path.read_bytes()))) for path in sorted(folder.glob("*.json.gz"))]


def _outcome(document: dict[str, Any]) -> Outcome:
    own = Outcome(**{name: _frozen(value) for name, value in document.items()})
    return replace(own, again=SCENARIOS[own.scenario].again) if own.scenario in SCENARIOS else own


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
