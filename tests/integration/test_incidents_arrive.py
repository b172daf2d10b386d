"""A real agent with a real collector and a model's server: a disk that is throttled is a log record there, and the question a span."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.integration.collectors import Place, named, read, records
from tests.servers import running_agent, wait_for
from tests.telling import servers
from tests.throttle import Group

SECONDS = 75


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_an_incident_arrives(place: Place, throttled: Callable[[], AbstractContextManager[Group]], tmp_path: Path) -> None:
    """The record names the cause and the owner, and the span of the question neither."""
    if os.geteuid() != 0:
        pytest.skip("the agent needs root to attach its probes")

    def opened(file: Path) -> list[dict[str, str]]:
        names = [(record["eventName"], named(record["attributes"])) for record, _ in records(file)]
        return [found for name, found in names if name == "perflens.incident.opened"]

    with place.collector() as file, servers() as (model, _, _), throttled() as group:
        url = place.url("http/protobuf")
        flags = (f"--otlp.endpoint={url}", "--analyzer.state-file=", f"--llm.base-url={model.base_url}", "--llm.cache-file=")
        with running_agent(tmp_path, *flags):
            wait_for(lambda: opened(file), SECONDS, "an incident arrives", 1)
            wait_for(lambda: any(span["name"].startswith("chat ") for span, _ in read(file)), SECONDS, "a question arrives", 1)
    assert any(found["perflens.incident.cause"] == "IO_CGROUP_THROTTLE" for found in opened(file))
    chats = [span for span, _ in read(file) if span["name"].startswith("chat ")]
    assert {named(span["attributes"])["server.address"] for span in chats} == {"127.0.0.1"}
    assert group.name not in str(chats)
