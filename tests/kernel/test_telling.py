"""An incident reaches Grafana once and a model once, and neither learns more than it should."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.kernel.slow import api
from tests.kernel.support import PATIENCE, agent, scrape
from tests.telling import flags_of, servers
from tests.throttle import CannotThrottle, throttled_writer
from tests.unit.annotate.server import TOKEN

SECONDS = 60
NAME = "perflens-told"


def test_an_incident_is_told(tmp_path: Path) -> None:
    """One annotation and one question, with the facts and without the name; the words are the rules', as the model's do not hold."""
    try:
        with servers() as (model, grafana, url), throttled_writer(tmp_path, NAME):
            flags, environment = flags_of(tmp_path, model, url)
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
