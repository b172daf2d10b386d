"""selftest/remote.py: an agent over HTTP, and what answers instead of one."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from perflens.client import Identity, Target
from perflens.errors import StartError
from perflens.model import ProbeState
from perflens.selftest.remote import Remote
from tests.servers import saying

PAGE = """\
perflens_probe_attached{probe="disk"} 1.0
perflens_probe_attached{probe="net"} 0.0
perflens_probe_info{mechanism="tp_btf",probe="disk"} 1.0
"""
SUMMARY = {"probes": [{"name": "net", "reason": "no", "cure": "yes"}, {"name": "disk", "reason": "", "cure": ""}]}
EVENTS = {"events": [{"operation": "read"}]}


class Handler(BaseHTTPRequestHandler):
    """Answers what the test put there by path, and keeps what it was asked."""

    answers: dict[str, Any] = {}  # noqa: RUF012  (a new one for each test)
    asked: list[tuple[str, str]] = []  # noqa: RUF012

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers.get("Authorization", "")))
        answer = self.answers.get(self.path.partition("?")[0], 404)
        status, body = (answer, "no") if isinstance(answer, int) else (200, answer if isinstance(answer, str) else json.dumps(answer))
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    Handler.answers = {"/metrics": PAGE, "/api/v1/summary": SUMMARY, "/api/v1/events": EVENTS}
    Handler.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("path", ["", "/", "/metrics"])
def test_an_agent(url: str, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The states of the probes with the reasons of the API; a proxy of the environment is not asked."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    agent = Remote(Target.of(url + path, Identity(token="word")))  # noqa: S106
    agent.start()

    assert agent.states() == {
        "disk": ProbeState("disk", attached=True, mechanism="tp_btf"),
        "net": ProbeState("net", attached=False, reason="no", cure="yes"),
    }
    assert agent.events("disk", 5) == EVENTS["events"]
    assert agent.threshold("disk", "read") == 0
    assert Handler.asked[-1] == ("/api/v1/events?probe=disk&min_duration=5ns&limit=1000", "Bearer word")


def test_api_that_refuses(url: str) -> None:
    """Without the API the probes have no reasons, and events cannot be told: the cure is the token."""
    Handler.answers = {"/metrics": PAGE, "/api/v1/summary": 403, "/api/v1/events": 403}
    agent = Remote(Target.of(url))

    assert agent.states()["net"] == ProbeState("net", attached=False)
    with pytest.raises(StartError, match="answers 403; send the token"):
        agent.events("disk", 5)
    assert Handler.asked[-1][1] == ""


@pytest.mark.parametrize("answer", ["no JSON", "[]", {"events": 3}, {}])
def test_answers_that_are_none(url: str, answer: Any) -> None:
    """Something else that answers is no agent, and has no events."""
    Handler.answers = {"/metrics": "up 1\n", "/api/v1/events": answer, "/api/v1/summary": answer}

    assert Remote(Target.of(url)).events("disk", 5) == []
    assert Remote(Target.of(url)).states() == {}
    with pytest.raises(StartError, match="is no page of PerfLens"):
        Remote(Target.of(url)).start()


def test_nobody_answers() -> None:
    """One line with the cure."""
    with pytest.raises(StartError, match="does not answer: Connection refused; start the agent there"):
        Remote(Target.of("http://127.0.0.1:1")).start()


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"\x1b]0;x\x07 220 hello\r\n\r\n", r"'\\x1b\]0;x\\x07 220 hello\\r\\n'"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nperflens_", r"IncompleteRead\(9 bytes read, 90 more expected\)"),
    ],
)
def test_what_is_no_answer(sent: bytes, reason: str) -> None:
    """A server of something else, and a page that breaks off, are one line that no terminal obeys."""
    with saying(sent) as url, pytest.raises(StartError, match=f"does not answer: {reason}; start the agent there"):
        Remote(Target.of(url)).page()


def test_error_of_the_server(url: str) -> None:
    """An agent that is broken says where to look."""
    Handler.answers = {"/metrics": 500}

    with pytest.raises(StartError, match="answers 500; look at its log"):
        Remote(Target.of(url)).page()
