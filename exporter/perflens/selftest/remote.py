"""An agent that runs already, asked over HTTP: its page, and its API."""

from __future__ import annotations

import json
import ssl
import urllib.error
from collections.abc import Mapping, Sequence
from http.client import HTTPException, IncompleteRead
from typing import Any
from urllib.parse import urlencode

from perflens.client import Target
from perflens.errors import PerfLensError, StartError
from perflens.model import ProbeState
from perflens.selftest.page import Page
from perflens.selftest.subject import Event

__all__ = ["Remote"]

_TIMEOUT = 5.0  # s
_LARGEST = 256 << 20
_MOST_EVENTS = 1_000


class Remote:
    """An agent that runs."""

    attaches = False

    def __init__(self, target: Target) -> None:
        self._target = target
        self._opener = target.opener()

    def start(self) -> None:
        """See that it can be asked; StartError when not."""
        if not self.page().has("perflens_probe_attached"):
            raise StartError(
                f"{self._target.base}{self._target.metrics} is no page of PerfLens; give the URL of the agent's metrics: --url"
            )

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
        return Page(self._get(self._target.metrics).decode(errors="replace"))

    def events(self, probe: str, min_duration: int) -> Sequence[Event]:
        """Return its slow operations; StartError when the API does not answer us."""
        found = self._api("events", probe=probe, min_duration=f"{min_duration}ns", limit=_MOST_EVENTS).get("events")
        return found if isinstance(found, list) else []

    def threshold(self, probe: str, operation: str) -> int:
        """Return 0: no agent tells."""
        return 0

    def _api(self, view: str, **query: object) -> dict[str, Any]:
        try:
            found = json.loads(self._get(f"/api/v1/{view}{'?' if query else ''}{urlencode(query)}"))
        except ValueError:
            found = None
        return found if isinstance(found, dict) else {}

    def _get(self, path: str) -> bytes:
        url = f"{self._target.base}{path}"
        try:
            with self._opener.open(self._target.request(path), timeout=_TIMEOUT) as answer:
                body = bytes(answer.read(_LARGEST))
                if answer.length:  # http.client takes the end of the connection for that of the answer
                    raise IncompleteRead(body, answer.length)
                return body
        except urllib.error.HTTPError as error:
            raise StartError(f"{url} answers {error.code}; {_cure(error.code, path)}") from error
        except (OSError, HTTPException, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise StartError(f"{url} does not answer: {_why(reason)}; {_cure_of(reason)}") from error


def _cure(status: int, path: str) -> str:
    if status in (401, 403):
        token = "send the token of its --web.api-token-file: --client.token-file, or " if path.startswith("/api/") else ""
        return f"{token}say who asks: --client.user and --client.password-file"
    return "look at its log"


def _why(reason: object) -> str:
    if isinstance(reason, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {reason.verify_message}"
    text = str(getattr(reason, "strerror", None) or reason)
    return text if text.isprintable() else repr(text)  # it may be what a server has sent


def _cure_of(reason: object) -> str:
    if isinstance(reason, ssl.SSLCertVerificationError):
        return "name the authority that made it with --client.ca-file, and the host as the certificate does"
    if isinstance(reason, ssl.SSLError):
        return "show a certificate with --client.cert-file if the agent asks for one, and write --url as it listens: http or https"
    return "start the agent there, or correct --url"
