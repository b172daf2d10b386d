"""The session of requests that an exporter sends through where connection.py does not do: by proxies and credentials of requests."""

from __future__ import annotations

from typing import Any

import requests

from perflens.export.otlp.answers import LARGEST, Answer
from perflens.export.otlp.quiet import told

__all__ = ["AnswerSession"]


class AnswerSession(requests.Session):
    """A session that notes the answers."""

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
            body = response.raw.read(LARGEST, decode_content=True)
            response.close()
        except Exception as error:
            self._answer.failure = told(error)
            raise
        self._answer.note(response.status_code, response.reason, body, response.headers.get("Content-Type", ""))
        return response
