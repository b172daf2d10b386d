"""Grafana's HTTP API of annotations, as far as it is used here. Whoever answers may be anything: what comes back is bounded and checked.

docs/sources/developers/http_api/annotations.md of grafana/grafana; times are ms since the epoch.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from perflens.annotate.answers import CONFIGURATION, RETRY, Failure, failure_of
from perflens.annotate.settings import GrafanaSettings
from perflens.annotate.wording import clean

if TYPE_CHECKING:
    import aiohttp

__all__ = ["Found", "GrafanaApi"]

_MOST_BYTES = 1 << 20
_LONGEST_TEXT = 4_096
_PATH = "/api/annotations"


@dataclass(frozen=True, slots=True)
class Found:
    """An annotation that Grafana has."""

    id: int
    time: int
    end: int
    text: str
    tags: tuple[str, ...]


class GrafanaApi:
    """The requests, one at a time. Each raises Failure."""

    def __init__(self, settings: GrafanaSettings, now: Callable[[], float] = time.time) -> None:
        base = settings.url.rstrip("/").removesuffix(_PATH)
        self._url, self._token, self._timeout, self._now = base + _PATH, settings.token, settings.timeout, now
        self._session: aiohttp.ClientSession | None = None

    async def create(self, body: Mapping[str, Any]) -> int:
        """Add an annotation and return its id."""
        answer = await self._ask("POST", "", body)
        identity = answer.get("id") if isinstance(answer, dict) else None
        if type(identity) is not int or identity <= 0:
            raise Failure("answer", "the answer has no id of an annotation")
        return identity

    async def find(self, tags: Sequence[str], start: int, end: int, limit: int = 200) -> tuple[Found, ...]:
        """Return the annotations that have all tags and lie, in part at least, between two times; the last to end first."""
        query = [("type", "annotation"), ("from", str(start)), ("to", str(end)), ("limit", str(limit)), *(("tags", tag) for tag in tags)]
        try:
            answer = await self._ask("GET", "", query=query)
        except Failure as failure:
            if failure.reason in RETRY | CONFIGURATION:
                raise
            raise Failure("answer", failure.detail, failure.after) from failure  # it tells nothing of the row that is looked for
        if not isinstance(answer, list):
            raise Failure("answer", "the answer is no list of annotations")
        return tuple(found for found in map(_found, answer) if found and set(tags) <= set(found.tags))

    async def patch(self, identity: int, body: Mapping[str, Any]) -> None:
        """Change parts of an annotation."""
        await self._ask("PATCH", f"/{identity}", body)

    async def put(self, identity: int, body: Mapping[str, Any]) -> None:
        """Replace an annotation."""
        await self._ask("PUT", f"/{identity}", body)

    async def delete(self, identity: int) -> None:
        """Delete an annotation."""
        await self._ask("DELETE", f"/{identity}")

    async def close(self) -> None:
        """Close the connection."""
        if self._session:
            await self._session.close()
            self._session = None

    async def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None, query: Sequence[tuple[str, str]] = ()) -> Any:
        import aiohttp

        try:
            status, headers, content = await self._exchange(method, path, body, query)
        except TimeoutError as error:
            raise Failure("timeout", f"no answer within {self._timeout:g} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Failure("connect", self._told(error)) from error
        failure = failure_of(status, bool(path), headers, self._now(), self._message(content))
        if failure:
            raise failure
        if content is None:
            raise Failure("answer", f"the answer has more than {_MOST_BYTES} bytes")
        return _parsed(content) if method in ("GET", "POST") else None

    async def _exchange(
        self, method: str, path: str, body: Mapping[str, Any] | None, query: Sequence[tuple[str, str]]
    ) -> tuple[int, Mapping[str, str], bytes | None]:
        """Status, headers and the content, None when it is too long."""
        self._session = self._session or _session(self._url, self._token, self._timeout)
        request = self._session.request(method, self._url + path, json=body, params=list(query), allow_redirects=False)
        async with request as response:
            content = bytearray()
            while chunk := await response.content.read(65_536):
                content += chunk
                if len(content) > _MOST_BYTES:
                    response.close()
                    return response.status, response.headers, None
            return response.status, response.headers, bytes(content)

    def _told(self, error: BaseException) -> str:
        """An error without what it may quote of the request."""
        cause = error if isinstance(error, OSError) else error.__cause__
        reason = cause.strerror if isinstance(cause, OSError) and cause.strerror else type(error).__name__
        return self._without_token(reason)

    def _message(self, content: bytes | None) -> str:
        """What Grafana says of an error."""
        try:
            answer = _parsed(content or b"")
        except Failure:
            return ""
        message = answer.get("message") if isinstance(answer, dict) else None
        return self._without_token(clean(message))[:200] if isinstance(message, str) else ""

    def _without_token(self, text: str) -> str:
        return text.replace(self._token, "…") if self._token else text


def _session(url: str, token: str, timeout: float) -> aiohttp.ClientSession:
    """A session that keeps no cookies and follows nothing: a token goes to the configured server alone."""
    import ssl

    import aiohttp

    # the contexts that aiohttp makes when it is imported have no certificates in this process
    context = ssl.create_default_context() if url.lower().startswith("https:") else True
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context, limit=2),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Authorization": f"Bearer {token}", "Accept": "application/json", "Accept-Encoding": "identity"},
        timeout=aiohttp.ClientTimeout(total=timeout),
    )


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Failure("answer", "the answer is no JSON") from error


def _found(data: object) -> Found | None:
    """One annotation of an answer; None for what is none. One without an end, or with 0, is a point."""
    if not isinstance(data, dict):
        return None
    identity, time, end, tags = data.get("id"), data.get("time"), data.get("timeEnd") or data.get("time"), data.get("tags") or []
    if type(identity) is not int or type(time) is not int or type(end) is not int or not isinstance(tags, list):
        return None
    return Found(identity, time, end, _plain(data.get("text"))[:_LONGEST_TEXT], tuple(map(_plain, tags)))


def _plain(value: object) -> str:
    """Text that can be encoded again."""
    return str(value or "").encode("utf-8", "replace").decode()
