"""kernel/attached.py: the shared memory of a probe, over maps that are not the kernel's."""

from __future__ import annotations

import struct
import time
from dataclasses import replace
from pathlib import Path

import pytest

from perflens.errors import LayoutError, ProbeError
from perflens.kernel.attach import Tuning, _candidates, _plan, _refusal, attach
from perflens.kernel.attached import AttachedProbe, Sizes, object_path, object_types
from perflens.kernel.features import Host, inspect
from perflens.kernel.loader import Plan
from perflens.kernel.slots import SlotsReading
from perflens.kernel.variables import knobs
from perflens.model import BUCKETS, CellKey, bucket_bounds
from perflens.probe import Probe, Rung
from perflens.probes.block import PROBE as BLOCK
from perflens.probes.file import PROBE
from perflens.probes.process import PROBE as COUNTERS
from perflens.testing import FakeCells, FakeLoaded

TYPES = object_types(object_path("file", inspect().machine))
FENTRY, TP_BTF, RAW_TP, KPROBE = PROBE.rungs


@pytest.fixture
def cells() -> FakeCells:
    return FakeCells("file", PROBE, cells=16)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    btf = tmp_path / "vmlinux"
    btf.touch()
    return replace(inspect(), btf=btf, untraceable="", ftrace_enabled=True, capabilities=frozenset({"CAP_BPF", "CAP_PERFMON"}))


@pytest.mark.parametrize(
    ("cpus", "pid_max", "expected"),
    [
        (1, 32_768, Sizes(64, 32_768, 1)),
        (2, 4_194_304, Sizes(64, 65_536, 2)),
        (6, 40_000, Sizes(64, 65_536, 8)),
        (128, 65_536, Sizes(64, 65_536, 8)),
    ],
)
def test_sizes(host: Host, cpus: int, pid_max: int, expected: Sizes) -> None:
    """Slots and shards are powers of two that fit the host, and bounded."""
    assert Sizes.of(replace(host, possible_cpus=cpus, pid_max=pid_max), 64) == expected


def test_sizes_of_a_probe_that_takes_less() -> None:
    """A family of durations takes what there is; one that only counts takes the cells and the ring it declares, and one slot."""
    assert Sizes(8_192, 65_536, 8).fit(PROBE) == Sizes(8_192, 65_536, 8, 1 << 23)
    assert Sizes(8_192, 65_536, 8).fit(COUNTERS) == Sizes(COUNTERS.cells, 1, COUNTERS.shards, COUNTERS.ring)
    assert Sizes(64, 65_536, 1, 1 << 12).fit(COUNTERS) == Sizes(64, 1, 1, 1 << 12)


def test_first_cells_are_the_other_cells(cells: FakeCells) -> None:
    """Each operation has its `other` cell from the start; the rest is free."""
    assert [cells.key(index) for index in range(5)] == [CellKey(0, 0, number) for number in range(5)]
    assert cells.usable == 8 + 5
    assert cells.capacity == 16


def test_key_and_info_of_a_claimed_cell(cells: FakeCells) -> None:
    """A cell tells its owner, its operation and what the kernel noted."""
    index = cells.record(77, "xfs", 2, 1000, path=("a.slice", "b.service"))

    assert (cells.key(index).owner, cells.key(index).operation) == (77, 2)
    assert cells.info(index).startswith(b"xfs\0")
    assert b"b.service\0a.slice\0" in cells.info(index)


def test_dead_cell_is_not_found_again(cells: FakeCells) -> None:
    """After kill the same owner gets another cell; after give_back the first one can be claimed by anyone."""
    first = cells.record(77, "xfs", 0, 1000)
    cells.kill(first)
    second = cells.record(77, "xfs", 0, 1000)
    cells.give_back(first)
    others = [cells.record(owner, "xfs", 0, 1000) for owner in range(100, 107)]

    assert second != first
    assert others[-1] == first
    assert len({second, *others}) == 8


