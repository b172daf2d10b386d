"""What the standard variables of OpenTelemetry say, where the SDK does not read them or reads them otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

__all__ = ["PROTOCOLS", "Options", "Signal", "UnusableSettings", "first", "is_enabled", "options", "server_of"]

PROTOCOLS = ("http/protobuf", "grpc")

_COMPRESSIONS = ("gzip", "deflate", "none")
_DEFAULT_ENDPOINT = {"http/protobuf": "http://localhost:4318", "grpc": "http://localhost:4317"}

Signal = Literal["TRACES", "LOGS"]
"""As the names of variables write it."""

_BATCHES: Mapping[Signal, tuple[str, int, int, int]] = {
    "TRACES": ("OTEL_BSP", 512, 128, 5_000),  # a quarter of the standard's: 11 MiB less in a storm, and 10,000 spans a second still pass
    "LOGS": ("OTEL_BLRP", 256, 64, 1_000),  # incidents are few
}


class UnusableSettings(ValueError):
    """Spans were asked for in a way that cannot work; ``cure`` says what would."""

    def __init__(self, reason: str, cure: str) -> None:
        super().__init__(reason)
        self.cure = cure


@dataclass(frozen=True, slots=True)
class Options:
    """How a signal is sent. ``endpoint`` is where it goes, path included; ``delay`` in ms."""

    protocol: str
    endpoint: str
    compression: str
    queue: int
    batch: int
    delay: int
    signal: Signal = "TRACES"


def is_enabled(endpoint: str, environment: Mapping[str, str], signal: Signal = "TRACES") -> bool:
    """Whether a signal is asked for, by the configuration or a standard variable, and no standard variable turns it off."""
    exporters = {name.strip() for name in environment.get(f"OTEL_{signal}_EXPORTER", "").lower().split(",")}
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or "none" in exporters:
        return False
    return bool(endpoint or first(environment, signal, "ENDPOINT") or "otlp" in exporters)


def options(endpoint: str, protocol: str, environment: Mapping[str, str], signal: Signal = "TRACES") -> Options:
    """Return how to send; what the configuration says stands over the variables. UnusableSettings when it cannot work."""
    chosen = _protocol(protocol, environment, signal)
    prefix, queue, batch, delay = _BATCHES[signal]
    queue = _positive(environment, f"{prefix}_MAX_QUEUE_SIZE", queue)
    return Options(
        protocol=chosen,
        endpoint=_endpoint(endpoint, chosen, environment, signal),
        compression=_compression(environment, signal),
        queue=queue,
        batch=min(queue, _positive(environment, f"{prefix}_MAX_EXPORT_BATCH_SIZE", batch)),
        delay=_positive(environment, f"{prefix}_SCHEDULE_DELAY", delay),
        signal=signal,
    )


def server_of(endpoint: str) -> str:
    """Return the host and port of an endpoint, for messages: nothing of it that could be a secret."""
    return urlsplit(endpoint if "//" in endpoint else f"//{endpoint}").netloc.rpartition("@")[2]


def _protocol(configured: str, environment: Mapping[str, str], signal: Signal) -> str:
    named = first(environment, signal, "PROTOCOL").lower() if configured == "auto" else configured
    if named and named not in PROTOCOLS:
        raise UnusableSettings(f"the protocol {named!r} is not supported", f"use {' or '.join(PROTOCOLS)}")
    return named or PROTOCOLS[0]


def _endpoint(configured: str, protocol: str, environment: Mapping[str, str], signal: Signal) -> str:
    """Where a signal goes: its own endpoint as it is, else its path below that of all signals."""
    own = environment.get(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT", "").strip()
    if own and not configured:
        return own
    base = configured or environment.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip() or _DEFAULT_ENDPOINT[protocol]
    return base if protocol == "grpc" else f"{base.rstrip('/')}/v1/{signal.lower()}"


def _compression(environment: Mapping[str, str], signal: Signal) -> str:
    named = first(environment, signal, "COMPRESSION").lower() or "gzip"
    if named not in _COMPRESSIONS:
        raise UnusableSettings(f"the compression {named!r} is not supported", f"use {' or '.join(_COMPRESSIONS)}")
    return named


def first(environment: Mapping[str, str], signal: Signal, name: str) -> str:
    """Return the variable of a signal, else that of all signals; an empty one counts as not set."""
    own = environment.get(f"OTEL_EXPORTER_OTLP_{signal}_{name}", "").strip()
    return own or environment.get(f"OTEL_EXPORTER_OTLP_{name}", "").strip()


def _positive(environment: Mapping[str, str], name: str, otherwise: int) -> int:
    """The number in a variable; the default for what is none, which is what the specification asks for."""
    text = environment.get(name, "").strip()
    return int(text) if text.isascii() and text.isdigit() and 0 < len(text) < 10 and int(text) else otherwise
