"""Keeps the libraries out of the agent's log: they write a line for each retry, some with a traceback, and headers may be secrets."""

from __future__ import annotations

import logging
import re
import ssl
from contextlib import suppress
from threading import get_ident

__all__ = ["Listener", "listen", "told"]

_LIBRARIES = ("opentelemetry", "urllib3")


class Listener(logging.Handler):
    """Keeps the last words of the libraries, which tell why an export failed, and what they warn of on the thread ``listens_to``.

    ``last`` is of the thread that asks: each signal is exported by one of its own.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._last: dict[int, str] = {}
        self.warnings: list[str] = []
        self.listens_to = 0

    @property
    def last(self) -> str:
        """What was said last."""
        return self._last.get(get_ident(), "")

    @last.setter
    def last(self, words: str) -> None:
        self._last[get_ident()] = words

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(Exception):
            self.last = record.getMessage()
            if record.thread == self.listens_to:
                self.warnings.append(re.sub(r"%[.0-9]*[a-z]", "…", str(record.msg)))


def listen() -> Listener:
    """Take the records of the libraries; a listener that has them already is kept."""
    known = logging.getLogger(_LIBRARIES[0]).handlers
    listener = next((own for own in known if isinstance(own, Listener)), None) or Listener()
    listener.warnings = []
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
