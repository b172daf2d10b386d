"""Asks the API of a running agent on behalf of a command: one answer after the other, over one way to reach it."""

from __future__ import annotations

import argparse
import json
import select
import ssl
import sys
import urllib.error
from collections.abc import Mapping
from http.client import HTTPException, IncompleteRead
from typing import Any
from urllib.parse import urlencode

from perflens.client import Target, add_flags, target_of
from perflens.errors import PerfLensError
from perflens.http.conform import problems
from perflens.http.openapi import ENDPOINTS, document
from perflens.reports.text import printable

__all__ = ["Agent", "NoAnswer", "Refused", "add_agent", "add_filters", "filters_of", "pause"]

_DEFAULT = "http://127.0.0.1:9435"
_TIMEOUT = 10.0  # s
_LARGEST = 64 << 20
_UNAVAILABLE = 503

_FILTERS = (
    ("--probe", "probe", "NAME", "of this probe only, such as file or block"),
    ("--operation", "operation", "NAME", "of this operation only, such as fsync"),
    ("--unit", "owner", "NAME", "of this owner only, by the name that it has in lines and metrics"),
)
_MORE = (
    ("--pid", "pid", "PID", "of the process with this PID only"),
    ("--min", "min_duration", "DURATION", "that took at least so long, such as 50ms"),
    ("--since", "since", "TIME", "that ended then or later: 2026-01-31T12:00:00Z, or seconds since 1970"),
)


class NoAnswer(PerfLensError):
    """The agent does not answer now; it may in a moment."""


class Refused(PerfLensError):
    """The agent does not answer this."""


class _BadQuery(Refused):
    exit_code = 2


def add_agent(parser: argparse.ArgumentParser) -> None:
    """Declare which agent is asked, and how it is reached."""
    add_flags(parser, f"the agent that is asked (default: {_DEFAULT})", _DEFAULT)


def add_filters(parser: argparse.ArgumentParser, *, more: bool) -> None:
    """Declare the filters of the API: those of stacks, and with ``more`` those that only events have."""
    for flag, name, metavar, text in (*_FILTERS, *(_MORE if more else ())):
        parser.add_argument(flag, dest=name, metavar=metavar, default="", help=text)


def filters_of(arguments: argparse.Namespace) -> dict[str, str]:
    """Return the filters that were given, as parameters of the API."""
    return {name: value for _, name, _, _ in (*_FILTERS, *_MORE) if (value := getattr(arguments, name, ""))}


class Agent:
    """The agent that the flags name; ConfigError when they cannot be used."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        target = target_of(arguments)
        assert target  # there is a default
        self._target: Target = target
        self._opener = target.opener()

    def ask(self, view: str, query: Mapping[str, object] | None = None) -> Any:
        """Return what a path below /api/v1 answers; NoAnswer when nobody does, Refused when it will not."""
        path = f"/api/v1/{view}{'?' if query else ''}{urlencode(query or {})}"
        url = f"{self._target.base}/api/v1/{view}"
        try:
            with self._opener.open(self._target.request(path), timeout=_TIMEOUT) as answer:
                text = answer.read(_LARGEST + 1)
                if answer.length and len(text) <= _LARGEST:  # http.client takes the end of the connection for that of the answer
                    raise IncompleteRead(text, answer.length)
        except urllib.error.HTTPError as error:
            raise _refusal(url, error) from error
        except (OSError, HTTPException, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise NoAnswer(f"{url} does not answer: {_why(reason)}; start the agent there, or correct --url") from error
        return _checked(view, _value(text, url), url)


def _checked(view: str, value: Any, url: str) -> Any:
    (endpoint,) = (own for own in ENDPOINTS if own.path == view)
    wrong = next(problems(value, endpoint.answer, document(), view, lenient=True), None)
    if wrong:
        raise Refused(f"{url} answers otherwise than it should: {wrong}; use the perflens of the agent's version")
    return value


def _refusal(url: str, error: urllib.error.HTTPError) -> PerfLensError:
    """What the agent says of why, with its cure."""
    try:
        told = json.loads(error.read(4_096))["error"]
    except (ValueError, KeyError, TypeError, OSError, HTTPException):
        told = "say who asks: --client.token-file, or --client.user and --client.password-file" if error.code in (401, 403) else ""
    kinds: Mapping[int, type[PerfLensError]] = {_UNAVAILABLE: NoAnswer, 400: _BadQuery}
    text = "".join(one for one in str(told) if one.isprintable())[:500]
    return kinds.get(error.code, Refused)(f"{url} answers {error.code}{': ' if text else ''}{text}")


def _why(reason: object) -> str:
    if isinstance(reason, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {reason.verify_message}"
    return printable(str(getattr(reason, "strerror", None) or reason))  # it may be what a server has sent


def _value(text: bytes, url: str) -> Any:
    try:
        if len(text) > _LARGEST:
            raise ValueError
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise Refused(f"{url} is no API of PerfLens; correct --url") from None
    return value


def pause(seconds: float) -> None:
    """Wait; BrokenPipeError as soon as nobody reads the standard output any more."""
    poller = select.poll()
    poller.register(sys.stdout.fileno(), 0)  # what is looked for comes unasked: of a pipe an error, of a socket the end
    if any(happened & (select.POLLERR | select.POLLHUP) for _, happened in poller.poll(1_000 * seconds)):
        raise BrokenPipeError
