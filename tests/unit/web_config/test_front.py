"""web_config/front.py with http/guard.py: passwords, the API's token, headers and the rate limit, on every endpoint."""

from __future__ import annotations

import asyncio
import json
import logging
from base64 import b64encode
from pathlib import Path

import pytest

from perflens.errors import ConfigError
from perflens.http.front import OPEN, Verdict, Visit
from tests.unit.web_config.fronts import SECOND, Clock, made, serving
from tests.web_configs import HASH, PASSWORD

USERS = f"basic_auth_users:\n  a: {HASH}\n  häns: {HASH.replace('$2b', '$2y')}\n"
RIGHT = f"a:{PASSWORD}"
PATHS = ("/", "/metrics", "/-/healthy", "/-/ready", "/api/v1/events", "/api/v1/openapi.json")
TOKEN = "s3cret"  # noqa: S105


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "web.yml"


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(TOKEN)
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("path", [*PATHS, "/nothing", "/api/nothing"])
async def test_every_endpoint_asks_for_a_password(file: Path, path: str) -> None:
    """Health, landing page and what does not exist too: nothing is answered without a password."""
    async with serving(file, USERS) as own:
        refused = await own.get(path)
        assert refused.status == 401
        assert refused.headers["WWW-Authenticate"] == 'Basic realm="PerfLens", charset="UTF-8"'
        assert (await own.get(path, RIGHT)).status == (404 if "nothing" in path else 200)
        assert (await own.get(path, f"häns:{PASSWORD}")).status == (404 if "nothing" in path else 200)
        text = "send a user and a password of the agent's web configuration"
        assert (json.loads(refused.text)["error"] if path.startswith("/api/") else refused.text.strip()) == text
        assert own.front.counts().refused == {"unauthorized": 1, "rate_limited": 0, "busy": 0}


@pytest.mark.parametrize(
    "user", [f"b:{PASSWORD}", "a:", f"a:{PASSWORD} ", f"a:{PASSWORD.upper()}", ":", "a", f"A:{PASSWORD}", f":{PASSWORD}"]
)
async def test_wrong(file: Path, user: str) -> None:
    """Another user, another password, or none."""
    async with serving(file, USERS) as own:
        assert (await own.get(user=user)).status == 401


def encoded(text: bytes) -> str:
    return b64encode(text).decode()


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Basic",
        "Basic ",
        "Basic !!!!",
        "Basic " + encoded(RIGHT.encode())[:-1],
        "Basic " + encoded(b"\xff:" + PASSWORD.encode()),
        "Basic " + encoded(b"a\0:" + PASSWORD.encode()),
        "Basic " + encoded(b"a:\xff\0\xfe"),
        "Basic " + encoded(b"a:" + b"x" * 5_000),
        "Bearer " + encoded(RIGHT.encode()),
        "Basic " + encoded(RIGHT.encode()) + ", Basic x",
    ],
)
async def test_headers_that_say_nothing(file: Path, value: str) -> None:
    """Whatever else the header holds is no password."""
    async with serving(file, USERS) as own:
        assert (await own.get(Authorization=value)).status == 401
        assert (await own.get(Authorization="bAsIc  " + encoded(RIGHT.encode()))).status == 200


async def test_api_knows_who_showed_a_password(file: Path) -> None:
    """With a password the API answers under any name of the host, but no page of another site."""
    async with serving(file, USERS) as own:
        assert (await own.get("/api/v1/events", RIGHT, Host="agent.example")).status == 200
        assert (await own.get("/api/v1/events", RIGHT, Host="agent.example", Sec_Fetch_Site="cross-site")).status == 403


async def test_token_is_as_good_at_the_api_alone(file: Path, token: Path) -> None:
    """The API's token stands for a password at the API, and nowhere else; a wrong one for nothing."""
    async with serving(file, USERS, str(token)) as own:
        right, wrong = f"Bearer {TOKEN}", "Bearer other"
        assert (await own.get("/api/v1/events", Authorization=right, Host="agent.example")).status == 200
        assert (await own.get("/api/v1/events", RIGHT, Host="agent.example")).status == 200
        for path, value in (("/metrics", right), ("/-/healthy", right), ("/api/v1/events", wrong)):
            assert (await own.get(path, Authorization=value)).status == 401
        assert (await own.get("/api/../metrics", Authorization=right)).status == 404


async def test_no_token_no_way_around(file: Path) -> None:
    """Without a token file any token is wrong, from this host too."""
    async with serving(file, USERS) as own:
        assert (await own.get("/api/v1/events", Authorization="Bearer x")).status == 401


async def test_nobody_is_asked(file: Path) -> None:
    """Without users everybody is let in, and the API is for this host."""
    async with serving(file, "") as own:
        assert [(await own.get(path)).status for path in PATHS] == [200] * len(PATHS)
        assert (await own.get("/api/v1/events", Host="agent.example")).status == 403


