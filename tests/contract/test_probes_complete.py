"""A probe is three files of the same name, and what it declares is what its object holds."""

from __future__ import annotations

import ast
import fnmatch
import platform
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from perflens.errors import LayoutError
from perflens.kernel import elf
from perflens.kernel.attached import object_path, object_types
from perflens.layout import enum_labels
from perflens.probe import Counter, Histogram, Probe, Rung, Total
from perflens.probes.file import PROBE as FILE
from perflens.registry import discover

ROOT = Path(__file__).parents[2]
FOLDERS = {"bpf": ".bpf.c", "exporter/perflens/probes": ".py", "tests/probes": ".py"}
NAME = re.compile(r"[a-z][a-z0-9_]*")
LABEL_VALUE = re.compile(r"[a-z][a-z0-9_]*")
RESERVED = {
    "strict",
    "other",
    "self",
    "slow_operations",
    "waits",
    "in_flight",
    "overhead",
}  # a configuration key, a label value, collectors
FIELDS = (  # whose texts are names of fields and states: of what the API answers with, and of what may be told
    "exporter/perflens/export/json.py",
    "exporter/perflens/http/parameters.py",
    "exporter/perflens/analysis.py",
    "exporter/perflens/agent/analyzing.py",
    "exporter/perflens/agent/fleet.py",
    "exporter/perflens/analyzer/",
    "exporter/perflens/annotate/",
    "exporter/perflens/fleet/",
    "exporter/perflens/reports/",
    "exporter/perflens/cli/from_capsule.py",
    "exporter/perflens/tui/",
)
PLAIN_FILES = ("Makefile", "pyproject.toml", "setup.py")


def names_in(root: Path) -> dict[str, set[str]]:
    """Return the probes that each folder has a file of."""
    found = {}
    for folder, suffix in FOLDERS.items():
        prefix = "test_" if folder == "tests/probes" else ""
        paths = (root / folder).glob(f"{prefix}*{suffix}")
        found[folder] = {path.name.removeprefix(prefix).removesuffix(suffix) for path in paths} - {"__init__"}
    return found


def missing_files(root: Path) -> list[str]:
    names = names_in(root)
    everything = set().union(*names.values())
    return sorted(f"{name}: nothing in {folder}" for folder, own in names.items() for name in everything - own)


def words_of(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield (line, word) of every name and every text of a module, but the docstrings and the names of a class's attributes."""
    attributes = {
        id(node)
        for assigned in ast.walk(tree)
        if isinstance(assigned, ast.Assign) and any(isinstance(name, ast.Name) and name.id == "__slots__" for name in assigned.targets)
        for node in ast.walk(assigned.value)
    }
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings | attributes:
            yield node.lineno, node.value
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.lineno, node.module
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)


def mentions(root: Path, name: str, probe: Probe) -> list[str]:
    """Return where code outside of its own files knows a probe: its name as a text of its own, its module, programs or metric.

    A probe may have a fourth file of its own, which says how the selftest proves it.
    """
    own = re.compile(
        rf"^{name}$|\b{name}\.bpf|probes[./]{name}\b|\b{probe.operations}\b|"
        + "|".join(
            (
                *probe.metrics,
                *(rf"\b{program}\b" for rung in probe.rungs for program in (*rung.programs, *rung.waits, *rung.locks, *rung.either)),
            )
        )
    )
    found = []
    for path in sorted((root / "exporter").rglob("*.py")):
        if path.match(f"selftest/{name}.py"):
            continue
        if "probes" not in path.parts and "config" not in path.relative_to(root).parts:  # config.file is a flag
            words = words_of(ast.parse(path.read_text()))
            place = str(path.relative_to(root))
            found += [
                f"{place}:{line}: {word}" for line, word in words if own.search(word) and not (place.startswith(FIELDS) and word == name)
            ]
    for plain in PLAIN_FILES:
        for number, line in enumerate((root / plain).read_text().splitlines(), start=1):
            if own.search(line.strip()):
                found.append(f"{plain}:{number}: {line}")
    return found


