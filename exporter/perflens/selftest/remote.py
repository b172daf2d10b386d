"""An agent that runs already, asked over HTTP: its page, and its API."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode, urlsplit

from perflens.errors import PerfLensError, StartError
from perflens.model import ProbeState
from perflens.selftest.page import Page
from perflens.selftest.subject import Event

__all__ = ["Remote", "is_usable"]

_TIMEOUT = 5.0  # s
_LARGEST = 256 << 20
_MOST_EVENTS = 1_000


def is_usable(url: str) -> bool:
    """Whether a text is the URL of an agent: of HTTP, with a host, and no more than a path."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    plain = not (parts.query or parts.fragment or parts.username) and url.isprintable() and " " not in url
    return plain and parts.scheme in ("http", "https") and bool(parts.hostname)


class Remote:
    """The agent at ``url``: its address, or the whole URL of its metrics. ``token`` is sent to the API, empty for none."""

    attaches = False

    def __init__(self, url: str, token: str = "") -> None:
        parts = urlsplit(url)
        self._base = f"{parts.scheme}://{parts.netloc}"
        self._metrics = f"{self._base}{parts.path.rstrip('/') or '/metrics'}"
        self._token = token
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # this host asks itself, whatever the proxy

    def start(self) -> None:
        """See that it can be asked; StartError when not."""
        if not self.page().has("perflens_probe_attached"):
            raise StartError(f"{self._metrics} is no page of PerfLens; give the URL of the agent's metrics: --url")

    def states(self) -> Mapping[str, ProbeState]:
        """Return how each probe stands; the reason of one that is not attached is the API's, if that answers."""
        page = self.page()
        mechanisms = {
            labels["probe"]: labels.get("mechanism", "")
            for labels, value in page.each("perflens_probe_info", {})
            if "probe" in labels and value
        }
        told = self._told()
        return {
            name: ProbeState(name, bool(up), mechanisms.get(name, ""), *told.get(name, ("", "")))
            for name, up in page.by("probe", "perflens_probe_attached").items()
        }

    def _told(self) -> dict[str, tuple[str, str]]:
        """Reason and cure of each probe."""
        try:
            return {str(own["name"]): (str(own["reason"]), str(own["cure"])) for own in self._api("summary")["probes"]}
        except (PerfLensError, KeyError, TypeError):
            return {}

    def page(self) -> Page:
        """Return its metrics now; StartError when it does not answer."""
        return Page(self._get(self._metrics).decode(errors="replace"))

    def events(self, probe: str, min_duration: int) -> Sequence[Event]:
        """Return its slow operations; StartError when the API does not answer us."""
        found = self._api("events", probe=probe, min_duration=f"{min_duration}ns", limit=_MOST_EVENTS).get("events")
        return found if isinstance(found, list) else []

    def threshold(self, probe: str, operation: str) -> int:
        """Return 0: no agent tells."""
        return 0

    def _api(self, view: str, **query: object) -> dict[str, Any]:
        try:
            found = json.loads(self._get(f"{self._base}/api/v1/{view}{'?' if query else ''}{urlencode(query)}"))
        except ValueError:
            found = None
        return found if isinstance(found, dict) else {}

    def _get(self, url: str) -> bytes:
        # The scheme was looked at: it is no file.
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {self._token}"} if self._token else {})  # noqa: S310
        try:
            with self._opener.open(request, timeout=_TIMEOUT) as answer:
                return bytes(answer.read(_LARGEST))
        except urllib.error.HTTPError as error:
            cure = "send the token of its --web.api-token-file: --token-file" if error.code in (401, 403) else "look at its log"
            raise StartError(f"{url} answers {error.code}; {cure}") from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise StartError(
                f"{url} does not answer: {getattr(reason, 'strerror', None) or reason}; start the agent there, or correct --url"
            ) from error
