"""Judges recorded windows again, and shows what the rules make of them now."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from perflens.agent.telling import model_of, tokens_of
from perflens.analysis import Action, Bundle, Fact, Hypothesis
from perflens.analyzer.actions import ACTIONS
from perflens.analyzer.causes import discover
from perflens.analyzer.conclusion import judged_again
from perflens.analyzer.records import LARGEST, BadRecord, Record, records_of
from perflens.analyzer.shapes import plain
from perflens.analyzer.words import told
from perflens.cli.asking import ended
from perflens.config import Settings
from perflens.errors import ConfigError, Problem
from perflens.export import analysis
from perflens.http.escaped import encode

__all__ = ["replay"]

_SECOND = 1_000_000_000
_LINE = 600
_NOTHING = "Nothing was slow: there is no window to judge."
_CURE = "write the path of a capsule, or of what /api/v1/analyses of an agent has answered"


@dataclass(frozen=True, slots=True)
class _Replayed:
    """A record, what it is judged now (itself, when it has no recording), and what a model says of that."""

    record: Record
    now: Bundle
    words: str = ""
    outcome: str = ""

    @property
    def is_judged(self) -> bool:
        return self.record.bundle.recording is not None

    @property
    def is_same(self) -> bool:
        """Whether it came to what was recorded; in which words does not count, which a capsule without names has not."""
        return _gist(self.now) == _gist(self.record.bundle)


def _gist(own: Bundle) -> object:
    return own.verdict, tuple(dataclasses.replace(cause, claim="") for cause in own.hypotheses)


def replay(path: str, settings: Settings, *, ask: bool = False, as_json: bool = False) -> int:
    """Print what each window comes to; ConfigError when the file is no recording, or there is no model to ask."""
    records = _read(path)
    causes = discover()
    found = [_Replayed(own, judged_again(own.bundle, causes) if own.bundle.recording else own.bundle) for own in records]
    if ask:
        found = asyncio.run(_worded(found, settings))
    if as_json:
        text = json.dumps(json.loads(encode([_json(own) for own in found])), indent=2)
    else:
        text = "\n".join(line for own in found for line in _text(own, ACTIONS)) or _NOTHING
    return ended(lambda: print(text))


def _read(path: str) -> Sequence[Record]:
    try:
        if path == "-":
            content = sys.stdin.buffer.read(LARGEST + 1)
        else:
            with Path(path).open("rb") as file:
                content = file.read(LARGEST + 1)
        records = records_of(content)
    except OSError as error:
        raise _refused(path, f"cannot be read: {error.strerror or error}") from error
    except BadRecord as error:
        raise _refused(f"{path}:{error.line}" if error.line else path, plain(str(error), _LINE)) from error
    return records


def _refused(place: str, message: str) -> ConfigError:
    return ConfigError((Problem(f"--replay {plain(place, _LINE)}", "", message, _CURE),))


async def _worded(found: Sequence[_Replayed], settings: Settings) -> list[_Replayed]:
    model = model_of(settings, tokens_of(settings).llm)
    if model is None:
        cure = "set llm.base_url, and llm.token_file or HF_TOKEN"
        raise ConfigError((Problem("--replay.llm", "", "there is no model to ask", cure),))
    worded = []
    try:
        for own in found:
            said = await model.explain(own.now, "replay") if own.now.hypotheses else None
            worded.append(_Replayed(own.record, own.now, said.summary, said.outcome or "") if said else own)
    finally:
        await model.close()
    return worded


def _json(own: _Replayed) -> Mapping[str, Any]:
    before = own.record.bundle
    return {
        "place": own.record.place,
        "judged": own.is_judged,
        "complete": bool(before.recording and before.recording.complete),
        "same": own.is_same,
        "recorded": {"verdict": before.verdict, "causes": [analysis.cause(cause, ACTIONS) for cause in before.hypotheses]},
        "analysis": {**analysis.bundle(own.now, ACTIONS), "recording": None},
        "summary": own.words,
        "outcome": own.outcome,
    }


def _text(own: _Replayed, actions: Mapping[str, Action]) -> Iterator[str]:
    now = own.now
    at = datetime.fromtimestamp(now.end / _SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    yield plain(f"{at} {now.host} ({own.record.place}): {now.verdict}{_note(own)}", _LINE)
    for cause in now.hypotheses:
        yield from (plain(line, _LINE) for line in _cause(cause, now, actions))
    if own.outcome:
        yield plain(f"  model ({own.outcome}): {own.words}", 4 * _LINE)
    if not own.is_same:
        was = ", ".join(f"{cause.code} {cause.subject} {cause.score:.3f}" for cause in own.record.bundle.hypotheses)
        yield plain(f"  recorded: {own.record.bundle.verdict}{': ' if was else ''}{was}", _LINE)


def _note(own: _Replayed) -> str:
    recording = own.record.bundle.recording
    if recording is None:
        return ", as it was told: it was not recorded whole"
    return "" if recording.complete else ", of a recording that was cut"


def _cause(cause: Hypothesis, bundle: Bundle, actions: Mapping[str, Action]) -> Iterator[str]:
    role = ", an effect of another cause" if cause.contributing else ""
    yield f"  {cause.code} on {cause.subject}: {cause.confidence} ({cause.score:.3f}), explains {cause.explains:.0%} of the slow time{role}"
    facts = {fact.id: fact for fact in bundle.facts}
    yield from (f"    for     {_fact(facts, identity)}" for identity in cause.supporting)
    yield from (f"    against {_fact(facts, identity)}" for identity in cause.against)
    if not cause.contributing:
        known = [actions[identity] for identity in cause.actions if identity in actions]
        yield from (f"    action  {own.id} {own.text} Risk: {own.risk}. Then {own.verify}." for own in known)


def _fact(facts: Mapping[str, Fact], identity: str) -> str:
    return told(facts[identity]) if identity in facts else identity
