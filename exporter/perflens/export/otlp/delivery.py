"""Stands before the exporter: counts what became of each span, and tells which operations a collector has."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from perflens.export.otlp.answers import Answer
from perflens.export.otlp.ledger import SpanLedger
from perflens.export.otlp.quiet import Listener, told
from perflens.export.otlp.spans import OnExported
from perflens.export.otlp.variables import server_of
from perflens.logs import fields
from perflens.model import Evidence, Exemplar

__all__ = ["Delivery"]

_log = logging.getLogger(__name__)

_BETWEEN_LINES = 60.0


class Delivery(SpanExporter):
    """An exporter around the real one. ``expect`` belongs to the thread that creates spans, the rest to the one that exports."""

    def __init__(
        self,
        exporter: SpanExporter,
        answer: Answer,
        listener: Listener,
        ledger: SpanLedger,
        on_exported: OnExported,
        endpoint: str,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._exporter, self._answer, self._listener, self._ledger = exporter, answer, listener, ledger
        self._on_exported, self._server, self._now = on_exported, server_of(endpoint), now
        self._expected: dict[int, tuple[int, Evidence]] = {}
        self._told_at = -_BETWEEN_LINES
        self._failing = False
        self._lost = 0

    def expect(self, span_id: int, trace_id: int, evidence: Evidence) -> None:
        """Remember whose span this is until it has been exported or has failed."""
        self._expected[span_id] = (trace_id, evidence)

    def tell(self, warnings: Iterable[str]) -> None:
        """Write what the SDK had to say about its variables, without their values, which may be secrets."""
        for warning in warnings:
            _log.warning("OpenTelemetry warns", extra=fields(warning=warning))

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export a batch and count what became of it."""
        if self._ledger.is_closed:
            return SpanExportResult.FAILURE
        reason = self._failure(spans)
        rejected = 0 if reason else min(self._answer.rejected, len(spans))
        taken = 0 if reason else len(spans) - rejected
        known = self._collect(spans)
        if self._ledger.settle(taken, rejected, len(spans) if reason else 0):
            self._tell_state(reason or self._refusal(rejected), len(spans) - taken)
            if taken and not rejected:
                self._report(known)
        return SpanExportResult.FAILURE if reason else SpanExportResult.SUCCESS

    def abandon(self) -> None:
        """Give up all that has not been exported."""
        left = self._ledger.close()
        self._expected.clear()
        if left:
            _log.warning("spans were not exported before the end", extra=fields(server=self._server, spans=left))

    def shutdown(self) -> None:
        """Wake and end the exporter; it may be called again."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Return True: nothing is kept here."""
        return True

    def _failure(self, spans: Sequence[ReadableSpan]) -> str:
        """Export and return why it failed, empty when a collector took the batch, or a part of it."""
        self._answer.clear()
        self._listener.last = ""
        try:
            result = self._exporter.export(spans)
        except Exception as error:
            return told(error)
        if self._answer.failure:
            return self._answer.failure
        return "" if result is SpanExportResult.SUCCESS else self._listener.last or "the exporter gave no reason"

    def _refusal(self, rejected: int) -> str:
        return f"{rejected} spans were rejected: {self._answer.message or 'no reason was given'}" if rejected else ""

    def _collect(self, spans: Sequence[ReadableSpan]) -> list[tuple[Evidence, Exemplar]]:
        found = []
        for span in spans:
            span_id = span.context.span_id if span.context else 0
            if expected := self._expected.pop(span_id, None):
                trace_id, evidence = expected
                ended = (evidence.wall_start + evidence.event.duration) / 1e9
                found.append((evidence, Exemplar(f"{trace_id:032x}", f"{span_id:016x}", evidence.event.duration, ended)))
        return found

    def _report(self, known: list[tuple[Evidence, Exemplar]]) -> None:
        try:
            if known:
                self._on_exported(known)
        except Exception:
            _log.exception("exported spans were not noted")

    def _tell_state(self, reason: str, lost: int) -> None:
        """Write a line when exports begin to fail and one when they succeed again, but not one a batch when they alternate."""
        self._lost += lost
        if bool(reason) == self._failing:
            return
        if reason and self._now() - self._told_at >= _BETWEEN_LINES:
            self._failing, self._told_at = True, self._now()
            _log.warning("spans are not exported", extra=fields(server=self._server, reason=reason))
        elif not reason:
            self._failing = False
            _log.info("spans are exported again", extra=fields(server=self._server, lost=self._lost))
            self._lost = 0
