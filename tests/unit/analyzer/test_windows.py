"""From what was counted in a window to who was slow, on what, and what that comes to."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from perflens.analysis import HOST, Incident, Subject
from perflens.analyzer.analyst import Analyst, Look
from perflens.analyzer.changes import Changes, Program
from perflens.analyzer.incidents import Incidents
from perflens.analyzer.measures.host import cpu_culprits, host_signals
from perflens.analyzer.measures.operations import operation_signals
from perflens.analyzer.measures.requests import device_culprits, request_signals
from perflens.analyzer.measures.starts import start_culprits, start_signals
from perflens.analyzer.readings.cgroup_delta import CgroupDelta, ThrottlingDelta
from perflens.analyzer.readings.delta import CpuDelta, DiskDelta, HostDelta
from perflens.analyzer.readings.rates import PressureRatio
from perflens.analyzer.readings.settings import MountSettings, SettingsReading
from perflens.analyzer.readings.values import CgroupMemory, CgroupReading, CpuTimes, HostReading, IoLimit, Limits
from perflens.analyzer.scene import impact_of, rates_of, scene_of
from perflens.analyzer.signals import Signal, Signals
from perflens.analyzer.stopped import stopped
from perflens.analyzer.totals import OperationKey, OperationTotal, RequestKey, RequestTotal, Totals
from perflens.analyzer.window import Window
from perflens.model import Evidence, Owner, ProcessKey
from tests.evidence import SECOND, evidence

MS = 10**6
A, B, SDA = Subject("owner", "/a"), Subject("owner", "/b"), Subject("device", "sda")
WINDOW = 20 * SECOND


def _unknown(_: str, __: Subject) -> None:
    return None


def _event(unit: str, ms: int, *, in_progress: bool = False, devices: tuple[str, ...] = ("sda",), **waits: int) -> Evidence:
    own = evidence(duration=ms * MS, end=900 * SECOND, in_progress=in_progress)
    blocked = {reason: part * MS for reason, part in waits.items()}
    event = replace(own.event, blocked=blocked, on_cpu=(ms - sum(waits.values())) * MS, runqueue=0, unattributed=0, requests=())
    return replace(own, event=event, owner=Owner(7, unit, unit), devices=devices, kernel_stack=("filemap_read+0x1",))


def _totals(**slow: tuple[int, int]) -> Totals:
    return Totals(
        WINDOW, {OperationKey("read", f"/{unit}"): OperationTotal(1_000, 2 * ns, count, ns) for unit, (count, ns) in slow.items()}
    )


def test_impact_is_exact_and_has_what_hangs() -> None:
    """What hangs counts for as long as it did within the window."""
    own = impact_of(_totals(a=(30, 3 * SECOND)), [_event("/b", 60_000, in_progress=True), _event("/a", 100)], _unknown)

    assert (own.operations, own.seconds, dict(own.victims)) == (31, 23.0, {B: 20.0, A: 3.0})


def test_what_is_always_slow_is_no_impact() -> None:
    usual = {A: 0.1, B: 0.01}
    own = impact_of(
        _totals(a=(30, 3 * SECOND), b=(30, 3 * SECOND)), [], lambda metric, who: usual[who] if metric == "slow.seconds" else None
    )

    assert dict(own.victims) == {B: 3.0}


@pytest.mark.parametrize(("mean", "usual", "expected"), [(1.0, 0.1, 18.0), (0.3, 0.1, None), (1.0, None, None), (0.004, 0.001, None)])
def test_what_is_slower_than_usual_below_the_threshold(mean: float, usual: float | None, expected: float | None) -> None:
    """Four times the usual mean, and a fiftieth of a thread's time beyond it."""
    totals = Totals(WINDOW, {OperationKey("read", "/a"): OperationTotal(20_000, int(20_000 * mean * MS), 0, 0)})
    own = impact_of(totals, [], lambda metric, _: usual and usual / 1_000 if metric == "operation.latency" else 0.0)

    assert dict(own.victims) == ({} if expected is None else {A: pytest.approx(expected)})
    assert own.operations == 0


def _quota(time: float, periods: float = 0.9) -> tuple[Signal, ...]:
    return (
        Signal("cpu.throttled", A, periods, "ratio", "", "", 200),
        Signal("cpu.throttled_time", A, time, "ratio", "", ""),
    )


