"""The agent without its event loop: start, upkeep, reload, status and page, over cells of this test."""

from __future__ import annotations

import logging
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from perflens.agent import Agent, running
from perflens.agent.cluster import NoCluster
from perflens.agent.filters import cgroup_ids, look, tuning
from perflens.agent.running import RunningOperations, event_budget, note_from, try_rungs
from perflens.analysis import UNEXPLAINED
from perflens.analyzer.causes import discover
from perflens.config import Settings
from perflens.config.settings import Analyzer, Events, Filter, OwnerSettings, Probes, ProbeSettings, Web
from perflens.config.settings import Path as Paths
from perflens.errors import ConfigError, ProbeError, Problem
from perflens.export.prometheus.page import Query
from perflens.http.access import Client
from perflens.http.parameters import parse
from perflens.kernel.attach import Tuning
from perflens.kernel.attached import object_path, object_types
from perflens.kernel.features import inspect
from perflens.logs import LineHandler
from perflens.model import Exemplar, Owner, Pod, ProbeState, SeriesKey
from perflens.probes.file import PROBE
from perflens.testing import FakeCells
from tests.evidence import evidence
from tests.kernel.support import Page

READ, WRITE = 0, 1
SECOND = 10**9


class FakeTree:
    """A tree in which every cgroup of ``gone`` was removed, and those of ``paths`` can be found."""

    usable = searchable = True
    point = "/"

    def __init__(self) -> None:
        self.gone: set[int] = set()
        self.paths: dict[int, tuple[str, ...]] = {}

    def is_gone(self, path: Sequence[str], cgroup_id: int) -> bool:
        return cgroup_id in self.gone

    def find(self, cgroup_id: int) -> tuple[str, ...] | None:
        return self.paths.get(cgroup_id)

    def id_of(self, path: str) -> int:
        return next((own for own, parts in self.paths.items() if path == "/" + "/".join(parts)), 0)


class Own:
    """An agent that has started, with one probe that is attached to nothing."""

    def __init__(self, settings: Settings, attach: Callable[..., FakeCells], cells: FakeCells) -> None:
        self.tree, self.cells, self.now = FakeTree(), cells, 100.0
        self.agent = Agent(settings, replace(inspect(), sees_all_processes=False), {"file": PROBE}, self.tree)  # type: ignore[arg-type]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(running, "attach", attach)
            self.agent.start()
        (running_file,) = self.agent.running
        assert isinstance(running_file, RunningOperations)
        self.running = running_file
        self.family = self.running.family

    def maintain(self, times: int) -> None:
        for _ in range(times):
            self.now += 2.0
            self.agent.maintain()

    def units(self) -> set[str]:
        return {key.owner for key, _ in self.family.histograms} - {"other"}

    def page(self) -> Page:
        return Page(self.agent.page.render(Query()).decode())

    def begin(self, tid: int, operation: int, owner: int, age: float) -> None:
        self.cells.begin(tid, owner, operation, time.monotonic_ns() - int(age * SECOND))


