"""client/: how an agent is reached: flags, headers, and real handshakes."""

from __future__ import annotations

import argparse
import ssl
import threading
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from perflens.client import Identity, Target, add_flags, is_usable, target_of
from perflens.errors import ConfigError
from tests.certificates import Authority


def parsed(*flags: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_flags(parser, "the agent")
    return parser.parse_args(flags)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text("pass word:\n")
    path.chmod(0o600)
    return path


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


class Handler(BaseHTTPRequestHandler):
    """Sends everybody to another server."""

    def do_GET(self) -> None:
        self.send_response(302 if self.path == "/away" else 200)
        self.send_header("Location", "http://127.0.0.1:1/")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"{'https' if context else 'http'}://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def status(target: Target, path: str = "/metrics") -> int:
    with target.opener().open(target.request(path), timeout=10) as answer:
        return int(answer.status)


def test_none() -> None:
    """Without --url there is no agent to ask."""
    assert target_of(parsed()) is None


@pytest.mark.parametrize(
    ("url", "base", "metrics"),
    [
        ("http://localhost:9435", "http://localhost:9435", "/metrics"),
        ("http://localhost:9435/", "http://localhost:9435", "/metrics"),
        ("https://[::1]:9435/own/metrics", "https://[::1]:9435", "/own/metrics"),
    ],
)
def test_where(url: str, base: str, metrics: str) -> None:
    """An address, or the whole URL of the metrics; only https has a context."""
    target = target_of(parsed(f"--url={url}"))

    assert target
    assert (target.base, target.metrics, target.tls is None) == (base, metrics, url.startswith("http:"))
    assert Target.of(url).tls is None or Target.of(url).tls.verify_mode is ssl.CERT_REQUIRED  # type: ignore[union-attr]


def test_who(secret: Path, tmp_path: Path) -> None:
    """The API gets its token, everything else user and password, which no repr shows."""
    token = tmp_path / "token"
    token.write_text("word\n")
    token.chmod(0o600)
    user = (f"--client.password-file={secret}", "--client.user=näme")
    both = target_of(parsed("--url=http://x", *user, f"--client.token-file={token}"))
    alone = target_of(parsed("--url=http://x", *user))

    assert both
    assert alone
    basic = {"Authorization": "Basic bsOkbWU6cGFzcyB3b3JkOg=="}
    assert both.identity.headers("/metrics") == alone.identity.headers("/api/v1/events") == basic
    assert both.identity.headers("/api/v1/events") == {"Authorization": "Bearer word"}
    assert Identity(token="word").headers("/metrics") == {}  # noqa: S106
    assert "word" not in repr(both)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--client.user=x"], "--client.user: is given without --url; leave it out, or name the agent with --url"),
        (["--url=x"], "--url: is not the URL of an agent; write it as http://localhost:9435"),
        (["--url=http://x", "--client.ca-file=x"], "--client.ca-file: is of no use without TLS; write --url=https://…, or leave it out"),
        (["--url=http://x", "--client.user=x"], "--client.user: is given without --client.password-file; add --client.password-file"),
        (["--url=http://x", "--client.password-file=x"], "--client.password-file: is given without --client.user; add --client.user"),
        (
            ["--url=http://x", "--client.user=a:b", "--client.password-file=x"],
            "--client.user: is no name of a user; write it as the agent's web configuration has it, without a colon",
        ),
        (
            ["--url=http://x", "--client.user=a", "--client.password-file=/nonexistent"],
            "/nonexistent: --client.password-file: cannot be read: No such file or directory; "
            "write the path of a file that the agent may read",
        ),
        (["--url=https://x", "--client.key-file=x"], "--client.key-file: is given without --client.cert-file; add --client.cert-file"),
        (
            ["--url=https://x", "--client.ca-file=/nonexistent"],
            "--client.ca-file: cannot be read: No such file or directory; write the path of a file with certificates in PEM",
        ),
        (
            ["--url=https://x", "--client.cert-file=/etc/hostname"],
            "--client.cert-file: cannot be used: it is not PEM; write the paths of a certificate and its key in PEM, not encrypted",
        ),
    ],
)
def test_flags_that_cannot_be_used(flags: list[str], message: str) -> None:
    """One error that names the flag and the cure."""
    with pytest.raises(ConfigError) as caught:
        target_of(parsed(*flags))
    assert str(caught.value) == message


@pytest.mark.parametrize(("content", "message"), [(b"", "is empty"), (b"\xff", "is not UTF-8"), (b"a\nb", "holds no password")])
def test_passwords_that_are_none(secret: Path, content: bytes, message: str) -> None:
    """A file that holds no password is refused."""
    secret.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        target_of(parsed("--url=http://x", "--client.user=a", f"--client.password-file={secret}"))


def test_tls(authority: Authority, tmp_path: Path) -> None:
    """The agent's certificate is checked by the authority that the flag names, and the client's own is shown."""
    server, client = authority.issue("server"), authority.issue("client", "")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server.certificate, server.key)
    context.load_verify_locations(authority.certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    trusting = f"--client.ca-file={authority.certificate}"
    shown = (f"--client.cert-file={client.certificate}", f"--client.key-file={client.key}")
    stranger = Authority(tmp_path, "stranger")
    with serving(context) as url:
        known = target_of(parsed(f"--url={url}", trusting, *shown))
        unknown = target_of(parsed(f"--url={url}", f"--client.ca-file={stranger.certificate}", *shown))
        hosts = target_of(parsed(f"--url={url}"))
        assert known
        assert unknown
        assert hosts
        assert status(known) == 200
        for other in (unknown, hosts):
            with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
                status(other)


def test_nobody_is_sent_on() -> None:
    """What an answer points at is not asked: a password goes to the agent alone."""
    with serving() as url, pytest.raises(urllib.error.HTTPError, match="302"):
        status(Target.of(url, Identity("user", "password")), "/away")


@pytest.mark.parametrize("text", ["http://localhost:9435", "https://[::1]:9435/metrics", "http://node1"])
def test_urls(text: str) -> None:
    """An address, with or without a path."""
    assert is_usable(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "localhost:9435",
        "ftp://x",
        "file:///etc/passwd",
        "http://",
        "http://x:99999999",
        "http://x/?q",
        "http://a@b",
        "http://[",
        "http://x y",
        "http://x\n",
    ],
)
def test_no_urls(text: str) -> None:
    """Anything else is refused before it is asked."""
    assert not is_usable(text)
