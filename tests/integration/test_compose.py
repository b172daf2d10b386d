"""The stack in Docker Compose: each of its files is loaded by the program that it configures, and they lead to one another."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from perflens.capability import NEEDS
from perflens.cli.context import Context
from perflens.config import load
from tests.servers import server, wait_for

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "compose"
SERVICES = {"perflens", "prometheus", "alertmanager", "collector", "jaeger", "grafana"}
Promtool = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def compose() -> str:
    """The real Docker Compose, which checks a file without Docker."""
    done = subprocess.run([ROOT / "tests/components/compose"], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(done.stderr.strip())
    return done.stdout.strip()


def configured(compose: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """What Compose makes of the file."""
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **variables}
    command = [compose, "--file", str(FOLDER / "docker-compose.yml"), "config", "--format", "json"]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


@pytest.fixture(scope="module")
def stack(compose: str) -> dict[str, Any]:
    """The file as Compose understands it."""
    done = configured(compose, **dict.fromkeys(["GRAFANA_PASSWORD"], "for tests"))
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def services(stack: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Its services by name."""
    found: dict[str, dict[str, Any]] = stack["services"]
    return found


def content() -> dict[str, Any]:
    """The file itself."""
    found: dict[str, Any] = yaml.safe_load((FOLDER / "docker-compose.yml").read_text())
    return found


def mounted(service: str, folder: Path) -> Path:
    """What a service finds in its root of the files of this repository."""
    for volume in content()["services"][service]["volumes"]:
        source, target, *_ = volume.split(":")
        if source.startswith("."):
            place, found = folder / target.lstrip("/"), FOLDER / source
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(found, place) if found.is_dir() else shutil.copy(found, place)
    return folder


def test_compose_takes_it(stack: dict[str, Any]) -> None:
    """Without a complaint, with every service and volume that it names."""
    assert set(stack["services"]) == SERVICES
    assert set(stack["volumes"]) == {"perflens", "prometheus", "alertmanager", "grafana"}


def test_a_password_is_asked_for(compose: str) -> None:
    """Nobody gets a Grafana with a password that everybody knows."""
    done = configured(compose)

    assert done.returncode == 1
    assert "required variable GRAFANA_PASSWORD is missing a value: put a password for its user admin into .env" in done.stderr


def test_variables_are_in_the_example() -> None:
    """.env.example has each variable that the file asks for."""
    asked = set(re.findall(r"\$\{(\w+)", (FOLDER / "docker-compose.yml").read_text()))

    assert set(re.findall(r"^#?(\w+)=", (FOLDER / ".env.example").read_text(), re.MULTILINE)) == asked


def test_images_are_pinned(services: dict[str, dict[str, Any]]) -> None:
    """To a version of three numbers; the agent's is this one's."""
    (version,) = re.findall(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)

    assert all(re.search(r":v?\d+\.\d+\.\d+$", own["image"]) for own in services.values())
    assert services["perflens"]["image"] == f"perflens:{version}"


def test_nothing_listens_to_other_hosts(services: dict[str, dict[str, Any]]) -> None:
    """Every port is one of the loopback address."""
    assert {port["host_ip"] for own in services.values() for port in own.get("ports", [])} == {"127.0.0.1"}


def test_files_that_are_mounted_exist(services: dict[str, dict[str, Any]]) -> None:
    """Else Docker would make folders in their place."""
    sources = [volume["source"] for own in services.values() for volume in own.get("volumes", []) if volume["type"] == "bind"]

    assert len(sources) >= 6
    assert [source for source in sources if not Path(source).exists()] == []


def test_what_the_agent_may_do(services: dict[str, dict[str, Any]]) -> None:
    """The capabilities of the table and no others, a root that cannot be written, and the host's processes and cgroups."""
    own = services["perflens"]

    assert own["cap_drop"] == ["ALL"]
    assert set(own["cap_add"]) == {need.name for need in NEEDS} - {"SYS_RESOURCE"}
    assert (own["pid"], own["cgroup"], own["read_only"]) == ("host", "host", True)
    assert own["ulimits"]["memlock"] == -1
    assert "privileged" not in own
    assert Path(own["build"]["context"], own["build"]["dockerfile"]) == ROOT / "deploy" / "Dockerfile"


def test_the_agent_takes_its_variables(services: dict[str, dict[str, Any]]) -> None:
    """Its configuration is one, and spans go to the collector."""
    variables = {name: value for name, value in services["perflens"]["environment"].items() if value}
    settings = load({}, variables, None, Context.of({}).catalogue)

    assert settings.otlp.endpoint == "http://collector:4318"


def test_prometheus_takes_its_configuration_and_rules(promtool: Promtool, tmp_path: Path) -> None:
    """With the rules where the service has them."""
    root = mounted("prometheus", tmp_path)
    done = promtool("check", "config", str(root / "etc/prometheus/prometheus.yml"))

    assert done.returncode == 0, done.stderr
    assert "1 rule files found" in done.stdout


