"""reports/anonymous.py: what the API answers, without names."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from perflens.capsule import Capsule, decoded, encoded
from perflens.reports.anonymous import Aliases, anonymous
from tests.unit.capsules import capsule
from tests.unit.reports.answers import event, request, stack

CAUSE = ("code", "confidence", "subject.kind", "supporting", "victims.kind")
FACT = ("id", "metric", "polarity", "quality", "source", "subject.kind", "text", "unit")
EVENT = ("file.device", "id", "kernel_stack", "object", "operation", "probe", "requests.device", "requests.operation", "waits.reason")
WORDS = {
    "config.config.loader",
    "events.cursor",
    *(f"events.events.{name}" for name in EVENT),
    *(f"stacks.stacks.{name}" for name in ("kernel_stack", "operation", "probe")),
    *(f"summary.{name}" for name in ("operations.operation", "operations.probe", "probes.mechanism", "probes.name")),
    "process_starts.starts.kind",
    *(f"timeline.seconds.operations.{name}" for name in ("operation", "probe")),
    *(f"{of}.causes.{name}" for name in CAUSE for of in ("analyses.analyses", "incidents.incidents")),
    *(f"analyses.analyses.facts.{name}" for name in FACT),
    *(f"analyses.analyses.{name}" for name in ("verdict", "victims.subject.kind")),
    *(f"incidents.incidents.{name}" for name in ("cause", "history.cause", "id", "merged_by", "severity", "state", "subject.kind")),
}
"""Where a planted text may survive, as a word of PerfLens or of the kernel."""
SAME = (
    ("processes.by_maximum.slowest.", "events.events."),
    ("processes.by_total.slowest.", "events.events."),
    ("incidents.incidents.analysis.", "analyses.analyses."),
)


@pytest.fixture(scope="module")
def whole() -> Capsule:
    return capsule()


def leaves(value: Any, at: str) -> Iterator[tuple[str, str]]:
    """Yield each text with where it stands."""
    if isinstance(value, dict):
        for key, own in value.items():
            yield from leaves(own, f"{at}.{key}")
    elif isinstance(value, list):
        for own in value:
            yield from leaves(own, at)
    elif isinstance(value, str):
        yield at, value


def planted(value: Any, plant: Callable[[], str]) -> Any:
    """The same value with another text in the place of each."""
    if isinstance(value, dict):
        return {key: planted(own, plant) for key, own in value.items()}
    if isinstance(value, list):
        return [planted(own, plant) for own in value]
    return plant() if isinstance(value, str) else value


def test_nothing_survives_that_was_planted(whole: Capsule) -> None:
    """A text of one's own in every place: what is left of them are words of PerfLens and of the kernel, and nothing else."""
    texts = (f"zq{number}qz" for number in range(10**6))
    members = {name: planted(member, lambda: next(texts)) for name, member in whole.members.items()}
    where = {text: at for name, member in members.items() for at, text in leaves(member, name)}
    assert len(where) > 200

    left = re.findall(r"zq\d+qz", json.dumps(anonymous(members, words=[members["config"]["config"]["loader"]])))
    places, planted_at = {where[text] for text in left}, set(where.values())
    for own, other in SAME:
        places = {at.replace(own, other) for at in places}
    assert places == {at for at in WORDS if at in planted_at}


NAMES = {
    "comm": "zz-comm",
    "process_name": "zz-process",
    "unit": "zz-unit.service",
    "object_name": "ext4",
}


def test_names_of_an_event() -> None:
    """Each name has an alias of its kind; kernel functions, numbers and words stay."""
    before = event(
        kernel=("io_schedule+0x1a", "vfs_read+0x2 [ext4]"), user=("zz_read+0xd [libzz.so]", "0x1234"), devices=("nvme0n1",), **NAMES
    )
    (after,) = anonymous({"events": {"events": [before]}})["events"]["events"]

    assert (after["comm"], after["process_name"]) == ("comm-2", "comm-1")
    owner = {key: after["owner"][key] for key in ("cgroup_id", "path", "unit")}
    assert owner == {"cgroup_id": 7, "path": "/unit-1.slice/unit-2.service", "unit": "unit-2.service"}
    assert after["file"] == {"path": "/name-1/name-2", "complete": True, "device": "8:1", "inode": 42}
    assert after["devices"] == ["nvme-disk-1"]
    assert after["kernel_stack"] == ["io_schedule+0x1a", "vfs_read+0x2 [ext4]"]
    assert after["user_stack"] == ["function-1 [file-1]", "function-2"]
    assert (after["object"], after["probe"], after["operation"], after["time"]) == ("ext4", "file", "read", before["time"])
    assert (after["id"], after["process"], after["tid"]) == (before["id"], before["process"], before["tid"])


