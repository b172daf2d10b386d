"""analyzer/llm/aliases.py and classes.py: what a model learns of a name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from perflens.analysis import HOST, Bundle, Impact, Subject, SubjectKind
from perflens.analyzer.llm.aliases import ALIASES, aliases_of, reduced
from perflens.analyzer.llm.classes import class_of
from tests.unit.analyzer.llm.bundles import BACKUP, BUNDLE, DATABASE, DISK, FILE, fact


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        ("process", "postgres[812]", "database"),
        ("process", "nginx[1]", "web"),
        ("process", "rsync[4711]", "backup"),
        ("process", "tar", "backup"),
        ("process", "kworker/u8:3[77]", "kernel-writeback"),
        ("process", "jbd2/sda1-8[300]", "kernel-journal"),
        ("process", "kswapd0[55]", "kernel-memory"),
        ("process", "evil[1]", "other"),
        ("owner", "postgresql.service", "database"),
        ("owner", "postgresql@15-main.service", "database"),
        ("owner", "/system.slice/nginx.service", "web"),
        ("owner", "system.slice", "system"),
        ("owner", "something.scope", "other"),
        ("owner", "Unit/system.slice", "system"),
        ("owner", "Unit/postgresql.service", "database"),
        ("owner", "shop/StatefulSet/postgres/postgres-0/postgres", "database"),
        ("device", "nvme0n1", "nvme"),
        ("device", "/dev/sda1", "scsi-disk"),
        ("device", "vda", "virtual-disk"),
        ("device", "dm-3", "device-mapper"),
        ("device", "nvme of mine", "other"),
        ("file", "/var/lib/postgresql/15/base/1", "database-data"),
        ("file", "/var/log/my.log", "log .log"),
        ("file", "/home/bob/secret.sqlite", "home .sqlite"),
        ("file", "relative.evil", "other"),
        ("host", "", "host"),
    ],
)
def test_class(kind: SubjectKind, name: str, expected: str) -> None:
    assert class_of(Subject(kind, name)) == expected


def test_both_directions() -> None:
    """The best hypotheses' subjects have the first numbers; each is found by its pseudonym."""
    bundle = replace(BUNDLE, facts=(*BUNDLE.facts, fact("E07", subject=FILE)))
    aliases = aliases_of(bundle)
    assert dict(aliases.labels) == {HOST: "HOST", DISK: "D1", BACKUP: "P1", DATABASE: "C1", FILE: "F1"}
    assert all(aliases.subjects[label] == subject for subject, label in aliases.labels.items())
    assert aliases.label(None) == ""
    assert aliases.label(Subject("device", "sdz")) == ""


def test_expansion() -> None:
    """Names stand for pseudonyms, those of names as little as those of none."""
    odd = Subject("process", "D1 P2[1]")
    aliases = aliases_of(replace(BUNDLE, facts=(*BUNDLE.facts, fact("E07", subject=odd))))
    assert aliases.expanded("P2 slows D1, D8 and ID1 on HOST (E01)") == "D1 P2[1] slows nvme0n1, D8 and ID1 on host (E01)"


def test_pools_are_fixed() -> None:
    facts = tuple(fact(f"E{number:02d}", subject=Subject("device", f"sd{number}")) for number in range(1, 21))
    aliases = aliases_of(Bundle("h", 0, 1, 0, Impact(), facts, (), "incident"))
    assert [aliases.label(fact.subject) for fact in facts] == [f"D{number}" for number in range(1, 9)] + [""] * 12
    assert len(ALIASES) == 33
    assert set(aliases.subjects) <= set(ALIASES)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("postgres-15_main/a.b", '"postgres-15_main/a.b"'),
        ('say "hi"\n\x1b[31m', '"say_hi_31m"'),
        ("ä" * 9, '"_"'),
        ("x" * 99, f'"{"x" * 32}"'),
    ],
)
def test_reduced(name: str, expected: str) -> None:
    assert reduced(name) == expected
