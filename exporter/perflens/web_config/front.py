"""The web configuration in force: it decides about requests, and is read again when a file of it has changed."""

from __future__ import annotations

import binascii
import logging
import ssl
import time
from base64 import b64decode
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from perflens.config.wording import printable
from perflens.errors import ConfigError, Problem
from perflens.http.access import Refusal
from perflens.http.front import Verdict, Visit
from perflens.logs import fields
from perflens.model import WebCounts
from perflens.web_config.bucket import Bucket
from perflens.web_config.files import Files
from perflens.web_config.passwords import Busy, Passwords
from perflens.web_config.reader import read
from perflens.web_config.settings import WebConfig
from perflens.web_config.tls import Changing, context

__all__ = ["HANDSHAKES", "REASONS", "Guarding", "check"]

_log = logging.getLogger("perflens")

_LOOK_EVERY = 1_000_000_000  # ns
REASONS = ("unauthorized", "rate_limited", "busy")
HANDSHAKES = ("client_certificate", "protocol")
_CHALLENGE = {"WWW-Authenticate": 'Basic realm="PerfLens", charset="UTF-8"'}


@dataclass(slots=True)
class _State:
    """What was read last with success; the files are those that were looked at last, successful or not."""

    config: WebConfig
    context: ssl.SSLContext | None
    files: Files
    loaded_at: float = field(default_factory=time.time)


def check(path: str) -> None:
    """Raise ConfigError with every problem of the file."""
    _load(path, Counter())


def _load(path: str, failed: Counter[str]) -> _State:
    files = Files()
    config, problems = read(path, files)
    if problems:
        raise _Unusable(tuple(problems), files)
    return _State(config, context(config.tls, failed) if config.tls else None, files)


class _Unusable(ConfigError):
    """The file cannot be used; ``files`` are those whose change may mend it."""

    def __init__(self, problems: tuple[Problem, ...], files: Files) -> None:
        super().__init__(problems)
        self.files = files


class Guarding:
    """The front of an agent that has a web configuration; ConfigError when it cannot be used."""

    def __init__(self, path: str, now: Callable[[], int] = time.monotonic_ns) -> None:
        self._path, self._now = path, now
        self._refused, self._failed = Counter[str](), Counter[str]()
        self._state = _load(path, self._failed)
        self._bucket = Bucket(self._state.config.rate, now)
        self._passwords = Passwords()
        self._looked_at, self._trouble = now(), ""
        self._listens = self._listening()
        self._warn()

    @property
    def tls(self) -> ssl.SSLContext | None:
        """The context to listen with; it stays the same, and what it does is what the file says."""
        return self._listens

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers for every answer."""
        return self._state.config.headers

    async def judge(self, visit: Visit) -> Verdict:
        """Let a request in if there is room for it, and it shows a password where passwords are asked for."""
        self._look()
        if not self._bucket.take():
            seconds = -(-self._bucket.limit.interval // 1_000_000_000)
            return self._refuse("rate_limited", Refusal(429, "too many requests; ask less often", {"Retry-After": str(seconds)}))
        users = self._state.config.users
        if not users or visit.has_token:
            return Verdict(authenticated=visit.has_certificate)
        try:
            if await self._is_user(users, visit.authorization):
                return Verdict(authenticated=True)
        except Busy:
            return self._refuse("busy", Refusal(503, "too many passwords are being checked; ask again in a moment", {"Retry-After": "1"}))
        return self._refuse("unauthorized", Refusal(401, "send a user and a password of the agent's web configuration", _CHALLENGE))

    async def _is_user(self, users: Mapping[str, str], sent: tuple[str, ...]) -> bool:
        credentials = _credentials(sent)
        return credentials is not None and await self._passwords.is_right(users, *credentials)

    def _refuse(self, reason: str, refusal: Refusal) -> Verdict:
        self._refused[reason] += 1
        return Verdict(refusal)

    def is_old(self, connection: ssl.SSLObject | None) -> bool:
        """Whether a connection was made with a context that is no longer in force."""
        return connection is not None and connection.context is not self._state.context

    def reload(self) -> None:
        """Read the file again, changed or not; ConfigError leaves what was read before in force."""
        try:
            self._take(_load(self._path, self._failed))
        except _Unusable as error:
            self._state.files = error.files
            self._trouble = str(error)
            raise

    def _look(self) -> None:
        """Read the file again if it, or one that it names, has changed since; at most once a second."""
        if self._now() - self._looked_at < _LOOK_EVERY:
            return
        self._looked_at = self._now()
        if not self._state.files.have_changed():
            return
        before = self._trouble
        try:
            self.reload()
            _log.info("web configuration read again", extra=fields(path=printable(self._path)))
        except ConfigError as error:
            if str(error) != before:
                _log.error("web configuration not read again: the last good one stays in force", extra=fields(reason=str(error)))

    def _take(self, state: _State) -> None:
        if (state.context is None) != (self._state.context is None):
            problem = Problem(printable(self._path), "tls_server_config", "cannot come or go while the agent runs", "restart the agent")
            raise _Unusable((problem,), state.files)
        if state.config.tls == self._state.config.tls:
            state.context = self._state.context  # connections of today may go on
        if state.config.rate != self._state.config.rate:
            self._bucket = Bucket(state.config.rate, self._now)
        self._state, self._trouble = state, ""
        self._warn()

    def _warn(self) -> None:
        for path in self._state.files.keys_open_to_all:
            _log.warning("every user of the host can read the private key", extra=fields(path=path, cure="chmod o= the file"))

    def _listening(self) -> Changing | None:
        if self._state.context is None:
            return None
        if self._state.config.http2:
            _log.info("HTTP/2 is not offered: clients are answered in HTTP/1.1")
        listens = Changing(ssl.PROTOCOL_TLS_SERVER)
        listens.current = self._newest
        return listens

    def _newest(self) -> ssl.SSLContext:
        self._look()
        assert self._state.context, "plain HTTP does not begin a handshake"
        return self._state.context

    def counts(self) -> WebCounts:
        """Return what the metrics show."""
        return WebCounts(
            not self._trouble,
            self._state.loaded_at,
            {reason: self._refused[reason] for reason in REASONS},
            {reason: self._failed[reason] for reason in HANDSHAKES},
        )

    def close(self) -> None:
        """End the thread that checks passwords."""
        self._passwords.close()


def _credentials(sent: tuple[str, ...]) -> tuple[str, bytes] | None:
    """User and password of one header Authorization: Basic; None for anything else."""
    if len(sent) != 1 or sent[0][:6].lower() != "basic ":
        return None
    try:
        user, colon, password = b64decode(sent[0][6:].strip(), validate=True).partition(b":")
        return (user.decode(), password) if colon else None
    except (binascii.Error, ValueError):
        return None
