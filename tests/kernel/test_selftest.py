"""`perflens selftest` on this host: it passes, names what is sabotaged, and leaves nothing behind whatever ends it."""

from __future__ import annotations

import json
import mmap
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from perflens.enrich.cgroups import find_tree
from perflens.kernel.features import inspect, mounts
from perflens.selftest.scratch import PREFIX
from perflens.selftest.throttle import throttle_tree
from tests.kernel.support import agent, closed_ledger, group, owner_tree, wait

KILLS = [8, pytest.param(20, marks=pytest.mark.components)]
WHOLE = 3.5  # s, about what one takes
FILE = ("attached", "count read", "count write", "count fsync", "count copy", "fs", "buckets", "sum", "owner", "slow read", "slow write")
BLOCK = (
    "attached",
    *(f"{what} {part}" for what in ("count write", "count read", "buckets", "sum") for part in ("held", "queue", "device")),
    *("bytes write", "bytes read", "device", "owner", "slow write", "slow read", "event", "ledger"),
)
PROCESS = ("attached", "count fork", "count exec", "count exit", "owner", "ledger")
EVIDENCE = ("event", "stack", "ledger", "cost")

Checks = dict[tuple[str, str], dict[str, Any]]


def begin(*flags: str, prefix: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PERFLENS_")}
    command = [*prefix, sys.executable, "-m", "perflens", "selftest", *flags]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def run(*flags: str, prefix: tuple[str, ...] = (), seconds: float = 60) -> tuple[int, str, str]:
    """Run one to its end; its exit code, output and errors."""
    process = begin(*flags, prefix=prefix)
    out, err = process.communicate(timeout=seconds)
    return process.returncode, out, err


def report(*flags: str, prefix: tuple[str, ...] = ()) -> tuple[int, Checks]:
    """Run one, and read what it says of each check."""
    code, out, err = run("--json", *flags, prefix=prefix)
    assert "Traceback" not in err
    return code, {(check["family"], check["name"]): check for check in json.loads(out)["checks"]}


def not_ok(checks: Checks, verdict: str) -> set[str]:
    return {" ".join(key) for key, check in checks.items() if check["verdict"] == verdict}


def left_in(folder: Path) -> list[str]:
    """What is there of any selftest that has ended, in a folder and in the trees of cgroups."""
    found = [path.name for parent in (folder, *trees()) for path in parent.glob(f"{PREFIX}*")]
    return sorted(name for name in found if not Path("/proc", name.removeprefix(PREFIX).partition("-")[0]).exists())


def trees() -> list[Path]:
    """Where a selftest makes cgroups: in the tree of the owners, and in that whose cgroups have a throttle."""
    throttles = throttle_tree(mounts(Path("/proc/self/mountinfo").read_text()))
    return [*dict.fromkeys((owner_tree(), *([Path(throttles)] if throttles else [])))]


def names(family: str, *lines: str) -> set[str]:
    return {f"{family} {line}" for line in lines}


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path: Path) -> Any:
    yield
    assert left_in(tmp_path) == []


def test_it_passes(tmp_path: Path, rung: str) -> None:
    """By each rung every number of this tree is proven; raw_tp has no stacks of sleeps, and says so."""
    code, checks = report(f"--dir={tmp_path}", *(f"--probes.{probe}.attach={rung}" for probe in ("block", "file", "process")))
    skipped = {"file stack"} if rung == "raw_tp" else set()

    assert not_ok(checks, "failed") == set()
    assert code == 0
    assert not_ok(checks, "skipped") - {"file cost"} == skipped
    expected = names("file", *FILE, *EVIDENCE) | names("process", *PROCESS) | names("block", *BLOCK) | {"agent page"}
    assert {" ".join(key) for key in checks} == expected
    assert {checks[probe, "attached"]["found"] for probe in ("block", "file", "process")} == {rung}


def test_the_table(tmp_path: Path) -> None:
    """For people: what it will do, then a line for each check."""
    code, out, err = run(f"--dir={tmp_path}")
    lines = out.splitlines()

    assert (code, err) == (0, "")
    assert lines[1].startswith(f"writes at most 64 MiB to {tmp_path}/{PREFIX}")
    assert lines[1].endswith("takes at most 15 s")
    assert lines[2].startswith(f"works in a cgroup of its own, /{PREFIX}")
    assert [line.split() for line in lines if line.startswith("file      count read")] == [["file", "count", "read", "1012", "1012", "ok"]]
    assert lines[-1].endswith("0 skipped")


