"""Log records by the SDK of OpenTelemetry, whose interface for logs is not stable yet: all that is used of it is in this file."""

from __future__ import annotations

import inspect
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from threading import Lock, Thread, get_ident
from typing import Any

from opentelemetry._logs import SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter, LogRecordExportResult

from perflens import __version__
from perflens.analysis import Incident
from perflens.export.otlp.answers import Answer
from perflens.export.otlp.exporters import log_exporter
from perflens.export.otlp.incidents import Change, LogCounts
from perflens.export.otlp.quiet import Listener, listen, told
from perflens.export.otlp.records import record_of
from perflens.export.otlp.resource import agent_resource
from perflens.export.otlp.variables import Options, server_of
from perflens.logs import fields

__all__ = ["Recorder"]

_log = logging.getLogger(__name__)

_CHANGES = ("opened", "updated", "resolved")
_DROPS = ("queue_full", "rejected", "unsent")
_FAILURES = ("export",)
_PREFIX = "perflens.incident."
_LAST_WORDS = 0.2
_LATEST = (1 << 63) - 1


class _Tally:
    """What became of the records; two threads count."""

    def __init__(self, capacity: int) -> None:
        self.lock = Lock()
        self._capacity = capacity
        self._delivered, self._failed, self._dropped = Counter[str](), Counter[str](), Counter[str]()
        self._pending = 0
        self._is_closed, self._is_up = False, True  # until a batch fails

    def take(self) -> bool:
        """Count a record that is to be sent; False, and it is dropped, when the queue is full or all is over."""
        with self.lock:
            has_room = self._pending < self._capacity and not self._is_closed
            if has_room:
                self._pending += 1
            else:
                self._dropped["unsent" if self._is_closed else "queue_full"] += 1
            return has_room

    def settle(self, changes: Sequence[str], rejected: int, failed: bool) -> None:
        """Count a batch; which of its records a collector rejected nobody tells, so the last ones stand for them."""
        with self.lock:
            if self._is_closed:
                return
            self._pending -= len(changes)
            self._is_up = not failed
            if failed:
                self._failed["export"] += 1
                self._dropped["unsent"] += len(changes)
            else:
                self._delivered.update(changes[: len(changes) - rejected])
                self._dropped["rejected"] += rejected

    def close(self) -> int:
        """Drop what is pending; return how many that were."""
        with self.lock:
            left, self._pending, self._is_closed = self._pending, 0, True
            self._dropped["unsent"] += left
            return left

    def counts(self) -> LogCounts:
        """Return the numbers of this moment."""
        with self.lock:
            found = (_named(self._delivered, _CHANGES), _named(self._failed, _FAILURES), _named(self._dropped, _DROPS))
            return LogCounts(*found, self._pending, self._is_up)


def _named(counts: Counter[str], names: Sequence[str]) -> dict[str, int]:
    return {name: counts[name] for name in names}


class _Counting(LogRecordExporter):
    """Stands before the exporter, counts, and says when records begin to fail and when they arrive again."""

    def __init__(self, exporter: LogRecordExporter, answer: Answer, listener: Listener, tally: _Tally, endpoint: str) -> None:
        self._exporter, self._answer, self._listener, self._tally = exporter, answer, listener, tally
        self._server, self._is_failing = server_of(endpoint), False

    def export(self, batch: Sequence[Any]) -> LogRecordExportResult:
        """Export a batch."""
        reason = self._failure(batch)
        rejected = 0 if reason else min(self._answer.rejected, len(batch))
        changes = [str(own.log_record.event_name).removeprefix(_PREFIX) for own in batch]
        self._tally.settle(changes, rejected, bool(reason))
        self._tell(reason or (f"{rejected} were rejected: {self._answer.message or 'no reason was given'}" if rejected else ""))
        return LogRecordExportResult.FAILURE if reason else LogRecordExportResult.SUCCESS

    def _failure(self, batch: Sequence[Any]) -> str:
        self._answer.clear()
        self._listener.last = ""
        try:
            result = self._exporter.export(batch)
        except Exception as error:
            return told(error)
        if self._answer.failure:
            return self._answer.failure
        return "" if result is LogRecordExportResult.SUCCESS else self._listener.last or "the exporter gave no reason"

    def _tell(self, reason: str) -> None:
        if bool(reason) == self._is_failing:
            return
        self._is_failing = bool(reason)
        if reason:
            _log.warning("incidents are not exported", extra=fields(server=self._server, reason=reason))
        else:
            _log.info("incidents are exported again", extra=fields(server=self._server))

    def shutdown(self) -> None:
        """End the exporter."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Return True: nothing is kept here."""
        return True


class Recorder:
    """Log records that a collector gets. The SDK's queue drops the oldest when it is full, so it is never let become full."""

    def __init__(self, options: Options, sink: LogRecordExporter | None = None) -> None:
        listener = listen()
        listener.listens_to = get_ident()
        answer = Answer()
        self._tally = _Tally(options.queue)
        self._counting = _Counting(sink or log_exporter(options, answer), answer, listener, self._tally, options.endpoint)
        self._provider = LoggerProvider(resource=agent_resource(), shutdown_on_exit=False)
        processor = BatchLogRecordProcessor(self._counting, options.delay, options.batch, max_queue_size=options.queue)
        self._provider.add_log_record_processor(processor)
        self._logger = self._provider.get_logger("perflens", __version__)
        listener.listens_to = 0
        if "event_name" not in inspect.signature(self._logger.emit).parameters:
            raise ImportError("opentelemetry-sdk is too old for events", name="opentelemetry-sdk")

    def put(self, change: Change, incident: Incident) -> None:
        """Send what an incident is like now."""
        if not self._tally.take():
            return
        own = record_of(change, incident)
        self._logger.emit(
            timestamp=min(max(own.time, 0), _LATEST),
            observed_timestamp=time.time_ns(),
            severity_number=SeverityNumber(own.severity),
            severity_text=own.severity_text,
            body=own.body,
            attributes=own.attributes,
            event_name=own.event_name,
        )

    def counts(self) -> LogCounts | None:
        """Return what became of the records."""
        return self._tally.counts()

    def close(self, timeout: float = 2.0) -> None:
        """Send what waits for at most ``timeout`` seconds; the SDK's end may wait for a collector on a thread that nobody waits for."""
        ending = _in_background(self._provider.shutdown)
        ending.join(max(0.0, timeout - _LAST_WORDS))
        if left := self._tally.close():
            _log.warning("incidents were not exported before the end", extra=fields(records=left))
        if ending.is_alive():
            _in_background(self._counting.shutdown).join(_LAST_WORDS)


def _in_background(work: Callable[[], Any]) -> Thread:
    thread = Thread(target=work, name="incidents-end", daemon=True)
    thread.start()
    return thread
