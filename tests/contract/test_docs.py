"""The documents say what the code does: reference pages, messages, links, and the example of a probe, which is compiled and run."""

from __future__ import annotations

import argparse
import ast
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from docs import generate
from docs.tables import PROGRAMS, tables_of
from perflens.agent.running import operations_of
from perflens.cli.commands import parser
from perflens.cli.context import Context
from perflens.config.keys import leaves, tree
from perflens.config.load import load
from perflens.kernel.attach import attach
from perflens.kernel.attached import Sizes
from perflens.kernel.conditions import conditions
from perflens.kernel.diagnosis import Use, diagnose
from perflens.kernel.features import inspect
from perflens.model import ProbeState
from perflens.registry import discover
from tests.kernel.support import agent, closed_ledger, group, scrape, wait

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(path.relative_to(ROOT) for path in (*DOCS.rglob("*.md"), ROOT / "README.md"))
OPENS, FAILED, FIFOS = 23, 5, 3
COMMAND = re.compile(r"(?:^|[|;&(\"] *|sudo |/|\w=\S+ )perflens ([a-z]+)((?: [^\n`|>#&;]*)?)", re.MULTILINE)
METRIC = re.compile(r"\bperflens_(?!capsule\b)[a-z_]+[a-z]\b(?!\*)")  # a member of a capsule is none


def page(name: str) -> str:
    return (DOCS / name).read_text()


def needs_kernel() -> None:
    """Skip where no program can be loaded."""
    host = inspect()
    if os.geteuid() != 0 or not host.may_load:
        pytest.skip("needs root with CAP_BPF and CAP_PERFMON")
    if host.btf is None:
        pytest.skip("needs a kernel with BTF")


def test_reference_pages_are_what_the_code_says() -> None:
    """docs/metrics.md, docs/configuration.md and the tables of docs/memory.md are up to date."""
    assert list(generate.stale()) == [], "run python -m docs.generate"


