"""capsule.py: what one agent knew, as a file that opens on another machine."""

from __future__ import annotations

import gzip
import json
import os
import stat
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perflens.capsule import LARGEST, LARGEST_FILE, MEMBERS, Capsule, decoded, encoded, read, write
from perflens.errors import ConfigError
from tests.unit.capsules import capsule


@pytest.fixture(scope="module")
def whole() -> Capsule:
    return capsule()


def value(whole: Capsule) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(gzip.decompress(encoded(whole)))
    return found


def problem(packed: bytes) -> str:
    """The one error of a file."""
    with pytest.raises(ConfigError) as caught:
        decoded(packed, "f")
    (only,) = caught.value.problems
    return str(only)


def test_members(whole: Capsule) -> None:
    """Beside its version, when and by what it was made a capsule has an answer for each view of the API."""
    members = ["summary", "processes", "process_tree", "timeline", "process_starts", "events", "stacks", "incidents", "analyses", "config"]
    assert list(MEMBERS) == members
    assert list(value(whole)) == ["perflens_capsule", "made_at", "build", *members]
    assert (value(whole)["perflens_capsule"], value(whole)["build"]) == (1, "0.1.0")


def test_comes_back(whole: Capsule, tmp_path: Path) -> None:
    """A file holds what was written, whole and unchanged; nobody else may read it, and nothing else is left there."""
    path = tmp_path / "own.capsule"
    write(str(path), whole)

    assert read(str(path)) == whole
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["own.capsule"]
    assert len(whole.members["events"]["events"]) == 4


def test_same_bytes(whole: Capsule) -> None:
    """The file of a capsule does not depend on when it is written."""
    assert encoded(whole) == encoded(whole)


def test_cannot_be_written(whole: Capsule, tmp_path: Path) -> None:
    """A folder that is not there, and a name that is a folder: one error, and nothing is left."""
    (tmp_path / "folder" / "x").mkdir(parents=True)
    for path in (tmp_path / "none" / "f", tmp_path / "folder"):
        with pytest.raises(ConfigError, match="cannot be written: "):
            write(str(path), whole)
    assert os.listdir(tmp_path) == ["folder"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "cannot be read: No such file or directory; name a file that you may read"),
        (os.mkfifo, "is no plain file; name a file that perflens capsule has written"),
        (os.mkdir, "cannot be read: Is a directory; name a file that you may read"),
    ],
    ids=["missing", "fifo", "folder"],
)
def test_no_file(tmp_path: Path, make: Any, message: str) -> None:
    """What is no file is named with the cure, and hangs nobody."""
    path = tmp_path / "f"
    make(path)
    with pytest.raises(ConfigError) as caught:
        read(str(path))
    assert str(caught.value) == f"{path}: {message}"


def packed(changed: Any) -> bytes:
    return gzip.compress(json.dumps(changed).encode())


NEW = "make it anew with perflens capsule"
EMPTY = {**dict.fromkeys(("made_at", "build", *MEMBERS), 1), "perflens_capsule": 1}
OPEN = "open it with the perflens that made it"
NAME = "name a file that perflens capsule has written"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", f"f: is cut off; {NEW}"),
        (b"{}", f"f: is not gzipped, or damaged; {NAME}"),
        (gzip.compress(b"{"), f"f: holds no JSON; {NAME}"),
        (gzip.compress(b'{"perflens_capsule": NaN}'), f"f: holds no JSON; {NAME}"),
        (gzip.compress(b"[" * 200_000), f"f: holds no JSON; {NAME}"),
        (gzip.compress(b"\xff"), f"f: holds no JSON; {NAME}"),
        (gzip.compress(b"[]"), f"f: is no capsule; {NAME}"),
        (gzip.compress(b"{}"), f"f: is no capsule; {NAME}"),
        (packed({"perflens_capsule": 2}), f"f: is of version '2', not 1; {OPEN}"),
        (packed({"perflens_capsule": 1}), f"f: lacks made_at; {NEW}"),
        (packed({"perflens_capsule": 1, "made_at": ""}), f"f: lacks build; {NEW}"),
        (packed(EMPTY), f"f: does not say when and by what it was made; {NEW}"),
        (gzip.compress(b"{}") + b"x", f"f: goes on after its end; {NEW}"),
        (gzip.compress(b"{}") * 2, f"f: goes on after its end; {NEW}"),
    ],
)  # fmt: skip
def test_no_capsule(data: bytes, message: str) -> None:
    """What is none is one error with its cure."""
    assert problem(data) == message