def test_free_list_that_is_full(cells: FakeCells) -> None:
    """A cell that is given back too often is an error and not silence."""
    for _ in range(cells.capacity - (cells.usable - 5)):
        cells.give_back(9)
    with pytest.raises(ProbeError, match="cannot be given back"):
        cells.give_back(9)


def test_verdicts(cells: FakeCells, monkeypatch: pytest.MonkeyPatch) -> None:
    """The filter by names holds the numbers of the object's enum, until one is forgotten; a table that is full is a bug."""
    for number, verdict in enumerate(("wanted", "unwanted", "undecided"), 77):
        cells.decide(number, verdict)
    cells.decide(77, "undecided")
    cells.decide(78, "")
    cells.decide(99, "")
    assert cells._fake.verdicts == {77: 2, 79: 2}

    monkeypatch.setattr(cells._fake, "update", lambda *_: False)
    with pytest.raises(ProbeError, match="cgroup 80 cannot be filtered"):
        cells.decide(80, "wanted")


def test_ledger(cells: FakeCells) -> None:
    """Counters are summed over the shards; operations in the overflow table are in flight."""
    for counter in ("entered", "entered", "entered", "entered", "filtered", "undecided", "blocking_peer", "died", "overlong"):
        cells.count(counter)
    for counter in ("overflow_entered", "overflow_entered", "overflow_left"):
        cells.count(counter)
    entered, outcomes, in_flight, missed, details = cells.ledger(SlotsReading(0, 0, 0, ()))

    assert entered == 4
    assert outcomes == {"blocking_peer": 1, "filtered": 1, "undecided": 1, "no_slot": 0, "died": 1}
    assert (in_flight, missed) == (1, {})
    assert details == {"overlong": 1, "no_cell": 0, "slot_collision": 0, "name_truncated": 0, "sleep_not_noted": 0}
    assert cells.overflowing == 1


def test_ledger_and_slots(cells: FakeCells) -> None:
    """What the slots have begun has entered, what is in them is in flight, and what was taken back from them died."""
    cells.count("entered")
    cells.count("overflow_entered")
    cells.count("died")
    cells.slots.died = 3
    entered, outcomes, in_flight, _, _ = cells.ledger(SlotsReading(1_000, 20, 0, ()))

    assert (entered, outcomes["died"], in_flight) == (1_001, 4, 21)


def test_ledger_of_one_moment(cells: FakeCells) -> None:
    """Operations that are begun, that share a slot or whose exit was not seen open no gap: entered = outcomes + in flight."""
    for tid in (1, 2, 1, 2 + 64):
        cells.begin(tid, 77, 0, time.monotonic_ns())
    cells.count("filtered")
    cells.count("entered")
    entered, outcomes, in_flight, _, _ = cells.ledger(cells.slots.read())

    assert (entered, outcomes, in_flight) == (5, {"blocking_peer": 0, "filtered": 1, "undecided": 0, "no_slot": 0, "died": 1}, 3)


def test_events(cells: FakeCells) -> None:
    """Each slow operation is an event that was emitted, or counted under the reason why not."""
    for counter in ("emitted", "emitted", "emitted", "suppressed", "suppressed", "ring_full", "buffer_busy"):
        cells.count(counter)

    assert cells.events() == {"emitted": 3, "suppressed": 2, "ring_full": 1, "buffer_busy": 1}


def test_in_progress(cells: FakeCells) -> None:
    """What the iterator wrote is handed on as it is."""
    cells._fake.walked = b"some bytes"

    assert cells.in_progress() == b"some bytes"


def test_sleep_of_a_thread_that_is_gone(cells: FakeCells) -> None:
    """With an operation that is taken back goes what the kernel noted of its sleep."""
    cells.begin(2**22 + 1, 77, 0, time.monotonic_ns() - 20 * 10**9)

    assert cells.slots.read()[:3] == (1, 0, 0)
    assert cells._fake.forgotten == [2**22 + 1]


def test_wait_reasons(cells: FakeCells) -> None:
    """The reasons are those of the enum, in its order: those of a sleep, then the run queue, then what is not known."""
    assert cells.wait_reasons[:3] == ("unclassified", "other", "block_io")
    assert cells.wait_reasons[-3:] == ("cgroup_throttle", "runqueue", "unattributed")
    assert len(set(cells.wait_reasons)) == len(cells.wait_reasons) == TYPES.struct("cell")["wait"].count


