"""web_config/tls.py and front.py over real handshakes: who is let in, and with which certificate."""

from __future__ import annotations

import asyncio
import logging
import shutil
import socket
import ssl
from http.client import HTTPException
from pathlib import Path

import pytest

from perflens.http import connections
from perflens.web_config.front import Guarding
from perflens.web_config.sans import names_of, normal
from tests.certificates import Authority
from tests.unit.web_config.fronts import Answer, Kept, client, serving
from tests.web_configs import HASH, PASSWORD, TLS

CLIENTS = TLS + "  client_ca_file: ca.pem\n  client_auth_type: RequireAndVerifyClientCert\n"
IF_GIVEN = CLIENTS.replace("RequireAndVerifyClientCert", "VerifyClientCertIfGiven")
USER = f"basic_auth_users: {{a: {HASH}}}\n"
REFUSED = (OSError, HTTPException)
ELSEWHERE = "agent.example"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), "ca")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("stranger"), "stranger")


@pytest.fixture
def file(authority: Authority, tmp_path: Path) -> Path:
    server = authority.issue("server")
    for path in (server.certificate, server.key, authority.certificate):
        shutil.copy(path, tmp_path)
    return tmp_path / "web.yml"


async def test_trusted(file: Path, authority: Authority, stranger: Authority) -> None:
    """Who trusts the authority reaches the agent over TLS 1.3, who does not breaks off, and who speaks plain HTTP is no client."""
    async with serving(file, TLS) as own:
        assert (await own.get(tls=client(authority))).text == "m 1\n"
        assert (await own.get(tls=client(authority, most=ssl.TLSVersion.TLSv1_2))).status == 200
        assert own.front.counts().handshakes_failed == {"client_certificate": 0, "protocol": 0}
        with pytest.raises(ssl.SSLCertVerificationError):
            await own.get(tls=client(stranger))
        own.url = own.url.replace("https", "http")
        with pytest.raises(REFUSED):
            await own.get()
        assert own.front.counts().handshakes_failed == {"client_certificate": 0, "protocol": 2}