@pytest.mark.parametrize("missing", MEMBERS)
def test_member_missing(whole: Capsule, missing: str) -> None:
    """Every member must be there."""
    lacking = value(whole)
    del lacking[missing]
    assert problem(packed(lacking)) == f"f: lacks {missing}; make it anew with perflens capsule"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda own: own["events"]["events"][1].update(duration_ns="5"), "events.events[1].duration_ns is '5', no integer"),
        (lambda own: own["events"]["events"][0]["process"].pop("pid"), "events.events[0].process lacks pid"),
        (
            lambda own: own["summary"]["evicted"].update({"\x1b]0;x\x07\n": "y"}),
            "summary.evicted.'\\x1b]0;x\\x07\\n' is 'y', no integer",
        ),
        (lambda own: own.update(summary=[]), "summary is '[]', no object"),
        (lambda own: own["timeline"].update(seconds={"0": 1}), "timeline.seconds is \"{'0': 1}\", no array"),
        (lambda own: own["analyses"]["analyses"][0].pop("facts"), "analyses.analyses[0] lacks facts"),
        (lambda own: own["config"]["config"].update(threshold=None), "config.config.threshold fits none of what it may be"),
    ],
)
def test_member_of_another_form(whole: Capsule, change: Any, message: str) -> None:
    """A member that is not what the API answers is named by its place, with the version that made it."""
    changed = value(whole)
    change(changed)
    assert problem(packed(changed)) == f"f: {message}; open it with the perflens that made it: '0.1.0'"


def test_more_than_this_version_knows(whole: Capsule) -> None:
    """Fields of a newer agent do no harm."""
    changed = value(whole)
    changed["events"]["events"][0]["pod"] = "p"
    assert decoded(packed(changed), "f").members["events"]["events"][0]["pod"] == "p"


def test_cut_off(whole: Capsule) -> None:
    """A file that lost its end is not taken for a shorter one."""
    assert problem(encoded(whole)[:-9]) == "f: is cut off; make it anew with perflens capsule"


def test_too_large_to_be_read(whole: Capsule) -> None:
    """What nobody could open is not written."""
    members = {**whole.members, "summary": {"x": "y" * LARGEST}}
    with pytest.raises(ConfigError, match="the capsule: would be larger than 64 MiB; leave other incidents out"):
        encoded(Capsule("", "", members))


def test_bombs() -> None:
    """A file that is too large, and a small one that unpacks to too much, are refused before they fill the memory."""
    assert problem(bytes(LARGEST_FILE + 1)) == "f: is larger than 16 MiB; make it anew with perflens capsule"
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range((LARGEST >> 20) + 1)) + packer.flush()
    assert len(bomb) < 1 << 18
    assert problem(bomb) == "f: unpacks to more than 64 MiB; make it anew with perflens capsule"


@settings(deadline=None)
@given(st.data())
def test_damage_is_one_error(data: st.DataObject) -> None:
    """Whatever value stands in the place of another, the file opens or is one error."""
    changed = value(capsule_once())
    at: Any = changed
    for _ in range(data.draw(st.integers(1, 6))):
        keys = list(at) if isinstance(at, dict) else list(range(len(at)))
        if not keys:
            break
        key = data.draw(st.sampled_from(keys))
        if not isinstance(at[key], dict | list):
            break
        at = at[key]
    junk: Any = data.draw(st.sampled_from([None, True, -1, 1.5, "", "x\ud800", [], {}, [[]], {"kind": 1}]))
    if isinstance(at, dict) and at:
        at[data.draw(st.sampled_from(sorted(at)))] = junk
    try:
        decoded(packed(changed), "f")
    except ConfigError as error:
        assert len(error.problems) == 1


ONCE: list[Capsule] = []


def capsule_once() -> Capsule:
    if not ONCE:
        ONCE.append(capsule())
    return ONCE[0]