def frames(cells: FakeCells) -> list[tuple[int, int, int]]:
    return [own for own in struct.iter_unpack("=3Q", cells._frames) if any(own)]


def test_wait_frames(cells: FakeCells) -> None:
    """The table is sorted by address and names reasons by number; what is set later replaces what begins it."""
    numbers = cells.wait_reasons.index
    assert cells.set_wait_frames([(2**64 - 4096, 2**64 - 1, "journal"), (100, 200, "block_io"), (50, 60, "futex")]) == 0

    assert frames(cells) == [(50, 60, numbers("futex")), (100, 200, numbers("block_io")), (2**64 - 4096, 2**64 - 1, numbers("journal"))]


@pytest.mark.parametrize(("given", "without_room"), [(511, 0), (512, 0), (513, 1), (600, 88)])
def test_wait_frames_that_find_no_room(cells: FakeCells, given: int, without_room: int) -> None:
    """Of too many functions the first by address are kept, and it is told how many are not."""
    assert cells.set_wait_frames([(10 * n, 10 * n + 9, "futex") for n in range(given, 0, -1)]) == without_room
    assert [first for first, _, _ in frames(cells)] == [10 * n for n in range(1, min(given, 512) + 1)]


def test_wait_frames_of_a_probe_that_waits_for_nothing() -> None:
    """A probe without waits has no table of functions, and misses no room in it."""
    own = FakeCells("process", COUNTERS, cells=16)
    assert own.set_wait_frames([(100, 200, "block_io")]) == 0
    assert frames(own) == []


def test_wait_frames_of_a_reason_that_does_not_exist(cells: FakeCells) -> None:
    """A reason that the programs do not have is an error and not silence."""
    with pytest.raises(KeyError, match="weather"):
        cells.set_wait_frames([(1, 2, "weather")])


def test_tune(cells: FakeCells) -> None:
    """Variables are set by name; one that this probe does not have is left out, and constants do not change."""
    cells.tune({"event_interval": [7], "nothing_like_it": [1], "user_frames": [3], "filter_pid": range(16)})

    assert cells.variables.get("event_interval") == (7,)
    assert cells.variables.get("filter_pid") == tuple(range(16))


def test_thresholds_of_the_operations_that_do_not_exist(cells: FakeCells) -> None:
    """Operations beyond the last one are never slow."""
    cells.set_thresholds([1, 2, 3, 4, 5])

    assert cells.variables.get("thresholds") == (1, 2, 3, 4, 5, *[2**63 - 1] * 3)


def test_bounds_of_the_kernel_side() -> None:
    """The table that the programs get begins with the bounds; what a masked index may reach is beyond every value."""
    table = struct.unpack("=132Q", knobs(TYPES, inspect(), {})["bounds"])

    assert table[:BUCKETS] == bucket_bounds()
    assert table[BUCKETS:] == (2**63 - 1,) * 3


def test_constants_follow_from_the_host_the_sizes_and_the_settings(host: Host) -> None:
    """Masks and the ring's quarter from the sizes, what the kernel can from the host, and what the settings say; each of its size."""
    own = replace(host, owner_by_memory=False)
    plan = _plan(Path("x"), TYPES, own, Sizes(64, 1024, 4, 1 << 20), TP_BTF, (), {"user_frames": 127, "no_such_constant": 1})
    values = {name: int.from_bytes(value, "little") for name, value in plan.knobs.items() if name != "bounds"}

    assert values == {
        "owner_by_memory": 0,
        "queue_first": host.queue_first,
        "request_flags_enum": host.request_flags_enum,
        "shard_mask": 3,
        "slot_mask": 1023,
        "shared_slots": 1,
        "events_quarter": 1 << 18,
        "user_frames": 127,
    }
    assert all(len(value) == TYPES.variable(name).field.size for name, value in plan.knobs.items())