def test_prometheus_runs_with_its_flags(prometheus_binaries: Path, services: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    """It starts as the service does, with exemplars and native histograms."""
    root = mounted("prometheus", tmp_path)
    flags = [flag.replace("=/", f"={root}/") for flag in services["prometheus"]["command"]]
    command = [str(prometheus_binaries / "prometheus"), *flags, "--web.listen-address=127.0.0.1:0"]
    log = tmp_path / "log"
    with server(command, log, r"(Server is ready to receive web requests)"):
        pass

    assert "level=ERROR" not in log.read_text()
    assert "Experimental in-memory exemplar storage enabled" in log.read_text()


def test_alertmanager_takes_its_configuration(prometheus_binaries: Path, tmp_path: Path) -> None:
    """amtool has nothing to say about it."""
    tool = prometheus_binaries / "amtool"
    if not tool.exists():
        pytest.skip("needs amtool")
    file = mounted("alertmanager", tmp_path) / "etc/alertmanager/alertmanager.yml"
    done = subprocess.run([tool, "check-config", file], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "SUCCESS" in done.stdout


def test_a_critical_incident_hides_no_other_one(alertmanager_command: str, tmp_path: Path) -> None:
    """Of two incidents of a host both are told; of one that became critical the warning is not."""
    command = [alertmanager_command, f"--config.file={FOLDER}/alertmanager.yml", f"--storage.path={tmp_path}/data"]
    command += ["--web.listen-address=127.0.0.1:0", "--cluster.listen-address="]
    of = {"alertname": "PerfLensIncident", "instance": "a:9435"}
    disk, limit = {"cause": "SLOW_DEVICE", "subject": "sda"}, {"cause": "IO_CGROUP_THROTTLE", "subject": "/batch"}
    severities = [(disk, "critical"), (disk, "warning"), (limit, "warning")]
    fired = json.dumps([{"labels": {**of, **own, "severity": severity}} for own, severity in severities]).encode()

    with server(command, tmp_path / "log", r"Listening on.* address=(127\.0\.0\.1:[1-9]\d*)") as address:
        url = f"http://{address}/api/v2/alerts"
        wait_for(lambda: _asked(url, fired), 30, "the alerts are taken")
        wait_for(lambda: len(_asked(f"{url}?active=false")) == 1, 30, "one of them is held back")
        (held,), told = _asked(f"{url}?active=false"), _asked(f"{url}?inhibited=false")

    assert held["labels"] == {**of, **disk, "severity": "warning"}
    assert {(own["labels"]["cause"], own["labels"]["severity"]) for own in told} == {
        ("SLOW_DEVICE", "critical"),
        ("IO_CGROUP_THROTTLE", "warning"),
    }


def _asked(url: str, body: bytes | None = None) -> Any:
    """What Alertmanager answers; True for a body that it took, nothing while it does not listen."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return True if body else json.load(answer)
    except urllib.error.URLError:
        return []


def test_the_collector_takes_its_configuration(collector_binary: str, tmp_path: Path) -> None:
    """`validate` makes its parts of it; the file is where the service looks."""
    (flag,) = content()["services"]["collector"]["command"]
    file = mounted("collector", tmp_path) / flag.removeprefix("--config=/")
    done = subprocess.run([collector_binary, "validate", f"--config={file}"], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


def test_a_mistake_in_a_file_is_seen(collector_binary: str, promtool: Promtool, tmp_path: Path) -> None:
    """The same programs refuse the same files with a wrong key in them."""
    collector, prometheus = tmp_path / "collector.yaml", tmp_path / "prometheus.yml"
    collector.write_text((FOLDER / "collector.yaml").read_text().replace("limit_mib", "limit"))
    prometheus.write_text((FOLDER / "prometheus.yml").read_text().replace("scrape_protocols", "protocols"))

    assert subprocess.run([collector_binary, "validate", f"--config={collector}"], capture_output=True, check=False).returncode == 1
    assert promtool("check", "config", str(prometheus)).returncode == 1


def listened() -> dict[str, set[int]]:
    """Where each service listens for the others."""
    receivers = yaml.safe_load((FOLDER / "collector.yaml").read_text())["receivers"]["otlp"]["protocols"].values()
    own = {int(receiver["endpoint"].rpartition(":")[2]) for receiver in receivers}
    return {
        "perflens": {9435},
        "prometheus": {9090},
        "alertmanager": {9093},
        "collector": own,
        "jaeger": {4317, 4318, 16686},
        "grafana": {3000},
    }


def test_services_find_one_another() -> None:
    """Every address of a service in a file is one of its name and of a port that it listens on."""
    files = [path for path in FOLDER.rglob("*") if path.is_file()]
    found = [
        (host, int(port))
        for path in files
        for host, port in re.findall(rf"\b({'|'.join(SERVICES)}):(\d+)(?![.\d])", path.read_text())  # versions have dots
    ]

    assert {host for host, _ in found} == SERVICES
    assert [(host, port) for host, port in found if port not in listened()[host]] == []


def test_grafana_is_provisioned(services: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    """Its data sources refer to each other, its dashboards are where it looks for them, and exemplars lead to spans."""
    root = mounted("grafana", tmp_path) / "etc/grafana/provisioning"
    (sources_file,), (dashboards_file,) = (root / "datasources").iterdir(), (root / "dashboards").iterdir()
    sources = {own["uid"]: own for own in yaml.safe_load(sources_file.read_text())["datasources"]}
    (provider,) = yaml.safe_load(dashboards_file.read_text())["providers"]
    folder = tmp_path / provider["options"]["path"].lstrip("/")
    home = services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    (exemplars,) = sources["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]

    assert {own["type"] for own in sources.values()} == {"prometheus", "jaeger", "alertmanager"}
    assert [uid for uid, own in sources.items() if own.get("isDefault")] == ["prometheus"]
    assert (exemplars["name"], sources[exemplars["datasourceUid"]]["type"]) == ("trace_id", "jaeger")
    assert provider["type"] == "file"
    assert {path.name for path in folder.glob("*.json")} == {path.name for path in (ROOT / "grafana/dashboards").glob("*.json")}
    assert (tmp_path / home.lstrip("/")).exists()