def test_an_agent_that_runs(tmp_path: Path) -> None:
    """By its page and its API the same is proven of an agent, but for what it costs."""
    with agent(tmp_path) as running:
        code, checks = report(f"--dir={tmp_path}", f"--url={running.url}")

    assert (code, not_ok(checks, "failed"), not_ok(checks, "skipped")) == (0, set(), {"file cost"})
    assert names("file", *FILE, *EVIDENCE) | names("block", *BLOCK) == {" ".join(key) for key in checks if key[0] in ("file", "block")}


def test_requests_of_others_are_not_held_back(tmp_path: Path) -> None:
    """While requests of its own wait, those of another cgroup go to the same disk at once."""
    file, done = tmp_path / "others", tmp_path / "done"

    def write() -> None:
        fd, page = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_DIRECT, 0o600), mmap.mmap(-1, 4_096)
        while not done.exists():
            os.pwrite(fd, page, 0)

    with agent(tmp_path) as running, group("others") as others:
        pid = others.run(write)
        code, checks = report(f"--dir={tmp_path}", f"--url={running.url}")
        done.touch()
        wait(pid)
        page = closed_ledger(running.url)
    held = "perflens_block_held_duration_seconds"
    wanted = {"unit": others.unit, "operation": "write"}

    assert (code, checks["block", "event"]["verdict"]) == (0, "ok")
    assert page.total(f"{held}_bucket", le="0.0625", **wanted) == page.total(f"{held}_count", **wanted) > 100


def test_host_without_a_throttle(tmp_path: Path) -> None:
    """Where no cgroup can have one the requests are counted all the same, and what needs slow ones says why it is skipped."""
    if len(trees()) < 2:
        pytest.skip("needs a tree of its own for the throttle: that of blkio of cgroup v1")
    throttles = trees()[1]
    code, checks = report(f"--dir={tmp_path}", prefix=("unshare", "--mount", "sh", "-c", f'umount {throttles} && exec "$@"', "sh"))

    assert (code, not_ok(checks, "failed"), not_ok(checks, "skipped") - {"file cost"}) == (0, set(), {"block slow", "block event"})
    assert "neither blkio, nor io" in checks["block", "slow"]["reason"]
    assert checks["block", "count write held"]["found"] == "67"


def test_memory_is_no_disk(tmp_path: Path) -> None:
    """On tmpfs files are proven like everywhere."""
    folder = Path("/dev/shm")
    if not shutil.disk_usage(folder).free:
        pytest.skip("needs /dev/shm")
    code, checks = report(f"--dir={folder}")

    assert (code, checks["file", "fs"]["found"]) == (0, "tmpfs")
    assert "no disk of its own" in checks["block", "count"]["reason"]


SABOTAGE = [
    (["--no-probe.file"], {"file attached"}, "the probe does not run; leave --no-probe.file out"),
    (["--no-probe.block"], {"block attached"}, "the probe does not run; leave --no-probe.block out"),
    (["--no-probe.process"], {"process attached"}, "the probe does not run; leave --no-probe.process out"),
    (["--threshold=1h"], {"file event", "file stack", "block event"}, "start the agent with a lower --threshold"),
    (["--owner.level=node"], {"block owner", "file owner", "process owner"}, "start the agent with --owner.level=unit"),
]


@pytest.mark.parametrize(("flags", "expected", "cure"), SABOTAGE, ids=[flags[0] for flags, _, _ in SABOTAGE])
def test_sabotage_is_seen(tmp_path: Path, flags: list[str], expected: set[str], cure: str) -> None:
    """A probe that is off, a threshold that nothing reaches and owners that are not told apart fail their lines and no others."""
    code, checks = report(f"--dir={tmp_path}", *flags)

    assert (code, not_ok(checks, "failed")) == (1, expected)
    assert all(cure in check["reason"] for check in checks.values() if check["verdict"] == "failed")


