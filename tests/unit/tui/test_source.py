"""tui/source.py and recording.py: agents over HTTP, and recordings, as they answer and as they fail."""

from __future__ import annotations

import gzip
import json
import os
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from perflens.client import Identity, Target
from perflens.errors import ConfigError
from perflens.tui.recording import opened
from perflens.tui.source import HttpSource, Unavailable
from tests.certificates import Authority
from tests.unit.tui.answers import NOW, example


@asynccontextmanager
async def answering(answer: web.Response | None) -> AsyncIterator[tuple[TestServer, list[web.Request]]]:
    """A server that gives this answer to everything, and what it was asked."""
    asked: list[web.Request] = []

    async def handle(request: web.Request) -> web.Response:
        asked.append(request)
        return answer if answer is not None else web.Response(status=302, headers={"Location": "/elsewhere"})

    app = web.Application()
    app.router.add_get("/{path:.*}", handle)
    server = TestServer(app, host="127.0.0.1")
    async with server:
        yield server, asked


async def ask(server: TestServer, identity: Identity | None = None) -> Any:
    source = HttpSource(Target.of(str(server.make_url("/")), identity))
    try:
        return await source.get("events", {"limit": "5"})
    finally:
        await source.close()


async def test_an_answer() -> None:
    """The path, the parameters and the token reach the agent, and its JSON comes back."""
    async with answering(web.json_response({"events": []})) as (server, asked):
        found = await ask(server, Identity(token="t0k"))  # noqa: S106

    assert found == {"events": []}
    assert (asked[0].path, dict(asked[0].query), asked[0].headers["Authorization"]) == ("/api/v1/events", {"limit": "5"}, "Bearer t0k")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (web.json_response({"error": "the token is \x1b wrong; send it"}, status=401), "HTTP 401: the token is \\x1b wrong; send it"),
        (web.json_response({"error": 7}, status=500), "HTTP 500: no reason given"),
        (web.Response(text="<html>"), "HTTP 200, and no JSON: is it an agent?"),
        (web.Response(body=b"[" * 100_000), "HTTP 200, and no JSON: is it an agent?"),
        (None, "HTTP 302, and no JSON: is it an agent?"),
    ],
)
async def test_a_refusal(answer: web.Response | None, reason: str) -> None:
    """A refusal is one line with its reason, safe to show; nobody is sent elsewhere."""
    async with answering(answer) as (server, asked):
        with pytest.raises(Unavailable) as refused:
            await ask(server)

    assert str(refused.value) == reason
    assert len(asked) == 1


async def test_a_host_that_cannot_be() -> None:
    """A name that DNS cannot have is told as one that nobody answers at."""
    source = HttpSource(Target.of("http://node1..example:9435"))
    with pytest.raises(Unavailable, match="label empty or too long"):
        await source.get("summary", {})
    await source.close()


