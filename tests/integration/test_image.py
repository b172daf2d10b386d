"""The image: deploy/Dockerfile, run step by step in fresh Debian roots, gives a root in which the agent does all its work."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from perflens.capability import NEEDS
from perflens.kernel.features import inspect
from tests.kernel.preconditions import attached
from tests.kernel.slow import cold_file, functions, in_group, program, throttled, wait_for_events
from tests.kernel.support import RunningAgent, agent, closed_ledger

ROOT = Path(__file__).resolve().parents[2]
BUILDER = ROOT / "tests" / "components" / "image"
TABLE = ",".join(["-all", *(f"+{own.name.lower()}" for own in NEEDS if own.name != "SYS_RESOURCE")])
MOST = 220 << 20  # bytes
NOT_WANTED = ("clang", "gcc", "make", "pip", "pip3", "curl", "wget", "ssh", "git", "bpftool")

# As a runtime does in a pod with hostPID: a root that cannot be written but for the state, the host's /proc and /sys, the capabilities
# of the table. What the tests would run, `python -m perflens run …`, is the image's own command.
IN_POD = f"""
set -e
root=$1; shift 4
mount --bind "$root" "$root"; cd "$root"
mount -t proc proc proc; mount --rbind /sys sys; mount --rbind /dev dev
mount -o remount,bind,ro .; mount -t tmpfs none var/lib/perflens
exec chroot . setpriv --no-new-privs --bounding-set={TABLE} env -i PATH="$IMAGE_PATH" perflens "$@"
"""

pytestmark = [pytest.mark.components, pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The root of the image, and the image as a file."""
    missing = [tool for tool in ("debootstrap", "chroot", "unshare", "setpriv") if not shutil.which(tool)]
    if missing or os.geteuid() != 0:
        pytest.skip(f"needs {', '.join(missing) or 'root'}")
    archive = tmp_path_factory.mktemp("image") / "perflens.tar"
    command = [str(BUILDER), "--archive", str(archive), "--tag", "localhost/perflens:test"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "debootstrap ended with" in done.stderr:
        pytest.skip("no registry that apt is configured with serves Debian's base")
    assert done.returncode == 0, done.stderr[-4000:]
    return Path(done.stdout.strip()), archive


@pytest.fixture(scope="module")
def root(built: tuple[Path, Path]) -> Path:
    """The root alone."""
    return built[0]


@pytest.fixture(scope="module")
def config(built: tuple[Path, Path]) -> dict[str, object]:
    """What a runtime reads of the image."""
    found: dict[str, object] = json.loads((built[0].parent / "config.json").read_text())
    return found


def test_it_is_small_and_has_nothing_to_build_with(root: Path) -> None:
    """Python, the agent and what it imports; no compiler, no package manager of Python, no way to fetch anything."""
    size = int(subprocess.run(["du", "--summarize", "--block-size=1", root], capture_output=True, text=True, check=True).stdout.split()[0])
    found = [
        name for name in NOT_WANTED if any((root / folder / name).exists() for folder in ("usr/bin", "usr/local/bin", "opt/perflens/bin"))
    ]

    assert found == []
    assert size < MOST
    assert list((root / "var/lib/apt/lists").iterdir()) == []
    assert not list(root.glob("opt/perflens/lib/python3*/site-packages/pip"))
    assert list(root.glob("opt/perflens/lib/python3*/site-packages/perflens/objects/*/file.bpf.o"))
    assert list(root.glob("opt/perflens/lib/python3*/site-packages/opentelemetry"))


def test_nothing_of_the_machine_that_built_it_is_in_it(root: Path) -> None:
    """No name, no resolver, no mounts."""
    assert (root / "etc/resolv.conf").read_text() == ""
    assert (root / "etc/hostname").read_text() == ""
    assert [name for name in ("proc", "sys", "tmp", "source") if (root / name).exists() and any((root / name).iterdir())] == []


def test_what_a_runtime_is_told(config: dict[str, object]) -> None:
    """It runs the agent as user 0, and says what it is."""
    (version,) = re.findall(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    labels = config["Labels"]
    assert isinstance(labels, dict)

    assert (config["Entrypoint"], config["Cmd"], config["User"]) == (["perflens"], ["run"], "0")
    assert labels["org.opencontainers.image.version"] == version
    assert labels["org.opencontainers.image.licenses"] == "GPL-3.0-only"
    assert config["ExposedPorts"] == {"9435/tcp": {}}


def test_the_archive_is_an_image(built: tuple[Path, Path], config: dict[str, object]) -> None:
    """One layer with the sum that the configuration names, and the agent in it."""
    with tarfile.open(built[1]) as archive:

        def read(name: str) -> bytes:
            file = archive.extractfile(name)
            assert file
            return file.read()

        (manifest,) = json.loads(read("manifest.json"))
        whole = json.loads(read(manifest["Config"]))
        (layer,) = manifest["Layers"]
        file = archive.extractfile(layer)
        assert file
        digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
        file.seek(0)
        with tarfile.open(fileobj=file) as content:
            assert content.getmember("./opt/perflens/bin/perflens").mode & 0o111

    assert manifest["RepoTags"] == ["localhost/perflens:test"]
    assert whole["config"] == config
    assert whole["rootfs"] == {"type": "layers", "diff_ids": [f"sha256:{digest}"]}


@pytest.fixture(scope="module")
def running(root: Path, config: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAgent]:
    """The agent of the image, as in a pod."""
    if not inspect().may_load:
        pytest.skip("needs CAP_BPF and CAP_PERFMON")
    variables = config["Env"]
    assert isinstance(variables, list)
    path = {"IMAGE_PATH": dict(word.split("=", 1) for word in variables)["PATH"]}
    prefix = ("unshare", "--mount", "sh", "-c", IN_POD, "sh", str(root))
    with agent(tmp_path_factory.mktemp("agent"), "--probes.strict", prefix=prefix, environment=path) as found:
        yield found


def test_the_agent_works_in_it(running: RunningAgent, tmp_path: Path) -> None:
    """Every probe attaches, and a slow read of a program outside of it has its names."""
    with throttled(tmp_path) as limited:
        command = in_group(limited, program(tmp_path / "reads"), cold_file(tmp_path), "direct", "stay")
        with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
            assert process.stdin is not None
            (event,) = wait_for_events(running.url, 1, owner=f"/{limited.name}", pid=process.pid, min_duration="100ms")
            process.stdin.close()
            assert process.wait(20) == 0
    closed_ledger(running.url)

    assert set(attached(running).values()) == {1}
    assert {"inner_step", "outer_step", "main"} <= set(functions(event["user_stack"]))
    assert "vfs_read" in functions(event["kernel_stack"])
    assert os.readlink(f"/proc/{running.process.pid}/root") != "/"
    log = running.log.read_text()
    assert "capabilities dropped" in log
    assert [line for line in log.splitlines() if "level=info" not in line] == []


def test_compose_asks_it_whether_it_is_ready(running: RunningAgent, root: Path) -> None:
    """The health check of docker-compose.yml, by the image's own Python, passes while the agent is ready, and else does not."""
    (kind, *command) = yaml.safe_load((ROOT / "deploy/compose/docker-compose.yml").read_text())["services"]["perflens"]["healthcheck"][
        "test"
    ]
    port = str(urlsplit(running.url).port)

    def ended(*words: str) -> int:
        return subprocess.run(["chroot", root, *words], capture_output=True, check=False).returncode

    assert kind == "CMD"
    assert ended(*(word.replace("9435", port) for word in command)) == 0
    assert ended(*(word.replace("9435/-/ready", f"{port}/nowhere") for word in command)) == 1