@pytest.mark.parametrize(("flags", "expected", "cure"), SABOTAGE, ids=[flags[0] for flags, _, _ in SABOTAGE])
def test_sabotage_of_an_agent_is_seen(tmp_path: Path, flags: list[str], expected: set[str], cure: str) -> None:
    """The same of an agent that runs; what is slow is not known then, so that the slow counter fails too."""
    slow = {f"{family} slow {operation}" for family in ("block", "file") for operation in ("read", "write")}
    expected = expected | (slow if flags == ["--threshold=1h"] else set())
    with agent(tmp_path, *flags) as running:
        code, checks = report(f"--dir={tmp_path}", f"--url={running.url}")

    assert (code, not_ok(checks, "failed")) == (1, expected)
    assert all(cure in check["reason"] for check in checks.values() if check["verdict"] == "failed")


def test_operations_that_are_not_counted(tmp_path: Path) -> None:
    """Work that a filter leaves out is missing, and the cure says why; nothing else is claimed of it."""
    code, checks = report(f"--dir={tmp_path}", "--filter.comm=nobody")

    families = {"block": BLOCK, "file": FILE, "process": PROCESS}
    counts = {f"{family} {name}" for family, lines in families.items() for name in lines if name.startswith("count")}
    assert (code, not_ok(checks, "failed")) == (1, counts)
    assert checks["file", "count read"]["found"] == "0"
    assert "--filter.*" in checks["file", "count read"]["reason"]


def test_an_agent_that_was_killed(tmp_path: Path) -> None:
    """An agent that does not answer is one line with its cure."""
    with agent(tmp_path) as running:
        running.process.kill()
        running.process.wait()
        code, out, err = run(f"--dir={tmp_path}", f"--url={running.url}")

    assert code == 1
    assert err == f"perflens: {running.url} does not answer: Connection refused; start the agent there, or correct --url\n"
    assert "verdict" not in out


def test_an_agent_that_dies_meanwhile(tmp_path: Path) -> None:
    """One that is killed in the middle is one line too."""
    with agent(tmp_path) as running:
        process = begin(f"--dir={tmp_path}", f"--url={running.url}")
        assert process.stdout is not None
        while "attached" not in process.stdout.readline():
            assert process.poll() is None
        running.process.kill()
        _, err = process.communicate(timeout=30)

    assert process.returncode == 1
    assert err.startswith("perflens: ")
    assert len(err.splitlines()) == 1


def test_token(tmp_path: Path) -> None:
    """The API of an agent with a token answers those who have it; without, events cannot be told and the rest holds."""
    good, bad = tmp_path / "good", tmp_path / "bad"
    for file in (good, bad):
        file.write_text(file.name * 8)
        file.chmod(0o400)
    with agent(tmp_path, f"--web.api-token-file={good}") as running:
        flags = (f"--dir={tmp_path}", f"--url={running.url}")
        right, _ = report(*flags, f"--client.token-file={good}")
        wrong, checks = report(*flags, f"--client.token-file={bad}")

    assert (right, wrong) == (0, 0)
    assert not_ok(checks, "skipped") == {"block event", "file cost", "file event", "file stack"}
    assert "401" in checks["file", "event"]["reason"]


@pytest.mark.parametrize(
    "prefix",
    [
        ("setpriv", "--reuid=1000", "--clear-groups"),
        ("setpriv", "--bounding-set=-all", "--inh-caps=-all"),
    ],
    ids=["no root", "no capability"],
)
def test_without_the_right_to(tmp_path_factory: pytest.TempPathFactory, prefix: tuple[str, ...]) -> None:
    """Who may not attach is told so, with the cure, and sees no traceback."""
    if not shutil.which("setpriv"):
        pytest.skip("needs setpriv")
    if subprocess.run([*prefix, sys.executable, "-c", "import perflens"], capture_output=True, check=False).returncode:
        pytest.skip("needs a checkout that other users may read")
    code, checks = report("--dir=/tmp", prefix=prefix)

    assert (code, not_ok(checks, "failed")) == (1, {"block attached", "file attached", "process attached"})
    assert "run as root, or grant CAP_BPF and CAP_PERFMON" in checks["file", "attached"]["reason"]


def test_owner_that_is_shared(tmp_path: Path) -> None:
    """Where the cgroup tree cannot be seen from its root, counts are lower bounds, and what needs exact ones is skipped."""
    part = owner_tree() / f"perflens-part-{os.getpid()}"
    part.mkdir()
    try:
        code, checks = report(f"--dir={tmp_path}", f"--path.cgroupfs={part}")
    finally:
        part.rmdir()

    assert (code, not_ok(checks, "failed")) == (0, set())
    assert {"file owner", "file buckets", "file sum", "file fs", "process owner", "block owner", "block device"} <= not_ok(
        checks, "skipped"
    )
    assert checks["block", "event"]["verdict"] == "ok"
    assert checks["file", "count read"]["expected"] == "at least 1012"


