"""Keeps the libraries out of the agent's log: they write a line for each retry, some with a traceback, and headers may be secrets."""

from __future__ import annotations

import logging
import re
import ssl
from contextlib import suppress

__all__ = ["Listener", "listen", "told"]

_LIBRARIES = ("opentelemetry", "urllib3")


class Listener(logging.Handler):
    """Keeps the last words of the libraries, which tell why an export failed, and what they warn of on the thread ``listens_to``."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last = ""
        self.warnings: list[str] = []
        self.listens_to = 0

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(Exception):
            self.last = record.getMessage()
            if record.thread == self.listens_to:
                self.warnings.append(re.sub(r"%[.0-9]*[a-z]", "…", str(record.msg)))


def listen() -> Listener:
    """Take the records of the libraries; a listener from before is replaced."""
    listener = Listener()
    for name in _LIBRARIES:
        logger = logging.getLogger(name)
        logger.handlers = [listener]
        logger.propagate = False
    return listener


def told(error: BaseException) -> str:
    """Return what the innermost of wrapped errors says; of one about a value only its kind, as the value may be a secret header."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    is_of_value = isinstance(error, ValueError) and not isinstance(error, ssl.SSLError)
    return type(error).__name__ if is_of_value else str(error) or type(error).__name__