Make = Callable[..., Own]


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """A reload sets logging up for the whole process."""
    root = logging.getLogger()
    level = root.level
    yield
    root.handlers = [own for own in root.handlers if not isinstance(own, LineHandler)]
    root.setLevel(level)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Start an agent with these settings; its kernel symbols are those of a file."""
    made: list[Own] = []
    (tmp_path / "kallsyms").write_text("ffffffff81000000 T folio_wait_bit\nffffffff81000100 T nothing\n")

    def start(settings: Settings | None = None) -> Own:
        cells = FakeCells("file", PROBE)
        settings = settings or Settings()
        if settings.path == Paths():
            settings = replace(settings, path=Paths(procfs=str(tmp_path)))
        made.append(Own(settings, lambda *_, **__: cells, cells))
        return made[-1]

    yield start
    for own in made:
        own.agent.explainer.close()
        own.agent.drainer.shutdown()
        own.agent.worker.shutdown()


@pytest.fixture
def own(make: Make, monkeypatch: pytest.MonkeyPatch) -> Own:
    made = make()
    clock = SimpleNamespace(monotonic=lambda: made.now, monotonic_ns=time.monotonic_ns, time=time.time)
    monkeypatch.setattr("perflens.agent.core.time", clock)
    return made


def test_incidents_are_counted_from_zero(own: Own) -> None:
    """Each cause has its counter before its first incident, as a rate sees no counter that begins with 1."""
    shown = {dict(labels)["cause"]: value for (name, labels), value in own.page().samples.items() if name == "perflens_incidents_total"}
    assert shown == dict.fromkeys((*discover(), UNEXPLAINED), 0)


def test_waits_in_a_module_that_was_loaded_later(own: Own, tmp_path: Path) -> None:
    """The functions of a file system that is mounted while the agent runs have reasons too; those of one that is gone have none."""

    def reasons() -> list[int]:
        return [first for first, *_ in struct.iter_unpack("=3Q", own.cells._frames) if first]

    before, now = (tmp_path / "kallsyms").read_text(), time.monotonic()
    own.agent._kernel_symbols._clock = lambda: now
    assert reasons() == [0xFFFFFFFF81000000]
    for text, modules, expected in ((f"{before}ffffffffc0000000 t xlog_wait\t[xfs]\n", "xfs 9 1 - Live 0x0\n", 2), (before, "", 1)):
        (tmp_path / "kallsyms").write_text(text)
        (tmp_path / "modules").write_text(modules)
        now += 60
        own.maintain(5)
        assert reasons() == [0xFFFFFFFF81000000, 0xFFFFFFFFC0000000][:expected]


def test_owner_is_forgotten_in_the_end(own: Own) -> None:
    """An owner that is gone leaves nothing behind but its series, which expire too."""
    own.cells.record(77, "ext4", 0, 1_000)
    own.maintain(5)
    assert len(own.agent._owners) == 1
    own.tree.gone.add(77)
    own.maintain(6)
    assert len(own.agent._owners) == 0
    assert own.units() == {"a.service"}
    own.maintain(310)
    assert own.units() == set()
    assert own.agent.status().ledgers["file"].outcomes["aggregated"] == 1


def test_disks_that_take_over_a_number(own: Own) -> None:
    """Each time that the devices were read anew, and only then, the disks of requests are asked for their names."""
    asked: list[str] = []
    disk = SimpleNamespace(name="cciss!c0d1")
    family = SimpleNamespace(kill_renamed=lambda name_of, _: asked.extend(name_of(number) for number in (259 << 20 | 3, 259 << 20 | 4)))
    own.agent.running = [SimpleNamespace(probe=SimpleNamespace(in_flight=kind), family=family) for kind in ("slots", "requests")]  # type: ignore[misc]
    for known in ({}, {(259, 3): disk}):
        own.agent.devices.known = lambda known=known: known  # type: ignore[method-assign, misc]
        for _ in range(3):
            own.agent._rename_disks(own.now)
    own.agent.running = [own.running]

    assert asked == ["", "", "cciss/c0d1", ""]


def test_last_operation_keeps_the_name(own: Own) -> None:
    """An operation that ends after its cgroup was removed, seen by the kernel without a path, is counted under the known name."""
    own.cells.record(77, "ext4", 0, 1_000)
    own.maintain(5)
    own.tree.gone.add(77)
    own.maintain(1)
    own.cells.record(77, "ext4", 0, 1_000, complete=False)
    own.maintain(1)

    assert own.units() == {"a.service"}
    assert own.family.counts() == (2, 0)


def test_start_names_the_functions_of_waits(own: Own, caplog: pytest.LogCaptureFixture) -> None:
    """The kernel side gets the addresses of the functions that tell a reason."""
    first, end, reason = struct.unpack_from("=3Q", own.cells._frames)

    assert (first, end, own.cells.wait_reasons[reason]) == (0xFFFF_FFFF_8100_0000, 0xFFFF_FFFF_8100_0100, "block_io")
    assert "kernel symbols" not in caplog.text


def test_hidden_kernel_symbols_are_one_warning(make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Without readable symbols the agent says so once, with the cure, and goes on."""
    (tmp_path / "kallsyms").write_text("0000000000000000 T folio_wait_bit\n")
    made = make()
    made.agent.maintain()

    warnings = [record for record in caplog.records if "kernel symbols" in record.message]
    assert [record.levelname for record in warnings] == ["WARNING"]
    assert "CAP_SYSLOG" in warnings[0].fields["cure"]  # type: ignore[attr-defined]
    assert made.page().total("perflens_probe_attached") == 1