def test_beside_a_load(tmp_path: Path) -> None:
    """Reads, writes, forks and slow operations of others change no number."""
    script = "import os\nwhile 1:\n fd = os.open(__import__('sys').argv[1], os.O_RDWR | os.O_CREAT)\n for _ in range(999):"
    script += " os.pwrite(fd, b'x', 0), os.pread(fd, 1, 0)\n os.close(fd)\n pid = os.fork()\n pid or os._exit(0)\n os.waitpid(pid, 0)"
    load = subprocess.Popen([sys.executable, "-c", script, tmp_path / "load"])
    try:
        code, checks = report(f"--dir={tmp_path}")
    finally:
        load.kill()
        load.wait()

    assert (code, not_ok(checks, "failed")) == (0, set())
    assert checks["file", "count read"]["verdict"] == "ok"


def test_two_at_once(tmp_path: Path) -> None:
    """Each has cgroups and a folder of its own, and neither takes the other's for a leftover."""
    both = [begin("--json", f"--dir={tmp_path}") for _ in range(2)]
    results = [json.loads(process.communicate(timeout=60)[0]) for process in both]

    assert [process.returncode for process in both] == [0, 0]
    assert results[0]["owner"] != results[1]["owner"]
    assert all(check["verdict"] != "failed" for result in results for check in result["checks"])


def _workers(pid: int) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                command = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"perflens.selftest.worker" in command and str(pid).encode() in command:
                found.append(entry.name)
    return found


def _members(cgroup: Path) -> str:
    """The processes of a cgroup and those below it."""
    return "".join(file.read_text() for file in cgroup.rglob("cgroup.procs"))


@pytest.mark.parametrize("kills", KILLS)
def test_killed_at_any_moment(tmp_path: Path, kills: int) -> None:
    """After SIGKILL no process is left, and no more than a folder and an empty cgroup of each tree; the next run removes them."""
    seed = random.randrange(1 << 30)
    moments, seen = random.Random(seed), 0
    for _ in range(kills):
        process = begin(f"--dir={tmp_path}")
        time.sleep(moments.uniform(0.1, WHOLE))
        process.kill()
        process.communicate()
        each = [list(tree.glob(f"{PREFIX}{process.pid}-*")) for tree in trees()]
        own = [path for found in each for path in found]
        assert all(len(found) <= 1 for found in each)
        deadline = time.monotonic() + 5
        while _workers(process.pid) or any(map(_members, own)):  # a request that is held back is let go after a second or two
            assert time.monotonic() < deadline, seed
            time.sleep(0.02)
        assert len(list(tmp_path.glob(f"{PREFIX}{process.pid}-*"))) <= 1
        seen += bool(own)
    code, checks = report(f"--dir={tmp_path}")

    assert (code, not_ok(checks, "failed"), seed) == (0, set(), seed)
    assert seen
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
@pytest.mark.parametrize(("line", "seconds"), [("works in", 0.0), ("block     attached", 0.2), ("file      attached", 0.2)])
def test_ended_by_a_signal(tmp_path: Path, number: signal.Signals, line: str, seconds: float) -> None:
    """It cleans up, whatever it is at, and says what ended it: before the probes are there, or while operations are held up."""
    process = begin(f"--dir={tmp_path}")
    assert process.stdout is not None
    while line not in process.stdout.readline():
        assert process.poll() is None
    time.sleep(seconds)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)

    assert left_in(tmp_path) == []
    assert _workers(process.pid) == []
    assert process.returncode in (0, 1, 128 + number), err  # one that was faster ended with a verdict of its own
    assert "Traceback" not in err


def test_v2_tree(tmp_path: Path) -> None:
    """Where owners come from the v2 tree, so does its cgroup."""
    if inspect().owner_by_memory:
        pytest.skip("owners come from a v1 hierarchy here")
    assert owner_tree() == Path(find_tree(mounts(Path("/proc/self/mountinfo").read_text()), on_v1=False).point)
    assert report(f"--dir={tmp_path}")[0] == 0