def metric_mistakes(probe: Probe) -> list[str]:
    """Return what is wrong with the metrics that a probe declares."""
    found = []
    if not probe.metrics:
        found.append("no metric is declared")
    if any(name.startswith("perflens") for name in probe.metrics):
        found.append(f"a metric of {', '.join(probe.metrics)} has a prefix")
    for counter in probe.counters.values():
        if not re.fullmatch(r"[a-z][a-z0-9_]*_total", counter.name):
            found.append(f"counter {counter.name} does not end in _total")
    for part in probe.parts:
        suffix = "_total" if isinstance(part, Total) else "_seconds"
        if not re.fullmatch(rf"[a-z][a-z0-9_]*{suffix}", part.name):
            found.append(f"part {part.name} does not end in {suffix}")
        if not LABEL_VALUE.fullmatch(part.object_label) or part.object_label in ("operation", "unit", "le", "probe"):
            found.append(f"object label {part.object_label} is taken, or no label name")
    if probe.parts and not (0 <= probe.counted < len(probe.parts) and isinstance(probe.parts[probe.counted], Histogram)):
        found.append(f"part {probe.counted} is no histogram that could have each operation once")
    texts = (probe.summary, *(part.help for part in probe.parts), *(counter.help for counter in probe.counters.values()))
    if not all(re.fullmatch(r"[A-Z].*\.", text) for text in texts):
        found.append("summary and help are sentences")
    return found


def mistakes(name: str, probe: Probe, machine: str) -> list[str]:
    """Return where a declaration and its object do not agree."""
    found = []
    if not NAME.fullmatch(name) or name in RESERVED:
        found.append(f"{name} cannot be the name of a probe")
    found += metric_mistakes(probe)
    if not probe.rungs or len({(rung.name, rung.programs) for rung in probe.rungs}) < len(probe.rungs):
        found.append("rungs are missing, or two are the same")
    path = object_path(name, machine)
    symbols = elf.symbols(path.read_bytes())
    for rung in probe.rungs:
        if not rung.programs:
            found.append(f"rung {rung.name} has no program")
        wanted = (*rung.programs, *rung.waits, *rung.locks, *rung.either, *([rung.functions] if rung.functions else []))
        for program in wanted:
            if not any(not symbols[own].section.startswith(".") for own in fnmatch.filter(symbols, program)):
                found.append(f"rung {rung.name}: no program {program}")
    types = object_types(path)
    try:
        labels = enum_labels(probe.operations, types.enum(probe.operations))
    except LayoutError as error:
        return [*found, str(error)]
    if not {*probe.counters} <= {*labels.values()}:
        found.append(f"a counter counts no operation of {probe.operations}")
    if not all(LABEL_VALUE.fullmatch(label) for label in labels.values()):
        found.append(f"an operation of {probe.operations} is no label value")
    if list(labels) != list(range(len(labels))):
        found.append(f"the operations of {probe.operations} are not numbered from 0")
    if len(labels) > types.variable("thresholds").field.count:
        found.append(f"{probe.operations} has more operations than thresholds")
    if types.struct("cell_key").holes():
        found.append("struct cell_key has holes")
    return found


PROBES: Mapping[str, Probe] = discover()


def test_three_files() -> None:
    """Every probe has its C source, its declaration and its test, and nothing is left over."""
    assert missing_files(ROOT) == []
    assert names_in(ROOT)["bpf"] == set(PROBES)


@pytest.mark.parametrize("name", PROBES)
def test_nothing_else_knows_a_probe(name: str) -> None:
    """No other code has to change for a probe."""
    assert mentions(ROOT, name, PROBES[name]) == []


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("name", PROBES)
def test_declaration_and_object_agree(name: str, machine: str) -> None:
    """What is declared is in the object of each architecture."""
    if not object_path(name, machine).exists() and machine != platform.machine():
        pytest.skip(f"no object for {machine}: run make objects")
    assert mistakes(name, PROBES[name], machine) == []


@pytest.mark.parametrize("name", PROBES)
def test_layouts_of_architectures_are_the_same(name: str) -> None:
    """Shared structs and enums do not depend on the architecture."""
    paths = [path for machine in ("x86_64", "aarch64") if (path := object_path(name, machine)).exists()]
    found = [object_types(path) for path in paths]

    assert all(own.structs == found[0].structs for own in found)
    assert all(own.enum(PROBES[name].operations) == found[0].enum(PROBES[name].operations) for own in found)


