"""web_config/reader.py and what it reads with: every file, good or bad, and what it means."""

from __future__ import annotations

import ssl
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perflens.errors import ConfigError
from perflens.web_config.files import Files
from perflens.web_config.front import check
from perflens.web_config.names import CURVES, SUITES
from perflens.web_config.reader import read
from perflens.web_config.settings import RateLimit, WebConfig
from perflens.web_config.tls import context
from tests.web_configs import HASH, SAMPLES, TLS, Sample, lay_out


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("web")
    lay_out(folder)
    return folder


def config(folder: Path, text: str) -> WebConfig:
    (folder / "web.yml").write_text(text)
    found, problems = read(str(folder / "web.yml"), Files())
    assert problems == []
    return found


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_samples(folder: Path, sample: Sample) -> None:
    """A good file is taken, a bad one has one error with its line, its key and the cure."""
    file = folder / "web.yml"
    file.write_text(sample.text)
    if not sample.error:
        check(str(file))
        return
    with pytest.raises(ConfigError) as caught:
        check(str(file))
    assert str(caught.value) == f"{file}:{sample.error}"


def test_nothing() -> None:
    """A file that is not there, or cannot be read as text, is one error."""
    for path, message in (
        ("/nonexistent/web.yml", "/nonexistent/web.yml: there is no such file; create it"),
        ("/dev/null", "/dev/null: is not a regular file; name a regular file"),
    ):
        with pytest.raises(ConfigError) as caught:
            check(path)
        assert str(caught.value) == message


def test_all_at_once(folder: Path) -> None:
    """Every problem is told, in the order of the lines; of secrets nothing is."""
    (folder / "web.yml").write_text("rate_limit: {interval: x, burst: 1}\nbasic_auth_users: {a: 123456, b: hunter2}\na: 1\n")
    with pytest.raises(ConfigError) as caught:
        check(str(folder / "web.yml"))

    assert [problem.source.rpartition(":")[2] for problem in caught.value.problems] == ["1", "2", "2", "3"]
    assert "123456" not in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_values(folder: Path) -> None:
    """What a file says, and the defaults of what it does not."""
    assert config(folder, "") == WebConfig()
    text = TLS + "  client_ca_file: ca.pem\n  client_auth_type: VerifyClientCertIfGiven\n  client_allowed_sans: ['0:0::1', a]\n"
    text += "  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, TLS_AES_128_GCM_SHA256]\n  curve_preferences: [CurveP521]\n"
    text += "  prefer_server_cipher_suites: false\n  max_version: TLS12\n"
    text += f"basic_auth_users: {{a: {HASH}}}\nhttp_server_config: {{http2: true, headers: {{X-Frame-Options: deny}}}}\n"
    found = config(folder, text + "rate_limit: {interval: 100ms, burst: 3}\n")

    assert (found.http2, dict(found.headers), dict(found.users)) == (True, {"X-Frame-Options": "deny"}, {"a": HASH})
    assert found.rate == RateLimit(100_000_000, 3)
    assert found.tls
    assert (found.tls.certificate, found.tls.client_ca) == tuple((folder / name).read_text() for name in ("server.pem", "ca.pem"))
    assert (found.tls.client_auth, set(found.tls.client_sans)) == ("VerifyClientCertIfGiven", {"::1", "a"})
    assert (found.tls.least, found.tls.most, found.tls.prefers_own_suites) == ("TLS12", "TLS12", False)
    assert (found.tls.suites, found.tls.curve) == (("ECDHE-RSA-AES256-GCM-SHA384",), "secp521r1")
    assert "PRIVATE" not in repr(found)
    assert HASH not in repr(found)


def test_texts_in_the_file(folder: Path) -> None:
    """Certificate, key and authority may stand in the file itself, and are the same."""
    parts = {"cert": "server.pem", "key": "server.key", "client_ca": "ca.pem"}
    blocks = "".join(
        f"  {key}: |\n" + "".join(f"    {line}\n" for line in (folder / name).read_text().splitlines()) for key, name in parts.items()
    )
    inside = config(folder, f"tls_server_config:\n{blocks}  client_auth_type: RequireAndVerifyClientCert\n").tls
    beside = config(folder, TLS + "  client_ca_file: ca.pem\n  client_auth_type: RequireAndVerifyClientCert\n").tls

    assert inside == beside
    assert inside


@pytest.mark.parametrize("name", SUITES)
def test_suites(folder: Path, name: str) -> None:
    """Each suite of Go's is one that OpenSSL knows by its own name."""
    found = config(folder, TLS + f"  cipher_suites: [{name}]\n").tls
    assert found
    assert [own["name"] for own in context(found).get_ciphers() if own["protocol"] != "TLSv1.3"] == [SUITES[name]]


def test_only_suites_of_tls_1_3(folder: Path) -> None:
    """A list of such suites leaves TLS 1.2 none, so it is not offered."""
    found = config(folder, TLS + "  cipher_suites: [TLS_AES_256_GCM_SHA384]\n").tls
    assert found
    assert context(found).minimum_version is ssl.TLSVersion.TLSv1_3


@pytest.mark.parametrize("name", [name for name, own in CURVES.items() if own])
def test_curves(folder: Path, name: str) -> None:
    """Each curve that is taken is one that OpenSSL takes."""
    found = config(folder, TLS + f"  curve_preferences: [{name}]\n").tls
    assert found
    context(found, Counter())


KEYS = ["tls_server_config", "http_server_config", "basic_auth_users", "rate_limit", "cert", "key_file", "client_auth_type", "headers"]
KEYS += ["cipher_suites", "min_version", "http2", "interval", "burst", "X-Frame-Options", "curve_preferences", "client_allowed_sans"]
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.sampled_from(["TLS12", HASH, "1s", *CURVES])
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), inner, max_size=4)),
    max_leaves=12,
)


@given(tree=TREES)
@settings(max_examples=300)
def test_any_tree(tmp_path_factory: pytest.TempPathFactory, tree: object) -> None:
    """Whatever a file says, it is taken or refused with problems that are one line each."""
    import yaml

    assert_told(tmp_path_factory.getbasetemp() / "any.yml", yaml.safe_dump(tree, allow_unicode=True).encode("utf-8", "surrogatepass"))


@given(data=st.binary(max_size=200) | st.text(alphabet="abc:{}[]&*!|>-'\"#\n ,%@\t", max_size=80).map(str.encode))
@settings(max_examples=300)
def test_any_bytes(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    """So is what is no YAML at all."""
    assert_told(tmp_path_factory.getbasetemp() / "any.yml", data)


def assert_told(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    try:
        check(str(file))
    except ConfigError as error:
        assert error.problems
        assert all(str(problem).isprintable() and problem.cure for problem in error.problems)