_REQUOTED = Signal("changed.cpu_quota", A, 20.0, "s", "was changed", "", detail="1 -> 0.1")


@pytest.mark.parametrize(
    ("time", "periods", "often", "usual", "changes", "expected"),
    [
        (0.8, 0.9, 200.0, 0.0, (), 16.0),  # it does a quarter of what it did
        (0.8, 0.9, 200.0, 0.5, (), None),  # it is stopped nearly as long as ever
        (0.8, 0.9, 60.0, 0.0, (), None),  # it does as much as ever
        (0.8, 0.9, 0.0, 0.0, (), None),  # it has begun to do something
        (0.8, 0.9, 0.0, 0.0, (_REQUOTED,), 16.0),
        (0.8, 0.9, None, None, (_REQUOTED,), None),  # what is usual is not known yet
        (0.05, 0.9, 200.0, 0.0, (_REQUOTED,), None),
        (0.8, 0.05, 200.0, 0.0, (_REQUOTED,), None),
    ],
)
def test_who_is_stopped_by_a_quota(
    time: float, periods: float, often: float | None, usual: float | None, changes: tuple[Signal, ...], expected: float | None
) -> None:
    """Fifty operations a second, none of them slow."""
    totals = Totals(WINDOW, {OperationKey("read", "/a"): OperationTotal(1_000, SECOND, 0, 0)})
    known = {"operation.rate": often, "cpu.throttled_time": usual}
    found = stopped(totals, _quota(time, periods), changes, lambda metric, _: known[metric])

    assert rates_of(totals) == {A: 50.0}
    assert found == ({} if expected is None else {A: pytest.approx(expected)})
    assert impact_of(totals, [], lambda *_: 0.0, found).victims == found


def test_scene_splits_exact_seconds_as_the_events_are() -> None:
    totals = _totals(a=(100, 10 * SECOND))
    events = [_event("/a", 100, block_io=60, journal=40), _event("/a", 100, devices=("sda", "sdb"), block_io=100), _event("/c", 100)]
    own = scene_of(impact_of(totals, events, _unknown), totals, events, {})

    assert own.waits[A] == pytest.approx({"block_io": 8.0, "journal": 2.0})
    assert own.waits[HOST] == own.waits[A]
    assert own.on_device == {SDA: {A: pytest.approx(10.0)}, Subject("device", "sdb"): {A: pytest.approx(5.0)}}


