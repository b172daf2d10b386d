"""What a collector answered, of which the SDK tells only whether it was a success."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

__all__ = ["LARGEST", "Answer"]

LARGEST = 65_536
"""No more of an answer is read: a collector would not send so much."""


@dataclass(slots=True)
class Answer:
    """What a collector answered to the last request.

    ``failure`` is why the batch cannot have arrived, ``rejected`` how many of its parts the collector refused, ``message`` what it said.
    """

    failure: str = ""
    rejected: int = 0
    message: str = ""

    def clear(self) -> None:
        """Forget the last one."""
        self.failure, self.rejected, self.message = "", 0, ""

    def note(self, status: int, reason: str | None, body: bytes, content_type: str) -> None:
        """Note an answer that was read."""
        if 200 <= status < 300:
            self._note_partial(body, content_type)
        else:
            self.failure = f"HTTP {status} {reason}"

    def _note_partial(self, body: bytes, content_type: str) -> None:
        """Note what a collector did not take. An answer that cannot be read says nothing of that."""
        with suppress(Exception):
            if "json" in content_type:
                partial = json.loads(body)["partialSuccess"]
                rejected = partial.get("rejectedSpans", partial.get("rejectedLogRecords", 0))
                self.rejected, self.message = max(0, int(rejected)), str(partial.get("errorMessage", ""))
            elif "protobuf" in content_type:
                # that of log records has the same fields
                taken = ExportTraceServiceResponse.FromString(body).partial_success
                self.rejected, self.message = max(0, taken.rejected_spans), taken.error_message
