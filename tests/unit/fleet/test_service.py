"""agent/fleet.py: agents, Grafana and a browser around the analyzer of a fleet, each of them real."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import unused_port

from perflens.agent import fleet as module
from perflens.agent.fleet import FleetAnalyzer, serve_fleet
from perflens.agent.telling import Telling
from perflens.analysis import Incident
from perflens.config import Settings
from perflens.config.settings import Fleet, Grafana, Llm, Web
from perflens.errors import ConfigError
from perflens.export.otlp.incidents import Change, NoIncidentLog
from perflens.fleet import book
from perflens.fleetmetrics import FleetMetrics
from perflens.http.parameters import Query
from tests.unit.annotate.server import TOKEN as GRAFANA_TOKEN
from tests.unit.annotate.server import Grafana as Server
from tests.unit.annotate.server import serving as grafana_serving
from tests.unit.fleet.agents import TOKEN, Agent, serving
from tests.unit.fleet.incidents import OTHER_WWN, WWN, disk, incident
from tests.web_configs import HASH, PASSWORD

A, B, C = "0000000a", "0000000b", "0000000c"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Incidents are told in the round in which they are seen."""
    monkeypatch.setattr(book, "_SETTLES", 0)


def secret(folder: Path, name: str, text: str) -> str:
    file = folder / name
    file.write_text(text)
    file.chmod(0o600)
    return str(file)


def settings(folder: Path, agents: list[str], grafana: str = "") -> Settings:
    return Settings(
        web=Web(listen_address=(f"127.0.0.1:{unused_port()}",)),
        llm=Llm(base_url=""),
        grafana=Grafana(url=grafana, token_file=secret(folder, "grafana", GRAFANA_TOKEN), outbox_file=str(folder / "outbox")),
        fleet=Fleet(agents=tuple(agents), token_file=secret(folder, "token", TOKEN), state_file=str(folder / "state"), interval=10**9),
    )


def rounds(number: int, between: Callable[[int], None] = lambda _: None) -> Callable[[float], Awaitable[bool]]:
    """Waits between so many rounds, each as long as the annotations take; ``between`` is called with the number of those that are over."""
    done = 0

    async def wait(_: float) -> bool:
        nonlocal done
        done += 1
        await asyncio.sleep(0.2)
        between(done)
        return done >= number

    return wait


async def run(own: FleetAnalyzer, number: int, between: Callable[[int], None] = lambda _: None) -> None:
    await own.run(rounds(number, between))
    await own.close()


@asynccontextmanager
async def around(*agents: Agent) -> AsyncIterator[tuple[Server, list[str], str]]:
    grafana = Server()
    async with serving(*agents) as urls, grafana_serving(grafana) as url:
        yield grafana, urls, url


@pytest.mark.parametrize(("volumes", "expected"), [((WWN, WWN), 1), ((WWN, OTHER_WWN), 2), (("", ""), 2)], ids=["one", "two", "unknown"])
async def test_one_annotation_for_each(tmp_path: Path, volumes: tuple[str, str], expected: int) -> None:
    """Incidents that share a volume have one annotation; those that only share a disk's name have two."""
    first, second = (Agent(f"n{number}", [incident(f"n{number}", A, subject=disk("sda", own))]) for number, own in enumerate(volumes, 1))
    async with around(first, second) as (grafana, urls, url):
        await run(FleetAnalyzer(settings(tmp_path, urls, url)), 3)

    assert len(grafana.rows) == grafana.created == expected
    texts = sorted(row.text for row in grafana.rows.values())
    assert all("host:fleet" in row.tags and "state:open" in row.tags for row in grafana.rows.values())
    assert (f"On n1, n2, which share the volume {WWN}." in texts[0]) is (expected == 1)
    assert [("n1:sda" in texts[0], "n2:sda" in texts[-1])] == [(expected == 2, expected == 2)]


async def test_over_a_restart_and_to_its_end(tmp_path: Path) -> None:
    """The annotation is the same one before and after; when the last host is well again it is finished."""
    first, second = (Agent(f"n{number}", [incident(f"n{number}", A, subject=disk("sda", WWN))]) for number in (1, 2))
    async with around(first, second) as (grafana, urls, url):
        own = settings(tmp_path, urls, url)
        await run(FleetAnalyzer(own), 2)
        (row,) = grafana.rows.values()
        identity = row.id
        first.told = []
        await run(FleetAnalyzer(own), 2)
        assert "state:open" in grafana.rows[identity].tags
        second.told = []
        last = FleetAnalyzer(own)
        await run(last, 2)

    assert list(grafana.rows) == [identity]
    assert grafana.created == 1
    assert "state:resolved" in grafana.rows[identity].tags
    (found,) = (await last.incidents(Query(state="resolved")))["incidents"]
    assert [member["state"] for member in found["members"]] == ["resolved", "resolved"]


