"""http/api.py and openapi.py: what the API answers."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request

from perflens.http import api, server
from perflens.http.access import Access
from perflens.http.api import Api
from perflens.http.conform import resolved
from perflens.http.openapi import ENDPOINTS, document
from perflens.http.parameters import PARAMETERS, BadParameter, Query, parse

HTTP = TestClient[Request, Application]
PATHS = [f"/api/v1/{endpoint.path}" for endpoint in ENDPOINTS]


class Agent:
    """Callables as the agent hands them in: each answers with its name and the query."""

    def __init__(self) -> None:
        self.ready = True
        self.answer: Any = None
        self.asked: list[tuple[str, Query]] = []

    def view(self, name: str) -> api.View:
        async def view(query: Query) -> Any:
            self.asked.append((name, query))
            if isinstance(self.answer, Exception):
                raise self.answer
            return self.answer or {"name": name}

        return view

    @asynccontextmanager
    async def client(self, token_file: str = "", host: str = "127.0.0.1") -> AsyncIterator[HTTP]:
        async def metrics(_: server.Scrape) -> server.Answer:
            return server.Answer((b"m 1\n",), "text/plain", "")

        async def reload() -> str:
            return ""

        views = Api(**{field.name: self.view(field.name) for field in fields(Api)})
        endpoints = server.Endpoints("/metrics", metrics, lambda: self.ready, reload, False)
        own = api.application(views, Access(token_file), lambda: self.ready)
        async with TestClient(TestServer(server.application(endpoints, {"/api": own}), host=host)) as client:
            yield client


@pytest.fixture
def agent() -> Agent:
    return Agent()


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.path)
async def test_every_endpoint(agent: Agent, endpoint: Any) -> None:
    """Each endpoint asks its own callable, and forbids to keep the answer or to take it for something else."""
    async with agent.client() as client, client.get(f"/api/v1/{endpoint.path}") as answer:
        assert answer.status == 200
        assert await answer.json() == {"name": endpoint.name}
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert agent.asked == [(endpoint.name, Query())]


async def test_parameters(agent: Agent) -> None:
    """Parameters reach the callable."""
    async with agent.client() as client:
        query = "probe=file&operation=fsync&owner=a.service&pid=7&min_duration=5ms&since=12&limit=3&in_progress=true"
        assert (await client.get(f"/api/v1/events?{query}")).status == 200
        assert (await client.get("/api/v1/timeline?seconds=60")).status == 200

    assert agent.asked == [
        ("events", Query("file", "fsync", "a.service", 7, 5_000_000, 12 * 10**9, 3, True)),
        ("timeline", Query(seconds=60)),
    ]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("events?limit=0", "parameter limit cannot be '0'; write a number from 1 to 1000"),
        ("events?limit=5&limit=6", "parameter limit was given twice; write it once"),
        ("summary?limit=5", "unknown parameter 'limit'; leave it out, there are none here"),
        ("timeline?pid=5", "unknown parameter 'pid'; use seconds"),
        ("events?owner=%3Cb%3E&pid=%ff", "parameter pid cannot be '�'; write a number from 1 to 4194304"),
    ],
)
async def test_bad_parameters(agent: Agent, query: str, message: str) -> None:
    """A parameter that cannot be used is 400, with its name and the cure."""
    async with agent.client() as client, client.get(f"/api/v1/{query}") as answer:
        assert answer.status == 400
        assert await answer.json() == {"error": message}
        assert agent.asked == []


@pytest.mark.parametrize("path", ["/api/v1/nothing", "/api/v1", "/api/v2/events", "/api/", "/api/v1/events/", "/api/v1/../x"])
async def test_unknown_path(agent: Agent, path: str) -> None:
    """What does not exist is 404, in JSON too."""
    async with agent.client() as client, client.get(path) as answer:
        assert answer.status == 404
        if path.startswith("/api/v1/") and ".." not in path:
            assert "openapi.json" in (await answer.json())["error"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_method_that_is_not_allowed(agent: Agent, method: str) -> None:
    """The API only reads."""
    async with agent.client() as client, client.request(method, "/api/v1/events") as answer:
        assert (answer.status, answer.headers["Allow"]) == (405, "GET,HEAD")
        assert await answer.json() == {"error": "the API only reads; use GET"}
        assert agent.asked == []


async def test_before_ready(agent: Agent) -> None:
    """Until the probes are attached there is nothing to show; the document is there."""
    agent.ready = False
    async with agent.client() as client:
        answer = await client.get("/api/v1/events")
        assert (answer.status, agent.asked) == (503, [])
        assert (await client.get("/api/v1/openapi.json")).status == 200


async def test_failure(agent: Agent, caplog: pytest.LogCaptureFixture) -> None:
    """A bug is 500 without its text, which is in the log."""
    agent.answer = RuntimeError("the secret detail")
    async with agent.client() as client, client.get("/api/v1/events") as answer:
        assert answer.status == 500
        assert await answer.json() == {"error": "the answer failed; the agent's log says why"}
    assert "the secret detail" in caplog.text


async def test_hostile_text(agent: Agent) -> None:
    """Text of others comes out escaped."""
    agent.answer = {"comm": "<\udcff\n\x1b"}
    async with agent.client() as client, client.get("/api/v1/events") as answer:
        assert await answer.text() == '{"comm":"\\u003c\\\\xff\\n\\u001b"}\n'


@pytest.fixture
def token_file(tmp_path: Path) -> str:
    path = tmp_path / "token"
    path.write_text("right")
    path.chmod(0o600)
    return str(path)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "rebound.example"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"X-Forwarded-For": "127.0.0.1"}, 401),
        ({"x-forwarded-for": "127.0.0.1"}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Host": "rebound.example", "Authorization": "Bearer right"}, 200),
        ({"X-Forwarded-For": "10.0.0.5", "Authorization": "Bearer right"}, 200),
    ],
)
@pytest.mark.parametrize("path", ["/api/v1/events", "/api/v1/openapi.json", "/api/v1/nothing"])
async def test_access(agent: Agent, token_file: str, path: str, headers: Mapping[str, str], status: int) -> None:
    """Access is checked on the connection and its headers, before anything else; a refusal is one line with its cure."""
    async with agent.client(token_file) as client, client.get(path, headers=headers) as answer:
        assert answer.status == (404 if status == 200 and path.endswith("nothing") else status)
        assert ("WWW-Authenticate" in answer.headers) == (answer.status == 401)
        if status != 200:
            assert ";" in (await answer.json())["error"]
            assert agent.asked == []


@pytest.mark.parametrize("path", ["/metrics", "/-/healthy", "/-/ready", "/"])
async def test_what_stays_open(agent: Agent, token_file: str, path: str) -> None:
    """Metrics and health ask nobody for a token."""
    async with agent.client(token_file) as client, client.get(path, headers={"Host": "node1", "X-Forwarded-For": "10.0.0.5"}) as answer:
        assert answer.status == 200


async def test_document(agent: Agent) -> None:
    """The document is served as it is."""
    async with agent.client() as client, client.get("/api/v1/openapi.json") as answer:
        assert await answer.json() == json.loads(json.dumps(document()))


def references(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from ([value["$ref"]] if "$ref" in value else [])
        for own in value.values():
            yield from references(own)
    elif isinstance(value, list | tuple):
        for own in value:
            yield from references(own)


def test_document_is_whole() -> None:
    """It names every endpoint and nothing else, every reference leads somewhere, and every component is used."""
    whole = document()
    used = set(references(whole))
    assert whole["openapi"] == "3.1.0"
    assert set(whole["info"]) >= {"title", "version"}
    assert set(whole["paths"]) == {f"/{field.name.replace('_', '-')}" for field in fields(Api)}
    assert all(resolved(reference, whole) for reference in used)
    for kind in ("schemas", "parameters"):
        assert {f"#/components/{kind}/{name}" for name in whole["components"][kind]} <= used


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.path)
def test_operations_of_the_document(endpoint: Any) -> None:
    """Each operation has an id, a summary, its parameters and what it answers, errors too."""
    operation = document()["paths"][f"/{endpoint.path}"]["get"]

    assert re.fullmatch("[a-z_]+", operation["operationId"])
    assert operation["summary"].endswith(".")
    assert {"200", "400", "401", "403"} <= set(operation["responses"])
    for answer in operation["responses"].values():
        assert answer["description"]
        assert "schema" in answer["content"]["application/json"]


def test_parameters_of_the_document() -> None:
    """The defaults and bounds that it tells are those that are applied."""
    for own in PARAMETERS.values():
        if "default" in own.schema:
            assert getattr(Query(), own.name) == own.schema["default"]
        for bound in ("minimum", "maximum"):
            if bound in own.schema:
                assert own.read(str(own.schema[bound])) == own.schema[bound]
                beyond = own.schema[bound] + (1 if bound == "maximum" else -1)
                with pytest.raises(BadParameter):
                    parse([(own.name, str(beyond))], [own.name])
