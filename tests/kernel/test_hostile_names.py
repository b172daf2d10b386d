"""Names that were made to do harm: of processes, files and cgroups, in the answers of the API and on the metrics page."""

from __future__ import annotations

import ctypes
import json
import os
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.kernel.slow import Event, wait_for_events
from tests.kernel.support import OPERATIONS, Group, RunningAgent, agent, closed_ledger, group, owner_tree, remove, wait

WRITES = 3
PR_SET_NAME = 15
ALLOWED = re.compile(rb"[\n\x20-\x7e]*")  # and no markup
NAMES = {
    "control characters": b"\x01\x07\x08\t\x7f",
    "newline": b"a\nb 1\n# x",
    "quotes": b'"\'`"}',
    "backslashes": b'\\n\\"\\\\',
    "escape sequence": b"\x1b[31m\x1b]0;x\x07",
    "no UTF-8": b"\xff\xfe\xc3(\xed\xa0\x80",
    "markup": b"<script>&amp;",
    "lone backslash u": b"\\ud800\\x00",
    "direction and width": "\u202e\u2028\u200b".encode(),
    "fifteen letters": b"123456789012345",
    "a NUL of a cut character": "12345678901234ü".encode(),
    "parentheses": b") R 1 1 (",
    "nothing": b"",
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAgent]:
    """An agent to which every operation is slow."""
    flags = ("--probes.strict", "--threshold=1us", "--events.rate=0", f"--filter.cgroup=/{OWN.name}")
    OWN.mkdir()
    try:
        with agent(tmp_path_factory.mktemp("agent"), *flags) as found:
            yield found
    finally:
        remove(OWN)


OWN = owner_tree() / f"perflens-hostile-{os.getpid()}"


def _write(folder: Path, file: bytes, comm: bytes = b"plain", owner: Path = OWN) -> None:
    """Write slowly into a file, by a process of that name in a group."""
    at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)

    def work() -> None:
        assert not ctypes.CDLL(None).prctl(PR_SET_NAME, comm, 0, 0, 0)
        fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_DSYNC, 0o600, dir_fd=at)
        for _ in range(WRITES):
            os.write(fd, b"x")

    wait(Group(owner).run(work))
    os.close(at)


def _shown(raw: bytes) -> str:
    """How a name reads in an answer: a byte that is no UTF-8 as backslash, x and its number."""
    return raw.decode("utf-8", "backslashreplace")


def _raw(url: str, path: str) -> bytes:
    with urllib.request.urlopen(url.replace("/metrics", path), timeout=30) as answer:
        body: bytes = answer.read()
    return body


def _safe_everywhere(url: str) -> None:
    """Every answer is JSON of printable ASCII without markup; the metrics page parses."""
    for view in ("summary", "processes", "process-tree", "timeline", "process-starts?limit=1000", "events?limit=1000", "stacks"):
        body = _raw(url, f"/api/v1/{view}")
        assert ALLOWED.fullmatch(body), view
        assert not set(b"<>&") & set(body), view
        json.loads(body)
    text = _raw(url, "/metrics").decode()
    assert [family.name for family in text_string_to_metric_families(text)]
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text)


@pytest.mark.parametrize("name", list(NAMES))
def test_a_process(url: str, tmp_path: Path, name: str) -> None:
    """The name of a thread comes back as it is, cut by the kernel to 15 bytes."""
    comm, file = NAMES[name], f"process-{list(NAMES).index(name)}"
    _write(tmp_path, file.encode(), comm)
    found = wait_for_events(url, WRITES, lambda event: event["file"]["path"] == str(tmp_path / file))

    assert [(event["comm"], event["process_name"]) for event in found] == [(_shown(comm[:15]), _shown(comm[:15]))] * WRITES
    _safe_everywhere(url)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "nothing"])
def test_a_file(url: str, tmp_path: Path, name: str) -> None:
    """The name of a file comes back as it is."""
    _write(tmp_path, b"file " + NAMES[name].replace(b"/", b""))
    path = _shown(os.fsencode(tmp_path) + b"/file " + NAMES[name])
    found = wait_for_events(url, WRITES, lambda event: event["file"]["path"] == path)

    assert [event["file"]["complete"] for event in found] == [True] * WRITES
    _safe_everywhere(url)


def _below(folder: Path, names: list[bytes]) -> tuple[int, list[tuple[int, bytes]]]:
    """Make folders in each other and open the last; a path that long cannot be given to the kernel at once."""
    made = []
    at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    for name in names:
        os.mkdir(name, dir_fd=at)
        made.append((at, name))
        at = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=at)
    return at, made


def _remove(at: int, made: list[tuple[int, bytes]]) -> None:
    os.unlink(b"leaf", dir_fd=at)
    os.close(at)
    for above, name in reversed(made):
        os.rmdir(name, dir_fd=above)
        os.close(above)


@pytest.mark.parametrize(("levels", "size"), [(1, 255), (3, 255), (4, 255), (16, 255), (40, 2), (200, 1)])
def test_a_deep_path(url: str, tmp_path: Path, levels: int, size: int) -> None:
    """A path that is too long is shown from its end on, and says so; one that fits is whole."""
    names = [str(number % 10).encode() * size for number in range(levels)]
    at, made = _below(tmp_path, names)
    try:
        _write(Path(f"/proc/self/fd/{at}"), b"leaf")
        inode = os.stat(b"leaf", dir_fd=at).st_ino
    finally:
        _remove(at, made)
    (event, *others) = wait_for_events(url, WRITES, lambda event: event["file"]["inode"] == inode)
    whole = os.fsencode(tmp_path) + b"/" + b"/".join(names) + b"/leaf"

    assert len(others) == WRITES - 1
    _is_end_of(event, whole.decode())
    assert event["file"]["complete"] is (levels < 4)
    _safe_everywhere(url)


def _is_end_of(event: Event, whole: str) -> None:
    path = event["file"]["path"]
    if event["file"]["complete"]:
        assert path == whole
    else:
        assert path.startswith("…/")
        assert whole.endswith(path[1:])
        assert path.count("/") > 3


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("nothing", "newline")])
def test_a_cgroup(url: str, tmp_path: Path, name: str) -> None:
    """The name of a cgroup is one label value and one owner; what would not print is escaped in both."""
    folder = OWN / os.fsdecode(b"group " + NAMES[name].replace(b"/", b""))
    folder.mkdir()
    try:
        _write(tmp_path, b"of a cgroup", owner=folder)
        found = wait_for_events(url, WRITES, lambda event: event["file"]["path"] == str(tmp_path / "of a cgroup"))
        page = closed_ledger(url)
    finally:
        remove(folder)
    (unit,) = {event["owner"]["unit"] for event in found}
    counts = {
        sample.labels["unit"]: sample.value
        for family in text_string_to_metric_families(page.text)
        for sample in family.samples
        if sample.name == f"{OPERATIONS}_count" and sample.labels["operation"] == "write"
    }

    path = f"/{OWN.name}/group {_shown(NAMES[name])}"

    assert unit == re.sub(r"[\x00-\x1f\x7f]", lambda control: f"\\x{ord(control[0]):02x}", path)
    assert counts[unit] == WRITES
    assert {event["owner"]["path"] for event in found} == {unit}
    _safe_everywhere(url)


def test_a_cgroup_with_a_newline(url: str) -> None:
    """The kernel makes no cgroup with a newline in its name."""
    with pytest.raises(OSError, match="Invalid argument"):
        (OWN / "a\nb").mkdir()
    with group("hostile"):
        _safe_everywhere(url)
