"""The web configuration before its peers: promtool reads it as we do, curl and a real Prometheus get in by it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perflens.errors import ConfigError
from perflens.web_config.front import check
from tests.certificates import Authority, Pair
from tests.servers import Prometheus, running_agent, running_prometheus, wait_for
from tests.web_configs import HASH, PASSWORD, SAMPLES, TLS, Sample, lay_out

Promtool = Callable[..., subprocess.CompletedProcess[str]]
CLIENTS = "  client_ca_file: ca.pem\n  client_auth_type: RequireAndVerifyClientCert\n  client_allowed_sans: [prometheus.example]\n"
USERS = f"basic_auth_users:\n  prometheus: {HASH}\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("oracle")
    lay_out(folder)
    return folder


def verdicts(folder: Path, text: str, promtool: Promtool) -> tuple[str, str]:
    """What promtool and we say of a file; empty for nothing."""
    file = folder / "web.yml"
    file.write_text(text)
    done = promtool("check", "web-config", str(file))
    assert done.returncode in (0, 1), done.stderr
    try:
        check(str(file))
    except ConfigError as error:
        return done.stderr if done.returncode else "", str(error)
    return done.stderr if done.returncode else "", ""


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_promtool_agrees(folder: Path, promtool: Promtool, sample: Sample) -> None:
    """What promtool takes is taken and what it refuses is refused, but for what is refused by name."""
    theirs, ours = verdicts(folder, sample.text, promtool)

    assert bool(ours) is bool(sample.error), ours
    assert bool(theirs) is (bool(sample.error) and not sample.refused), theirs


SECTIONS = st.fixed_dictionaries(
    {},
    optional={
        "tls_server_config": st.fixed_dictionaries(
            {
                "cert_file": st.sampled_from(["server.pem", "nothing.pem", "ca.pem"]),
                "key_file": st.sampled_from(["server.key", "other.key"]),
            },
            optional={
                "client_ca_file": st.sampled_from(["ca.pem", "nothing.pem"]),
                "client_auth_type": st.sampled_from(["NoClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert", "Any", ""]),
                "min_version": st.sampled_from(["TLS12", "TLS13", "TLS1.2", "12"]),
                "prefer_server_cipher_suites": st.booleans(),
                "cipher_suites": st.lists(st.sampled_from(["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_NULL"]), min_size=1, max_size=2),
                "unknown": st.just("x"),
            },
        ),
        "http_server_config": st.fixed_dictionaries(
            {},
            optional={
                "http2": st.booleans() | st.just("true"),
                "headers": st.dictionaries(
                    st.sampled_from(["X-Frame-Options", "X-XSS-Protection", "Server"]), st.sampled_from(["deny", "0"])
                ),
            },
        ),
        "basic_auth_users": st.dictionaries(st.sampled_from(["a", "b c"]), st.sampled_from([HASH, "plain"]), max_size=2),
        "rate_limit": st.fixed_dictionaries({"interval": st.sampled_from(["1s", "1h2m", "1d", "s"]), "burst": st.integers(1, 9)}),
    },
)
REFUSED_BY_NAME = ("has no authority to check by",)


@given(tree=SECTIONS)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], derandomize=True
)
def test_promtool_agrees_with_any(folder: Path, promtool: Promtool, tree: object) -> None:
    """So it is with files that nobody has written."""
    theirs, ours = verdicts(folder, yaml.safe_dump(tree), promtool)

    if not any(reason in ours for reason in REFUSED_BY_NAME):
        assert bool(theirs) is bool(ours), (theirs, ours)


@dataclass(frozen=True)
class Secured:
    """An agent with TLS, client certificates and a password."""

    url: str
    authority: Authority
    client: Pair
    folder: Path

    def curl(self, url: str, *flags: str | Path) -> tuple[int, int]:
        """The exit code of curl and the status of the answer."""
        command = ["curl", "-s", "-o", os.devnull, "-w", "%{http_code}", "--cacert", self.authority.certificate, *flags, url]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=30, check=False)
        return done.returncode, int(done.stdout)

    @property
    def shown(self) -> tuple[str | Path, ...]:
        return ("--cert", self.client.certificate, "--key", self.client.key)


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    if os.geteuid() != 0:
        pytest.skip("the agent needs root to attach its probes")
    folder = tmp_path_factory.mktemp("secured")
    authority = lay_out(folder)
    client = authority.issue("client", "DNS:prometheus.example")
    (folder / "web.yml").write_text(TLS + CLIENTS + USERS + "http_server_config: {headers: {X-Frame-Options: deny}}\n")
    with running_agent(folder, f"--web.config.file={folder}/web.yml", "--analyzer.state-file=") as url:
        yield Secured(url, authority, client, folder)


def test_curl(secured: Secured) -> None:
    """curl gets in with certificate and password, and with one of them alone it does not."""
    if not shutil.which("curl"):
        pytest.skip("needs curl")
    user = ("-u", f"prometheus:{PASSWORD}")
    assert secured.curl(secured.url, *secured.shown, *user) == (0, 200)
    assert secured.curl(secured.url, *secured.shown, *user, "--tls-max", "1.2") == (0, 200)
    assert secured.curl(secured.url, *secured.shown) == (0, 401)
    assert secured.curl(secured.url, *secured.shown, "-u", "prometheus:wrong") == (0, 401)
    code, status = secured.curl(secured.url, *user)
    assert code != 0
    assert status == 0


def scrape_config(secured: Secured, password: str) -> dict[str, object]:
    return {
        "scheme": "https",
        "tls_config": {
            "ca_file": str(secured.authority.certificate),
            "cert_file": str(secured.client.certificate),
            "key_file": str(secured.client.key),
        },
        "basic_auth": {"username": "prometheus", "password": password},
    }


def test_prometheus(secured: Secured, prometheus_binaries: Path, tmp_path: Path) -> None:
    """A Prometheus with tls_config and basic_auth scrapes, over a change of the certificate too; with a wrong password it does not."""

    def up(prometheus: Prometheus, value: int) -> bool:
        return bool(prometheus.query(f'up{{job="perflens"}} == {value}'))

    with running_prometheus(prometheus_binaries, tmp_path, secured.url, scrape_config(secured, PASSWORD)) as prometheus:
        wait_for(lambda: up(prometheus, 1), 20, "the agent is scraped")
        renewed = secured.authority.issue("renewed")
        shutil.copy(renewed.certificate, secured.folder / "server.pem")
        shutil.copy(renewed.key, secured.folder / "server.key")
        read_again = 'perflens_web_config_last_reload_success_timestamp_seconds > process_start_time_seconds{job="perflens"} + 2'
        wait_for(lambda: prometheus.query(read_again), 30, "the new certificate is in force")
        wait_for(lambda: up(prometheus, 1), 20, "the agent is scraped with it")
        assert prometheus.query("perflens_web_config_last_reload_successful == 1")
    with running_prometheus(prometheus_binaries, tmp_path / "wrong", secured.url, scrape_config(secured, "wrong")) as prometheus:
        wait_for(lambda: up(prometheus, 0), 20, "the agent refuses")


def test_selftest_asks_with_everything(secured: Secured, tmp_path: Path) -> None:
    """`perflens selftest --url` reaches the agent with its authority, certificate and password; without them it says what is missing."""
    password = tmp_path / "password"
    password.write_text(PASSWORD + "\n")
    password.chmod(0o600)
    url = f"--url={secured.url}"
    trusting = f"--client.ca-file={secured.authority.certificate}"
    shown = (f"--client.cert-file={secured.client.certificate}", f"--client.key-file={secured.client.key}")
    known = ("--client.user=prometheus", f"--client.password-file={password}")

    def selftest(*flags: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "perflens", "selftest", "--json", "--timeout=60", url, *flags]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PERFLENS_")}
        return subprocess.run(command, capture_output=True, text=True, timeout=110, check=False, env=environment)

    done = selftest(trusting, *shown, *known)
    attached = {own["family"]: own["verdict"] for own in json.loads(done.stdout)["checks"] if own["name"] == "attached"}
    assert set(attached.values()) == {"ok"}, done.stdout
    assert "its certificate is not trusted" in selftest(*shown, *known).stderr
    assert "answers 401; say who asks: --client.user and --client.password-file" in selftest(trusting, *shown).stderr


def test_start_is_refused(tmp_path: Path) -> None:
    """An agent whose web configuration cannot be used ends with exit code 2 and one error."""
    (tmp_path / "web.yml").write_text("tls_server_config:\n  cert_file: nothing.pem\n  key_file: nothing.key\n")
    command = [sys.executable, "-m", "perflens", "run", "--web.listen-address=127.0.0.1:0", f"--web.config.file={tmp_path}/web.yml"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 2
    errors = [line for line in done.stderr.splitlines() if line.startswith("perflens: ")]
    assert errors == [
        f"perflens: {tmp_path}/web.yml:2: tls_server_config.cert_file: 'nothing.pem' there is no such file; create it",
        f"perflens: {tmp_path}/web.yml:3: tls_server_config.key_file: 'nothing.key' there is no such file; create it",
    ]
