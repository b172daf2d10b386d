"""A real fault becomes an incident: in the API, in the metrics, in the log, and over a restart."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.kernel.slow import api
from tests.kernel.support import PATIENCE, agent, scrape
from tests.throttle import CannotThrottle, throttled_writer

SECONDS = 45


def _incidents(url: str, state: str) -> list[dict[str, Any]]:
    found = api(url, "incidents", state=state)["incidents"]
    assert isinstance(found, list)
    return found


def _opened(url: str, subject: str) -> dict[str, Any]:
    """The incident about somebody, once there is one."""
    deadline = time.monotonic() + SECONDS * PATIENCE
    while True:
        for own in _incidents(url, "open"):
            if own["subject"]["name"].endswith(subject):
                return own
        assert time.monotonic() < deadline, api(url, "analyses", limit=3)
        time.sleep(1)


def test_a_throttled_writer_is_an_incident(tmp_path: Path) -> None:
    """The cause is its own limit, on facts that say so; it is told once, and still open after a restart."""
    try:
        with throttled_writer(tmp_path, "perflens-incident") as group:
            with agent(tmp_path) as running:
                own = _opened(running.url, group.name)
                page = scrape(running.url)
                log = running.log.read_text()
            with agent(tmp_path) as again:
                (after,) = [one for one in _incidents(again.url, "open") if one["id"] == own["id"]]
    except CannotThrottle as error:
        pytest.skip(str(error))

    assert own["cause"] == "IO_CGROUP_THROTTLE"
    assert own["severity"] in ("warning", "critical")
    facts = {fact["id"]: fact for fact in own["analysis"]["facts"]}
    cited = [facts[identity]["metric"] for identity in own["causes"][0]["supporting"]]
    assert "io.limits" in cited
    assert {"held.share", "wait.cgroup_throttle"} & set(cited)
    assert [action["id"] for action in own["causes"][0]["actions"]] == ["A05"]
    assert own["analysis"]["slow_seconds"] > 1
    active = page.total("perflens_incident_active", cause=own["cause"], subject=own["subject"]["name"], severity=own["severity"])
    assert active == 1
    assert log.count(f'msg="incident open" id={own["id"]}') == 1
    assert (after["cause"], after["opened_time_ns"]) == (own["cause"], own["opened_time_ns"])
    assert json.loads((tmp_path / "incidents.json").read_text())["incidents"][0]["id"] == own["id"]
