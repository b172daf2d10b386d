"""Takes the one JSON object out of what a model wrote around it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

__all__ = ["LARGEST", "Extracted", "ReplyError", "extracted"]

LARGEST = 16_384
"""Most bytes of a reply: an answer that obeys the schema has not a quarter of them."""

_THOUGHT = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL | re.IGNORECASE)


class ReplyError(Exception):
    """A reply with no answer in it."""


@dataclass(frozen=True, slots=True)
class Extracted:
    """The object of a reply; ``is_bare`` when there was nothing else."""

    value: dict[str, Any]
    is_bare: bool


def extracted(text: str) -> Extracted:
    """Return the first balanced object of a reply; ReplyError when it is none, has a key twice, or the reply is larger than 16 KiB."""
    if len(text.encode("utf-8", "surrogatepass")) > LARGEST:
        raise ReplyError("the reply is too large")
    said = _THOUGHT.sub("", text)
    start = said.find("{")
    if start < 0:
        raise ReplyError("the reply has no object")
    try:
        value, end = _DECODER.raw_decode(said, start)
    except (ValueError, RecursionError) as error:
        raise ReplyError("the object of the reply is not JSON") from error
    return Extracted(value, is_bare=text.strip() == said[start:end])


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse)
