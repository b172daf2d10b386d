"""The systemd unit: systemd takes it, finds little to say about it, and the agent does all its work within what it allows."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from perflens.capability import NEEDS
from perflens.config import load
from perflens.kernel.features import inspect
from tests.integration import sandbox
from tests.kernel.preconditions import attached
from tests.kernel.slow import cold_file, functions, in_group, program, throttled, until, wait_for_events
from tests.kernel.support import agent, closed_ledger
from tests.throttle import BLOCK

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "systemd"
UNIT = FOLDER / "perflens.service"
TEXT = UNIT.read_text()
NOBODY = "65534"
TOO_MUCH = 3.0


@pytest.fixture
def analyze() -> str:
    """systemd-analyze of a systemd that can judge a file."""
    found = shutil.which("systemd-analyze")
    if not found:
        pytest.skip("needs systemd-analyze")
    return found


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with the command where it is here: systemd wants it to exist."""
    file = tmp_path / UNIT.name
    file.write_text(TEXT.replace("/opt/perflens/bin/perflens", str(Path(sys.executable).with_name("perflens"))))
    return file


def test_systemd_verifies_it(analyze: str, unit: Path) -> None:
    """Every key is known, every value is one, and the command is there."""
    done = subprocess.run([analyze, "verify", "--man=no", unit], capture_output=True, text=True, check=False)

    assert (done.returncode, [line for line in done.stderr.splitlines() if UNIT.name in line]) == (0, [])


def test_its_exposure_is_low(analyze: str, unit: Path) -> None:
    """Below 3.0 of 10, by systemd's own measure."""
    command = [analyze, "security", "--offline=true", "--no-pager", f"--threshold={int(TOO_MUCH * 10)}", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"Overall exposure level for perflens.service: ([0-9.]+)", done.stdout)

    assert found, done.stdout + done.stderr
    assert float(found[1]) < TOO_MUCH
    assert done.returncode == 0


def test_its_capabilities_are_those_of_the_table() -> None:
    """Each that is needed but SYS_RESOURCE, for which the limit of locked memory stands; the ambient ones are all that there are."""
    wanted = {f"CAP_{own.name}" for own in NEEDS} - {"CAP_SYS_RESOURCE"}
    (ambient,), (bounding,) = sandbox.values(TEXT, "AmbientCapabilities"), sandbox.values(TEXT, "CapabilityBoundingSet")

    assert set(ambient.split()) == set(bounding.split()) == wanted
    assert sandbox.values(TEXT, "LimitMEMLOCK") == ["infinity"]


def test_its_variables_are_keys(tmp_path: Path) -> None:
    """Every variable that perflens.env shows is one of the configuration, or a token."""
    lines = [line.removeprefix("#") for line in (FOLDER / "perflens.env").read_text().splitlines() if re.match(r"#?[A-Z_]+=", line)]
    given = dict(line.split("=", 1) for line in lines)
    (tmp_path / "perflens.yaml").touch()
    known = load({}, {**given, "PERFLENS_CONFIG_FILE": str(tmp_path / "perflens.yaml")}, None, {})

    assert known.web.listen_address == ("127.0.0.1:9435",)
    assert {name for name in given if not name.startswith("PERFLENS_")} == {"GRAFANA_TOKEN", "HF_TOKEN"}


def test_the_state_is_where_systemd_lets_it_be() -> None:
    """The files that are the default lie in the state folder that the unit asks for."""
    settings = load({}, {}, None, {})
    state = [settings.analyzer.state_file, settings.llm.cache_file, settings.grafana.outbox_file]

    assert sandbox.values(TEXT, "StateDirectory") == ["perflens"]
    assert {str(Path(file).parent) for file in state} == {"/var/lib/perflens"}


@pytest.fixture
def folder() -> Iterator[Path]:
    """A state folder of another user's."""
    if os.geteuid() != 0 or not inspect().may_load:
        pytest.skip("needs root with CAP_BPF and CAP_PERFMON")
    with TemporaryDirectory() as name:
        shutil.chown(name, int(NOBODY), int(NOBODY))
        yield Path(name)


def confined(folder: Path) -> tuple[str, ...]:
    """What systemd would make of the unit: another user with ambient capabilities, files that cannot be written but in its state folder,
    the system calls of the filter, and no new code in memory."""
    (ambient,) = sandbox.values(TEXT, "AmbientCapabilities")
    capabilities = ",".join(["-all", *(f"+{name.removeprefix('CAP_').lower()}" for name in ambient.split())])
    mounts = f'mount --bind {folder} {folder} && mount -o remount,bind,ro / && exec "$@"'
    user = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs")
    sets = (f"--bounding-set={capabilities}", f"--inh-caps={capabilities}", f"--ambient-caps={capabilities}")
    return ("unshare", "--mount", "sh", "-c", mounts, "sh", *user, *sets, sys.executable, sandbox.__file__, str(UNIT))


def test_the_agent_works_within_it(analyze: str, folder: Path) -> None:
    """Every probe attaches, a slow read has its names, a reload is taken, the state is kept, and the end is 0."""
    readable = subprocess.run([*confined(folder), sys.executable, "-c", "import perflens"], capture_output=True, text=True, check=False)
    if readable.returncode:
        pytest.skip(f"needs a checkout that other users may read, and libseccomp: {readable.stderr.strip().splitlines()[-1]}")
    with TemporaryDirectory() as name, agent(folder, "--probes.strict", prefix=confined(folder)) as running:
        work = Path(name)
        with throttled(work) as limited:
            command = in_group(limited, program(work / "reads"), cold_file(work), "direct", "stay")
            with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
                assert process.stdin is not None
                (event,) = wait_for_events(running.url, 1, owner=f"/{limited.name}", pid=process.pid, min_duration="100ms")
                process.stdin.close()
                assert process.wait(20) == 0
        assert "\nSeccomp:\t2\n" in Path(f"/proc/{running.process.pid}/status").read_text()
        assert set(attached(running).values()) == {1}
        closed_ledger(running.url)
        running.process.send_signal(signal.SIGHUP)
        until(lambda: "configuration reloaded" in running.log.read_text())
        running.process.terminate()
        assert running.process.wait(20) == 0
    log = running.log.read_text()

    assert event["result"] == BLOCK
    assert {"inner_step", "outer_step", "main"} <= set(functions(event["user_stack"]))
    assert "vfs_read" in functions(event["kernel_stack"])
    assert (folder / "incidents.json").stat().st_uid == int(NOBODY)
    assert "level=error" not in log
    assert "Traceback" not in log
    assert "capabilities dropped" in log
