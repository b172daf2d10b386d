"""The exporters of the SDK, over HTTP and gRPC, and what a collector answered."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import requests
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.trace.export import SpanExporter

from perflens.export.otlp.quiet import told
from perflens.export.otlp.variables import Options

__all__ = ["Answer", "AnswerSession", "exporter"]

_LARGEST_ANSWER = 65_536
_OWN_SESSION = ("OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER", "OTEL_PYTHON_EXPORTER_OTLP_HTTP_TRACES_CREDENTIAL_PROVIDER")


@dataclass(slots=True)
class Answer:
    """What a collector answered to the last request, of which the SDK tells only whether it was a success.

    ``failure`` is why the batch cannot have arrived, ``rejected`` how many of its spans the collector refused, ``message`` what it said.
    """

    failure: str = ""
    rejected: int = 0
    message: str = ""

    def clear(self) -> None:
        """Forget the last one."""
        self.failure, self.rejected, self.message = "", 0, ""


class AnswerSession(requests.Session):
    """A session that notes the answers. It reads no more of one than a collector would send."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self._answer = answer

    def request(self, *arguments: Any, **options: Any) -> requests.Response:
        """Send a request and note its answer."""
        self._answer.clear()
        if isinstance(self.verify, str):  # else REQUESTS_CA_BUNDLE would stand over the certificate that OpenTelemetry's variable names
            options["verify"] = self.verify
        try:
            response = super().request(*arguments, **{**options, "stream": True})
            body = response.raw.read(_LARGEST_ANSWER, decode_content=True)
            response.close()
        except Exception as error:
            self._answer.failure = told(error)
            raise
        if 200 <= response.status_code < 300:
            _note_partial(self._answer, body, response.headers.get("Content-Type", ""))
        else:
            self._answer.failure = f"HTTP {response.status_code} {response.reason}"
        return response


def exporter(options: Options, answer: Answer) -> SpanExporter:
    """Return the exporter of a protocol. What options do not hold it reads from the standard variables."""
    return _grpc(options) if options.protocol == "grpc" else _http(options, answer)


def _http(options: Options, answer: Answer) -> SpanExporter:
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    has_own = any(os.environ.get(name) for name in _OWN_SESSION)
    session = None if has_own else AnswerSession(answer)
    return OTLPSpanExporter(endpoint=options.endpoint, compression=Compression(options.compression), session=session)


def _grpc(options: Options) -> SpanExporter:
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its core writes to the standard error, past every logger

    from grpc import Compression  # type: ignore[import-untyped]
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    compressions = {"none": Compression.NoCompression, "deflate": Compression.Deflate, "gzip": Compression.Gzip}
    return OTLPSpanExporter(endpoint=options.endpoint, compression=compressions[options.compression])


def _note_partial(answer: Answer, body: bytes, content_type: str) -> None:
    """Note what a collector did not take. An answer that cannot be read says nothing of that."""
    with suppress(Exception):
        if "json" in content_type:
            partial = json.loads(body)["partialSuccess"]
            answer.rejected, answer.message = max(0, int(partial.get("rejectedSpans", 0))), str(partial.get("errorMessage", ""))
        elif "protobuf" in content_type:
            taken = ExportTraceServiceResponse.FromString(body).partial_success
            answer.rejected, answer.message = max(0, taken.rejected_spans), taken.error_message
