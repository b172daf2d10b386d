"""fleet/reader.py and addresses.py: many agents are asked, whatever some of them do."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port

from perflens.analysis import Fact
from perflens.fleet import addresses as module
from perflens.fleet.addresses import AGENTS_MAX, Address, Addresses, addresses_of
from perflens.fleet.reader import REASONS, Access, Reader
from tests.unit.fleet.agents import TOKEN, Agent, serving
from tests.unit.fleet.incidents import WWN, disk, incident

A, B = "0000000a", "0000000b"


async def read(*agents: Agent, token: str = TOKEN, rounds: int = 1, total: float = 5.0) -> tuple[Reader, list[str]]:
    """What so many rounds bring: the hosts of the last, in order."""
    async with serving(*agents) as urls:
        reader = Reader(Access(token), total=total)
        found: Sequence[str] = ()
        for _ in range(rounds):
            found = sorted(own.host for own in await reader.round([Address(url) for url in urls], 60.0))
        await reader.close()
    return reader, list(found)


async def test_incidents_come_as_they_are() -> None:
    """With all that they say: volumes and workloads, facts, times."""
    own = incident("n1", A, subject=disk("sda", WWN))
    over = replace(incident("n1", B), state="resolved", resolved=own.opened)
    async with serving(Agent("n1", [own, over])) as (url,):
        reader = Reader(Access(TOKEN))
        (reading,) = await reader.round([Address(url)], 60.0)
        await reader.close()

    assert (reading.host, reading.incidents) == ("n1", (own,))
    assert reading.incidents[0].subject.volume == WWN
    assert (reader.known, reader.up, dict(reader.reads)) == (1, 1, {"ok": 1})


FAULTS = {
    "401": "unauthorized",
    "403": "forbidden",
    "404": "not_found",
    "503": "unavailable",
    "500": "status",
    "redirect": "status",
    "garbage": "invalid",
    "html": "invalid",
    "strange": "invalid",
    "anonymous": "invalid",
    "huge": "too_large",
    "cut": "connect",
    "hang": "timeout",
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_what_is_wrong_with_one_is_counted_and_the_others_are_read(fault: str, caplog: pytest.LogCaptureFixture) -> None:
    reader, hosts = await read(Agent("n1"), Agent("n2", fault=fault), Agent("n3"), total=3.0)

    assert hosts == ["n1", "n3"]
    assert (dict(reader.reads), reader.known, reader.up) == ({"ok": 2, FAULTS[fault]: 1}, 3, 2)
    (record,) = [record for record in caplog.records if record.message == "an agent cannot be read"]
    assert record.fields["reason"] == FAULTS[fault]  # type: ignore[attr-defined]
    assert TOKEN not in str(record.fields)  # type: ignore[attr-defined]


async def test_every_reason_is_declared() -> None:
    assert set(FAULTS.values()) <= set(REASONS)


async def test_the_wrong_token() -> None:
    reader, hosts = await read(Agent("n1"), token="wrong")  # noqa: S106

    assert (hosts, dict(reader.reads)) == ([], {"unauthorized": 1})


async def test_one_that_is_down() -> None:
    reader = Reader(Access(TOKEN))
    assert await reader.round([Address(f"http://127.0.0.1:{unused_port()}")], 60.0) == []
    assert (dict(reader.reads), reader.known, reader.up) == ({"connect": 1}, 1, 0)
    await reader.close()


async def test_a_slow_one_holds_up_nobody() -> None:
    """A round ends with those that have answered; what comes later is in the next one, and nobody is asked twice meanwhile."""
    slow, quick = Agent("slow", fault="gate"), Agent("quick")
    async with serving(slow, quick) as urls:
        reader, where = Reader(Access(TOKEN)), [Address(url) for url in urls]
        first = await reader.round(where, 2.0)
        second = await reader.round(where, 2.0)
        slow.gate.set()
        third = await reader.round(where, 30.0)
        await reader.close()

    assert [[own.host for own in each] for each in (first, second)] == [["quick"], ["quick"]]
    assert sorted(own.host for own in third) == ["quick", "slow"]
    assert (len(slow.asked), len(quick.asked)) == (1, 3)


async def test_many_that_hang_hold_up_nobody_the_second_time() -> None:
    """Who did not answer waits in a line of its own, and is asked more and more seldom."""
    hanging = [Agent(f"h{number}", fault="hang") for number in range(20)]
    good = [Agent(f"n{number}") for number in range(5)]
    async with serving(*hanging, *good) as urls:
        reader, where = Reader(Access(TOKEN), total=2.0), [Address(url) for url in urls]
        rounds = [len(await reader.round(where, 60.0)) for _ in range(6)]
        await reader.close()

    assert rounds == [5] * 6
    assert reader.reads["ok"] == 30
    assert {len(own.asked) for own in hanging} == {3}  # in the rounds 1, 2 and 4


async def test_one_that_answers_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    own = Agent("n1", fault="503")
    async with serving(own) as (url,):
        reader = Reader(Access(TOKEN))
        await reader.round([Address(url)], 60.0)
        assert reader.up == 0
        own.fault = ""
        assert [one.host for one in await reader.round([Address(url)], 60.0)] == ["n1"]
        await reader.close()

    assert [record.message for record in caplog.records if "agent" in record.message] == [
        "an agent cannot be read",
        "an agent answers again",
    ]


async def test_one_that_is_gone_is_no_longer_known() -> None:
    async with serving(Agent("n1"), Agent("n2", fault="hang")) as urls:
        reader, where = Reader(Access(TOKEN)), [Address(url) for url in urls]
        await reader.round(where, 2.0)
        assert reader.known == 2
        await reader.round(where[:1], 30.0)
        assert (reader.known, reader.up) == (1, 1)
        await reader.close()


async def test_two_addresses_of_a_host_are_one_agent() -> None:
    """As where a name has an A and an AAAA for each."""
    reader, hosts = await read(Agent("n1"), Agent("n1"))

    assert (hosts, reader.known, reader.up) == (["n1", "n1"], 2, 1)


async def test_text_from_agents_is_bounded() -> None:
    """A name that turns, hides or floods is none when it comes out."""
    evil = incident("n1", A, subject=disk("\x1b[2J\u202e" + "x" * 9_000))
    fact = replace(evil.bundle.facts[0], text="y" * 9_000, detail="\ud800z")
    evil = replace(evil, summary="s" * 99_999, bundle=replace(evil.bundle, facts=(fact,) * 99))
    async with serving(Agent("n1", [evil])) as (url,):
        reader = Reader(Access(TOKEN))
        (reading,) = await reader.round([Address(url)], 60.0)
        await reader.close()
    (own,) = reading.incidents
    facts: tuple[Fact, ...] = own.bundle.facts

    assert (len(own.summary), len(own.subject.name), len(facts), len(facts[0].text)) == (2_000, 300, 60, 600)
    assert own.subject.name.startswith("\ufffd[2J\ufffdxxx")


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A folder with the key and the certificate of agents.test, which nobody signed."""
    about = "-subj /CN=agents.test -addext subjectAltName=DNS:agents.test"
    command = f"openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 {about}"
    subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
    return tmp_path


