"""An incident reaches Grafana once and a model once, and neither learns more than it should."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import pytest

from tests.kernel.slow import api
from tests.kernel.support import PATIENCE, agent, scrape
from tests.throttle import CannotThrottle, throttled_writer
from tests.unit.analyzer.llm.server import ModelServer
from tests.unit.analyzer.llm.server import serving as serving_model
from tests.unit.annotate.server import TOKEN, Grafana
from tests.unit.annotate.server import serving as serving_grafana

SECONDS = 60
NAME = "perflens-told"


@contextmanager
def servers() -> Iterator[tuple[ModelServer, Grafana, str]]:
    """A model's server that answers in prose, and a Grafana with its URL, on a loop of their own."""
    ready, over, found = threading.Event(), asyncio.Event(), []
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with AsyncExitStack() as stack:
            model = await stack.enter_async_context(serving_model("prose"))
            grafana = Grafana()
            found.append((model, grafana, await stack.enter_async_context(serving_grafana(grafana))))
            ready.set()
            await over.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        assert ready.wait(20)
        yield found[0]
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(20)
        loop.close()


def test_an_incident_is_told(tmp_path: Path) -> None:
    """One annotation and one question, with the facts and without the name; the words are the rules', as the model's do not hold."""
    try:
        with servers() as (model, grafana, url), throttled_writer(tmp_path, NAME):
            flags = (
                f"--grafana.url={url}",
                f"--grafana.outbox-file={tmp_path}/outbox",
                f"--llm.base-url={model.base_url}",
                f"--llm.cache-file={tmp_path}/cache",
            )
            environment = {"GRAFANA_TOKEN": TOKEN, "HF_TOKEN": "hf_x"}
            with agent(tmp_path, *flags, environment=environment) as running:
                deadline = time.monotonic() + SECONDS * PATIENCE
                while not (grafana.rows and model.requests):
                    assert time.monotonic() < deadline, running.log.read_text()
                    time.sleep(1)
                time.sleep(12)  # for another look
                page = scrape(running.url)
                found = api(running.url, "incidents")["incidents"]
                log = running.log.read_text()
    except CannotThrottle as error:
        pytest.skip(str(error))

    rows = [row for row in grafana.rows.values() if "perflens" in row.tags]
    assert {f"incident:{own['id']}" for own in found} == {tag for row in rows for tag in row.tags if tag.startswith("incident:")}
    assert len(rows) == len(found)
    asked = json.dumps(model.requests)
    assert len(model.requests) <= 2 * len(found)  # prose is asked for once more, as JSON
    assert "IO_CGROUP_THROTTLE" in asked
    assert NAME not in asked
    assert str(tmp_path) not in asked
    assert {own["source"] for own in found} == {"rules"}
    assert page.total("perflens_sink_delivered_total", operation="create") == len(rows)
    assert page.total("perflens_llm_requests_total") == len(found)
    assert "hf_x" not in log
    assert TOKEN not in log
