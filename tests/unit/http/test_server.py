"""http/server.py: what the agent answers."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request

from perflens.export.prometheus.negotiate import TEXT_0_0_4, TEXT_1_0_0, accepts_gzip, content_type
from perflens.http import server, sockets
from perflens.http.server import Answer, Endpoints, Scrape

Client = TestClient[Request, Application]


class Agent:
    """Callables as the agent hands them in."""

    def __init__(self) -> None:
        self.ready = True
        self.piece, self.length = 1 << 20, 1
        self.error = ""
        self.reloads = 0
        self.scrapes: list[Scrape] = []

    async def metrics(self, scrape: Scrape) -> Answer:
        self.scrapes.append(scrape)
        if scrape.collectors - {"file"}:
            raise ValueError(f"unknown collector {', '.join(sorted(scrape.collectors))}")
        body = b"".join(name.encode(errors="replace") + b" 1\n" for name in sorted(scrape.names)) or b"m 1\n" * self.length
        compressed = accepts_gzip(scrape.accept_encoding)
        return Answer((gzip.compress(body),) if compressed else self.split(body), content_type(scrape.accept), "gzip" if compressed else "")

    def split(self, body: bytes) -> tuple[bytes, ...]:
        return tuple(body[at : at + self.piece] for at in range(0, len(body), self.piece))

    async def reload(self) -> str:
        self.reloads += 1
        return self.error

    @asynccontextmanager
    async def client(self, path: str = "/metrics", lifecycle: bool = True) -> AsyncIterator[Client]:
        app = server.application(Endpoints(path, self.metrics, lambda: self.ready, self.reload, lifecycle))
        async with TestClient(TestServer(app), auto_decompress=False) as client:
            yield client


@pytest.fixture
def agent() -> Agent:
    return Agent()


async def test_landing_page(agent: Agent) -> None:
    """The landing page links to the metrics, and runs nothing from elsewhere."""
    async with agent.client("/other/metrics") as client, client.get("/") as answer:
        text = await answer.text()

        assert answer.status == 200
        assert answer.content_type == "text/html"
        assert answer.headers["Content-Security-Policy"] == "default-src 'none'"
        assert '<a href="/other/metrics">Metrics</a>' in text
        assert "/-/healthy" in text
        assert text.startswith("<!DOCTYPE html>")


@pytest.mark.parametrize("path", ["/nothing", "/metrics/", "/metrics/x", "/-/", "/-/quit", "/debug/pprof", "/%2e%2e/etc/passwd"])
async def test_unknown_path(agent: Agent, path: str) -> None:
    """What does not exist is 404."""
    async with agent.client() as client, client.get(path) as answer:
        assert answer.status == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/metrics"), ("DELETE", "/metrics"), ("POST", "/"), ("POST", "/-/healthy"), ("GET", "/-/reload"), ("DELETE", "/-/reload")],
)
async def test_method_that_is_not_allowed(agent: Agent, method: str, path: str) -> None:
    """A path answers its own methods only; a GET never reloads."""
    async with agent.client() as client, client.request(method, path) as answer:
        assert answer.status == 405
        assert agent.reloads == 0


async def test_health_and_readiness(agent: Agent) -> None:
    """The agent is healthy from the start, and ready once its probes are attached."""
    async with agent.client() as client:
        for ready, expected in ((False, 503), (True, 200)):
            agent.ready = ready
            assert (await client.get("/-/healthy")).status == 200
            answer = await client.get("/-/ready")
            assert (answer.status, answer.content_type) == (expected, "text/plain")


async def test_scrape_before_ready(agent: Agent) -> None:
    """A scrape that comes too early is 503, which Prometheus shows as a target that is down, and not an empty page."""
    agent.ready = False
    async with agent.client() as client, client.get("/metrics") as answer:
        assert answer.status == 503
        assert agent.scrapes == []


async def test_scrape(agent: Agent) -> None:
    """A scrape is answered in the plain text format, and says what the answer depends on."""
    async with agent.client() as client, client.get("/metrics", headers={"Accept-Encoding": "identity"}) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == TEXT_0_0_4
        assert answer.headers["Vary"] == "Accept, Accept-Encoding"
        assert "Content-Encoding" not in answer.headers
        assert await answer.read() == b"m 1\n"


async def test_large_scrape(agent: Agent) -> None:
    """A page in pieces comes whole and says how long it is; who goes away in the middle of it disturbs nobody."""
    names = "&".join(f"name[]=m{number}" for number in range(200))
    agent.piece = 100
    async with agent.client() as client:
        for method in (client.head, client.get):
            answer = await method(f"/metrics?{names}", headers={"Accept-Encoding": "identity"})
            assert answer.headers["Content-Length"] == str(sum(len(f"m{number} 1\n") for number in range(200)))
        assert (await answer.read()).splitlines() == sorted(f"m{number} 1".encode() for number in range(200))
        agent.piece, agent.length = 1 << 16, 1 << 24
        gone = await client.get("/metrics", headers={"Accept-Encoding": "identity"})
        gone.close()
        assert await (await client.get("/-/healthy")).text() == "PerfLens is healthy.\n"


async def test_telemetry_path(agent: Agent) -> None:
    """The metrics are where the configuration says, and only there."""
    async with agent.client("/a/b") as client:
        assert (await client.get("/a/b")).status == 200
        assert (await client.get("/metrics")).status == 404


async def test_head(agent: Agent) -> None:
    """HEAD has the headers of GET and no body."""
    async with agent.client() as client:
        for path in ("/", "/metrics", "/-/healthy", "/-/ready"):
            answer = await client.head(path, headers={"Accept-Encoding": "identity"})
            assert answer.status == 200
            assert int(answer.headers["Content-Length"]) > 0
            assert await answer.read() == b""


async def test_content_type(agent: Agent) -> None:
    """The content type is the one that was negotiated; several headers of one name are one list."""
    async with agent.client() as client:
        answer = await client.get("/metrics", headers={"Accept": "text/plain;version=1.0.0"})
        assert answer.headers["Content-Type"] == TEXT_1_0_0
        await client.get("/metrics", headers=[("Accept", "text/plain"), ("Accept", "text/html"), ("Accept-Encoding", "br")])

    assert agent.scrapes[-1].accept == "text/plain,text/html"
    assert agent.scrapes[-1].accept_encoding == "br"


async def test_gzip(agent: Agent) -> None:
    """A compressed answer says so and is compressed once."""
    async with agent.client() as client, client.get("/metrics", headers={"Accept-Encoding": "gzip"}) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(await answer.read()) == b"m 1\n"


async def test_filters(agent: Agent) -> None:
    """name[] and collect[] may be repeated."""
    async with agent.client() as client:
        await client.get("/metrics?name[]=a&name[]=b&collect[]=file&other=x&name=c")

    assert agent.scrapes[0].names == {"a", "b"}
    assert agent.scrapes[0].collectors == {"file"}


async def test_unknown_collector(agent: Agent) -> None:
    """A collector that does not exist is 400 with the reason as plain text."""
    async with agent.client() as client, client.get("/metrics?collect[]=<b>x</b>") as answer:
        assert (answer.status, answer.content_type) == (400, "text/plain")
        assert await answer.text() == "unknown collector <b>x</b>\n"


@pytest.mark.parametrize(
    "query",
    [
        "name[]",
        "name[]=",
        "name%5B%5D=a",
        "name[]=%00",
        "name[]=%ff%fe",
        "name[]=%",
        "name[]=%0d%0aX-Injected:%201",
        "collect[]=%0d%0aX-Injected:%201",
        "collect[]=%ff",
        "collect[]=%ed%a0%80",
        "&&&&",
        "=&=&=",
        "a;b;c",
        "name[]=" + "x" * 4000,
        "&".join(["name[]=a"] * 500),
    ],
)
async def test_hostile_query(agent: Agent, query: str) -> None:
    """No query string is an error of the server, nor does it reach the headers."""
    from yarl import URL

    async with agent.client() as client:
        url = URL(f"http://{client.server.host}:{client.server.port}/metrics?{query}", encoded=True)
        async with client.session.get(url) as answer:
            assert answer.status in (200, 400)
            assert "X-Injected" not in answer.headers


async def test_bytes_that_are_no_http(agent: Agent) -> None:
    """Noise on the port is answered with 400 and does not end the server."""
    async with agent.client() as client:
        reader, writer = await asyncio.open_connection(client.server.host, client.server.port)
        writer.write(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n")
        answer = await reader.read(100)
        writer.close()
        await writer.wait_closed()

        assert answer.startswith(b"HTTP/1.")
        assert b" 400 " in answer.split(b"\r\n")[0]
        assert (await client.get("/-/healthy")).status == 200


async def test_reload_is_off_by_default(agent: Agent) -> None:
    """Without the flag a reload is refused with the cure."""
    async with agent.client(lifecycle=False) as client, client.post("/-/reload") as answer:
        assert answer.status == 403
        assert "--web.enable-lifecycle" in await answer.text()
        assert agent.reloads == 0


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_reload(agent: Agent, method: str) -> None:
    """POST and PUT reload."""
    async with agent.client() as client, client.request(method, "/-/reload") as answer:
        assert (answer.status, await answer.text(), agent.reloads) == (200, "reloaded\n", 1)


async def test_reload_that_fails(agent: Agent) -> None:
    """A configuration that cannot be used is 500 with the reason."""
    agent.error = "perflens.yaml:3: threshold: …"
    async with agent.client() as client, client.post("/-/reload") as answer:
        assert answer.status == 500
        assert await answer.text() == "not reloaded: perflens.yaml:3: threshold: …\n"


async def test_start_on_sockets(agent: Agent) -> None:
    """One application is served on several sockets until it is cleaned up."""
    bound = [sockets.listen("127.0.0.1:0") for _ in range(2)]
    urls = [f"http://{sockets.url_host(own)}/-/healthy" for own in bound]
    app = server.application(Endpoints("/metrics", agent.metrics, lambda: True, agent.reload, False))
    runner = await server.start(app, bound)
    async with aiohttp.ClientSession() as session:
        for url in urls:
            async with session.get(url) as answer:
                assert answer.status == 200
    await runner.cleanup()
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.get(urls[0])
