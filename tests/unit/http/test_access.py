"""http/access.py: who may ask the API."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from perflens.errors import ConfigError
from perflens.http.access import Access, Client, is_loopback, read_token

TOKEN = "s3cret+/token=="  # noqa: S105
LOCAL = {"Host": ("localhost:9435",)}


def client(address: str = "127.0.0.1", **headers: str | tuple[str, ...]) -> Client:
    """A client; an underscore stands for a dash in a header's name."""
    own = {name.replace("_", "-"): (value,) if isinstance(value, str) else value for name, value in headers.items()}
    return Client(address, {**LOCAL, **own})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f" {TOKEN}\n")
    path.chmod(0o440)
    return path


@pytest.fixture(params=["with a token", "without a token"])
def access(request: pytest.FixtureRequest, file: Path) -> Access:
    return Access(str(file) if request.param == "with a token" else "")


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1", "::1%lo"])
@pytest.mark.parametrize("host", ["localhost:9435", "LOCALHOST", "localhost.", "127.0.0.1:9435", "127.1.2.3", "[::1]:9435", "[::1]"])
def test_loopback(access: Access, address: str, host: str) -> None:
    """A client on this host that asks by a loopback name is answered, with a token file or without."""
    assert access.refusal(client(address, Host=host)) is None


REMOTE = ["10.0.0.5", "192.168.1.1", "::ffff:10.0.0.5", "fe80::1%eth0", "2001:db8::1", "0.0.0.0", "::", "128.0.0.1", "", "localhost", "x"]


@pytest.mark.parametrize("address", REMOTE)
def test_other_hosts(address: str, file: Path) -> None:
    """Everyone else is refused: 403 with the cure, or 401 when there is a token to send."""
    refused = Access("").refusal(client(address))
    assert refused
    assert (refused.status, dict(refused.headers)) == (403, {})
    assert "--web.api-token-file" in refused.message
    assert "\n" not in refused.message

    refused = Access(str(file)).refusal(client(address))
    assert refused
    assert (refused.status, refused.headers["WWW-Authenticate"]) == (401, "Bearer")

    assert Access(str(file)).refusal(client(address, Authorization=f"Bearer {TOKEN}")) is None
    assert Access("").refusal(client(address, Authorization=f"Bearer {TOKEN}"))


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "rebound.example:9435"},
        {"Host": "0.0.0.0:9435"},
        {"Host": "[::]:9435"},
        {"Host": "localhost.example"},
        {"Host": "127.0.0.1.example"},
        {"Host": "localhost@rebound.example"},
        {"Host": "rebound.example@localhost"},
        {"Host": "localhost:port"},
        {"Host": "localhost/x"},
        {"Host": "[::1"},
        {"Host": ""},
        {"Host": ()},
        {"Host": ("localhost", "rebound.example")},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:3000"},
        {"Origin": ("http://localhost:9435", "https://evil.example")},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "future-word"},
    ],
)
def test_pages_of_other_sites(access: Access, headers: dict[str, str]) -> None:
    """A browser on this host does not answer for the pages that it shows: rebound names and other origins are refused."""
    refused = access.refusal(client(**headers))

    assert refused
    assert refused.status == 403
    assert "\n" not in refused.message


@pytest.mark.parametrize("headers", [{"Origin": "http://localhost:9435"}, {"Sec_Fetch_Site": "none"}, {"Sec_Fetch_Site": "same-origin"}])
def test_own_pages(access: Access, headers: dict[str, str]) -> None:
    """What a person typed, or a page of the agent's own asks, is answered."""
    assert access.refusal(client(**headers)) is None


@pytest.mark.parametrize(
    "name", ["Forwarded", "Via", "X_Forwarded_For", "X_Real_Ip", "X_Forwarded_Proto", "X_Forwarded_Client_Cert", "X_Envoy_Attempt_Count"]
)
def test_proxies_on_this_host(name: str, file: Path) -> None:
    """Who comes through a proxy is not local, whatever the header says; a header never makes anybody local."""
    for value in ("10.0.0.5", "127.0.0.1", "for=127.0.0.1"):
        for token, status in (("", 403), (str(file), 401)):
            refused = Access(token).refusal(client(**{name: value}))
            assert refused
            assert refused.status == status
            refused = Access(token).refusal(client("10.0.0.5", **{name: value}))
            assert refused
            assert refused.status == status
    assert Access(str(file)).refusal(client(**{name: "10.0.0.5"}, Authorization=f"Bearer {TOKEN}")) is None


@pytest.mark.parametrize("value", [f"Bearer {TOKEN}", f"bearer  {TOKEN} ", f"BEARER {TOKEN}"])
def test_right_token(file: Path, value: str) -> None:
    """The scheme is not case-sensitive; a client with the token may ask by any name."""
    assert Access(str(file)).refusal(client("10.0.0.5", Authorization=value, Host="node1:9435", Origin="https://tool.example")) is None


