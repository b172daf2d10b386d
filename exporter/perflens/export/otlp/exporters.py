"""The exporters of the SDK, over HTTP and gRPC."""

from __future__ import annotations

import inspect
import os
from typing import Any

from opentelemetry.sdk.trace.export import SpanExporter

from perflens.export.otlp.answers import Answer
from perflens.export.otlp.variables import Options

__all__ = ["exporter"]

_OWN_SESSION = ("OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER", "OTEL_PYTHON_EXPORTER_OTLP_HTTP_TRACES_CREDENTIAL_PROVIDER")
_TRANSPORT = "_transport"  # newer exporters take one, by a private name; older ones a session only


def exporter(options: Options, answer: Answer) -> SpanExporter:
    """Return the exporter of a protocol. What options do not hold it reads from the standard variables."""
    return _grpc(options) if options.protocol == "grpc" else _http(options, answer)


def _http(options: Options, answer: Answer) -> SpanExporter:
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    takes_transport = _TRANSPORT in inspect.signature(OTLPSpanExporter).parameters
    way = _way(options.endpoint, answer, takes_transport=takes_transport)
    return OTLPSpanExporter(endpoint=options.endpoint, compression=Compression(options.compression), **way)


def _way(endpoint: str, answer: Answer, *, takes_transport: bool) -> dict[str, Any]:
    """What requests are sent through: nothing of ours, our connection, or our session where that does more."""
    if any(os.environ.get(name) for name in _OWN_SESSION):
        return {}
    from perflens.export.otlp.connection import Connection, does  # an exporter over gRPC has no use for it

    if takes_transport and does(endpoint, os.environ):
        return {_TRANSPORT: Connection(endpoint, answer, os.environ)}
    from perflens.export.otlp.session import AnswerSession  # requests takes 3 MiB

    return {"session": AnswerSession(answer)}


def _grpc(options: Options) -> SpanExporter:
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its core writes to the standard error, past every logger

    from grpc import Compression  # type: ignore[import-untyped]
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    compressions = {"none": Compression.NoCompression, "deflate": Compression.Deflate, "gzip": Compression.Gzip}
    return OTLPSpanExporter(endpoint=options.endpoint, compression=compressions[options.compression])