@pytest.mark.parametrize(("pid_max", "shared"), [(512, False), (1024, False), (1025, True), (4_194_304, True)])
def test_slots_are_shared_where_there_are_more_threads(host: Host, pid_max: int, shared: bool) -> None:
    """Threads claim a slot where two of them may have the same one, and pay nothing for it elsewhere."""
    plan = _plan(Path("x"), TYPES, replace(host, pid_max=pid_max), Sizes(64, 1024, 4), TP_BTF, (), {})

    assert bool.from_bytes(plan.knobs["shared_slots"], "little") is shared


def test_plan_of_a_rung(host: Host) -> None:
    """Attached are the programs of operations, then waits, then locks; loaded beside are what the agent runs and what is asked for."""
    plan = _plan(Path("x"), TYPES, host, Sizes(64, 1024, 4, 1 << 20), TP_BTF, ("file_record",), {})

    assert plan.attach == (*TP_BTF.programs, *TP_BTF.waits, *TP_BTF.locks)
    assert plan.programs == (*plan.attach, "event_in_progress", "block_request_is_over", "file_record")
    assert plan.max_entries == {
        "cells": 256,
        "cell_keys": 64,
        "cell_infos": 64,
        "cell_index": 64,
        "free_cells": 64,
        "slots": 1024,
        "ledger": 4,
        "events": 1 << 20,
        "filter_verdicts": 1,
    }


def test_requests_are_scanned_in_their_own_table() -> None:
    """A request in flight is found by its owner and operation; the ledger counts what requests can become, and how owners were found."""
    types = object_types(object_path("block", inspect().machine))
    probe = replace(PROBE, in_flight="requests")
    loaded = FakeLoaded(types, Sizes(16, 64, 2, 1 << 12))
    own = AttachedProbe(loaded, types, Sizes(16, 64, 2, 1 << 12), probe, TP_BTF, 5, "/proc")
    layout, now = types.struct("request_slot"), time.monotonic_ns()
    for name, value in {"start": now - 20 * 10**9, "request": 4_711, "owner": 77, "tid": 2**22 + 1, "operation": 3, "begun": 9}.items():
        struct.pack_into(f"={layout[name].code}", loaded.named["requests"], 5 * layout.size + layout[name].offset, value)
    numbers = types.enum("ledger_counter")
    for counter in ("ENTERED", "MERGED", "REQUEUED", "BY_BLKCG", "BY_UNKNOWN"):
        struct.pack_into("=Q", loaded.named["ledger"], 8 * numbers[f"LEDGER_{counter}"], 2)
    reading = own.slots.read(10**9)
    entered, outcomes, in_flight, _, details = own.ledger(reading)
    loaded.over = {4_711}
    over = own.slots.read(10**9)

    assert [(one.owner, one.operation) for one in reading.old] == [(77, 3)]
    assert (over.in_flight, over.old) == (1, ())
    assert (entered, outcomes, in_flight) == (11, {"filtered": 0, "undecided": 0, "no_slot": 0, "died": 0, "merged": 2}, 1)
    assert (details["requeued"], details["held_unknown"], "sleep_not_noted" in details) == (2, 0, False)
    assert own.attributed() == {"submitter": 0, "blkcg": 2, "memcg": 0, "flush": 0, "unknown": 2}


def test_operations_are_attributed_by_nothing(cells: FakeCells) -> None:
    """Operations are their thread's: there is no method to tell."""
    assert cells.attributed() == {}
    assert set(cells.ledger(cells.slots.read())[1]) == {"blocking_peer", "filtered", "undecided", "no_slot", "died"}


def test_plan_of_a_probe_without_slots(host: Host) -> None:
    """Where nothing lasts, the tables beside the slots have one entry each."""
    beside = {"overflow_slots", "hints"}
    plan = _plan(Path("x"), TYPES, host, Sizes(64, 1, 4, 1 << 12), TP_BTF, (), {})

    assert {name for name, entries in plan.max_entries.items() if entries == 1} == {"slots", "filter_verdicts", *beside}


