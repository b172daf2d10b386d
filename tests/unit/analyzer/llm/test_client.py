"""analyzer/llm/client.py: tries, pauses, proxies, and what is not told."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from perflens.analyzer.llm.client import Client
from perflens.analyzer.llm.failures import RequestFailed
from tests.unit.analyzer.llm.server import TOKEN, serving

IMPORTS = "import sys, perflens.analyzer.llm.explainer; print('aiohttp' in sys.modules)"


class Pauses:
    """Notes how long a client would have waited."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


async def ask(mode: str, *, seconds: float = 20.0, tries: int = 9, jitter: float = 0.5) -> tuple[list[float], int, str]:
    """Return the pauses of a client, the requests that the server saw, and why there was no answer."""
    pauses, left = Pauses(), iter([True] * (tries - 1))
    async with serving(mode) as server:
        client = Client(server.base_url, TOKEN, {}, pauses, lambda: jitter)
        try:
            await client({}, asyncio.get_running_loop().time() + seconds, lambda: next(left, False))
            return pauses.seconds, len(server.requests), ""
        except RequestFailed as failed:
            assert TOKEN not in repr(failed)
            assert failed.__cause__ is None
            return pauses.seconds, len(server.requests), str(failed)


async def test_tries() -> None:
    """A passing failure is tried twice more, with full jitter over a growing time."""
    assert await ask("500") == ([0.25, 0.5], 3, "transient (HTTP 500)")
    assert await ask("500", jitter=0.0) == ([0.0, 0.0], 3, "transient (HTTP 500)")
    assert await ask("500", tries=2) == ([0.25], 2, "transient (HTTP 500)")
    assert await ask("429 seconds") == ([0.25], 2, "")


@pytest.mark.parametrize("mode", ["429 long", "429 date"])
async def test_pause_beyond_the_deadline_is_not_waited_for(mode: str) -> None:
    assert await ask(mode) == ([], 1, "rate (HTTP 429)")


async def test_pause_that_the_server_asks_for() -> None:
    [pause], requests, _ = await ask("429 long", seconds=7_200.0, tries=2)
    assert (pause, requests) == (3_600.25, 2)


@pytest.mark.parametrize(
    ("mode", "reason"),
    [("401", "auth (HTTP 401)"), ("503", "transient (HTTP 503)"), ("redirect", "config (HTTP 307)"), ("huge", "size (HTTP 200)")],
)
async def test_not_tried_again(mode: str, reason: str) -> None:
    assert await ask(mode) == ([], 1, reason)


async def test_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests go to the proxy, except to hosts that need none."""
    async with serving("ok") as proxy:
        monkeypatch.setenv("http_proxy", proxy.base_url.removesuffix("/v1"))
        monkeypatch.delenv("no_proxy", raising=False)
        deadline = asyncio.get_running_loop().time() + 20
        await Client("http://model.invalid/v1", TOKEN, {})({}, deadline, lambda: False)
        assert proxy.headers[0]["Host"] == "model.invalid"
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
        await Client(proxy.base_url, TOKEN, {})({}, deadline, lambda: False)
        assert len(proxy.requests) == 2


async def test_login_of_netrc_is_not_sent(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    """A login that the user has for the host does not take the place of the token."""
    path = f"{tmp_path}/netrc"
    with open(path, "w") as file:  # noqa: ASYNC230
        file.write("machine 127.0.0.1 login bob password secret\n")
    monkeypatch.setenv("NETRC", path)
    async with serving("ok") as server:
        await Client(server.base_url, TOKEN, {})({}, asyncio.get_running_loop().time() + 20, lambda: False)
        assert server.headers[0]["Authorization"] == f"Bearer {TOKEN}"


async def test_header_that_is_none() -> None:
    with pytest.raises(RequestFailed) as raised:
        await Client("http://127.0.0.1:1/v1", f"{TOKEN}\r\nX: y", {})({}, asyncio.get_running_loop().time() + 20, lambda: False)
    assert TOKEN not in repr(raised.value)


def test_aiohttp_is_imported_when_it_is_needed() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS], env={"PYTHONPATH": ":".join(sys.path)}, capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """One for this host, of no authority, with its key in the file `key` beside it."""
    own = tmp_path / "certificate"
    made: list[str | Path] = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        tmp_path / "key",
        "-out",
        own,
        "-days",
        "2",
    ]
    subprocess.run([*made, "-subj", "/CN=x", "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    return own


async def test_a_server_by_tls(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The host's authorities are asked, not those that aiohttp knew when it was imported; without the right one nothing is sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key"))

    async with serving("ok", context) as server:
        soon = asyncio.get_running_loop().time() + 20
        with pytest.raises(RequestFailed, match="certificate"):
            await Client(server.base_url, TOKEN, {})({}, soon, lambda: False)
        assert server.requests == []

        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert await Client(server.base_url, TOKEN, {})({}, soon, lambda: False)
        assert len(server.requests) == 1