BROKEN = [
    ("strict", FILE, "cannot be the name"),
    ("File", FILE, "cannot be the name"),
    ("file", replace(FILE, operations="nothing"), "no enum nothing"),
    ("file", replace(FILE, operations="bpf_func_id"), "no label value"),
    ("file", replace(FILE, rungs=()), "rungs are missing"),
    ("file", replace(FILE, rungs=(*FILE.rungs, FILE.rungs[0])), "two are the same"),
    ("file", replace(FILE, rungs=(Rung("classic", ("file_enter_classic",)),)), "no program file_enter_classic"),
    ("file", replace(FILE, rungs=(Rung("tp_btf", ("thresholds",)),)), "no program thresholds"),
    ("file", replace(FILE, rungs=(Rung("kprobe", FILE.rungs[-1].programs, functions="file_begin_*"),)), "no program file_begin_*"),
    ("file", replace(FILE, rungs=(Rung("tp_btf", ()),)), "has no program"),
    ("file", replace(FILE, rungs=(Rung("tp_btf", FILE.rungs[0].programs, waits=("wait_nothing",)),)), "no program wait_nothing"),
    ("file", replace(FILE, rungs=(Rung("tp_btf", FILE.rungs[0].programs, locks=("wait_no_lock",)),)), "no program wait_no_lock"),
    ("file", replace(FILE, parts=(Histogram("file_duration", help="Help.", object_label="fs"),)), "does not end in _seconds"),
    ("file", replace(FILE, parts=(Histogram("perflens_file_seconds", help="Help.", object_label="fs"),)), "has a prefix"),
    ("file", replace(FILE, parts=(Histogram("file_seconds", help="Help.", object_label="unit"),)), "is taken"),
    ("file", replace(FILE, parts=(Histogram("file_seconds", help="", object_label="fs"),)), "are sentences"),
    ("file", replace(FILE, parts=(Total("file_bytes", help="Help.", object_label="fs"),)), "does not end in _total"),
    ("file", replace(FILE, parts=(Total("file_bytes_total", help="Help.", object_label="fs"),)), "is no histogram"),
    ("file", replace(FILE, counted=1), "is no histogram"),
    ("file", replace(FILE, parts=()), "no metric"),
    ("file", replace(FILE, counters={"read": Counter("files_read", help="Help.")}), "does not end in _total"),
    ("file", replace(FILE, counters={"fork": Counter("files_forked_total", help="Help.")}), "counts no operation"),
    ("file", replace(FILE, counters={"read": Counter("files_read_total", help="")}), "are sentences"),
]


@pytest.mark.parametrize(("name", "probe", "expected"), BROKEN, ids=[f"{name}: {text}" for name, _, text in BROKEN])
def test_broken_declaration_is_seen(monkeypatch: pytest.MonkeyPatch, name: str, probe: Probe, expected: str) -> None:
    """The check above fails for a declaration that is wrong, and says where."""
    real = object_path
    monkeypatch.setattr(f"{__name__}.object_path", lambda _, machine: real("file", machine))

    assert any(expected in mistake for mistake in mistakes(name, probe, platform.machine()))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The files that belong to probes or must not know them."""
    for folder in ("bpf", "exporter/perflens", "tests/probes"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("objects", "__pycache__", "*.so"))
    for plain in PLAIN_FILES:
        shutil.copy(ROOT / plain, tmp_path / plain)
    return tmp_path


def test_copy_is_complete(copy: Path) -> None:
    """The copy that the next tests break is whole."""
    assert missing_files(copy) == []
    assert mentions(copy, "file", FILE) == []


@pytest.mark.parametrize("lost", ["bpf/file.bpf.c", "exporter/perflens/probes/file.py", "tests/probes/test_file.py"])
def test_lost_file_is_seen(copy: Path, lost: str) -> None:
    """A probe with two of its three files is seen."""
    (copy / lost).unlink()

    assert missing_files(copy) == [f"file: nothing in {Path(lost).parent}"]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("exporter/perflens/agent/core.py", 'THRESHOLDS = {"file": 5}\n'),
        ("exporter/perflens/cli/run.py", "from perflens.probes import file\n"),
        ("exporter/perflens/selfmetrics.py", "import perflens.probes.file\n"),
        ("exporter/perflens/registry.py", 'OPERATIONS = ("file_operation",)\n'),
        ("exporter/perflens/kernel/loader.py", 'FIRST = "file_enter_raw_tp"\n'),
        ("Makefile", "OBJECTS += file.bpf.o\n"),
        ("pyproject.toml", '"perflens.probes.file" = "x"\n'),
    ],
)
def test_fourth_place_is_seen(copy: Path, path: str, text: str) -> None:
    """Code elsewhere that names a probe is seen."""
    with (copy / path).open("a") as file:
        file.write(text)

    assert mentions(copy, "file", FILE)