async def test_headers(file: Path) -> None:
    """Every answer has the headers, errors too; what an endpoint sets itself stays."""
    text = "http_server_config: {headers: {X-Frame-Options: deny, Content-Security-Policy: default-src 'self'}}\n"
    async with serving(file, text + USERS) as own:
        for path, user, policy in (
            ("/metrics", RIGHT, "default-src 'self'"),
            ("/nothing", RIGHT, "default-src 'self'"),
            ("/metrics", None, "default-src 'self'"),
            ("/", RIGHT, "default-src 'none'"),
            ("/api/v1/events", RIGHT, "default-src 'none'"),
        ):
            found = (await own.get(path, user)).headers
            assert (found["X-Frame-Options"], found["Content-Security-Policy"]) == ("deny", policy)


async def test_rate_limit(file: Path) -> None:
    """A burst may come at once, and then one in each interval; a change of the file is a new bucket."""
    async with serving(file, "rate_limit: {interval: 2s, burst: 3}\n") as own:
        assert [(await own.get()).status for _ in range(5)] == [200, 200, 200, 429, 429]
        own.clock.now += 2 * SECOND - 1
        refused = await own.get()
        assert (refused.status, refused.headers["Retry-After"], refused.text) == (429, "2", "too many requests; ask less often\n")
        own.clock.now += 1
        assert [(await own.get()).status for _ in range(2)] == [200, 429]
        own.clock.now += 3_600 * SECOND
        assert [(await own.get()).status for _ in range(4)] == [200, 200, 200, 429]
        own.write("")
        assert [(await own.get()).status for _ in range(9)] == [200] * 9
        assert own.front.counts().refused["rate_limited"] == 5


async def test_users_change(file: Path) -> None:
    """A user that is taken out is refused from the next look on, though the password was right a moment ago."""
    async with serving(file, USERS) as own:
        assert (await own.get(user=RIGHT)).status == 200
        own.write(USERS.replace("  a:", "  b:"))
        assert (await own.get(user=RIGHT)).status == 401
        assert (await own.get(user=f"b:{PASSWORD}")).status == 200


@pytest.mark.parametrize("text", ["basic_auth_users: {a: plain}\n", "basic_auth_users:\n  a: [\n", "\0", None])
async def test_broken_file(file: Path, text: str | None, caplog: pytest.LogCaptureFixture) -> None:
    """A file that breaks, or is gone, leaves what was read before in force: nobody is let in by it. It is told once."""
    caplog.set_level(logging.INFO)
    async with serving(file, USERS) as own:
        own.write(text)
        for _ in range(3):
            own.clock.now += SECOND
            assert (await own.get()).status == 401
            assert (await own.get(user=RIGHT)).status == 200
        assert not own.front.counts().reload_succeeded
        assert [record.message for record in caplog.records if record.name == "perflens"] == [
            "web configuration not read again: the last good one stays in force"
        ]
        own.write(USERS + "rate_limit: {interval: 1h, burst: 1}\n")
        assert [(await own.get(user=RIGHT)).status for _ in range(2)] == [200, 429]
        assert own.front.counts().reload_succeeded


async def test_reload(file: Path) -> None:
    """A reload reads the file at once, and says what is wrong with it."""
    async with serving(file, "") as own:
        own.file.write_text(USERS)
        own.front.reload()
        assert (await own.get()).status == 401
        own.file.write_text("x: 1\n")
        with pytest.raises(ConfigError, match=r"web\.yml:1: unknown key 'x'"):
            own.front.reload()
        assert (await own.get()).status == 401
        assert not own.front.counts().reload_succeeded
        own.file.write_text("")
        own.front.reload()
        assert (await own.get()).status == 200


async def test_too_many_checks(file: Path) -> None:
    """Sixteen passwords wait for their check at most; the others are told to come again, and are counted."""
    front = made(file, USERS, Clock())
    visits = [Visit(("Basic " + encoded(f"a:{number}".encode()),), False, False) for number in range(40)]
    verdicts = await asyncio.gather(*map(front.judge, visits))
    front.close()

    statuses = [verdict.refusal.status if verdict.refusal else 200 for verdict in verdicts]
    assert statuses == [401] * 16 + [503] * 24
    assert front.counts().refused == {"unauthorized": 16, "rate_limited": 0, "busy": 24}


async def test_open() -> None:
    """Without a web configuration everybody is let in, and nobody is known."""
    assert await OPEN.judge(Visit(("Basic x",), True, True)) == Verdict(None, False)
    assert (OPEN.tls, dict(OPEN.headers), OPEN.is_old(None)) == (None, {}, False)