async def test_handshakes_that_do_not_go_on(file: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who connects and says nothing keeps nobody out: the oldest makes room, and none is waited for for long."""
    monkeypatch.setattr(connections, "_MOST_HANDSHAKES", 3)
    monkeypatch.setattr(connections, "_HANDSHAKE", 2.0)
    async with serving(file, TLS) as own:
        address = ("127.0.0.1", int(own.url.rpartition(":")[2]))
        silent = [socket.create_connection(address, timeout=5) for _ in range(3)]
        assert (await own.get(tls=client(authority))).status == 200
        assert await asyncio.to_thread(silent[0].recv, 1) == b""
        assert await asyncio.to_thread(silent[2].recv, 1) == b""
        for each in silent:
            each.close()


async def test_versions(file: Path, authority: Authority) -> None:
    """A client below the least version gets no connection."""
    async with serving(file, TLS + "  min_version: TLS13\n") as own:
        assert (await own.get(tls=client(authority))).status == 200
        with pytest.raises(REFUSED):
            await own.get(tls=client(authority, most=ssl.TLSVersion.TLSv1_2))
        assert own.front.counts().handshakes_failed["protocol"] == 1


async def test_suites(file: Path, authority: Authority) -> None:
    """TLS 1.2 has the suites of the list and no others."""
    narrow = client(authority, most=ssl.TLSVersion.TLSv1_2)
    narrow.set_ciphers("ECDHE-ECDSA-CHACHA20-POLY1305")
    async with serving(file, TLS + "  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]\n") as own:
        assert (await own.get(tls=client(authority, most=ssl.TLSVersion.TLSv1_2))).status == 200
        with pytest.raises(REFUSED):
            await own.get(tls=narrow)


@pytest.mark.parametrize("most", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_clients(file: Path, authority: Authority, stranger: Authority, most: ssl.TLSVersion) -> None:
    """Where clients need a certificate, one of the authority's is let in; another's, one for servers, or none is not."""
    async with serving(file, CLIENTS) as own:
        assert (await own.get(tls=client(authority, authority.issue("prometheus"), most))).status == 200
        others = (stranger.issue("prometheus"), authority.issue("web", usage="serverAuth"), None)
        for count, pair in enumerate(others, 1):
            with pytest.raises(REFUSED):
                await own.get(tls=client(authority, pair, most))
            assert own.front.counts().handshakes_failed == {"client_certificate": count, "protocol": 0}


async def test_authority_that_is_no_root(file: Path, authority: Authority) -> None:
    """The authority of clients may be one that another signed: its clients are let in, and those of the other are not."""
    team = authority.below("team")
    async with serving(file, CLIENTS.replace("ca.pem", str(team.certificate))) as own:
        assert (await own.get(tls=client(authority, team.issue("prometheus")))).status == 200
        with pytest.raises(REFUSED):
            await own.get(tls=client(authority, authority.issue("prometheus")))


async def test_names_of_authorities_beside_their_certificates(file: Path, authority: Authority) -> None:
    """Bundles have the names of authorities before their certificates, in any script."""
    (file.parent / "ca.pem").write_text(f"# Főtanúsítvány\n{authority.certificate.read_text()}")
    async with serving(file, CLIENTS) as own:
        assert (await own.get(tls=client(authority, authority.issue("prometheus")))).status == 200


@pytest.mark.parametrize("text", [CLIENTS, IF_GIVEN])
async def test_names(file: Path, authority: Authority, text: str) -> None:
    """Of those with a certificate, one that has an allowed name is let in: by DNS, mail, IP address or URI, exactly."""
    allowed = 'client_allowed_sans: [a.example, a@b.example, "::1", "spiffe://x/y"]\n'
    async with serving(file, f"{text}  {allowed}") as own:
        for names in ("DNS:a.example", "email:a@b.example,DNS:z", "IP:0:0:0:0:0:0:0:1", "URI:spiffe://x/y"):
            assert (await own.get(tls=client(authority, authority.issue("good", names)))).status == 200
        bad = ("DNS:b.example", "DNS:A.example", "DNS:*.example", "URI:spiffe://x/y/z", "IP:10.0.0.1", "")
        for count, names in enumerate(bad, 1):
            with pytest.raises(REFUSED):
                await own.get(tls=client(authority, authority.issue("bad", names)))
            assert own.front.counts().handshakes_failed["client_certificate"] == count
        if text == IF_GIVEN:
            assert (await own.get(tls=client(authority))).status == 200


def test_names_of() -> None:
    """An address is compared in its shortest form; what is no name of these kinds is none."""
    found = {"subjectAltName": (("IP Address", "2001:DB8:0:0:0:0:0:1"), ("IP Address", "10.0.0.1\n"), ("DNS", "x"), ("DirName", "y"))}

    assert list(names_of(found)) == ["2001:db8::1", "10.0.0.1", "x"]
    assert list(names_of(None)) == list(names_of({})) == []
    assert normal("0:0::1") == "::1"


async def test_certificate_is_known_to_the_api(file: Path, authority: Authority) -> None:
    """The API answers a client under another name that showed a certificate, and not one that did not."""
    async with serving(file, IF_GIVEN) as own:
        shown, none = client(authority, authority.issue("prometheus")), client(authority)
        assert (await own.get("/api/v1/events", tls=shown, Host=ELSEWHERE)).status == 200
        assert (await own.get("/api/v1/events", tls=none, Host=ELSEWHERE)).status == 403
        assert (await own.get("/api/v1/events", tls=none)).status == 200
        crossing = await own.get("/api/v1/events", tls=shown, Origin="https://evil.example", Host=ELSEWHERE)
        assert (crossing.status, "a page of another site" in crossing.text) == (403, True)


async def test_certificate_and_password(file: Path, authority: Authority) -> None:
    """Where both are asked for, both are needed."""
    async with serving(file, CLIENTS + USER) as own:
        shown = client(authority, authority.issue("prometheus"))
        assert (await own.get(tls=shown, user=f"a:{PASSWORD}")).status == 200
        assert (await own.get(tls=shown)).status == 401
        with pytest.raises(REFUSED):
            await own.get(tls=client(authority), user=f"a:{PASSWORD}")


def told(caplog: pytest.LogCaptureFixture) -> str:
    """The fields of what was logged."""
    return "\n".join(str(record.__dict__) for record in caplog.records)


def serial(of: Answer) -> str:
    return str(of.certificate["serialNumber"])


async def test_rotation(file: Path, authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    """A new certificate is shown from the next handshake on; half of a pair is not taken, and the old connection is closed."""
    trusting = client(authority)
    before, after = authority.issue("server"), authority.issue("renewed")
    shutil.copy(before.certificate, file.parent)
    shutil.copy(before.key, file.parent)
    caplog.set_level(logging.INFO)
    async with serving(file, TLS) as own:
        kept = Kept()
        first = await own.get(tls=trusting, kept=kept)
        shutil.copy(after.certificate, file.parent / "server.pem")
        own.clock.now += 500_000_000
        assert serial(await own.get(tls=trusting)) == serial(first)  # looked at a moment ago
        for _ in range(3):
            own.clock.now += 1_000_000_000
            assert serial(await own.get(tls=trusting)) == serial(first)
        assert not own.front.counts().reload_succeeded
        assert caplog.text.count("web configuration not read again") == 1
        assert "is not the key of the certificate" in told(caplog)
        assert (await own.get(tls=trusting, kept=kept)).headers.get("Connection") is None

        shutil.copy(after.key, file.parent / "server.key")
        own.clock.now += 1_000_000_000
        second = await own.get(tls=trusting)
        assert serial(second) != serial(first)
        assert own.front.counts().reload_succeeded
        assert caplog.text.count("web configuration read again") == 1
        assert (await own.get(tls=trusting, kept=kept)).headers["Connection"] == "close"
        assert serial(await own.get(tls=trusting, kept=kept)) == serial(second)
        kept.close()


async def test_authority_of_clients_is_replaced(file: Path, authority: Authority, stranger: Authority) -> None:
    """Who is trusted no longer gets no new connection, not by a session of before either."""
    known, new = authority.issue("prometheus"), stranger.issue("other")
    async with serving(file, CLIENTS) as own:
        shown = client(authority, known)
        assert (await own.get(tls=shown)).status == 200
        shutil.copy(stranger.certificate, file.parent / "ca.pem")
        own.clock.now += 1_000_000_000
        with pytest.raises(REFUSED):
            await own.get(tls=shown)
        assert (await own.get(tls=client(authority, new))).status == 200


async def test_links_that_move(file: Path, authority: Authority) -> None:
    """A folder behind a symbolic link that is swapped, as Kubernetes does with secrets, is a change."""
    old, new = file.parent / "..1", file.parent / "..2"
    for folder, name in ((old, "server"), (new, "renewed")):
        folder.mkdir()
        pair = authority.issue(name)
        shutil.copy(pair.certificate, folder / "server.pem")
        shutil.copy(pair.key, folder / "server.key")
    link = file.parent / "data"
    link.symlink_to(old)
    text = TLS.replace("server.", "data/server.")
    async with serving(file, text) as own:
        first = await own.get(tls=client(authority))
        swapped = file.parent / "swapped"
        swapped.symlink_to(new)
        swapped.rename(link)
        own.clock.now += 1_000_000_000
        assert serial(await own.get(tls=client(authority))) != serial(first)


@pytest.mark.parametrize(("first", "second"), [(TLS, ""), ("", TLS)])
async def test_tls_stays_what_it_was(file: Path, authority: Authority, first: str, second: str, caplog: pytest.LogCaptureFixture) -> None:
    """TLS neither comes nor goes while the agent runs: the file is refused until a restart, and what else it says with it."""
    async with serving(file, first) as own:
        own.write(second + USER)
        assert (await own.get(tls=client(authority))).status == 200
        assert "tls_server_config: cannot come or go while the agent runs; restart the agent" in told(caplog)
        assert not own.front.counts().reload_succeeded


@pytest.mark.parametrize(("mode", "warned"), [(0o644, True), (0o640, False)])
def test_key_that_all_may_read(file: Path, caplog: pytest.LogCaptureFixture, mode: int, warned: bool) -> None:
    """A private key that every user of the host may read is used, with a warning."""
    (file.parent / "server.key").chmod(mode)
    file.write_text(TLS)
    Guarding(str(file)).close()

    assert ("every user of the host can read the private key" in caplog.text) is warned


@pytest.mark.parametrize("http2", ["true", "false", ""])
def test_http2(file: Path, caplog: pytest.LogCaptureFixture, http2: str) -> None:
    """HTTP/2 may be asked for, and one line says that it is not offered."""
    caplog.set_level(logging.INFO)
    file.write_text(TLS + (f"http_server_config: {{http2: {http2}}}\n" if http2 else ""))
    Guarding(str(file)).close()

    assert caplog.text.count("HTTP/2 is not offered") == (http2 == "true")