def test_drift_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A page that was changed by hand is named, and written anew on demand."""
    for name in generate.PAGES:
        shutil.copy(DOCS / name, tmp_path / name)
    monkeypatch.setattr(generate, "DOCS", tmp_path)
    changed = tmp_path / "metrics.md"
    changed.write_text(changed.read_text().replace("counter", "gauge", 1))

    assert generate.main(["--check"]) == 1
    assert "docs/metrics.md is out of date" in capsys.readouterr().out
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0


@pytest.fixture(scope="module")
def families() -> dict[str, generate.Metric]:
    """The families of a real page, by name."""
    return {metric.name: metric for metric in generate.families(generate.rendered())}


def test_every_metric_is_documented(families: dict[str, generate.Metric]) -> None:
    """The table of docs/metrics.md has the metrics of the page, no more and no less."""
    documented = re.findall(r"^\| `(perflens_\w+)` \| (?:counter|gauge|histogram) ", page("metrics.md"), re.MULTILINE)

    assert documented == list(families)


def test_every_counter_is_explained(families: dict[str, generate.Metric]) -> None:
    """A counter is one of operations, or a loss or limit that the page says what to do about."""
    explained = {name.partition("{")[0] for name in generate.LIMITS}
    counters = {name for name, metric in families.items() if metric.kind == "counter"}
    outcomes = {name.split('"')[1] for name in generate.LIMITS if name.startswith("perflens_probe_operations_total{")}

    assert counters - explained == {
        "perflens_analysis_duration_seconds_total",
        "perflens_analysis_early_windows_total",
        "perflens_analysis_impacts_total",
        "perflens_fleet_merges_total",
        "perflens_fleet_round_duration_seconds_total",
        "perflens_fleet_rounds_total",
        "perflens_analysis_windows_total",
        "perflens_incidents_total",
        "perflens_kubernetes_events_total",
        "perflens_kubernetes_lists_total",
        "perflens_llm_answers_total",
        "perflens_llm_duration_seconds_total",
        "perflens_llm_tokens_total",
        "perflens_sink_delivered_total",
        "perflens_block_bytes_total",
        "perflens_probe_requests_attributed_total",
        "perflens_operation_wait_seconds_total",
        "perflens_overhead_seconds_total",
        "perflens_probe_operations_entered_total",
        "perflens_process_events_read_total",
        "perflens_processes_executed_total",
        "perflens_processes_exited_total",
        "perflens_processes_forked_total",
        "perflens_slow_events_explained_total",
        "perflens_slow_events_read_total",
        "perflens_slow_operation_seconds_total",
        "perflens_slow_operations_total",
        "perflens_spans_made_total",
    }
    for name, fine in (("slow_events", "emitted"), ("process_events", "emitted"), ("spans", "exported"), ("user_frames", "resolved")):
        explained_of = {limit.split('"')[1] for limit in generate.LIMITS if limit.startswith(f"perflens_{name}_total{{")}
        assert {*families[f"perflens_{name}_total"].labels["outcome"]} == {*explained_of, fine}
    assert {*families["perflens_probe_operations_total"].labels["outcome"]} == {*outcomes, "aggregated"}


@pytest.mark.parametrize("name", [path for path in PAGES if path.name != "adding-a-probe.md"], ids=str)
def test_metrics_that_are_named_exist(name: Path, families: dict[str, generate.Metric]) -> None:
    """No page names a metric that the agent does not serve."""
    samples = {
        f"{family}{suffix}" for family, metric in families.items() if metric.kind == "histogram" for suffix in ("_count", "_sum", "_bucket")
    }

    text = re.sub(r"\w+:perflens_\w+(:\w+)?", "", (ROOT / name).read_text())  # what rules record has colons
    assert set(METRIC.findall(text)) - {*families, *samples} == set()


def test_every_key_is_documented() -> None:
    """docs/configuration.md has a line for each key, and its example is a configuration."""
    catalogue = Context.of({}).catalogue
    keys = [key.dotted for key in leaves(tree(catalogue))]

    assert sorted(re.findall(r"^\| `([a-z_.]+)` \| `--", page("configuration.md"), re.MULTILINE)) == sorted(keys)


def parsers() -> dict[str, argparse.ArgumentParser]:
    """The parser of each command."""
    (action,) = (own for own in parser(Context.of({}), "")._actions if isinstance(own, argparse._SubParsersAction))
    return dict(action.choices)


def flags_of(command: argparse.ArgumentParser) -> set[str]:
    """What a command takes, by its long flags."""
    return {flag for action in command._actions for flag in action.option_strings if flag.startswith("--")}


def configuration_flags() -> set[str]:
    """The flags of the keys."""
    keys = [key for key in leaves(tree(Context.of({}).catalogue)) if not key.entry]
    return {"--config.file"} | {key.flag for key in keys} | {key.off_flag for key in keys if key.kind == "boolean"}


def test_every_command_and_flag_is_documented() -> None:
    """docs/cli.md has each command with each of its flags, and no other; those of keys are in docs/configuration.md."""
    sections = dict(re.findall(r"^## perflens (\w+)$(.*?)(?=^## |\Z)", page("cli.md"), re.MULTILINE | re.DOTALL))
    found = {name: set(re.findall(r"`(--[a-z.-]+)", text)) - {"--config.file"} for name, text in sections.items()}

    assert found == {name: flags_of(own) - configuration_flags() - {"--help"} for name, own in parsers().items()}
    shown = set(re.findall(r"`(--[a-z_.-]+)`", page("configuration.md"))) | {"--config.file"}
    assert configuration_flags() <= shown
    for name, text in sections.items():
        assert ("for each key of the [configuration]" in text) == (configuration_flags() <= flags_of(parsers()[name]))


@pytest.mark.parametrize("name", [path for path in PAGES if path.name != "adding-a-probe.md"], ids=str)
def test_commands_that_are_named_exist(name: Path) -> None:
    """No page shows a command or a flag of PerfLens that there is not."""
    known, wrong = parsers(), []
    for command, rest in COMMAND.findall(code_of((ROOT / name).read_text())):
        if command not in known:
            wrong.append(command)
        else:
            wrong += sorted(set(re.findall(r"(?<=\s)--[a-z.-]+", rest)) - flags_of(known[command]))

    assert wrong == []


def code_of(text: str) -> str:
    """The blocks and the words of a page that are code, one a line; not what an agent prints."""
    blocks = re.findall(r"^```(?:sh|console|bash)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return "\n".join((*blocks, *re.findall(r"`(?:sudo )?(?:\S*/)?(perflens [^`\n]*)`", text)))


def test_example_configuration_is_good(tmp_path: Path) -> None:
    """The file that docs/configuration.md shows can be loaded."""
    text = re.findall(r"^```yaml\n(.*?)^```", page("configuration.md"), re.MULTILINE | re.DOTALL)[0]
    file = tmp_path / "perflens.yaml"
    file.write_text(text)
    settings = load({}, {}, str(file), Context.of({}).catalogue)

    assert settings.probes["file"].thresholds == {"fsync": 100_000_000}
    assert list(yaml.safe_load(text)) == ["threshold", "web", "probes"]


def headings(text: str) -> set[str]:
    """Return the anchors of a page, as GitHub makes them of its headings."""
    titles = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("name", PAGES, ids=str)
def test_links_lead_somewhere(name: Path) -> None:
    """Every relative link has its file, and its anchor a heading."""
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", (ROOT / name).read_text()):
        path, _, anchor = link.partition("#")
        target = (ROOT / name).parent / path if path else ROOT / name
        if not link.startswith("http") and not (target.exists() and (not anchor or anchor in headings(target.read_text()))):
            broken.append(link)

    assert [link for link in broken if not link.endswith("benchmarks.md")] == []  # written by `make bench`


MESSAGE_AT = {
    **dict.fromkeys(("ProbeError", "StartError", "LayoutError", "Refused", "Unreadable", "UnknownCollector", "_plain"), 0),
    **dict.fromkeys(("info", "warning", "error", "exception"), 0),
    **dict.fromkeys(("Problem", "refuse", "Rule"), 2),
}


def texts(node: ast.expr) -> Iterator[str]:
    """Yield a message as the documents write it: `…` for what differs."""
    if isinstance(node, ast.IfExp):
        yield from (*texts(node.body), *texts(node.orelse))
    elif isinstance(node, ast.JoinedStr):
        parts = (str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
        yield re.sub("…+", "…", "".join(parts))
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value


def messages() -> Iterator[tuple[str, str]]:
    """Yield (place, message) of what the agent logs, raises for the user or answers."""
    for path in sorted((ROOT / "exporter/perflens").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                at = MESSAGE_AT.get(called, len(node.args))
                for text in texts(node.args[at]) if at < len(node.args) else ():
                    if re.search("[a-z]{3}", text):
                        yield f"{path.relative_to(ROOT)}:{node.lineno}", text


def test_every_message_is_explained() -> None:
    """docs/troubleshooting.md has each message that the agent can print."""
    found, text = list(messages()), page("troubleshooting.md")

    assert len(found) > 60
    assert [f"{place}: {message}" for place, message in found if message not in text] == []


def test_every_finding_of_check_is_explained() -> None:
    """docs/troubleshooting.md has each line of `perflens check`, with what it says of a gap and its cure."""
    section = page("troubleshooting.md").partition("## `perflens check`")[2].partition("\n## ")[0]
    host, facts = inspect(), conditions(inspect())
    bad_host = replace(
        host,
        ftrace_enabled=False,
        btf=None,
        capabilities=frozenset(),
        lockdown="confidentiality",
        perf_event_paranoid=3,
        sees_all_processes=False,
    )
    other_host = replace(bad_host, ftrace_enabled=True, perf_event_paranoid=2, capabilities=frozenset({"CAP_SYSLOG"}))
    bad = replace(
        facts,
        ring_buffer=False,
        locked_memory=1,
        kprobes=False,
        perf_event_open="EACCES",
        tracefs="not mounted",
        kptr_restrict=2,
    )
    other = replace(bad, tracefs="not readable", kptr_restrict=1)
    use = Use("one", "one", "program", optional=False)
    needed = {key: [use] for key in ("fentry", "kprobe", "tracepoint")}
    failed = {"one": [ProbeState("one", attached=False, mechanism="one")]}
    best = {"one": [ProbeState("one", attached=True, mechanism="one", programs=frozenset({"another"}))]}
    found = [
        *diagnose(bad_host, bad, 0, needed, failed),
        *diagnose(other_host, other, 0, needed, best),
    ]
    gaps = [finding for finding in found if finding.state != "ok"]

    assert {finding.name for finding in found if f"`{finding.name}`" not in section} == set()
    assert len({finding.name for finding in gaps}) == 15
    for finding in gaps:
        (row,) = [line for line in section.splitlines() if line.startswith("|") and f"`{finding.name}`" in line.split("|")[1]]
        detail = re.sub(r"\d+|\(E\w+\)", lambda match: "(…)" if match[0].startswith("(") else "…", finding.detail.partition("; for ")[0])
        for cure in finding.cure.partition(" (docs/")[0].split(" and "):
            assert (cure.replace(finding.name, "…") if finding.name.startswith("CAP_") else cure) in row
        assert detail.replace("ftrace_enabled is …", "ftrace_enabled is 0") in row


def test_pseudo_file_systems_are_listed() -> None:
    """docs/coverage.md names the file systems of bpf/include/pseudo.h, in its order."""
    known = re.findall(r"case 0x[0-9a-f]{8}: /\* (.*) \*/", (ROOT / "bpf/include/pseudo.h").read_text())
    section = page("coverage.md").partition("### Pseudo file systems")[2].partition("###")[0].partition("## ")[0]

    assert len(known) > 30
    assert re.findall(r"^proc, .*\.$", section, re.MULTILINE) == [", ".join(known) + "."]


@pytest.mark.parametrize("name", [path for path in PAGES if path.parent.name == "decisions"], ids=lambda path: path.stem)
def test_decisions_are_short(name: Path) -> None:
    """A record has its number, its four parts and at most 40 lines."""
    lines = (ROOT / name).read_text().splitlines()

    assert lines[0].startswith(f"# {name.name[:4]}: ")
    assert [line for line in lines if line.startswith("## ")] == ["## Problem", "## Success criteria", "## Scope", "## Solution"]
    assert len(lines) <= 40


def _kernel_memory() -> dict[str, int]:
    """The kernel's own count of each map and program that this process has open, by its id."""
    found = {}
    for fd in Path("/proc/self/fdinfo").iterdir():
        with suppress(OSError):
            lines = dict(line.split(":\t", 1) for line in fd.read_text().splitlines() if ":\t" in line)
            if "memlock" in lines:  # a link has none
                found[f"{lines.get('map_id')} {lines.get('prog_id')}"] = int(lines["memlock"])
    return found


