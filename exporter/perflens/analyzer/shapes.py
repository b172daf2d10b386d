"""Bundles and incidents out of what the JSON API shows of them. Whoever wrote it may be anybody: text and numbers are bounded.

What is not known here is passed over: an agent may be newer. What is missing or of another type is a BadDocument.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from perflens.analysis import FACTS_MAX, Bundle, Incident
from perflens.analyzer.codec import BadDocument, decoded

__all__ = ["bundle_of", "incident_of", "plain"]

_NAME, _LINE, _PARAGRAPH = 300, 600, 2_000  # characters
_CAUSES, _VICTIMS, _HISTORY, _GAPS, _SIGNALS, _PARTS = 8, 64, 20, 32, 512, 4_096
_LATEST = 1 << 62  # ns since the epoch: in the year 2116
_NO_TEXT = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb]")
_ID = re.compile(r"[0-9a-f]{8}", re.ASCII)
_CODE = re.compile(r"[A-Z][A-Z0-9_]{0,47}", re.ASCII)

Json = Any


def plain(text: str, longest: int) -> str:
    """Return text without what turns, hides or breaks it, and no longer than that."""
    own = _NO_TEXT.sub("\ufffd", text)
    return own if len(own) <= longest else own[: longest - 1] + "…"


def bundle_of(document: Json) -> Bundle:
    """Return the bundle of an analysis as the API shows it; BadDocument when it is none."""
    return decoded(Bundle, _bundle(document))


def incident_of(document: Json) -> Incident:
    """Return the incident that the API shows; BadDocument when it is none."""
    own = _object(document, "an incident")
    if not _ID.fullmatch(_text(own, "id", _NAME)):
        raise BadDocument("id is not 8 hex digits")
    causes = [_cause(one) for one in _list(own, "causes", _CAUSES)]
    return decoded(
        Incident,
        {
            **{key: own.get(key) for key in ("state", "severity", "source", "reopened")},
            "id": own["id"],
            "host": _text(own, "host", _NAME),
            **{name: _time(own, f"{name}_time_ns") for name in ("opened", "updated", "last_bad", "resolved")},
            "summary": _text(own, "summary", _PARAGRAPH),
            "model": _text(own, "model", _NAME),
            "causes": causes,
            "bundle": _bundle(own.get("analysis")),
            "history": [[_time(one, "time_ns"), _code(one, "cause")] for one in _objects(own, "history", _HISTORY)],
        },
    )


def _bundle(document: Json) -> Json:
    own = _object(document, "an analysis")
    recording = own.get("recording")
    return {
        "host": _text(own, "host", _NAME),
        **{name: _time(own, f"{name}_time_ns") for name in ("start", "end", "onset")},
        "impact": {
            "operations": own.get("slow_operations"),
            "seconds": own.get("slow_seconds"),
            "victims": _seconds(own, "victims", _VICTIMS),
        },
        "facts": [_fact(one) for one in _objects(own, "facts", FACTS_MAX)],
        "hypotheses": [_cause(one) for one in _list(own, "causes", _CAUSES)],
        "verdict": own.get("verdict"),
        "gaps": [plain(one, _LINE) for one in _list(own, "gaps", _GAPS) if isinstance(one, str)],
        "recording": None if recording is None else _recording(_object(recording, "a recording")),
    }


def _recording(own: Mapping[str, Json]) -> Json:
    on_device = _grouped(own, "on_device", lambda one: (_subject(one.get("device")), _subject(one.get("subject"))))
    waits = _grouped(own, "waits", lambda one: (_subject(one.get("subject")), _text(one, "reason", _NAME)))
    culprits = [
        [[_text(one, "kind", _NAME), _subject(one.get("of"))], [_subject(who) for who in _list(one, "subjects", _VICTIMS)]]
        for one in _objects(own, "culprits", _VICTIMS)
    ]
    return {
        "scene": {"victims": _seconds(own, "victims", _PARTS), "on_device": on_device, "waits": waits, "culprits": culprits},
        "signals": [_signal(one) for one in _objects(own, "signals", _SIGNALS)],
        "changes": [_signal(one) for one in _objects(own, "changes", FACTS_MAX)],
        "complete": own.get("complete"),
    }


def _grouped(own: Mapping[str, Json], key: str, parts: Callable[[Mapping[str, Json]], tuple[Json, Json]]) -> Json:
    """Rows of (outer, inner, seconds) as pairs of an outer one and its pairs."""
    found: list[Json] = []
    for one in _objects(own, key, _PARTS):
        outer, inner = parts(one)
        if not found or found[-1][0] != outer:
            found.append([outer, []])
        found[-1][1].append([inner, one.get("seconds")])
    return found


def _seconds(own: Mapping[str, Json], key: str, most: int) -> Json:
    return [[_subject(one.get("subject")), one.get("seconds")] for one in _objects(own, key, most)]


def _signal(own: Mapping[str, Json]) -> Json:
    return {
        **{key: own.get(key) for key in ("value", "baseline", "samples", "quality")},
        "metric": _text(own, "metric", _NAME),
        "subject": _subject(own.get("subject")),
        "text": _text(own, "text", _LINE),
        "unit": _text(own, "unit", _NAME),
        "source": _text(own, "source", _NAME),
        "detail": _text(own, "detail", _LINE),
    }


def _fact(own: Mapping[str, Json]) -> Json:
    return {**_signal(own), "id": _text(own, "id", _NAME), "polarity": own.get("polarity")}


def _cause(document: Json) -> Json:
    own = _object(document, "a cause")
    culprit = own.get("culprit")
    return {
        **{key: own.get(key) for key in ("score", "explains", "contributing")},
        "code": _code(own, "code"),
        "subject": _subject(own.get("subject")),
        "culprit": None if culprit is None else _subject(culprit),
        "victims": [_subject(one) for one in _list(own, "victims", _VICTIMS)],
        "claim": _text(own, "claim", _PARAGRAPH),
        "supporting": _texts(own, "supporting"),
        "against": _texts(own, "against"),
        "actions": [_text(one, "id", _NAME) for one in _objects(own, "actions", _CAUSES)],
    }


def _subject(document: Json) -> Json:
    """One of before a version may have no identities."""
    own = _object(document, "a subject")
    known = {"volume": "", "workload": "", **own}
    return {"kind": own.get("kind"), "name": _text(own, "name", _NAME), **{key: _text(known, key, _NAME) for key in ("volume", "workload")}}


def _object(document: Json, what: str) -> Mapping[str, Json]:
    if not isinstance(document, dict):
        raise BadDocument(f"{what} is no object")
    return document


def _list(own: Mapping[str, Json], key: str, most: int) -> list[Json]:
    value = own.get(key)
    if not isinstance(value, list):
        raise BadDocument(f"{key} is no list")
    return value[:most]


def _objects(own: Mapping[str, Json], key: str, most: int) -> list[Mapping[str, Json]]:
    return [_object(one, f"an entry of {key}") for one in _list(own, key, most)]


def _text(own: Mapping[str, Json], key: str, longest: int) -> str:
    value = own.get(key)
    if not isinstance(value, str):
        raise BadDocument(f"{key} is no text")
    return plain(value, longest)


def _texts(own: Mapping[str, Json], key: str) -> list[str]:
    return [plain(one, _NAME) for one in _list(own, key, FACTS_MAX) if isinstance(one, str)]


def _code(own: Mapping[str, Json], key: str) -> str:
    value = _text(own, key, _NAME)
    if not _CODE.fullmatch(value):
        raise BadDocument(f"{key} is no code of a cause")
    return value


def _time(own: Mapping[str, Json], key: str) -> int:
    value = own.get(key)
    if type(value) is not int or not 0 <= value < _LATEST:
        raise BadDocument(f"{key} is no time")
    return value