class Heard(NoIncidentLog):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.changes: list[Change] = []

    def put(self, change: Change, incident: Incident) -> None:
        self.changes.append(change)


async def test_a_restart_tells_nothing_again(tmp_path: Path) -> None:
    """What was logged before a restart is not logged as new after it."""
    agent, heard = Agent("n1", [incident("n1", A)]), Heard()
    async with around(agent) as (_, urls, __):
        own = settings(tmp_path, urls)
        for told in (agent.told, agent.told, []):
            agent.told = told
            await run(FleetAnalyzer(own, lambda _, __: Telling(None, None, heard)), 2)

    assert heard.changes == ["opened", "resolved"]


async def test_killed_before_it_was_told(tmp_path: Path) -> None:
    """What is on disk is enough: the next process makes the one annotation that there is."""
    agents = [Agent(f"n{number}", [incident(f"n{number}", A, subject=disk("sda", WWN))]) for number in (1, 2)]
    async with around(*agents) as (grafana, urls, url):
        grafana.always["POST"] = "503"
        own = settings(tmp_path, urls, url)
        killed = FleetAnalyzer(own)
        await killed.run(rounds(1))
        assert killed._telling
        assert killed._telling._running
        killed._telling._running.cancel()  # what is under way ends here
        await killed._reader.close()
        grafana.always.clear()
        await run(FleetAnalyzer(own), 12)

    assert grafana.created == len(grafana.rows) == 1


async def test_what_is_counted(tmp_path: Path) -> None:
    """Agents that are up and down, what was merged, and what is open, on the page of metrics."""
    agents = [
        Agent("n1", [incident("n1", A, subject=disk("sda", WWN))]),
        Agent("n2", [incident("n2", B, subject=disk("sdb", WWN))]),
        Agent("n3", fault="503"),
    ]
    async with around(*agents) as (_, urls, __):
        own = FleetAnalyzer(settings(tmp_path, urls))
        await run(own, 2)
    page = b"".join(FleetMetrics(own.counts).render(lambda _: True)).decode()

    for line in (
        "perflens_fleet_agents 3.0",
        "perflens_fleet_agents_up 2.0",
        'perflens_fleet_reads_total{outcome="ok"} 4.0',
        'perflens_fleet_reads_total{outcome="unavailable"} 2.0',
        'perflens_fleet_merges_total{reason="volume"} 1.0',
        "perflens_fleet_rounds_total 2.0",
        "perflens_fleet_round_failures_total 0.0",
        f'perflens_incident_active{{cause="DEVICE_SATURATION",severity="warning",subject="{WWN}"}} 1.0',
        'perflens_incidents_total{cause="DEVICE_SATURATION"} 1.0',
    ):
        assert line in page.splitlines(), line
    assert "perflens_build_info" in page
    assert "perflens_config_last_reload_successful" not in page  # by which rules and dashboards know agents


