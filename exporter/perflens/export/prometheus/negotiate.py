"""Content negotiation by q-values (RFC 9110, 12.4 and 12.5)."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["TEXT_0_0_4", "TEXT_1_0_0", "accepts_gzip", "content_type"]

TEXT_0_0_4 = "text/plain; version=0.0.4; charset=utf-8"
TEXT_1_0_0 = "text/plain; version=1.0.0; charset=utf-8; escaping=underscores"


class _Preference(NamedTuple):
    value: str
    parameters: dict[str, str]
    quality: float


def _preferences(field: str) -> list[_Preference]:
    found = []
    for item in field.split(","):
        value, *rest = (part.strip() for part in item.split(";"))
        parameters = {key.strip().lower(): text.strip().strip('"') for key, _, text in (part.partition("=") for part in rest)}
        found.append(_Preference(value.lower(), parameters, _quality(parameters.pop("q", "1"))))
    return found


def _quality(text: str) -> float:
    try:
        return min(max(float(text), 0.0), 1.0)
    except ValueError:
        return 0.0


def content_type(accept: str) -> str:
    """Return the content type to answer with: the version of the text format that is preferred, 0.0.4 when none is.

    A page is answered even when nothing that we have is accepted: Prometheus asks for that fallback.
    """
    best, chosen = 0.0, TEXT_0_0_4
    for preference in _preferences(accept):
        offered = _offer(preference)
        if offered and preference.quality > best:
            best, chosen = preference.quality, offered
    return chosen


def _offer(preference: _Preference) -> str | None:
    if preference.value in ("*/*", "text/*"):
        return TEXT_0_0_4
    if preference.value != "text/plain":
        return None
    return {"1.0.0": TEXT_1_0_0, "0.0.4": TEXT_0_0_4, "": TEXT_0_0_4}.get(preference.parameters.get("version", ""))


def accepts_gzip(accept_encoding: str) -> bool:
    """Return whether gzip is acceptable and not less wanted than no encoding."""
    wanted = {preference.value: preference.quality for preference in _preferences(accept_encoding)}
    gzip = wanted.get("gzip", wanted.get("x-gzip", wanted.get("*", 0.0)))
    return gzip > 0 and gzip >= wanted.get("identity", 0.0)
