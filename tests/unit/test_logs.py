"""logs.py: one line for each record, whatever is in it."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflens import logs

ANY_TEXT = st.text(st.characters(exclude_categories=()))
ANY_VALUE = ANY_TEXT | st.integers() | st.floats() | st.booleans() | st.none() | st.binary() | st.lists(ANY_TEXT, max_size=2)
PAIR = re.compile(r'[0-9A-Za-z_.-]+=(?:"(?:[^"\\]|\\["\\bfnrt]|\\u[0-9a-f]{4})*"|[^\s"=\\]+)')
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


class Hostile:
    """A value that cannot be printed."""

    def __str__(self) -> str:
        raise RuntimeError("no")


@pytest.fixture(autouse=True)
def root() -> Iterator[logging.Logger]:
    logger = logging.getLogger()
    handlers, level = list(logger.handlers), logger.level
    yield logger
    logger.handlers = handlers
    logger.setLevel(level)


def record(message: object, *arguments: object, extra: Any = None, error: BaseException | None = None) -> logging.LogRecord:
    exc_info = (type(error), error, error.__traceback__) if error else None
    made = logging.LogRecord("perflens.test", logging.INFO, "test.py", 1, message, arguments, exc_info)
    made.created = 1_700_000_000.25
    if extra is not None:
        made.fields = extra
    return made


def logged(level: str, format: str) -> tuple[logging.Logger, io.StringIO]:
    stream = io.StringIO()
    logs.configure(level, format, stream)
    return logging.getLogger("perflens.test"), stream


def test_logfmt() -> None:
    """A record is its time, level, logger, message and fields, quoted where that is needed."""
    line = logs.LogfmtFormatter().format(
        record("attached %s", "file", extra={"probe": "file", "cells": 3, "on": True, "none": None, "empty": ""})
    )
    assert line == (
        'ts=2023-11-14T22:13:20.250Z level=info logger=perflens.test msg="attached file" probe=file cells=3 on=true none=null empty=""'
    )


def test_json() -> None:
    """A record is one JSON object with numbers and booleans as such."""
    line = logs.JsonFormatter().format(record("attached", extra={"cells": 3, "on": True, "ratio": 0.5, "nan": float("nan"), "name": "é\n"}))
    assert json.loads(line) == {
        "ts": "2023-11-14T22:13:20.250Z",
        "level": "info",
        "logger": "perflens.test",
        "msg": "attached",
        "cells": 3,
        "on": True,
        "ratio": 0.5,
        "nan": "nan",
        "name": "é\n",
    }
    assert line.isascii()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("nginx", "nginx"),
        ("/docker/abc", "/docker/abc"),
        ("é", "é"),
        ("a b", '"a b"'),
        ("a=b", '"a=b"'),
        ('a"b', '"a\\"b"'),
        ("a\\b", '"a\\\\b"'),
        ("a\nlevel=error", '"a\\nlevel=error"'),
        ("\x1b[31m", '"\\u001b[31m"'),
        ("\x00\x7f\x9b", '"\\u0000\\u007f\\u009b"'),
        ("\u202e\u2028", '"\\u202e\\u2028"'),
        ("\U000e0001", '"\\udb40\\udc01"'),
        ("\udc80", '"\\\\udc80"'),
        (Hostile(), '"<unprintable Hostile>"'),
        (10**30, "1" + "0" * 30),
        (float("inf"), "inf"),
    ],
)
def test_escapes(value: object, expected: str) -> None:
    """A value in logfmt is bare where that is safe, else quoted, and never more than text."""
    line = logs.LogfmtFormatter().format(record("x", extra={"value": value}))
    assert line.endswith(f" msg=x value={expected}")


@given(ANY_TEXT, st.dictionaries(ANY_TEXT, ANY_VALUE, max_size=4), ANY_TEXT)
def test_any_values(message: str, extra: dict[str, Any], error: str) -> None:
    """Nothing in a record breaks its line: it stays printable and every pair can be told from the next."""
    made = record(message, extra=extra, error=ValueError(error))
    for tracebacks in (False, True):
        line = logs.LogfmtFormatter(tracebacks=tracebacks).format(made)
        assert line.isprintable()
        assert re.fullmatch(f"(?:{PAIR.pattern})(?: {PAIR.pattern})*", line)
        line = logs.JsonFormatter(tracebacks=tracebacks).format(made)
        assert line.isascii()
        assert line.isprintable()
        assert json.loads(line)["logger"] == "perflens.test"


def test_huge_number() -> None:
    """A number that Python does not print is no reason to lose the line."""
    assert logs.LogfmtFormatter().format(record("x", extra={"value": 10**5000})).endswith(' value="<unprintable int>"')


def test_bounds() -> None:
    """A value has at most 4096 characters."""
    found = json.loads(
        logs.JsonFormatter().format(record("m" * 10_000, extra={"at": "x" * 4096, "over": "x" * 4097, "bytes": "\udc80" * 9999}))
    )
    assert len(found["msg"]) == len(found["at"]) == len(found["over"]) == len(found["bytes"]) == 4096
    assert found["at"] == "x" * 4096
    assert found["over"] == "x" * 4095 + "…"


def test_reserved() -> None:
    """A field cannot pass for the time, the level or another part of the record."""
    found = json.loads(logs.JsonFormatter().format(record("x", extra={"level": "error", "a b\n": 1, "": 2})))
    assert (found["level"], found["field.level"], found["a_b_"], found["_"]) == ("info", "error", 1, 2)


def test_exceptions() -> None:
    """An exception is one line; its traceback follows at debug alone."""
    for level, expected in (("info", False), ("debug", True)):
        logger, stream = logged(level, "json")
        try:
            raise OSError("no\nsuch map")
        except OSError:
            logger.exception("failed")
        found = json.loads(stream.getvalue())
        assert stream.getvalue().count("\n") == 1
        assert found["error"] == "OSError: no\nsuch map"
        assert ("traceback" in found) is expected
    assert "test_exceptions" in found["traceback"]


def test_hostile_exception() -> None:
    """An exception that cannot be printed is still logged."""
    line = logs.LogfmtFormatter(tracebacks=True).format(record("x", error=ValueError(Hostile())))
    assert 'error="ValueError: <unprintable ValueError>" traceback=' in line


@pytest.mark.parametrize(("level", "expected"), [("debug", 4), ("info", 3), ("warn", 2), ("error", 1), ("nonsense", 3)])
def test_levels(level: str, expected: int) -> None:
    """Records below the level are not written."""
    logger, stream = logged(level, "logfmt")
    for write in (logger.debug, logger.info, logger.warning, logger.error):
        write("x", extra=logs.fields(probe="file"))
    lines = stream.getvalue().splitlines()
    assert len(lines) == expected
    assert " level=error " in lines[-1]
    assert TIME.match(lines[-1].removeprefix("ts="))
    assert lines[-1].endswith(" msg=x probe=file")


def test_reconfigured(root: logging.Logger) -> None:
    """Configured again, the log has one handler of ours, and those of others stay."""
    other = logging.NullHandler()
    root.addHandler(other)
    logger, first = logged("info", "logfmt")
    logger, second = logged("info", "json")
    logger.info("x")
    assert first.getvalue() == ""
    assert second.getvalue().count("\n") == 1
    assert other in root.handlers


def test_never_raises(root: logging.Logger, capfd: pytest.CaptureFixture[str]) -> None:
    """Neither bad arguments nor a closed stream nor a narrow one raise or write elsewhere."""
    root.handlers = []
    logger, stream = logged("info", "logfmt")
    logger.info("%d", "x")
    logger.info(Hostile(), extra=logs.fields(value=Hostile()))
    logger.info("x", extra={"fields": "no mapping"})
    assert [line.partition("msg=")[2] for line in stream.getvalue().splitlines()] == [
        "%d",
        '"<unprintable Hostile>" value="<unprintable Hostile>"',
        "x",
    ]
    stream.close()
    logger.info("lost")
    narrow = io.BytesIO()
    logs.configure("info", "logfmt", io.TextIOWrapper(narrow, "ascii"))
    logger.info("é")
    assert narrow.getvalue().endswith(b" msg=\\xe9\n")
    assert capfd.readouterr() == ("", "")