def test_a_slow_server_of_names() -> None:
    """Who leaves while the name of the agent is looked up does not wait for it: neither its loop nor the interpreter does."""
    code = (
        "import asyncio, socket, time\n"
        "from perflens.client import Target\n"
        "from perflens.tui.source import HttpSource\n"
        "socket.getaddrinfo = lambda *_, **__: time.sleep(60)\n"
        "async def main():\n"
        "    source = HttpSource(Target.of('http://node1.example:9435'))\n"
        "    asked = asyncio.create_task(source.get('summary', {}))\n"
        "    await asyncio.sleep(0.2)\n"
        "    asked.cancel()\n"
        "    await source.close()\n"
        "asyncio.run(main())"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


async def test_an_agent_by_its_name() -> None:
    """A name is looked up and asked."""
    async with answering(web.json_response({"events": []})) as (server, _):
        source = HttpSource(Target.of(f"http://localhost:{server.port}"))
        assert await source.get("events", {}) == {"events": []}
        await source.close()


async def test_nobody_there() -> None:
    """A port that nobody listens on is told in the system's words."""
    async with answering(web.Response()) as (server, _):
        gone = str(server.make_url("/"))
    source = HttpSource(Target.of(gone))
    with pytest.raises(Unavailable, match=r"Connect call failed|Connection refused"):
        await source.get("summary", {})
    await source.close()


async def test_a_certificate_that_is_not_trusted(tmp_path: Path) -> None:
    """An agent whose certificate is not trusted is not asked."""
    pair = Authority(tmp_path).issue("agent")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    server = TestServer(web.Application(), scheme="https", host="127.0.0.1")
    await server.start_server(ssl=context)
    source = HttpSource(Target.of(f"https://127.0.0.1:{server.port}"))
    with pytest.raises(Unavailable, match=r"certificate verify failed"):
        await source.get("summary", {})
    await source.close()
    await server.close()


def capsule(**more: Any) -> Mapping[str, Any]:
    return {
        "perflens_capsule": 1,
        "made_at": "2027-01-15T08:00:00Z",
        "build": "0.1.0",
        **{name.replace("-", "_"): own for name, own in example().items()},
        **more,
    }


@pytest.mark.parametrize("packed", [False, True])
async def test_a_recording(tmp_path: Path, packed: bool) -> None:
    """A recording, packed or not, answers as the agent did, and keeps to what chooses among events."""
    raw = json.dumps(capsule()).encode()
    file = tmp_path / "c.json"
    file.write_bytes(gzip.compress(raw) if packed else raw)
    source = opened(str(file))

    assert (source.name, source.recorded) == ("c.json", NOW)
    assert await source.get("summary", {}) == example()["summary"]
    assert await source.get("process-tree", {}) == example()["process-tree"]
    found = [await source.get("events", query) for query in ({}, {"pid": "77"}, {"in_progress": "true"})]
    assert [[own["process"]["pid"] for own in one["events"]] for one in found] == [[4242, 4242, 77], [77], [4242]]


async def test_a_recording_of_another_form(tmp_path: Path) -> None:
    """Events that are no list are read as any answer that is none of the API."""
    file = tmp_path / "c.json"
    file.write_text(json.dumps(capsule(events={"events": 5})))

    assert await opened(str(file)).get("events", {}) == {"events": 5}


def test_a_pipe(tmp_path: Path) -> None:
    """A pipe that nobody writes to is not waited for."""
    os.mkfifo(tmp_path / "c")
    with pytest.raises(ConfigError, match="is no plain file; name a file that `perflens capsule` has written"):
        opened(str(tmp_path / "c"))


async def test_a_recording_that_has_not_all(tmp_path: Path) -> None:
    """What a recording has not is a reason; one that does not say when it was made is shown too."""
    file = tmp_path / "c.json"
    file.write_text(json.dumps({"perflens_capsule": 1, "made_at": "yesterday", "events": {"events": [7, *example()["events"]["events"]]}}))
    source = opened(str(file))

    assert source.recorded == 1
    assert len((await source.get("events", {}))["events"]) == 3
    with pytest.raises(Unavailable, match="the recording has no process_tree"):
        await source.get("process-tree", {})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file or directory; name a file that `perflens capsule` has written"),
        (b"{", "holds no JSON; name a file that `perflens capsule` has written"),
        (b"\xff", "holds no JSON; name a file that `perflens capsule` has written"),
        (b"\x1f\x8b\x08trash", "holds no JSON; name a file that `perflens capsule` has written"),
        (b"[" * 100_000, "holds no JSON; name a file that `perflens capsule` has written"),
        (b"[]", "is no capsule; name a file that `perflens capsule` has written"),
        (b'{"perflens_capsule": 2}', "has version 2, and this perflens reads 1; use the perflens that wrote it"),
    ],
)
def test_no_recording(tmp_path: Path, content: bytes | None, message: str) -> None:
    """A file that is no recording is one error with its cure."""
    file = tmp_path / "c"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError) as refused:
        opened(str(file))

    assert str(refused.value) == f"--replay: {file} {message}"
