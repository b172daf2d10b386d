"""Content negotiation by q-values (RFC 9110, 12.4 and 12.5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["OPENMETRICS_1_0_0", "PROTOBUF", "TEXT_0_0_4", "TEXT_1_0_0", "accepts_gzip", "content_type"]

TEXT_0_0_4 = "text/plain; version=0.0.4; charset=utf-8"
TEXT_1_0_0 = "text/plain; version=1.0.0; charset=utf-8; escaping=underscores"
OPENMETRICS_1_0_0 = "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores"
PROTOBUF = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"

_TELLING = ("version", "proto", "encoding")  # the parameters that tell formats apart; charset and escaping do not


class _Preference(NamedTuple):
    value: str
    parameters: dict[str, str]
    quality: float


class _Offer(NamedTuple):
    answer: str
    media: str
    parameters: Mapping[str, str]


class _Match(NamedTuple):
    """How much an offer is wanted, and by how exact a range; what compares higher is chosen."""

    quality: float
    exactness: int
    rank: int


_OFFERS = (  # the plainest first: who names none exactly gets it
    _Offer(TEXT_0_0_4, "text/plain", {"version": "0.0.4"}),
    _Offer(TEXT_1_0_0, "text/plain", {"version": "1.0.0"}),
    _Offer(OPENMETRICS_1_0_0, "application/openmetrics-text", {"version": "1.0.0"}),
    _Offer(PROTOBUF, "application/vnd.google.protobuf", {"proto": "io.prometheus.client.MetricFamily", "encoding": "delimited"}),
)
_EXACT, _MEDIA, _TYPE, _ANY = 3, 2, 1, 0


def _preferences(field: str) -> list[_Preference]:
    found = []
    for item in field.split(","):
        value, *rest = (part.strip() for part in item.split(";"))
        parameters = {key.strip().lower(): text.strip().strip('"') for key, _, text in (part.partition("=") for part in rest)}
        found.append(_Preference(value.lower(), parameters, _quality(parameters.pop("q", "1"))))
    return found


def _quality(text: str) -> float:
    try:
        return min(max(0.0, float(text)), 1.0)  # in this order, so that NaN is 0
    except ValueError:
        return 0.0


def content_type(accept: str) -> str:
    """Return the content type to answer with: the format with the highest q-value, the text format 0.0.4 when there is none.

    Among equals, formats that are named win over those that a wildcard admits; of those that are named the richest is chosen,
    of those that are not the plainest. A page is answered even when nothing that we have is accepted: Prometheus asks for that.
    """
    preferences = _preferences(accept)
    best, chosen = _Match(0.0, 0, 0), TEXT_0_0_4
    for rank, offer in enumerate(_OFFERS):
        match = _match(offer, rank, preferences)
        if match.quality > 0 and match > best:
            best, chosen = match, offer.answer
    return chosen


def _match(offer: _Offer, rank: int, preferences: list[_Preference]) -> _Match:
    """Return how much an offer is wanted: the most exact range that admits it decides."""
    admitted = [(_exactness(offer, preference), preference.quality) for preference in preferences]
    exactness, quality = max(admitted)
    if exactness < 0:
        return _Match(0.0, 0, 0)
    return _Match(quality, exactness, rank if exactness == _EXACT else -rank)


def _exactness(offer: _Offer, preference: _Preference) -> int:
    """Return how exactly a range names an offer, below 0 when it does not."""
    if preference.value == offer.media:
        told = {name: preference.parameters[name] for name in _TELLING if name in preference.parameters}
        return _EXACT if told == offer.parameters else -1 if told else _MEDIA
    kind, _, _ = offer.media.partition("/")
    return {f"{kind}/*": _TYPE, "*/*": _ANY}.get(preference.value, -1)


def accepts_gzip(accept_encoding: str) -> bool:
    """Return whether gzip is acceptable and not less wanted than no encoding."""
    wanted = {preference.value: preference.quality for preference in _preferences(accept_encoding)}
    gzip = wanted.get("gzip", wanted.get("x-gzip", wanted.get("*", 0.0)))
    return gzip > 0 and gzip >= wanted.get("identity", 0.0)