def test_variables_of_the_kernel_side(make: Make) -> None:
    """Rate, burst and age become what the kernel side counts in; a rate of 0 is no limit."""
    get = make(Settings(events=Events(rate=50, burst=7, in_progress_after=3 * SECOND))).cells.variables.get

    assert (get("event_interval"), get("event_burst"), get("in_progress_after")) == ((20_000_000,), (140_000_000,), (3 * SECOND,))
    assert event_budget(Settings(events=Events(rate=0)))["event_interval"] == [0]
    assert event_budget(Settings(events=Events(rate=1_000_000, burst=1_000_000)))["event_burst"] == [10**9]


def test_filters() -> None:
    """Each kind of filter is counted in a constant and laid out in a variable; a cgroup that does not exist is no cgroup."""
    tree: Any = FakeTree()
    tree.paths = {77: ("system.slice", "db.service")}
    settings = Settings(
        filter=Filter(pid=("1", "4711"), comm=("postgres", "fifteen-bytes-x"), cgroup=("/system.slice/db.service", "/none"))
    )
    found = tuning(settings, tree)

    assert found.knobs == {
        "has_filters": 1,
        "filter_pids": 2,
        "filter_comms": 2,
        "filter_cgroups": 2,
        "filter_names": 0,
        "kernel_frames": 20,
        "user_frames": 20,
    }
    assert found.variables["filter_pid"] == [1, 4711, *[0] * 14]
    assert struct.pack("=4Q", *found.variables["filter_comm"][:4]) == b"postgres" + b"\0" * 8 + b"fifteen-bytes-x\0"
    assert found.variables["filter_comm"][4:] == [0] * 28
    assert found.variables["filter_cgroup"] == [77, *[0] * 15]


def test_cgroup_of_a_filter_that_is_not_there(caplog: pytest.LogCaptureFixture) -> None:
    """One that may be made later is logged; where the tree cannot be seen none would ever be found, and nothing measured: a mistake."""
    tree: Any = FakeTree()
    tree.paths = {77: ("a",)}
    settings = Settings(filter=Filter(cgroup=("/a", "/b")))
    look(settings, tree)
    assert [record.fields["path"] for record in caplog.records] == ["/b"]  # type: ignore[attr-defined]

    tree.usable = False
    with pytest.raises(ConfigError, match=r"^/b: filter\.cgroup: only a part of the cgroup tree can be seen, at /; mount the host's"):
        look(settings, tree)
    look(Settings(filter=Filter(cgroup=("/a",))), tree)


def test_filters_fit_the_object() -> None:
    """Every constant and variable is one of the object's, and of its length."""
    types, found = object_types(object_path("file", inspect().machine)), tuning(Settings(), FakeTree())  # type: ignore[arg-type]

    assert set(found.knobs) <= set(types.variables)
    assert {name: types.variable(name).field.count for name in found.variables} == {name: len(own) for name, own in found.variables.items()}


@pytest.mark.parametrize(
    ("threshold", "of_operation", "expected"),
    [(5_000_000, {}, 625_000), (8_000_000, {}, 1_000_000), (10**9, {"read": 800}, 100), (10**9, {}, 1_000_000), (0, {}, 0)],
)
def test_requests_that_are_noted(threshold: int, of_operation: dict[str, int], expected: int) -> None:
    """From an eighth of the least threshold on, 1 ms at most: what matters for a slow operation."""
    settings = Settings(threshold=threshold, probes=Probes(by_name={"file": ProbeSettings(thresholds=of_operation)}))

    assert note_from(settings, {"file": PROBE}, inspect().machine) == [expected]
    assert note_from(settings, {"none": replace(PROBE, requests="")}, inspect().machine) == [1_000_000]


def test_tables_are_shared_by_one_of_each_kind(own: Own) -> None:
    """Operations and requests share tables; a second family of operations has its own, and one without requests too."""
    share = own.agent._that_shares_with

    assert share(replace(PROBE, in_flight="requests", requests="")) is own.agent.running[0].kernel
    assert share(PROBE) is None
    assert share(replace(PROBE, requests="")) is None


def test_cgroup_that_is_made_later_is_filtered_from_then_on(make: Make) -> None:
    """The upkeep looks again for the cgroups that are asked for."""
    made = make(Settings(filter=Filter(cgroup=("/late",))))
    assert set(made.cells.variables.get("filter_cgroup")) == {0}
    made.tree.paths[42] = ("late",)
    made.agent.maintain()

    assert made.cells.variables.get("filter_cgroup") == (42, *[0] * 15)
    assert cgroup_ids(made.agent.settings, made.tree) == [42, *[0] * 15]  # type: ignore[arg-type]


