"""Replies to bundles that say the same: asked once a day, over restarts too where there is a file."""

from __future__ import annotations

import json
import logging
import math
import os
import tempfile
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any

from perflens.analysis import Bundle
from perflens.analyzer.llm.aliases import Aliases
from perflens.analyzer.llm.classes import class_of
from perflens.analyzer.llm.prompt import VERSION
from perflens.analyzer.llm.settings import LlmSettings

__all__ = ["CAPACITY", "Cache", "key_of"]

_log = logging.getLogger(__name__)

CAPACITY = 256
_LASTS = 86_400.0
_LARGEST_FILE = 8 << 20
_FORM = 1


def key_of(bundle: Bundle, aliases: Aliases, settings: LlmSettings) -> str:
    """Return 32 hex digits, the same for bundles that a model would say the same of; no name of the host is in what they are made of."""
    hypotheses = sorted((own.code, class_of(own.subject), f"{own.score:.1f}") for own in bundle.hypotheses)
    facts = [(fact.id, fact.metric, aliases.label(fact.subject), _step(fact.value), _step(fact.baseline)) for fact in bundle.facts]
    operator = blake2b(settings.operator_prompt.encode()).hexdigest()
    whole = json.dumps([settings.model, VERSION, operator, settings.mode, hypotheses, facts])
    return blake2b(whole.encode(), digest_size=16).hexdigest()


def _step(value: float | None) -> str:
    """Return a number to half a power of two."""
    if value is None or not math.isfinite(value) or not value:
        return str(value)
    return f"{'-' if value < 0 else ''}{round(2 * math.log2(abs(value)))}"


class Cache:
    """The 256 replies that were used last, each for 24 hours; ``now`` is in seconds since the epoch. What it keeps is as it was sent."""

    def __init__(self, path: str = "") -> None:
        self._path = Path(path) if path else None
        self._entries: OrderedDict[str, tuple[float, dict[str, Any]]] = OrderedDict()
        self._is_saved = True
        if self._path:
            self._entries.update(_read(self._path))

    def get(self, key: str, now: float) -> Mapping[str, Any] | None:
        """Return a reply; None when there is none of the last 24 hours."""
        found = self._entries.get(key)
        if found is None or not 0 <= now - found[0] < _LASTS:
            return None
        self._entries.move_to_end(key)
        return found[1]

    def put(self, key: str, reply: Mapping[str, Any], now: float) -> None:
        """Keep a reply, and forget the one that was not used for the longest time where there are too many."""
        self._entries[key] = (now, dict(reply))
        self._entries.move_to_end(key)
        while len(self._entries) > CAPACITY:
            self._entries.popitem(last=False)
        self._is_saved = False

    def save(self) -> None:
        """Write the file, where there is one and something is new; a failure is logged. It may run in a thread of its own."""
        if self._path is None or self._is_saved:
            return
        self._is_saved = True
        try:
            _write(self._path, json.dumps({"form": _FORM, "replies": [[key, *entry] for key, entry in tuple(self._entries.items())]}))
        except OSError as error:
            _log.warning("replies of the model were not kept", extra={"fields": {"path": str(self._path), "reason": error.strerror}})


def _write(path: Path, text: str) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # with mode 0600
    try:
        with open(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def _read(path: Path) -> list[tuple[str, tuple[float, dict[str, Any]]]]:
    """Return the entries of a file, none when it is missing or broken."""
    try:
        with open(path, "rb") as file:
            whole = json.loads(file.read(_LARGEST_FILE))
        if whole["form"] != _FORM:
            return []
        return [_entry(*each) for each in whole["replies"]][-CAPACITY:]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        _log.warning("kept replies of the model are ignored", extra={"fields": {"path": str(path), "reason": type(error).__name__}})
        return []


def _entry(key: Any, since: Any, reply: Any) -> tuple[str, tuple[float, dict[str, Any]]]:
    if not isinstance(key, str) or not isinstance(reply, dict):
        raise TypeError("no entry")
    return key, (float(since), reply)