@pytest.mark.parametrize(
    ("rung", "locks", "expected"),
    [
        ("auto", True, [own for full in PROBE.rungs for own in (full, replace(full, waits=(), locks=()))]),
        ("auto", False, [own for full in PROBE.rungs for own in (replace(full, locks=()), replace(full, waits=(), locks=()))]),
        ("raw_tp", True, [RAW_TP, replace(RAW_TP, waits=(), locks=())]),
        ("classic", True, []),
    ],
)
def test_candidates(host: Host, rung: str, locks: bool, expected: list[Rung]) -> None:
    """Each rung is tried with its waits before it is tried without; locks are left out where the kernel does not trace them."""
    assert _candidates(PROBE, rung, replace(host, traces_locks=locks, untraceable="", ftrace_enabled=True)) == expected


def test_candidates_where_functions_cannot_be_traced(host: Host) -> None:
    """What traces functions is not tried: neither the rung nor what a rung has beside."""
    refusing = replace(host, untraceable="refused", ftrace_enabled=True, traces_locks=True)
    tracing = replace(refusing, untraceable="")

    assert {own.name for own in _candidates(PROBE, "auto", refusing)} == {"tp_btf", "raw_tp", "kprobe"}
    assert _candidates(PROBE, "fentry", refusing) == []
    assert not [name for own in _candidates(BLOCK, "auto", refusing) for name in own.either if name.endswith("_fexit")]
    assert [name for own in _candidates(BLOCK, "auto", tracing) for name in own.either if name.endswith("_fexit")]
    assert {own.name for own in _candidates(PROBE, "auto", replace(refusing, ftrace_enabled=False))} == {"tp_btf", "raw_tp"}


def test_candidates_of_a_probe_without_waits(host: Host) -> None:
    """A rung that tells no waits is tried once."""
    assert _candidates(COUNTERS, "auto", replace(host, traces_locks=True)) == [replace(own, locks=()) for own in COUNTERS.rungs]


class Refusing:
    """In the place of ``load``: refuses the first plans, and then gives maps of this process's memory."""

    def __init__(self, refused: int, probe: Probe = PROBE) -> None:
        self.refused, self.probe = refused, probe
        self.plans: list[Plan] = []
        self.loaded: list[FakeLoaded] = []

    def __call__(self, plan: Plan) -> FakeLoaded:
        self.plans.append(plan)
        if len(self.plans) <= self.refused:
            raise ProbeError(f"the kernel refuses plan {len(self.plans)}", f"cure {len(self.plans)}")
        self.loaded.append(FakeLoaded(TYPES, Sizes(64, 1024, 2, 1 << 16)))
        self.loaded[0].attach = lambda: None  # type: ignore[method-assign]
        return self.loaded[0]


@pytest.mark.parametrize(
    ("refused", "mechanism", "waits"),
    [(0, "fentry", True), (1, "fentry", False), (2, "tp_btf", True), (3, "tp_btf", False), (4, "raw_tp", True), (7, "kprobe", False)],
)
def test_rung_that_works(host: Host, monkeypatch: pytest.MonkeyPatch, refused: int, mechanism: str, waits: bool) -> None:
    """The first that the kernel takes is attached, with what was set before; it is told by which rung, and whether it tells waits."""
    loading = Refusing(refused)
    monkeypatch.setattr("perflens.kernel.attach.load", loading)
    tuning = Tuning({"user_frames": 9}, {"event_interval": [5], "unknown": [1]})
    probe = attach("file", PROBE, host, rung="auto", sizes=Sizes(64, 1024, 2, 1 << 16), thresholds=[7] * 5, tuning=tuning)

    assert (probe.mechanism, probe.has_waits) == (mechanism, waits)
    assert probe.variables.get("thresholds") == (7,) * 5 + (2**63 - 1,) * 3
    assert probe.variables.get("event_interval") == (5,)
    assert loading.plans[-1].knobs["user_frames"] == struct.pack("=I", 9)
    probe.close()


