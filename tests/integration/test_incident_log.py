"""Incidents and questions to a model at a real OpenTelemetry Collector, beside the spans of slow operations."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

import pytest

from perflens.agent.telling import Telling
from perflens.analysis import Incident, ModelRequest
from perflens.analyzer.llm.explainer import Model
from perflens.analyzer.llm.settings import LlmSettings
from perflens.export.otlp import incidents, spans
from perflens.export.otlp.incidents import IncidentLog, LogCounts
from tests.integration.collectors import PORTS, Place, named, read, records
from tests.servers import wait_for
from tests.unit.analyzer.llm.bundles import BUNDLE, VOCABULARY
from tests.unit.analyzer.llm.server import TOKEN, serving
from tests.unit.annotate.incidents import hypothesis, incident
from tests.unit.export.otlp.conftest import evidence


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BLRP_SCHEDULE_DELAY", "50")


def settled(log: IncidentLog) -> LogCounts:
    def nothing_waits() -> LogCounts | None:
        counts = log.counts()
        return counts if counts and not counts.pending else None

    return wait_for(nothing_waits, 30, "every record is delivered or dropped", 0.02)


async def tell(log: IncidentLog, *told: Incident) -> None:
    """Tell an incident as the agent does, one state after the other."""

    async def put(*_: object) -> None:
        return None

    telling = Telling(None, None, log)
    for own in told:
        telling.tell([own], put)
    assert telling.counts().sinks["otlp_log"]["delivered"].keys() == {"opened", "updated", "resolved"}
    await telling.close()


@pytest.mark.parametrize("protocol", PORTS)
def test_a_life_arrives(place: Place, protocol: str) -> None:
    """Opened, updated and resolved arrive once and in order, each with its name, its severity and what it is about."""
    other = (hypothesis("another claim", code="IO_CGROUP_THROTTLE"),)
    steps = (incident(), incident(updated=40.0), incident(causes=other, severity="critical"), incident(causes=other, resolved=90.0))
    with place.collector() as file:
        log = incidents.start(place.url(protocol), protocol)
        asyncio.run(tell(log, *steps))
        counts = settled(log)
    received = list(records(file))

    assert (counts.delivered, counts.up) == ({"opened": 1, "updated": 1, "resolved": 1}, True)
    names = [record["eventName"] for record, _ in received]
    assert names == ["perflens.incident.opened", "perflens.incident.updated", "perflens.incident.resolved"]
    assert [(record["severityText"], record["severityNumber"]) for record, _ in received] == [("WARN", 13), ("ERROR", 17), ("INFO", 9)]
    first, resource = received[0]
    found = named(first["attributes"])
    assert first["body"] == {"stringValue": "reads of sda wait for the backup"}
    assert int(first["timeUnixNano"]) == incident().opened
    assert (found["perflens.incident.id"], found["perflens.incident.subject.name"]) == ("0badcafe", "sda")
    assert named(received[1][0]["attributes"])["perflens.incident.cause"] == "IO_CGROUP_THROTTLE"
    assert named(resource["attributes"])["service.name"] == "perflens"


@pytest.mark.parametrize("protocol", PORTS)
def test_down_and_back(place: Place, protocol: str) -> None:
    """What a collector that is down does not take is counted; what comes later arrives, and spans go on beside it."""
    log = incidents.start(place.url(protocol), protocol)
    own = spans.start(place.url(protocol), protocol, lambda pairs: None)
    log.put("opened", incident())
    assert settled(log).dropped["unsent"] == 1
    with place.collector(end=signal.SIGKILL) as file:

        def has_arrived() -> bool:
            log.put("updated", incident())
            return settled(log).delivered["updated"] > 0

        wait_for(has_arrived, 30, "a record arrives")
        own.emit(evidence())
        wait_for(lambda: own.counts()["exported"] == 3, 30, "the spans arrive")
        wait_for(lambda: list(records(file)) and list(read(file)), 10, "the collector has written both")
    log.put("resolved", incident(resolved=90.0))
    began = time.monotonic()
    log.close()
    own.close()
    assert time.monotonic() - began < 10
    counts = log.counts()
    assert counts
    assert (counts.delivered["resolved"], counts.pending) == (0, 0)


async def asked(model_file: Path, place: Place, mode: str) -> list[ModelRequest]:
    """Ask a model's server, and send the spans of its requests."""
    requests: list[ModelRequest] = []
    own = spans.start(place.url("http/protobuf"), "http/protobuf", lambda pairs: None)

    def note(request: ModelRequest) -> None:
        requests.append(request)
        own.chat(request)

    async with serving(mode) as server:
        settings = LlmSettings(server.base_url, "some/model", TOKEN, cache_path=str(model_file))
        model = Model(settings, VOCABULARY, on_request=note)
        await model.explain(BUNDLE, "test")
        await model.close()
    await asyncio.to_thread(own.close)
    return requests


@pytest.mark.parametrize(("mode", "error"), [("ok", ""), ("401", "401")])
def test_chats(place: Place, tmp_path: Path, mode: str, error: str) -> None:
    """Each request to a model is a client span by the conventions; nothing of the prompt, of the answer or of the token is in it."""
    with place.collector() as file:
        (request,) = asyncio.run(asked(tmp_path / "cache", place, mode))
    ((span, _),) = read(file)
    found = named(span["attributes"])

    assert (span["name"], span["kind"]) == ("chat some/model", 3)
    assert (int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"])) == (request.start, request.end)
    assert (found["gen_ai.operation.name"], found["gen_ai.request.model"], found["server.address"]) == ("chat", "some/model", "127.0.0.1")
    assert found.get("gen_ai.usage.input_tokens") == (None if error else "900")
    assert found.get("gen_ai.response.finish_reasons") == (None if error else {"values": [{"stringValue": "stop"}]})
    assert found.get("error.type", "") == error
    text = file.read_text()
    assert TOKEN not in text
    assert not any(fact.text in text for fact in BUNDLE.facts)