def test_scene_of_one_without_events() -> None:
    """All its waits, of which the short ones are those of its disks, and the disks that it asked."""
    totals = Totals(
        WINDOW,
        {OperationKey("read", "/a"): OperationTotal(1_000, 4 * SECOND, 0, 0)},
        {RequestKey("read", "sda", "/a"): RequestTotal(900, 0, 0, SECOND // 2, SECOND // 2)},
        {("/a", "unclassified"): 3 * SECOND, ("/b", "journal"): SECOND},
    )
    impact = impact_of(totals, [], lambda metric, _: 0.000_1 if metric == "operation.latency" else 0.0)
    own = scene_of(impact, totals, [], {})
    seconds = impact.victims[A]

    assert own.waits[A] == pytest.approx({"unclassified": seconds / 2, "block_io": seconds / 4, "on_cpu": seconds / 4})
    assert own.on_device == {SDA: {A: pytest.approx(seconds)}}


def _values(signals: object) -> dict[tuple[str, Subject], float]:
    assert hasattr(signals, "__iter__")
    return {(own.metric, own.subject): own.value for own in signals}


def test_operation_signals() -> None:
    totals = replace(_totals(a=(100, 10 * SECOND)), requests={RequestKey("read", "sda", "/a"): RequestTotal(9, 0, 5 * SECOND, 0, 0)})
    events = [_event("/a", 100, block_io=60, journal=40)]
    impact = impact_of(totals, events, _unknown)
    found = _values(operation_signals(20.0, totals, impact, scene_of(impact, totals, events, {}), events))

    assert found["slow.operations", HOST] == 5
    assert found["slow.seconds", HOST] == found["slow.seconds", A] == 0.5
    assert found["operation.latency", A] == 0.02
    assert found["wait.block_io", A] == pytest.approx(0.6)
    assert found["wait.sync", A] == found["device.wait.sync", SDA] == pytest.approx(0.4)
    assert found["held.share", A] == 0.5
    assert found["reads.buffered", HOST] == 1
    assert found["reads.cached", A] == pytest.approx(0.991)


@pytest.mark.parametrize(("requests", "expected"), [(0, 1.0), (400, 0.6), (2_500, 0.0)])
def test_reads_without_a_request(requests: int, expected: float) -> None:
    """A request of each disk of a stack is one; of an owner with few reads nothing is said, nor of writes."""
    totals = Totals(
        WINDOW,
        {
            OperationKey("read", "/a"): OperationTotal(1_000, 0, 0, 0),
            OperationKey("write", "/a"): OperationTotal(1_000, 0, 0, 0),
            OperationKey("read", "/b"): OperationTotal(19, 0, 0, 0),
        },
        {
            RequestKey("read", "sda", "/a"): RequestTotal(requests, 0, 0, 0, 0),
            RequestKey("write", "sda", "/a"): RequestTotal(700, 0, 0, 0, 0),
        },
    )
    impact = impact_of(totals, [], _unknown)
    found = _values(operation_signals(20.0, totals, impact, scene_of(impact, totals, [], {}), []))

    assert found["reads.cached", A] == pytest.approx(expected)
    assert ("reads.cached", B) not in found


def test_request_signals() -> None:
    """A request's time is that in the queue as well; what nobody owns is to nobody's blame."""
    totals = Totals(
        WINDOW,
        {},
        {
            RequestKey("read", "sda", "/a"): RequestTotal(40, 4_000, 0, 2 * SECOND, 2 * SECOND),
            RequestKey("write", "sda", "unknown"): RequestTotal(60, 6_000, 0, 10 * SECOND, 6 * SECOND),
            RequestKey("read", "sdb", "/b"): RequestTotal(4, 400, 0, SECOND, SECOND),
        },
    )
    found = _values(request_signals(20.0, totals))

    assert (found["device.requests", SDA], found["device.throughput", SDA]) == (5, 500)
    assert (found["device.latency", SDA], found["device.queue_time", SDA]) == (0.08, 0.12)
    assert ("device.latency", Subject("device", "sdb")) not in found  # of too few
    assert found["device.share@sda", A] == 0.2
    assert device_culprits(totals) == {("device", SDA): (A,), ("device", Subject("device", "sdb")): (B,)}


def test_host_signals() -> None:
    cgroup = CgroupDelta(ThrottlingDelta("/a", 100, 40, 0.4, 1.5), 0.7, 30, "/a", 1, 600.0, 0.0, {"memory": PressureRatio(0.3, 0.1)})
    moved = HostDelta(
        20.0,
        CpuDelta(0.5, 0.1, 0.0),
        7.0,
        {"io": PressureRatio(0.25, 0.1)},
        {"pgpgin": 10.0, "drop_pagecache": 0.1},
        {"sda": DiskDelta(0.9, 3.0, flushes=5.0, flush_latency=0.01)},
        {"/a": cgroup},
    )
    limits = Limits(1.0, "/a", 1_000, "/a", {"8:0": {"rbps": IoLimit(1_000, "/a"), "wiops": IoLimit(10, "/a")}})
    reading = HostReading(
        0, CpuTimes(0, 0, 0, 0, 4), running=8, cgroups={"/a": CgroupReading("/a", memory=CgroupMemory(900), limits=limits)}
    )
    totals = Totals(WINDOW, {}, {RequestKey("read", "sda", "/a"): RequestTotal(20, 19_000, 0, 0, 0)})
    found = _values(host_signals(moved, reading, totals, {"8:0": "sda"}))

    assert (found["cpu.busy", HOST], found["cpu.runnable", HOST]) == (0.5, 2)
    assert (found["vm.read_in", HOST], found["vm.cache_drops", HOST]) == (10_240, 2)
    assert found["pressure.io.some", HOST] == 0.25
    assert (found["device.utilization", SDA], found["device.queue", SDA], found["device.flush_latency", SDA]) == (0.9, 3, 0.01)
    assert (found["cpu.throttled", A], found["cpu.throttled_time", A], found["cpu.cores", A]) == (0.4, 1.5, 0.7)
    assert (found["memory.limit_events", A], found["memory.refaults", A], found["memory.used", A]) == (1.5, 600, 0.9)
    assert (found["io.limits", A], found["io.limit_reached", A]) == (2, 0.95)
    assert cpu_culprits(moved, reading) == {("cpu", HOST): (A,)}
    above = replace(moved, cgroups={"/": replace(cgroup, cores=3.0), "/a": cgroup})
    both = replace(reading, cgroups={"/": CgroupReading("/"), **reading.cgroups})
    assert cpu_culprits(above, both) == {("cpu", HOST): (A,)}


def test_limits_of_a_cgroup_that_is_new() -> None:
    """What it did is not known before its second reading; that it has no limit is."""
    found = _values(host_signals(HostDelta(20.0), HostReading(0, cgroups={"/a": CgroupReading("/a")}), Totals(WINDOW), {}))

    assert found["io.limits", A] == 0
    assert ("cpu.cores", A) not in found


def test_the_worst_of_an_owners_cgroups_is_told() -> None:
    """An owner may have several containers: any of them may be at its limit; what they use of CPUs is that of all."""
    deltas = {
        f"/{name}": CgroupDelta(ThrottlingDelta(f"/{name}", 100, part, part / 100, 0.1), 0.15) for name, part in (("a", 40), ("c", 5))
    }
    moved = HostDelta(20.0, cgroups=deltas)
    reading = HostReading(0, cgroups={path: CgroupReading(path) for path in deltas})
    owners = dict.fromkeys(deltas, "shop/Deployment/web")
    web = Subject("owner", "shop/Deployment/web")
    found = _values(host_signals(moved, reading, Totals(WINDOW), {}, owners))

    assert (found["cpu.throttled", web], found["cpu.cores", web]) == (0.4, 0.3)
    assert not [subject for _, subject in found if subject in (A, Subject("owner", "/c"))]
    assert cpu_culprits(moved, reading, owners) == {("cpu", HOST): (web,)}


def test_starts() -> None:
    """The deepest process that most starts are at or below: neither the first of all, nor one of many equal ones."""
    root, shell, left, right = (ProcessKey(pid, pid) for pid in (1, 10, 20, 21))
    lines = {left: (shell, root), right: (shell, root), shell: (root,)}
    names = {shell: "sh[10]", left: "make[20]"}
    parents = Counter({left: 45, right: 45, shell: 10})

    found = _values(start_signals(200, 10.0, 2, parents, lines, names))
    assert found == {("process.starts", HOST): 10, ("process.share", Subject("process", "sh[10]")): 1.0}
    assert start_culprits(parents, lines, names) == {("parent", HOST): (Subject("process", "sh[10]"),)}
    assert start_culprits(Counter({left: 90, right: 10}), lines, names) == {("parent", HOST): (Subject("process", "make[20]"),)}
    assert start_culprits(Counter(), {}, {}) == {}


def test_changes() -> None:
    """What was changed is told for ten minutes, in words that are safe to show."""
    own = Changes(lambda text: text.replace("\x1b", "ESC"))
    before = SettingsReading(0, {}, {"vm.dirty_ratio": 20}, {}, {"/a": Limits(quota=None)}, ())
    own.compare(before, 0)
    own.compare(replace(before, sysctls={"vm.dirty_ratio": 5}, cgroups={"/a": Limits(quota=0.5, quota_at="/a")}), 100 * SECOND)
    own.programs([Program("/b", "/bin/\x1bevil")], 200 * SECOND)

    own.compare(SettingsReading(0, cgroups={"/c": Limits(quota=1.0)}), 250 * SECOND, {"/c": "shop/db"})
    own.compare(SettingsReading(0, cgroups={"/c": Limits(quota=2.0)}), 260 * SECOND, {"/c": "shop/db"})
    found = own.signals(300 * SECOND)
    assert found.pop(0).subject == Subject("owner", "shop/db")
    assert [(one.metric, one.subject, one.value) for one in found] == [
        ("changed.exec", B, 100.0),
        ("changed.cpu_quota", A, 200.0),
        ("changed.sysctl", HOST, 200.0),
    ]
    assert found[0].detail == "/bin/ESCevil"
    assert "0.5" in found[1].detail
    assert own.signals(900 * SECOND) == []


def test_programs_and_mounts_push_out_nothing_that_was_set() -> None:
    """A build starts hundreds of programs, and pods come with mounts: the latest of them are told."""
    own = Changes(str)
    before = SettingsReading(0, {}, {}, {"/": MountSettings("ext4", ())}, {"/a": Limits(quota=None)}, ())
    own.compare(before, 0)
    now = replace(before, cgroups={"/a": Limits(quota=0.5, quota_at="/a")})
    own.compare(now, SECOND)
    for number in range(300):
        own.programs([Program("/b", f"/tmp/{number}")], number * SECOND)
        own.compare(replace(now, mounts={**now.mounts, f"/{number}": MountSettings("ext4", ())}), number * SECOND)

    found = Counter(one.metric for one in own.signals(300 * SECOND))
    assert found == {"changed.cpu_quota": 1, "changed.exec": 20, "changed.mount": 20}


def test_a_program_is_known_by_its_build() -> None:
    """Another build at the same path is a change; the same one at another path is none, nor one that could not be read before or now."""
    own = Changes(str)
    own.programs([Program("/b", "/bin/db", "aa"), Program("/b", "/bin/script")], 0, usual=True)
    own.programs([Program("/b", "/bin/db", "aa"), Program("/opt", "/bin/db", "aa"), Program("/b", "/bin/script")], SECOND)
    own.programs([Program("/b", "/opt/db", "aa"), Program("/b", "/bin/db", "bb" * 20)], 2 * SECOND)
    own.programs([Program("/b", "/bin/db", "bb" * 20), Program("/b", "/bin/db"), Program("/b", "/bin/script", "cc")], 3 * SECOND)

    assert [(one.subject.name, one.detail) for one in own.signals(0)] == [
        ("/b", "/bin/db, build bbbbbbbbbbbb"),
        ("/opt", "/bin/db, build aa"),
    ]


def _window(at: int, slow: int, *signals: Signal) -> Window:
    totals = _totals(a=(slow, slow * 100 * MS)) if slow else Totals(WINDOW)
    events = [_event("/a", 100, block_io=100)] if slow else []
    return Window((at - 20) * SECOND, at * SECOND, totals, events, signals, slow=[0.0] * 5 + [slow * 0.01] * 15, usual=[0.0] * 60)


def _disk(utilization: float, queue: float, latency: float) -> tuple[Signal, ...]:
    return (
        Signal("device.utilization", SDA, utilization, "ratio", "", ""),
        Signal("device.queue", SDA, queue, "", "", ""),
        Signal("device.latency", SDA, latency, "s", "", "", counts=False),
        Signal("device.requests", SDA, 1_000 * queue, "1/s", "", ""),
    )


def test_analyst() -> None:
    """Quiet windows are the usual; the fault has its cause, its facts and its onset; then it is over."""
    own = Analyst("h", Incidents("h"))
    for at in range(100, 200, 10):
        look = own.look(_window(at, 0, *_disk(0.1, 0.1, 0.001)))
        assert (look.impact, look.changed, look.bundle.verdict, look.bundle.hypotheses) == (False, (), "benign", ())
    first = own.look(_window(200, 50, *_disk(1.0, 9.0, 0.02)))
    (opened,) = own.look(_window(210, 50, *_disk(1.0, 9.0, 0.02))).changed

    assert (first.impact, first.changed) == (True, ())
    assert (opened.cause, opened.subject) == ("DEVICE_SATURATION", SDA)
    assert opened.opened == 195 * SECOND
    facts = {fact.id: fact for fact in opened.bundle.facts}
    queue = next(facts[own] for own in opened.causes[0].supporting if facts[own].metric == "device.queue")
    assert (queue.value, queue.baseline) == (9.0, 0.1)
    assert own.baseline.learnt == 10
    ended = [look for at in range(220, 260, 10) for look in own.look(_window(at, 0, *_disk(0.1, 0.1, 0.001))).changed]
    assert [(one.id, one.state) for one in ended] == [(opened.id, "resolved")]
    assert len(own.bundles) == 6


def test_what_was_always_slow_is_usual_after_ten_minutes() -> None:
    """On a host that is never without it there is one incident after the start, and then none until it is worse."""
    own = Analyst("h", Incidents("h"))
    always = _disk(1.0, 9.0, 0.02)
    for at in range(100, 1_000, 10):
        own.look(_window(at, 50, *always))
    (done,) = own.incidents.all
    assert (done.state, done.resolved) == ("resolved", (100 + 600 + 30) * SECOND)
    assert own.baseline.is_known
    for at in range(1_000, 1_030, 10):
        own.look(_window(at, 150, *always))
    assert [one.id for one in own.incidents.open] == [done.id]


def test_what_was_not_usual_before_a_restart_does_not_become_so() -> None:
    """Windows of an incident that was told by what was usual then are not usual after the start either."""
    before = Analyst("h", Incidents("h"))
    for at in range(100, 200, 10):
        before.look(_window(at, 0, *_disk(0.1, 0.1, 0.001)))
    for at in range(200, 230, 10):
        before.look(_window(at, 50, *_disk(1.0, 9.0, 0.02)))
    own = Analyst("h", Incidents("h", before.incidents.all))
    for at in range(230, 1_500, 10):
        own.look(_window(at, 50, *_disk(1.0, 9.0, 0.02)))
    assert [one.id for one in own.incidents.open] == [one.id for one in before.incidents.open]
    assert not own.baseline.is_known


def test_who_is_new_while_another_is_slow_has_a_usual() -> None:
    """One that began in windows that are bad for another is told when it gets slow; the other's bad windows are not its own usual."""
    own = Analyst("h", Incidents("h"))

    def look(at: int, of_a: int, of_b: int) -> Look:
        operations = {OperationKey("read", "/a"): OperationTotal(4_000, of_a * 4_000_000, 0, 0)}
        if of_b:
            operations |= {OperationKey("read", "/b"): OperationTotal(4_000, of_b * 4_000_000, 0, 0)}
        return own.look(Window((at - 20) * SECOND, at * SECOND, Totals(WINDOW, operations), [], ()))

    for at in range(100, 200, 10):
        look(at, 10, 0)
    assert all(look(at, 1_000, 20).impact for at in range(200, 230, 10))
    assert dict(look(230, 10, 400).bundle.impact.victims) == {B: pytest.approx(1.52)}
    assert own.baseline.usual_of("operation.latency", A) == pytest.approx(1e-5)


def test_a_quota_that_makes_no_operation_slow() -> None:
    """What is slow is its owner's time between operations."""
    own = Analyst("h", Incidents("h"))

    def look(at: int, number: int, *signals: Signal) -> tuple[Incident, ...]:
        totals = Totals(WINDOW, {OperationKey("read", "/a"): OperationTotal(number, number * MS, 0, 0)})
        return own.look(Window((at - 20) * SECOND, at * SECOND, totals, [], signals)).changed

    assert not [one for at in range(100, 200, 10) for one in look(at, 4_000, *_quota(0.0, 0.0))]
    (opened,) = look(200, 800, *_quota(0.8))
    assert (opened.cause, opened.subject, opened.causes[0].victims) == ("CGROUP_CPU_THROTTLE", A, (A,))
    assert "No operation was over the threshold" in opened.summary
    ended = [one for at in range(210, 250, 10) for one in look(at, 4_000, *_quota(0.0, 0.0))]
    assert [(one.id, one.state) for one in ended] == [(opened.id, "resolved")]


def test_facts_of_a_name_that_attacks() -> None:
    """Whatever a name is, it is a subject and no fact's text."""
    name = "/<img src=x>\\x1b[2J"
    own = Analyst("h", Incidents("h"))
    totals = Totals(WINDOW, {OperationKey("read", name): OperationTotal(100, 20 * SECOND, 100, 19 * SECOND)})
    look = own.look(Window(0, WINDOW, totals, [_event(name, 100, journal=100)]))

    assert {fact.subject.name for fact in look.bundle.facts if fact.subject.kind == "owner"} == {name}
    assert not [fact for fact in look.bundle.facts if name in fact.text]
    assert len(Signals([])) == 0
