"""Incidents as OTLP log records, or none: what the agent hands them to, whether a collector is configured or not."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from perflens.analysis import Incident
from perflens.export.otlp.variables import UnusableSettings, is_enabled, options, server_of
from perflens.logs import fields

__all__ = ["Change", "IncidentLog", "LogCounts", "NoIncidentLog", "start"]

_log = logging.getLogger(__name__)

Change = Literal["opened", "updated", "resolved"]


@dataclass(frozen=True, slots=True)
class LogCounts:
    """Records that were ``delivered`` by change, exports that ``failed`` and records that were ``dropped`` by reason.

    ``pending`` wait to be sent; ``up`` is false when the last export did not arrive.
    """

    delivered: Mapping[str, int] = field(default_factory=dict)
    failed: Mapping[str, int] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)
    pending: int = 0
    up: bool = True


class IncidentLog(Protocol):
    """Takes changes of incidents. No method blocks for longer than it says or raises."""

    def put(self, change: Change, incident: Incident) -> None:
        """Send what an incident is like now."""
        ...

    def counts(self) -> LogCounts | None:
        """Return what became of the records, None when there are none; any thread may ask."""
        ...

    def close(self, timeout: float = 2.0) -> None:
        """Send what waits, for at most ``timeout`` seconds; what was not sent by then is counted as dropped."""
        ...


class NoIncidentLog:
    """Takes everything and does nothing."""

    def put(self, change: Change, incident: Incident) -> None:
        """Do nothing."""

    def counts(self) -> LogCounts | None:
        """Return None."""
        return None

    def close(self, timeout: float = 2.0) -> None:
        """Do nothing."""


def start(endpoint: str, protocol: str, environment: Mapping[str, str] = os.environ) -> IncidentLog:
    """Return the log when the configuration or a standard variable asks for it, and the null object else or when it cannot be had.

    ``endpoint`` and ``protocol`` are as those of spans; the packages of OpenTelemetry are imported here, and only when they are needed.
    """
    if not is_enabled(endpoint, environment, "LOGS"):
        return NoIncidentLog()
    try:
        chosen = options(endpoint, protocol, environment, "LOGS")
        from perflens.export.otlp.recording import Recorder

        recorder = Recorder(chosen)
    except UnusableSettings as error:
        return _none(str(error), error.cure)
    except ImportError as error:
        return _none(f"{error.name or error} is missing or too old", "pip install --upgrade 'perflens[otlp]'")
    except Exception as error:
        return _none(f"{type(error).__name__}: {error}", "look at the variables OTEL_*")
    _log.info("incidents are sent", extra=fields(server=server_of(chosen.endpoint), protocol=chosen.protocol))
    return recorder


def _none(reason: str, cure: str) -> NoIncidentLog:
    _log.error("no incidents are sent", extra=fields(reason=reason, cure=cure))
    return NoIncidentLog()
