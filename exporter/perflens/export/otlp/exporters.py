"""The exporters of the SDK, over HTTP and gRPC."""

from __future__ import annotations

import inspect
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.sdk._logs.export import LogRecordExporter
    from opentelemetry.sdk.trace.export import SpanExporter

from perflens.export.otlp.answers import Answer
from perflens.export.otlp.variables import Options

__all__ = ["exporter", "log_exporter"]

_TRANSPORT = "_transport"  # newer exporters take one, by a private name; older ones a session only


def exporter(options: Options, answer: Answer) -> SpanExporter:
    """Return the exporter of spans over a protocol. What options do not hold it reads from the standard variables."""
    if options.protocol == "grpc":
        compression = _of_grpc(options)  # before what imports grpc
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as OverGrpc

        return OverGrpc(endpoint=options.endpoint, compression=compression)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(**_over_http(options, answer, OTLPSpanExporter))


def log_exporter(options: Options, answer: Answer) -> LogRecordExporter:
    """Return the exporter of log records, likewise."""
    if options.protocol == "grpc":
        compression = _of_grpc(options)
        from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as OverGrpc

        return OverGrpc(endpoint=options.endpoint, compression=compression)
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter

    return OTLPLogExporter(**_over_http(options, answer, OTLPLogExporter))


def _over_http(options: Options, answer: Answer, kind: type) -> dict[str, Any]:
    from opentelemetry.exporter.otlp.proto.http import Compression

    way = _way(options, answer, takes_transport=_TRANSPORT in inspect.signature(kind).parameters)
    return {"endpoint": options.endpoint, "compression": Compression(options.compression), **way}


def _way(options: Options, answer: Answer, *, takes_transport: bool) -> dict[str, Any]:
    """What requests are sent through: nothing of ours, our connection, or our session where that does more."""
    provider = "OTEL_PYTHON_EXPORTER_OTLP_HTTP_{}CREDENTIAL_PROVIDER"
    if any(os.environ.get(provider.format(name)) for name in ("", f"{options.signal}_")):
        return {}
    from perflens.export.otlp.connection import Connection, does  # an exporter over gRPC has no use for it

    if takes_transport and does(options.endpoint, os.environ):
        return {_TRANSPORT: Connection(options.endpoint, answer, os.environ, options.signal)}
    from perflens.export.otlp.session import AnswerSession  # requests takes 3 MiB

    return {"session": AnswerSession(answer)}


def _of_grpc(options: Options) -> Any:
    """The compression as grpc names it, which is kept quiet first: its core writes to the standard error, past every logger."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")

    from grpc import Compression  # type: ignore[import-untyped]

    return {"none": Compression.NoCompression, "deflate": Compression.Deflate, "gzip": Compression.Gzip}[options.compression]