def test_same_name_same_alias() -> None:
    """A name has one alias in every member, and two names have two."""
    members = {
        "events": {"events": [event(unit="a.service"), event(unit="b.service"), request(unit="a.service")]},
        "stacks": {"stacks": [stack(1, 5, (), ("read+0xd [libc.so.6]",), owner="b.service"), stack(1, 5, owner="/x/a.service")]},
        "analyses": {"subject": {"kind": "owner", "name": "a.service"}, "device": {"kind": "device", "name": "sda"}},
        "incidents": {"subject": {"kind": "process", "name": "db[100]"}, "file": {"kind": "file", "name": "/data/x"}},
    }
    after = anonymous(members)
    first, second, third = after["events"]["events"]

    assert [own["owner"]["unit"] for own in (first, second, third)] == ["unit-2.service", "unit-3.service", "unit-2.service"]
    assert [own["owner"] for own in after["stacks"]["stacks"]] == ["unit-3.service", "/unit-4/unit-2.service"]
    assert after["stacks"]["stacks"][0]["user_stack"] == first["user_stack"] == ["function-1 [file-1]"]
    assert (third["object"], third["requests"][0]["disk"]) == ("sd-disk-1", "sd-disk-1")
    assert after["analyses"] == {"subject": {"kind": "owner", "name": "unit-2.service"}, "device": {"kind": "device", "name": "sd-disk-1"}}
    assert after["incidents"]["subject"]["name"] == f"{first['process_name']}[100]"
    assert after["incidents"]["file"]["name"] == "/name-1/name-3"


def test_a_fact_about_a_disk() -> None:
    """A metric that names a disk names its alias, and so do its words."""
    fact = {"metric": "device.share@sdq", "text": "part of the time of sdq", "unit": "ratio", "detail": "/opt/zz", "source": "perflens"}
    after = anonymous({"facts": [fact]})["facts"][0]

    assert after["metric"] == "device.share@sd-disk-1"
    assert after["text"] == "part of the time of sd-disk-1"
    assert (after["unit"], after["detail"]) == ("ratio", "detail-1")


def test_a_recording() -> None:
    """What the rules were applied to keeps its numbers and words, and loses its names wherever they stand."""
    victim, disk = {"kind": "owner", "name": "zz.service"}, {"kind": "device", "name": "sdz"}
    signal = {"metric": "device.share@sdz", "subject": victim, "value": 0.5, "unit": "ratio", "text": "part of the time of sdz"}
    signal |= {"source": "perflens: block requests", "quality": "exact", "detail": "/opt/zz"}
    recording = {"on_device": [{"device": disk, "subject": victim, "seconds": 1.5}], "signals": [signal], "complete": True}
    recording |= {
        "waits": [{"subject": victim, "reason": "block_io", "seconds": 2}],
        "culprits": [{"kind": "cpu", "of": disk, "subjects": [victim]}],
    }
    after = anonymous({"analyses": recording})["analyses"]

    assert "zz" not in json.dumps(after)
    assert "sdz" not in json.dumps(after)
    assert after["waits"] == [{"subject": {"kind": "owner", "name": "unit-1.service"}, "reason": "block_io", "seconds": 2}]
    assert after["culprits"][0]["subjects"] == [after["waits"][0]["subject"]]
    assert (after["signals"][0]["metric"], after["signals"][0]["value"]) == ("device.share@sd-disk-1", 0.5)


def test_names_of_a_pod() -> None:
    """What an owner is called by in a cluster has the alias that it has in its name, and a subject may say more than its name."""
    owner = {"cgroup_id": 7, "path": "/kubepods.slice/x.scope", "unit": "x.scope", "name": "shop/Deployment/db", "namespace": "shop"}
    owner |= {"workload": "Deployment/db", "pod": "db-1", "pod_uid": "0-1", "container": "main"}
    subject = {"kind": "owner", "name": "shop/Deployment/db", "volume": "", "workload": "shop/Deployment/db"}
    after = anonymous({"events": {"owner": owner}, "stacks": {"owner": "shop/Deployment/db"}, "analyses": {"subject": subject}})
    alias = after["events"]["owner"]

    assert alias == {
        "cgroup_id": 7,
        "path": "/unit-1.slice/unit-2.scope",
        "unit": "unit-2.scope",
        "name": "unit-3/unit-4/unit-5",
        "namespace": "unit-3",
        "workload": "unit-4/unit-5",
        "pod": "unit-6",
        "pod_uid": "pod_uid-1",
        "container": "unit-7",
    }
    assert after["stacks"]["owner"] == after["analyses"]["subject"]["name"] == alias["name"]
    assert after["analyses"]["subject"]["workload"] == alias["name"]


@pytest.mark.parametrize(
    ("unit", "alias"),
    [("", ""), ("/", "/"), ("other", "other"), ("unknown", "unknown"), ("user@1000.service/x.scope", "unit-1.service/unit-2.scope")],
)
def test_units(unit: str, alias: str) -> None:
    """What is no name stays; a unit keeps its kind."""
    assert Aliases().unit(unit) == alias


@pytest.mark.parametrize(
    ("disk", "alias"),
    [("sda1", "sd-disk-1"), ("dm-3", "dm-disk-1"), ("nvme0n1p2", "nvme-disk-1"), ("secret-disk", "disk-1"), ("", "")],
)
def test_disks(disk: str, alias: str) -> None:
    """A disk keeps its kind, where the kernel gave it its name."""
    assert Aliases().disk(disk) == alias


def test_configuration() -> None:
    """Numbers, durations, switches and known words stay; what the user named does not."""
    config = {"threshold": "1m30s", "cells": 64, "log": {"level": "info"}, "filter": {"comm": ["zz"]}, "llm": {"prompt": "zz", "url": ""}}

    assert anonymous({"config": {"config": config}}, words=["info"])["config"]["config"] == {
        **config,
        "filter": {"comm": ["setting-1"]},
        "llm": {"prompt": "setting-1", "url": ""},
    }


def test_opens_as_a_capsule(whole: Capsule) -> None:
    """Without names it has the same form."""
    bare = Capsule(whole.made_at, whole.build, anonymous(whole.members))

    assert decoded(encoded(bare), "f") == bare
    assert bare.members != whole.members
