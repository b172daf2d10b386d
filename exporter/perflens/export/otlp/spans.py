"""Spans of slow operations, or none: what the agent hands evidence to, whether a collector is configured or not."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, Protocol

from perflens.analysis import ModelRequest
from perflens.export.otlp.variables import UnusableSettings, is_enabled, options, server_of
from perflens.logs import fields
from perflens.model import Evidence, Exemplar

__all__ = ["NoSpans", "OnExported", "SpanIds", "Spans", "start"]

_log = logging.getLogger(__name__)

OnExported = Callable[[Sequence[tuple[Evidence, Exemplar]]], None]
"""Told of the operations whose spans a collector took, a batch at a time, on the thread that exports."""


class SpanIds(NamedTuple):
    """The span of an operation, in lower-case hex, and those of its requests by their identity."""

    trace_id: str
    span_id: str
    requests: Mapping[tuple[object, ...], str] = MappingProxyType({})


class Spans(Protocol):
    """Takes evidence from one thread. No method blocks for longer than it says or raises."""

    reason: str
    """Why there are no spans, though they were asked for; empty when there are, and when nobody asked."""

    def emit(self, evidence: Evidence, joined: Sequence[Evidence] = ()) -> SpanIds | None:
        """Make the spans of an operation that has ended; return their ids, None when it became no span.

        ``joined`` are those of its requests that were slow themselves: their spans are those below the operation's.
        """
        ...

    def chat(self, request: ModelRequest) -> None:
        """Make the span of a request to a language model."""
        ...

    def counts(self) -> Mapping[str, int]:
        """Return spans by outcome, with ``created`` and ``in_queue``; empty when there are none."""
        ...

    def close(self, timeout: float = 3.0) -> None:
        """Send what is queued, for at most ``timeout`` seconds; what was not sent by then is counted as failed."""
        ...


class NoSpans:
    """Takes everything and does nothing."""

    def __init__(self, reason: str = "") -> None:
        self.reason = reason

    def emit(self, evidence: Evidence, joined: Sequence[Evidence] = ()) -> SpanIds | None:
        """Return None."""
        return None

    def chat(self, request: ModelRequest) -> None:
        """Do nothing."""

    def counts(self) -> Mapping[str, int]:
        """Return nothing."""
        return {}

    def close(self, timeout: float = 3.0) -> None:
        """Do nothing."""


def start(endpoint: str, protocol: str, on_exported: OnExported, environment: Mapping[str, str] = os.environ) -> Spans:
    """Return spans when the configuration or a standard variable asks for them, and the null object else or when they cannot be had.

    ``endpoint`` is that of all signals, empty to leave it to the variables, ``protocol`` likewise or ``auto``. The packages of
    OpenTelemetry are imported here, and only when they are needed. The SDK reads its own variables from the process's environment.
    """
    if not is_enabled(endpoint, environment):
        return NoSpans()
    try:
        chosen = options(endpoint, protocol, environment)
        from perflens.export.otlp.tracing import TracedSpans

        spans = TracedSpans(chosen, on_exported)
    except UnusableSettings as error:
        return _none(str(error), error.cure)
    except ImportError as error:
        return _none(f"{error.name or error} is not installed", "pip install 'perflens[otlp]'")
    except Exception as error:
        return _none(f"{type(error).__name__}: {error}", "look at the variables OTEL_*")
    _log.info("spans are sent", extra=fields(server=server_of(chosen.endpoint), protocol=chosen.protocol))
    return spans


def _none(reason: str, cure: str) -> NoSpans:
    _log.error("no spans are sent", extra=fields(reason=reason, cure=cure))
    return NoSpans(reason)