@pytest.mark.parametrize("name", discover())
def test_memory_is_what_the_kernel_counts(name: str) -> None:
    """The formula of docs/memory.md gives what the kernel says of a probe's tables, to the byte, and about what its programs take."""
    needs_kernel()
    host, probe = inspect(), discover()[name]
    if tuple(int(part) for part in re.findall(r"\d+", host.kernel)[:2]) < (6, 4):
        pytest.skip("before 6.4 the kernel does not count the memory of a map exactly")
    sizes, before = Sizes.of(host, 4_096), _kernel_memory()
    attached = attach(name, probe, host, rung="auto", sizes=sizes, thresholds=[5_000_000] * len(operations_of(name, probe, host.machine)))
    counted = {own: size for own, size in _kernel_memory().items() if own not in before}
    attached.close()
    maps, programs = (sum(size for own, size in counted.items() if own.endswith("None") is of_maps) for of_maps in (True, False))

    assert maps == sum(table.bytes(host.possible_cpus) for table in tables_of(name, probe, sizes))
    assert programs < 2 * PROGRAMS


BLOCK = re.compile(r"^## \d\. `([^`]+)`$(.*?)^```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def example() -> dict[str, str]:
    """Return the files of the example in docs/adding-a-probe.md."""
    return {path: text for path, _, text in BLOCK.findall(page("adding-a-probe.md"))}


def test_example_is_three_files() -> None:
    """The document shows a probe whole: three files, and no fourth."""
    assert list(example()) == ["bpf/open.bpf.c", "exporter/perflens/probes/open.py", "tests/probes/test_open.py"]
    assert len(re.findall(r"^```(?:c|python)$", page("adding-a-probe.md"), re.MULTILINE)) == 3


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with the three files of the example, its object compiled by the Makefile."""
    if not shutil.which("clang"):
        pytest.skip("needs clang")
    copy = tmp_path_factory.mktemp("project")
    for folder in ("bpf", "exporter/perflens", "tests/probes", "tests/contract"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for plain in ("Makefile", "pyproject.toml", "setup.py"):
        shutil.copy2(ROOT / plain, copy / plain)
    for path, text in example().items():
        assert not (copy / path).exists()
        (copy / path).write_text(text)
    command = ["make", "--no-print-directory", "objects", f"ARCHES={platform.machine()}", "PACKAGES=", f"VENV={ROOT / '.venv'}"]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return copy


def _python(project: Path, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "PERFLENS"))}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=project,
        env={**environment, "PYTHONPATH": str(project / "exporter")},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_example_passes_its_test_and_the_contract_of_probes(project: Path) -> None:
    """The example's own test passes, and so does what every probe is held to."""
    pytest_ = ("-m", "pytest", "-p", "no:cacheprovider", "tests/probes/test_open.py", "tests/contract/test_probes_complete.py")

    assert "failed" not in _python(project, *pytest_, "--junit-xml=done.xml")
    assert "open-" in (project / "done.xml").read_text()


def test_example_is_known_everywhere(project: Path) -> None:
    """The command line, the configuration and the reference pages know the example by its declaration."""
    assert "open: Opens of files by path or by handle.\n  operations: open, open_by_handle\n" in _python(
        project, "-m", "perflens", "probes"
    )
    shown = _python(project, "-m", "perflens", "config", "show", "--threshold=open.open_by_handle=1ms", "--probes.open.attach=raw_tp")
    assert "  open:\n    enabled: true\n    attach: raw_tp\n    thresholds:\n      open_by_handle: 1ms\n" in shown


@pytest.mark.parametrize("rung", ["tp_btf", "raw_tp"])
def test_example_counts_exactly(project: Path, tmp_path: Path, rung: str) -> None:
    """By each rung: a known number of opens, failed opens and opens of a FIFO in a cgroup of its own."""
    needs_kernel()
    file, fifo = tmp_path / "file", tmp_path / "fifo"
    file.touch()
    os.mkfifo(fifo)

    def work() -> None:
        for _ in range(OPENS):
            os.open(file, os.O_RDONLY)
        for _ in range(FAILED):
            with suppress(FileNotFoundError):
                os.open(tmp_path / "nothing", os.O_RDONLY)
        for _ in range(FIFOS):
            os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)

    flags = (f"--probes.open.attach={rung}", "--no-probe.file", "--probes.strict")
    environment = {"PYTHONPATH": str(project / "exporter")}
    with agent(tmp_path, *flags, environment=environment) as running, group("opens") as own:
        before = scrape(running.url)
        wait(own.run(work))
        after = closed_ledger(running.url)

    name = "perflens_open_duration_seconds_count"
    assert after.total(name, unit=own.unit, operation="open") == OPENS + FAILED
    assert after.total(name, unit=own.unit, operation="open", fs="unknown") == FAILED
    assert after.outcome("blocking_peer", "open") - before.outcome("blocking_peer", "open") >= FIFOS
    assert after.total("perflens_probe_info", probe="open", mechanism=rung) == 1