async def test_tls_by_the_name_that_was_resolved(certificate: Path) -> None:
    """A certificate has to be of the name that DNS was asked for, and of an authority that is known."""
    folder = certificate
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")

    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"host": "n1", "incidents": []})

    application = web.Application()
    application.router.add_get("/api/v1/incidents", answer)
    server = TestServer(application, scheme="https")
    await server.start_server(ssl=context)
    url = f"https://127.0.0.1:{server.port}"
    found = {}
    for ca_file, name in (("", "agents.test"), (str(folder / "cert.pem"), ""), (str(folder / "cert.pem"), "agents.test")):
        reader = Reader(Access(TOKEN, ca_file))
        await reader.round([Address(url, name)], 60.0)
        found[bool(ca_file), name] = dict(reader.reads)
        await reader.close()
    await server.close()

    assert found == {(False, "agents.test"): {"tls": 1}, (True, ""): {"tls": 1}, (True, "agents.test"): {"ok": 1}}


async def test_addresses_of_a_name_and_of_a_list() -> None:
    """Each once, resolved anew each time; of version 6 in brackets."""
    answers = [["10.0.0.2", "fd00::1"], ["10.0.0.3"]]

    async def resolve(host: str, port: int) -> Sequence[str]:
        assert (host, port) == ("agents.test", 9435)
        return answers.pop(0)

    own = Addresses(("http://node1:9435/", "http://10.0.0.2:9435"), "agents.test:9435", "http", resolve)
    listed = [Address("http://node1:9435"), Address("http://10.0.0.2:9435")]
    assert await own.all() == [*listed, Address("http://10.0.0.2:9435", "agents.test"), Address("http://[fd00::1]:9435", "agents.test")]
    assert await own.all() == [*listed, Address("http://10.0.0.3:9435", "agents.test")]


@pytest.mark.parametrize("error", [OSError(2, "no such name"), TimeoutError(), UnicodeError()])
async def test_a_name_that_cannot_be_resolved(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """Those that it had are kept; it is counted each time, and logged once."""
    answers: list[Sequence[str] | Exception] = [["10.0.0.2"], error, error]

    async def resolve(_: str, __: int) -> Sequence[str]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    own = Addresses((), "agents.test:9435", "https", resolve)
    found = [await own.all() for _ in range(3)]

    assert found == [[Address("https://10.0.0.2:9435", "agents.test")]] * 3
    assert own.failures == 2
    assert [record.message for record in caplog.records] == ["the agents' name cannot be resolved"]


async def test_a_resolver_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.05)

    async def resolve(_: str, __: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return ()

    own = Addresses((), "agents.test:9435", "http", resolve)
    assert (await own.all(), own.failures) == ([], 1)


async def test_too_many_agents() -> None:
    own = Addresses([f"http://node{number}:1" for number in range(AGENTS_MAX + 5)], "", "http")
    assert (len(await own.all()), own.left_out) == (AGENTS_MAX, 5)


async def test_the_host_s_own_resolver() -> None:
    """Both families, each address once."""
    assert "127.0.0.1" in await addresses_of("localhost", 9435)