def test_reload_of_events(make: Make) -> None:
    """Rate, burst, age and what is explained change while the agent runs, with the thresholds."""
    made = make()
    new = replace(made.agent.settings, threshold=1_000_000, events=Events(rate=10, burst=3, explained=17, in_progress_after=10**7))
    assert made.agent.reload(lambda: new) == ""

    get = made.cells.variables.get
    assert (get("event_interval"), get("event_burst"), get("in_progress_after")) == ((10**8,), (3 * 10**8,), (10**7,))
    assert get("thresholds")[:5] == (1_000_000,) * 5
    assert made.agent.explainer.rate == 17


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"events": Events(kernel_frames=1)}, "events.kernel_frames"),
        ({"events": Events(user_frames=1)}, "events.user_frames"),
        ({"filter": Filter(pid=("1",))}, "filter.pid"),
        ({"filter": Filter(comm=("a",))}, "filter.comm"),
        ({"filter": Filter(cgroup=("/a",))}, "filter.cgroup"),
        ({"filter": Filter(namespace=("shop",))}, "filter.namespace"),
    ],
)
def test_what_needs_a_restart(make: Make, change: dict[str, Any], key: str) -> None:
    """Constants of the programs cannot change; nothing of such a configuration is applied."""
    made = make()
    new = replace(made.agent.settings, threshold=1_000_000, **change)

    assert made.agent.reload(lambda: new) == f"{key} cannot change while the agent runs; restart it"
    assert made.cells.variables.get("thresholds")[0] == 5_000_000
    assert made.agent.status().reload_succeeded is False


def test_web_configuration(make: Make, tmp_path: Path) -> None:
    """It is read at the start, where a bad one is refused, and again by a reload, which tells what is wrong; the metrics know."""
    file = tmp_path / "web.yml"
    file.write_text("tls_server_config: {cert_file: nothing.pem}\n")
    settings = Settings(web=Web(config_file=str(file)))
    with pytest.raises(ConfigError, match="tls_server_config: has neither key nor key_file"):
        make(settings)
    file.write_text("")
    made = make(settings)
    same = made.agent.settings
    assert made.agent.reload(lambda: same) == ""
    file.write_text("x: 1\n")
    assert "web.yml:1: unknown key 'x'" in made.agent.reload(lambda: same)
    web = made.agent.status().web
    assert web
    assert not web.reload_succeeded
    page = made.agent.page.render(Query()).decode()
    assert "perflens_web_config_last_reload_successful 0.0" in page
    assert 'perflens_web_requests_refused_total{reason="unauthorized"} 0.0' in page


def test_reload_reads_the_token_again(make: Make, tmp_path: Path) -> None:
    """A new token counts after a reload; a file without one leaves the old one and the old configuration."""
    token = tmp_path / "token"
    token.write_text("first")
    token.chmod(0o600)
    made = make(Settings(web=Web(api_token_file=str(token))))
    same = made.agent.settings

    def is_let_in(word: str) -> bool:
        return made.agent.access.refusal(Client("192.0.2.1", {"Authorization": (f"Bearer {word}",), "Host": ("a",)})) is None

    assert (is_let_in("first"), is_let_in("second")) == (True, False)
    token.write_text("second")
    assert is_let_in("first")
    assert made.agent.reload(lambda: same) == ""
    assert (is_let_in("first"), is_let_in("second")) == (False, True)
    token.write_text("")
    assert "is empty" in made.agent.reload(lambda: replace(same, threshold=1_000))
    assert is_let_in("second")
    assert made.cells.variables.get("thresholds")[0] == 5_000_000


def test_reload_of_a_configuration_that_is_wrong(make: Make) -> None:
    """What cannot be read changes nothing but the reload metric."""
    made = make()

    def read() -> Settings:
        raise ConfigError((Problem("file:1", "cells", "is wrong", "mend it"),))

    assert made.agent.reload(read) == "file:1: cells: is wrong; mend it"
    page = made.page()
    assert page.total("perflens_config_last_reload_successful") == 0