@pytest.mark.parametrize(
    "value",
    [
        "Bearer x",
        "Bearer ",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN.upper()}",
        "Bearer \udcff",
        "Bearer ü",
        (f"Bearer {TOKEN}",) * 2,
    ],
)
def test_wrong_token(file: Path, value: str) -> None:
    """A wrong token is refused, from loopback too: who sends one means it."""
    for address in ("10.0.0.5", "127.0.0.1"):
        refused = Access(str(file)).refusal(client(address, Authorization=value))
        assert refused
        assert (refused.status, refused.headers["WWW-Authenticate"]) == (401, 'Bearer error="invalid_token"')
        assert TOKEN not in refused.message


@pytest.mark.parametrize("value", ["Basic czNjcmV0", TOKEN, "", "Bearer"])
def test_other_credentials(file: Path, value: str) -> None:
    """What is no bearer token counts for nothing."""
    assert Access(str(file)).refusal(client(Authorization=value)) is None
    refused = Access(str(file)).refusal(client("10.0.0.5", Authorization=value))
    assert refused
    assert refused.status == 401


def test_authenticated(file: Path) -> None:
    """Who showed a password or a certificate is answered from anywhere and under any name, but not for a page of another site."""
    for access in (Access(str(file)), Access()):
        for own in (client("10.0.0.5", Host="node1"), client(Host="rebound.example"), client("10.0.0.5", Host=(), X_Real_Ip="x")):
            assert access.refusal(own._replace(authenticated=True)) is None
        for headers in ({"Origin": "https://evil.example"}, {"Sec_Fetch_Site": "cross-site"}):
            refused = access.refusal(client("10.0.0.5", **headers)._replace(authenticated=True))
            assert refused
            assert refused.status == 403
    wrong = Access(str(file)).refusal(client(Authorization="Bearer x")._replace(authenticated=True))
    assert wrong
    assert wrong.status == 401


def test_is_token(file: Path) -> None:
    """The token alone is the token, and without a file nothing is."""
    assert Access(str(file)).is_token([f"bearer  {TOKEN}"])
    for sent in ([], [TOKEN], [f"Bearer {TOKEN}"] * 2, ["Bearer "], [f"Basic {TOKEN}"]):
        assert not Access(str(file)).is_token(sent)
    assert not Access().is_token(["Bearer "])


def test_reload(file: Path) -> None:
    """A new token takes the place of the old one; a file that went bad leaves the old one in force."""
    access = Access(str(file))
    file.chmod(0o600)
    file.write_text("other")
    assert access.refusal(client("10.0.0.5", Authorization=f"Bearer {TOKEN}")) is None
    access.reload()
    assert access.refusal(client("10.0.0.5", Authorization=f"Bearer {TOKEN}"))
    file.write_text("")
    with pytest.raises(ConfigError):
        access.reload()
    assert access.refusal(client("10.0.0.5", Authorization="Bearer other")) is None
    Access("").reload()


def test_token_file(file: Path) -> None:
    """The token is what is left without the space around it; a link to the file is fine, as secrets are often mounted."""
    link = file.parent / "link"
    link.symlink_to(file)

    assert read_token(str(file)) == read_token(str(link)) == TOKEN.encode()


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [
        (b"", 0o600, "is empty; write a token into it"),
        (b" \n\t\n", 0o600, "is empty"),
        (b"token", 0o604, "is open to every user of the host; chmod o= "),
        (b"token", 0o602, "is open to every user of the host"),
        (b"two words", 0o600, "holds no token"),
        (b"two\nlines", 0o600, "holds no token"),
        (b"\xff\xfe", 0o600, "holds no token"),
        (b"\xef\xbb\xbftoken", 0o600, "holds no token"),
        (b"nul\0", 0o600, "holds no token"),
        (b"x" * 4_097, 0o600, "holds no token"),
    ],
)
def test_token_file_that_cannot_be_used(tmp_path: Path, content: bytes, mode: int, message: str) -> None:
    """The error names the file, the key and the cure, and never what is in the file; it ends the agent with 2."""
    path = tmp_path / "token"
    path.write_bytes(content)
    path.chmod(mode)
    with pytest.raises(ConfigError) as caught:
        Access(str(path))

    assert str(caught.value).startswith(f"{path}: web.api_token_file: {message}")
    assert caught.value.exit_code == 2
    assert "two" not in str(caught.value).removeprefix(str(path))


@pytest.mark.parametrize("kind", ["nothing", "folder", "fifo"])
def test_path_that_is_no_file(tmp_path: Path, kind: str) -> None:
    """What is not there, or no plain file, is an error at once; a FIFO does not hang the start."""
    path = tmp_path / kind
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    with pytest.raises(ConfigError, match=r"cannot be read: No such file|cannot be read: Is a directory|is no plain file"):
        read_token(str(path))


def test_is_loopback_takes_any_text() -> None:
    """What is no address is not loopback."""
    assert not any(map(is_loopback, ["127.1", "0x7f.0.0.1", "2130706433", "127.0.0.1 ", "\udcff", "1" * 5_000, "::ffff:127.0.0.1.1"]))