def test_no_rung_works(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every refusal is told in turn, with the last one's cure."""
    monkeypatch.setattr("perflens.kernel.attach.load", Refusing(99))
    error = attempt(host)

    tried = [rung for rung in PROBE.mechanisms for _ in ("with waits", "without")]
    assert error.reason == "; ".join(f"{rung}: the kernel refuses plan {number}" for number, rung in enumerate(tried, 1))
    assert error.cure == "cure 8"


def test_rungs_that_are_refused_alike_are_told_once() -> None:
    """A reason names its rungs, and none if it is that of all."""
    alike, other = ProbeError("not permitted", "be root"), ProbeError("no such function", "use another")

    assert _refusal([("tp_btf", alike), ("tp_btf", alike), ("raw_tp", alike)]).reason == "not permitted"
    mixed = _refusal([("fentry", other), ("tp_btf", alike), ("tp_btf", alike), ("raw_tp", alike)])
    assert (mixed.reason, mixed.cure) == ("fentry: no such function; tp_btf, raw_tp: not permitted", "be root")


def test_one_rung_that_does_not_attach_is_let_go(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was loaded for a rung that then does not attach is closed before the next is tried."""
    loading = Refusing(0)
    monkeypatch.setattr("perflens.kernel.attach.load", loading)
    with pytest.raises(LayoutError, match="variable filter_pid cannot be set"):
        attach(
            "file",
            PROBE,
            host,
            rung="raw_tp",
            sizes=Sizes(64, 1024, 2, 1 << 16),
            thresholds=[1] * 5,
            tuning=Tuning(variables={"filter_pid": [1]}),
        )

    assert all(memory.closed for memory in loading.loaded[0].named.values())


def attempt(host: Host, rung: str = "auto", objects: Path | None = None) -> ProbeError:
    with pytest.raises(ProbeError) as caught:
        attach("file", PROBE, host, rung=rung, sizes=Sizes(64, 1024, 1), thresholds=[1] * 5, objects=objects)
    return caught.value


def test_capability_that_is_missing(host: Host) -> None:
    """Without a capability nothing is tried, and the cure names the one that is missing."""
    error = attempt(replace(host, capabilities=frozenset({"CAP_BPF"})))

    assert error.reason == "CAP_PERFMON missing"
    assert "grant CAP_PERFMON" in error.cure


def test_kernel_without_btf(host: Host) -> None:
    """A kernel without BTF is refused with the cure."""
    error = attempt(replace(host, btf=None))

    assert "no BTF" in error.reason
    assert "CONFIG_DEBUG_INFO_BTF" in error.cure


def test_object_that_is_missing(host: Host, tmp_path: Path) -> None:
    """An object that was not built is refused with its path."""
    error = attempt(host, objects=tmp_path)

    assert error.reason == f"{object_path('file', host.machine, tmp_path)} is missing"
    assert "run make" in error.cure


def test_rung_that_does_not_exist(host: Host) -> None:
    """A rung that the probe does not have is refused with those it has."""
    error = attempt(host, rung="classic")

    assert error.reason == "file has no rung classic"
    assert error.cure == "use one of auto, fentry, tp_btf, raw_tp, kprobe"


def test_rung_that_this_kernel_refuses(host: Host) -> None:
    """Where functions cannot be traced, the rung that traces them is refused with the kernel's reason."""
    error = attempt(replace(host, untraceable="Operation not permitted (EPERM)"), rung="fentry")

    assert error.reason == "functions cannot be traced: Operation not permitted (EPERM)"


@pytest.mark.parametrize(("own", "given"), [({"CAP_BPF", "CAP_PERFMON"}, True), ({"CAP_SYS_ADMIN"}, False)])
def test_types_of_modules_are_left_to_those_who_may_see_them(host: Host, own: set[str], given: bool) -> None:
    """Without CAP_SYS_ADMIN libbpf is given the kernel's types as a file, and then asks for no module's."""
    allowed = replace(host, capabilities=frozenset(own))
    plan = _plan(object_path("file", host.machine), TYPES, allowed, Sizes.of(host, 64), TP_BTF, (), {})

    assert plan.btf == (host.btf if given else None)