def test_waits(make: Make) -> None:
    """Time off the CPU is a counter by reason; a reason without time has no series; the page is the same twice."""
    made = make()
    cell = made.cells.record(77, "ext4", WRITE, 10_000_000)
    made.cells.wait(cell, "block_io", 7_000_001)
    made.cells.wait(cell, "unattributed", 1_000_000)
    name = "perflens_operation_wait_seconds_total"

    for _ in range(2):
        page = made.page()
        found = {dict(labels)["reason"]: (str(value), dict(labels)) for (own, labels), value in page.samples.items() if own == name}
        labels = {"probe": "file", "operation": "write", "unit": "a.service"}
        assert found == {
            "block_io": ("0.007000001", {**labels, "reason": "block_io"}),
            "unattributed": ("0.001000000", {**labels, "reason": "unattributed"}),
        }
        assert float(page.total("perflens_unattributed_seconds_total", probe="file")) == 0.001


def test_oldest_in_flight(make: Make) -> None:
    """The age of the oldest operation past its threshold, by operation and owner; what is younger is no series."""
    made = make()
    made.cells.record(77, "ext4", READ, 1_000)
    made.agent.harvest()
    for tid, operation, owner, age in ((1, READ, 77, 5), (2, READ, 77, 3), (3, WRITE, 77, 2), (4, READ, 88, 1), (5, WRITE, 88, 0.001)):
        made.begin(tid, operation, owner, age)
    page = made.page()
    found = {
        (dict(labels)["operation"], dict(labels)["unit"]): float(value)
        for (name, labels), value in page.samples.items()
        if name == "perflens_oldest_in_flight_seconds"
    }

    expected = {("read", "a.service"): 5, ("write", "a.service"): 2, ("read", "unknown"): 1}
    assert found == pytest.approx(expected, abs=0.5)
    assert page.total("perflens_probe_operations_in_flight") == 5
    assert page.total("perflens_probe_in_flight_unlisted") == 0


def test_oldest_in_flight_without_owners(make: Make) -> None:
    """With owner.level node there is one series for each operation."""
    made = make(Settings(owner=OwnerSettings("node")))
    for tid, owner in ((1, 77), (2, 88)):
        made.begin(tid, READ, owner, 2 + tid)
    page = made.page()

    found = [dict(labels) for (name, labels), _ in page.samples.items() if name == "perflens_oldest_in_flight_seconds"]
    assert found == [{"probe": "file", "operation": "read"}]
    assert float(page.total("perflens_oldest_in_flight_seconds")) == pytest.approx(4, abs=0.5)


