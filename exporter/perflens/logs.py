"""The log of the agent: one line for each record, which no hostile name can break, forge or flood."""

from __future__ import annotations

import json
import logging
import re
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TextIO

__all__ = ["JsonFormatter", "LogfmtFormatter", "configure", "fields"]

LONGEST_VALUE = 4_096
LONGEST_NAME = 64
RESERVED = frozenset({"ts", "level", "logger", "msg", "error", "traceback"})
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
BARE = re.compile(r"[^\s\"=\\]+")

Value = str | int | float | bool | None


def fields(**values: object) -> dict[str, Any]:
    """Fields of a record: ``log.info("attached", extra=fields(probe="file"))``."""
    return {"fields": values}


def configure(level: str, format: str, stream: TextIO) -> None:
    """Send every record of the process to the stream; called again, it replaces what it set up before."""
    handler = LineHandler(stream)
    least = LEVELS.get(level, logging.INFO)
    formatter = JsonFormatter if format == "json" else LogfmtFormatter
    handler.setFormatter(formatter(tracebacks=least == logging.DEBUG))
    root = logging.getLogger()
    root.handlers = [*(each for each in root.handlers if not isinstance(each, LineHandler)), handler]
    root.setLevel(least)


class LineHandler(logging.StreamHandler[TextIO]):
    """Writes a record as one line; a stream that fails loses the line and nothing else."""

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(Exception):
            self.stream.write(encodable(self.format(record), self.stream) + "\n")
            self.stream.flush()


class LogfmtFormatter(logging.Formatter):
    """``ts=… level=info logger=perflens msg="…" key=value``"""

    def __init__(self, *, tracebacks: bool = False) -> None:
        super().__init__()
        self.tracebacks = tracebacks

    def format(self, record: logging.LogRecord) -> str:
        return " ".join(f"{name}={logfmt(value)}" for name, value in pairs(record, self.tracebacks).items())


class JsonFormatter(LogfmtFormatter):
    """One JSON object, in ASCII."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(pairs(record, self.tracebacks), ensure_ascii=True)


def pairs(record: logging.LogRecord, tracebacks: bool) -> dict[str, Value]:
    """What a line says, in its order."""
    line: dict[str, Value] = {
        "ts": attempt(lambda: timestamp(record.created), "unknown"),
        "level": severity(record.levelno),
        "logger": value_of(record.name),
        "msg": bounded(attempt(record.getMessage, "") or text_of(record.msg)),
    }
    extra = getattr(record, "fields", None)
    if isinstance(extra, Mapping):
        line.update((name_of(name), value_of(value)) for name, value in extra.items())
    return {**line, **failure(record, tracebacks)}


def timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def severity(number: int) -> str:
    return next((name for name, least in reversed(LEVELS.items()) if number >= least), "debug")


def failure(record: logging.LogRecord, tracebacks: bool) -> dict[str, Value]:
    """The exception of a record on one line; its traceback, of which the end tells most, at debug alone."""
    error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
    if error is None:
        return {}
    summary = bounded(f"{type(error).__name__}: {text_of(error)}".removesuffix(": "))
    if not tracebacks:
        return {"error": summary}
    whole = attempt(lambda: "".join(traceback.format_exception(error)), "unknown")
    return {"error": summary, "traceback": encodable_text(whole)[-LONGEST_VALUE:]}


def name_of(name: object) -> str:
    """A name that stands unquoted before ``=`` and is none of our own."""
    plain = re.sub(r"[^0-9A-Za-z_.-]", "_", text_of(name))[:LONGEST_NAME] or "_"
    return f"field.{plain}" if plain in RESERVED else plain


def value_of(value: object) -> Value:
    """A number or boolean as it is, everything else as bounded text."""
    if value is None or type(value) is bool:
        return value
    if type(value) is int and value.bit_length() <= 64:
        return value
    if type(value) is float and value - value == 0:
        return value
    return bounded(text_of(value))


def bounded(text: str) -> str:
    whole = encodable_text(text[: LONGEST_VALUE + 1])
    return whole if len(whole) <= LONGEST_VALUE else whole[: LONGEST_VALUE - 1] + "…"


def text_of(value: object) -> str:
    return attempt(lambda: str(value), f"<unprintable {type(value).__name__}>")


def attempt(produce: Callable[[], str], otherwise: str) -> str:
    """What ``produce`` returns: a foreign ``__str__`` or ``%`` may raise anything, and a log line must not."""
    with suppress(Exception):
        return produce()
    return otherwise


def logfmt(value: Value) -> str:
    """A value in logfmt: bare where that is safe, else quoted and escaped as in JSON."""
    if not isinstance(value, str):
        return json.dumps(value)
    if value.isprintable() and BARE.fullmatch(value):
        return value
    return "".join(char if char.isprintable() else escaped(char) for char in json.dumps(value, ensure_ascii=False))


def escaped(char: str) -> str:
    return json.dumps(char).strip('"') if ord(char) != 0x7F else "\\u007f"


def encodable_text(text: str) -> str:
    """Text without lone surrogates, which stand for bytes that were not UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


def encodable(line: str, stream: TextIO) -> str:
    """The line in the characters that the stream can take."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return line.encode(encoding, "backslashreplace").decode(encoding)
