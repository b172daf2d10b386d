"""Two real agents, a real `perflens analyze` beside them, and a Grafana: one annotation for a volume that both have trouble with."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from perflens.analyzer.state import StateFile
from tests.servers import server
from tests.unit.annotate.server import TOKEN, Grafana, serving
from tests.unit.fleet.incidents import OTHER_WWN, WWN, disk, incident

API_TOKEN = "of-the-agents"  # noqa: S105


@pytest.fixture(autouse=True)
def needs() -> None:
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("needs root, to attach probes and to give an agent a host name of its own")


def secret(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


@contextmanager
def agent(folder: Path, name: str, volume: str) -> Iterator[str]:
    """An agent with a host name of its own that knows from before of trouble with its `sda`."""
    now = time.time_ns()
    known = incident(name, "0000000a", subject=disk("sda", volume))
    state = folder / f"{name}.json"
    StateFile(str(state)).write([replace(known, opened=now, updated=now, last_bad=now)])
    flags = f"--web.listen-address=127.0.0.1:0 --web.api-token-file={secret(folder / 'token', API_TOKEN)} --analyzer.state-file={state}"
    run = f"hostname {name} && exec {sys.executable} -m perflens run {flags} --llm.base-url="
    with server(["unshare", "--uts", "sh", "-c", run], folder / f"{name}.log", r"listening on (http://[^/\s]+)/") as url:
        yield url


@asynccontextmanager
async def fleet(folder: Path, volumes: tuple[str, str]) -> AsyncIterator[tuple[Grafana, str]]:
    """Two agents, each with its volume, the analyzer beside them and the Grafana that it tells."""
    grafana = Grafana()
    async with AsyncExitStack() as outer:
        url = await outer.enter_async_context(serving(grafana))
        with ExitStack() as stack:
            started = [asyncio.to_thread(stack.enter_context, agent(folder, f"n{number}", own)) for number, own in enumerate(volumes, 1)]
            urls = await asyncio.gather(*started)
            flags = [f"--fleet.agents={own}" for own in urls] + [
                "--web.listen-address=127.0.0.1:0",
                "--llm.base-url=",
                "--fleet.interval=5s",
                f"--fleet.token-file={folder / 'token'}",
                f"--fleet.state-file={folder / 'fleet.json'}",
                f"--grafana.url={url}",
                f"--grafana.token-file={secret(folder / 'grafana', TOKEN)}",
                f"--grafana.outbox-file={folder / 'outbox'}",
            ]
            command = [sys.executable, "-m", "perflens", "analyze", *flags]
            enter = server(command, folder / "fleet.log", r"listening on (http://[^/\s]+)/")
            yield grafana, await asyncio.to_thread(stack.enter_context, enter)


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return str(answer.read().decode())


async def told(grafana: Grafana, number: int) -> None:
    """Wait until so many annotations were made, and as long as another one would take."""
    async with asyncio.timeout(60):
        while grafana.created < number:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    await asyncio.sleep(6)


async def test_a_volume_of_two_hosts_is_one_incident(tmp_path: Path) -> None:
    """It has one annotation, names both, and is the same in the API and in the metric."""
    async with fleet(tmp_path, (WWN, WWN)) as (grafana, url):
        await told(grafana, 1)
        (found,) = json.loads(await asyncio.to_thread(get, f"{url}/api/v1/incidents"))["incidents"]
        page = await asyncio.to_thread(get, f"{url}/metrics")

    (row,) = grafana.rows.values()
    members: list[dict[str, Any]] = found["members"]
    assert (found["merged_by"], sorted(own["host"] for own in members)) == ("volume", ["n1", "n2"])
    assert f"incident:{found['id']}" in row.tags
    assert re.search(rf"On n[12], n[12], which share the volume {re.escape(WWN)}\.", row.text)
    assert "perflens_fleet_agents_up 2.0" in page
    assert 'perflens_fleet_merges_total{reason="volume"} 1.0' in page
    assert page.count("perflens_incident_active{") == 1


@pytest.mark.parametrize("volumes", [("", ""), (WWN, OTHER_WWN), (WWN, "")], ids=["unknown", "different", "one known"])
async def test_two_disks_of_one_name_are_two_incidents(tmp_path: Path, volumes: tuple[str, str]) -> None:
    """Both hosts have trouble with an `sda`: each has its annotation."""
    async with fleet(tmp_path, volumes) as (grafana, url):
        await told(grafana, 2)
        found = json.loads(await asyncio.to_thread(get, f"{url}/api/v1/incidents"))["incidents"]

    assert sorted(own["subject"]["name"] for own in found) == ["n1:sda", "n2:sda"]
    assert sorted(re.findall(r"n\d:sda", " ".join(row.text for row in grafana.rows.values()))) == ["n1:sda", "n2:sda"]
    assert {own["merged_by"] for own in found} == {""}