def test_overhead(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The estimate is the measured cost of a read for each operation of an owner."""
    costs = iter((2_000.0, 2_500.0))  # before the programs are attached, and after
    monkeypatch.setattr("perflens.agent.overhead.nanoseconds_a_read", lambda: next(costs))
    made = make()
    for owner, operations in ((77, 3), (88, 5)):
        for _ in range(operations):
            made.cells.record(owner, "ext4", READ, 1_000, path=(f"{owner}.service",))
    page = made.page()

    name = "perflens_overhead_seconds_total"
    assert (str(page.total(name, unit="77.service")), str(page.total(name, unit="88.service"))) == ("0.000001500", "0.000002500")


def test_events_of_the_ledger(make: Make) -> None:
    """What became of slow operations as events is a counter by outcome, as the kernel side counts it."""
    made = make()
    for counter, times in (("emitted", 3), ("suppressed", 2), ("ring_full", 1)):
        for _ in range(times):
            made.cells.count(counter)
    page = made.page()

    found = {name: int(page.total("perflens_slow_events_total", outcome=name)) for name in ("emitted", "suppressed", "ring_full")}
    assert found == {"emitted": 3, "suppressed": 2, "ring_full": 1}


def test_counts_of_the_evidence(make: Make) -> None:
    """Each stage's own numbers are on the page, by probe, outcome or table."""
    made = make()
    agent = made.agent
    agent.intake.read["file"], agent.intake.unexplained["file"], agent.intake.undecodable["file"] = 11, 3, 2
    agent.explainer.explained["file"], agent.explainer.failed["file"] = 7, 1
    agent.explainer.user.resolved, agent.explainer.user.unresolved, agent.explainer.user.learn_skipped = 19, 23, 29
    agent.explainer.store.evicted, agent.explainer.stacks.evicted, agent.intake.timeline.late = 31, 37, 41
    page = made.page()

    assert [page.total(f"perflens_slow_events_{name}_total") for name in ("read", "explained", "unexplained", "undecodable")] == [
        11,
        7,
        4,
        2,
    ]
    assert [page.total("perflens_user_frames_total", outcome=name) for name in ("resolved", "unresolved")] == [19, 23]
    assert page.total("perflens_symbol_learn_skipped_total") == 29
    assert [page.total("perflens_evicted_total", table=name) for name in ("evidence", "stacks", "timeline")] == [31, 37, 41]
    assert [page.total(f"perflens_spans_{name}") for name in ("made_total", "in_queue")] == [0, 0]


def test_owner_of_an_event_before_its_first_harvest(make: Make) -> None:
    """The owner of an event is named by the cell that its operation was counted in, though no harvest has seen that yet."""
    made = make()
    made.cells.record(99, "ext4", READ, 10_000_000, path=("system.slice", "late.service"))

    assert made.agent._name_owner(99) == Owner(99, "/system.slice/late.service", "late.service")


def test_owner_without_a_cell(make: Make) -> None:
    """An owner of which the kernel side has no path is looked up in the tree; if it is not there either it is unknown, and counted."""
    made = make()
    made.tree.paths[5] = ("system.slice", "found.service")

    assert made.agent._name_owner(5) == Owner(5, "/system.slice/found.service", "found.service")
    assert made.agent._name_owner(6) == Owner(6, "", "unknown")
    assert made.page().total("perflens_owners_unnamed_total") == 1


def test_exported_spans_are_exemplars_of_their_series(make: Make) -> None:
    """A span that a collector took is shown at the histogram of its operation; one of a probe that does not run is shown nowhere."""
    made = make()
    made.cells.record(7, "ext4", READ, 10_000_000)
    exemplar = Exemplar("0" * 31 + "1", "0" * 15 + "2", 10_000_000, 1_700_000_000.5)
    made.agent._exported([(evidence(unit="a.service"), exemplar), (evidence(probe="other"), exemplar)])
    made.agent.harvest()
    event = evidence().event

    assert list(made.running.exemplars.of(SeriesKey(event.operation, event.object_name, "a.service")).values()) == [exemplar]
    assert len(made.running.exemplars) == 1


def test_rungs_are_tried_and_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each rung is attached with its name and closed; whether it tells waits, or why it does not attach, is said."""
    closed: list[str] = []

    def attach(name: str, *_: Any, rung: str, **__: Any) -> Any:
        if rung == "raw_tp":
            raise ProbeError("no", "cure")
        return SimpleNamespace(close=lambda: closed.append(rung), has_waits=True, programs=lambda: {"begin": 3})

    monkeypatch.setattr(running, "attach", attach)
    assert try_rungs("file", PROBE, inspect(), Settings()) == [
        ProbeState("file", attached=True, mechanism="fentry", waits=True),
        ProbeState("file", attached=True, mechanism="tp_btf", waits=True),
        ProbeState("file", attached=False, mechanism="raw_tp", reason="no", cure="cure"),
        ProbeState("file", attached=True, mechanism="kprobe", waits=True),
    ]
    assert closed == ["fentry", "tp_btf", "kprobe"]


def test_tuning_has_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is set before the programs are attached holds the filters and the budget of events."""
    seen: list[Tuning] = []
    monkeypatch.setattr(running, "attach", lambda *_, tuning, **__: seen.append(tuning))
    settings = Settings(filter=Filter(pid=("1",)))
    running.start("file", PROBE, inspect(), settings, tuning(settings, FakeTree()))  # type: ignore[arg-type]

    assert seen[0].knobs["filter_pids"] == 1
    assert {"filter_pid", "event_interval", "event_burst", "in_progress_after"} <= set(seen[0].variables)


def test_a_mount_point_that_is_no_text(make: Make, tmp_path: Path) -> None:
    """Whatever others have mounted, the agent starts."""
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "mountinfo").write_bytes(b"30 1 0:25 / /mnt/\xff rw - cgroup2 none rw\n")

    assert make().agent.analyzing