async def test_a_round_that_fails_and_a_telling_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither ends it: both are counted, and the next round is made."""

    def broken(_: Settings, __: str) -> Telling:
        raise RuntimeError

    async with around(Agent("n1", [incident("n1", A)])) as (_, urls, __):
        own = FleetAnalyzer(settings(tmp_path, urls), broken)
        good, failures = own._book.update, [True, False]

        def update(*given: Any) -> Any:
            if failures.pop(0):
                raise RuntimeError
            return good(*given)

        monkeypatch.setattr(own._book, "update", update)
        await run(own, 2)

    counts = own.counts()
    assert (counts.rounds, counts.failed, counts.analysis.untold, len(counts.analysis.active)) == (2, 1, 1, 1)


async def test_incidents_of_the_same_host_name_are_not_taken_for_another_s(tmp_path: Path) -> None:
    """An agent speaks for its own host alone, whatever its incidents say."""
    liar = Agent("n1", [replace(incident("n2", A), summary="not mine")])
    async with around(liar, Agent("n2", [incident("n2", B)])) as (_, urls, __):
        own = FleetAnalyzer(settings(tmp_path, urls))
        await run(own, 1)

    assert sorted(part.key for group in own._book.open.values() for part in group.parts) == [("n1", A), ("n2", B)]


BAD = {
    "no agents": (Fleet(state_file=""), "configuration: fleet: there are no agents to read; set fleet.dns or fleet.agents"),
    "no token": (Fleet(agents=("http://n1:1",), token_file="/nowhere/t"), "/nowhere/t: fleet.token_file: cannot be read"),  # noqa: S106
    "no certificates": (Fleet(agents=("http://n1:1",), ca_file="/nowhere/ca"), "/nowhere/ca: fleet.ca_file: holds no certificates"),
}


@pytest.mark.parametrize("case", BAD)
async def test_what_cannot_begin(case: str) -> None:
    """One clear error, before anything is listened on."""
    own, message = BAD[case]
    with pytest.raises(ConfigError) as caught:
        await serve_fleet(Settings(fleet=own))

    assert str(caught.value).startswith(message)
    assert caught.value.exit_code == 2


@asynccontextmanager
async def served(
    own: Settings, monkeypatch: pytest.MonkeyPatch, **session: Any
) -> AsyncIterator[Callable[[str], Awaitable[tuple[int, str]]]]:
    """The service until SIGTERM; what asks it for a path, and returns status and text."""
    ended: list[Callable[[], None]] = []
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "add_signal_handler", lambda number, call, *_: ended.append(call) if number == 15 else None)
    async with ClientSession(f"http://{own.web.listen_address[0]}", **session) as client:
        task = loop.create_task(serve_fleet(own))

        async def get(path: str) -> tuple[int, str]:
            async with client.get(path) as answer:
                return answer.status, await answer.text()

        async with asyncio.timeout(20):
            while not ended or (await get("/-/ready"))[0] == 503:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        yield get
        ended[0]()
        await task


async def test_it_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Health, readiness, metrics and the incidents of all agents, with the document that describes them; SIGTERM ends it."""
    async with around(Agent("n1", [incident("n1", A)])) as (_, urls, __), served(settings(tmp_path, urls), monkeypatch) as get:
        assert (await get("/-/healthy"))[0] == 200
        assert "perflens_fleet_agents 1.0" in (await get("/metrics"))[1]
        (found,) = json.loads((await get("/api/v1/incidents"))[1])["incidents"]
        assert (found["host"], found["subject"]["name"], [one["host"] for one in found["members"]]) == ("fleet", "n1:sda", ["n1"])
        assert json.loads((await get(f"/api/v1/incidents?id={found['id']}"))[1])["incidents"] == [found]
        assert list(json.loads((await get("/api/v1/openapi.json"))[1])["paths"]) == ["/incidents"]
        assert (await get("/api/v1/events"))[0] == 404


@pytest.mark.parametrize(("login", "status"), [("", 401), ("a:wrong", 401), (f"a:{PASSWORD}", 200)])
async def test_a_web_configuration(login: str, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands before everything here too, and counts whom it turned away."""
    (tmp_path / "web.yml").write_text(f"basic_auth_users: {{a: {HASH}}}\n")
    async with around(Agent("n1", [])) as (_, urls, __):
        sent = {"Authorization": f"Basic {b64encode(login.encode()).decode()}"} if login else {}
        own = settings(tmp_path, urls)
        secured = replace(own, web=replace(own.web, config_file=str(tmp_path / "web.yml")))
        async with served(secured, monkeypatch, headers=sent) as get:
            assert [(await get(path))[0] for path in ("/", "/metrics", "/-/healthy", "/api/v1/incidents")] == [status] * 4
            if status == 200:
                assert 'perflens_web_requests_refused_total{reason="unauthorized"} 0.0' in (await get("/metrics"))[1]


def test_a_hundred_rounds_write_the_state_seldom() -> None:
    """What only says when something was last seen does not wear out a disk: it is written once in four rounds."""
    group = book.Book("fleet")
    group.update([book.Reading("n1", (incident("n1", A),))], 1, 10**18)
    first = module._gist(group.open.values())
    group.update([book.Reading("n1", (incident("n1", A, updated=incident("n1", A).updated + 1),))], 1, 10**18 + 15 * 10**9)

    assert module._gist(group.open.values()) == first