def test_forks_of_parents_that_had_no_room_are_counted(make: Make) -> None:
    made = make()
    intake = made.agent.intake
    intake.starts.evicted, intake.starts.programs_evicted, intake.newest_starts.evicted = 43, 45, 47
    page = made.page()

    assert [page.total("perflens_evicted_total", table=name) for name in ("starts", "started_programs", "newest_starts")] == [43, 45, 47]


UID, CONTAINER = "8f7d2c1e-5b1a-4c77-9d3e-0123456789ab", "3f4e" * 16
OF_POD = ("kubepods", f"pod{UID}", CONTAINER)


class FakeCluster(NoCluster):
    """A cluster with the pods that a test puts there."""

    node = "node-1"
    tells = True

    def __init__(self) -> None:
        self.found: Pod | None = None

    @property
    def pods(self) -> FakeCluster:  # type: ignore[override]
        return self

    def find(self, uid: str, container_id: str) -> Pod | None:
        return self.found if (uid, container_id) == (UID, CONTAINER) else None


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    own = FakeCluster()
    monkeypatch.setattr("perflens.agent.core.cluster_of", lambda *_: own)
    return own


WEB = Pod(UID, CONTAINER, "shop", "web-1", "Deployment/web", "app")
NAME = "shop/Deployment/web"


def test_series_of_pods(make: Make, cluster: FakeCluster) -> None:
    """In a cluster series are of workloads: those of a pod are held until it has its name, and lose nothing; units have theirs."""
    made = make()
    for _ in range(3):
        made.cells.record(77, "ext4", READ, 10_000_000, path=OF_POD)
        made.page()
    made.cells.record(88, "ext4", READ, 1_000)
    count = "perflens_file_operation_duration_seconds_count"
    assert [made.page().total(count, namespace=own) for own in ("", "shop")] == [1, 0]
    cluster.found = WEB
    page = made.page()

    assert page.total(count, operation="read", namespace="shop", workload="Deployment/web") == 3
    assert page.total(count, operation="read", namespace="", workload="Unit/a.service") == 1
    assert page.total("perflens_slow_operations_total", probe="file", namespace="shop", workload="Deployment/web") == 3
    assert float(page.total("perflens_slow_operation_seconds_total", namespace="shop")) == 0.03
    assert not any("unit" in dict(labels) or "pod" in dict(labels) for _, labels in page.samples)


@pytest.mark.parametrize(("level", "name"), [("pod", f"{NAME}/web-1"), ("container", f"{NAME}/web-1/app")])
def test_the_analyzer_at_each_level(make: Make, cluster: FakeCluster, level: Any, name: str) -> None:
    """What the analyzer sees of an owner has one name: its totals, its cgroup, its processes and its evidence."""
    cluster.found = WEB
    made = make(Settings(owner=OwnerSettings(level)))
    made.cells.record(77, "ext4", READ, 10_000_000, path=OF_POD)
    totals, paths = made.agent._snapshot()

    assert {key.owner for key, own in totals.operations.items() if own.number} == {name}
    assert paths == {"/" + "/".join(OF_POD): name}
    assert totals.slow == {name: 10_000_000}
    assert made.agent._name_of(77) == made.agent._name_owner(77).name == name


def test_names_that_do_not_come(make: Make, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """After ten seconds the series of a pod that nobody knows has its uid; the upkeep looks after it, without a scrape."""
    made = make()
    now = time.monotonic()
    clock = SimpleNamespace(monotonic=lambda: made.now + now, monotonic_ns=time.monotonic_ns, time=time.time)
    monkeypatch.setattr("perflens.agent.core.time", clock)
    monkeypatch.setattr(made.agent._owners, "_clock", lambda: made.now)
    made.cells.record(77, "ext4", READ, 1_000, path=OF_POD)
    made.maintain(5)
    assert made.units() == set()
    made.maintain(2)

    assert made.units() == {f"Pod/{UID}"}
    assert made.agent._owners.unresolved == {"pod": 1, "container": 0}
    assert made.running.ledger.outcomes["aggregated"] == 1


async def test_incidents_are_of_the_node(make: Make, cluster: FakeCluster) -> None:
    """A pod's host name is the pod's, and gone with it: what is told of a host has the cluster's name of it."""
    made = make(Settings(analyzer=Analyzer(enabled=True, state_file="")))

    assert made.agent.analyzing is not None
    assert made.agent.analyzing.host == cluster.node
    assert (await made.agent.views.api().incidents(parse((), ("limit",))))["host"] == cluster.node
