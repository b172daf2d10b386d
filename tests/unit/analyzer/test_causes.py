"""Each cause is the first one told where its own signs are, and none where they are not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from perflens.analysis import HOST
from perflens.analyzer.actions import ACTIONS
from perflens.analyzer.causes import discover
from perflens.analyzer.judge import Scene
from perflens.analyzer.signals import Signal
from tests.unit.analyzer.scenes import DISK, OTHER, PARENT, VICTIM, judged, scene, signal

_IO = {"block_io": 0.9, "runqueue": 0.1}
_CPU = {"runqueue": 0.8, "on_cpu": 0.2}

CASES: dict[str, tuple[Scene, tuple[Signal, ...]]] = {
    "DEVICE_SATURATION": (
        scene(_IO, culprit=VICTIM),
        (
            signal("device.utilization", DISK, 0.98, 0.1),
            signal("device.queue", DISK, 20, 0.2),
            signal("device.throughput", DISK, 5e8, 1e7),
            signal("device.requests", DISK, 9_000, 200),
            signal("device.latency", DISK, 0.01, 0.0005),
            signal("device.share@sda", VICTIM, 1.0, 1.0),
        ),
    ),
    "NOISY_NEIGHBOUR_IO": (
        scene(_IO, culprit=OTHER),
        (
            signal("device.utilization", DISK, 0.98, 0.1),
            signal("device.queue", DISK, 20, 0.2),
            signal("device.throughput", DISK, 5e8, 1e7),
            signal("device.requests", DISK, 9_000, 200),
            signal("device.latency", DISK, 0.01, 0.0005),
            signal("device.share@sda", OTHER, 0.95, 0.0),
            signal("device.share@sda", VICTIM, 0.05, 1.0),
        ),
    ),
    "SLOW_DEVICE": (
        scene(_IO, culprit=VICTIM),
        (
            signal("device.latency", DISK, 0.03, 0.0005),
            signal("device.queue_time", DISK, 0.0, 0.0),
            signal("device.queue", DISK, 0.6, 0.01),
            signal("device.utilization", DISK, 0.6, 0.01),
            signal("device.requests", DISK, 20, 20),
            signal("device.throughput", DISK, 80_000, 80_000),
        ),
    ),
    "IO_CGROUP_THROTTLE": (
        scene({"cgroup_throttle": 0.9, "block_io": 0.1}, culprit=VICTIM),
        (
            signal("held.share", VICTIM, 0.95, 0.0),
            signal("io.limits", VICTIM, 1, 0),
            signal("io.limit_reached", VICTIM, 0.99, 0.0),
            signal("device.latency", DISK, 0.0005, 0.0005),
        ),
    ),
    "FSYNC_JOURNAL_STALL": (
        scene({"journal": 0.7, "flush": 0.2, "block_io": 0.1}, culprit=OTHER),
        (
            signal("wait.sync", VICTIM, 0.9, 0.3),
            signal("device.wait.sync", DISK, 0.9, 0.3),
            signal("device.flushes", DISK, 500, 50),
            signal("device.utilization", DISK, 0.5, 0.1),
            signal("device.queue", DISK, 1, 0.1),
            signal("device.latency", DISK, 0.0005, 0.0005),
        ),
    ),
    "PAGE_CACHE_MISS_STORM": (
        scene(_IO, culprit=VICTIM),
        (
            signal("vm.cache_drops", HOST, 10, 0),
            signal("vm.read_in", HOST, 5e8, 1e5),
            signal("reads.buffered", HOST, 1.0),
            signal("vm.refaults", HOST, 0, 0),
            signal("device.latency", DISK, 0.001, 0.001),
        ),
    ),
    "MEMCG_LIMIT": (
        scene({"reclaim": 0.6, "block_io": 0.3, "runqueue": 0.1}),
        (
            signal("memory.limit_events", VICTIM, 50, 0),
            signal("wait.memory", VICTIM, 0.6, 0),
            signal("memory.used", VICTIM, 1.0, 0.5),
            signal("memory.refaults", VICTIM, 900, 0),
        ),
    ),
    "CACHE_THRASH": (
        scene({"block_io": 0.95, "reclaim": 0.05}),
        (
            signal("memory.limit_events", VICTIM, 50, 0),
            signal("wait.memory", VICTIM, 0.05, 0),
            signal("memory.used", VICTIM, 1.0, 0.5),
            signal("memory.refaults", VICTIM, 4_000, 0),
            signal("reads.buffered", HOST, 1.0),
        ),
    ),
    "CGROUP_CPU_THROTTLE": (
        scene(_CPU),
        (
            signal("cpu.throttled", VICTIM, 0.9, 0),
            signal("cpu.throttled_time", VICTIM, 0.8, 0),
            signal("cpu.busy", HOST, 0.2, 0.2),
        ),
    ),
    "RUNQ_SATURATION": (
        scene(_CPU, culprit=OTHER),
        (
            signal("cpu.busy", HOST, 1.0, 0.2),
            signal("cpu.runnable", HOST, 5, 0.5),
            signal("pressure.cpu.some", HOST, 0.8, 0.0),
        ),
    ),
    "FORK_EXEC_STORM": (
        scene(_CPU),
        (
            signal("process.starts", HOST, 400, 2),
            signal("process.share", PARENT, 0.95, 0),
            signal("cpu.busy", HOST, 1.0, 0.2),
            signal("pressure.cpu.some", HOST, 0.8, 0.0),
        ),
    ),
}


def test_every_cause_has_a_case() -> None:
    assert set(CASES) == set(discover())


@pytest.mark.parametrize("code", CASES)
def test_it_is_told_first(code: str) -> None:
    own, signals = CASES[code]
    found = judged(own, *signals)

    assert found[0].cause.code == code
    assert found[0].score >= 0.6
    assert not found[0].contributing
    assert found[0].supporting


@pytest.mark.parametrize("code", CASES)
def test_it_is_not_told_without_a_baseline_alone(code: str) -> None:
    """Before it is known what is usual the same signs are told, if less surely: nothing else is."""
    own, signals = CASES[code]
    found = judged(own, *(signal(one.metric, one.subject, one.value) for one in signals))

    assert not found or found[0].cause.code in (code, "DEVICE_SATURATION")


@pytest.mark.parametrize("code", CASES)
def test_nothing_is_told_of_usual_signs(code: str) -> None:
    """Slow operations that wait for nothing that a cause explains are no sign of it."""
    _, signals = CASES[code]
    usual = [signal(one.metric, one.subject, one.baseline or 0.0, one.baseline) for one in signals]

    assert not [own for own in judged(scene({"remote": 1.0}), *usual) if own.score >= 0.5]


@pytest.mark.parametrize(
    ("share", "throughput", "expected"),
    [(0.65, 1.0, "SLOW_DEVICE"), (0.6, 1.0, "SLOW_DEVICE"), (0.0, 1.0, "NOISY_NEIGHBOUR_IO"), (0.65, 4.0, "NOISY_NEIGHBOUR_IO")],
)
def test_a_neighbour_is_not_to_blame_for_what_it_always_does(share: float, throughput: float, expected: str) -> None:
    """Of a disk that became slow the one with most of its time is who had it before; one that is new, or asks for more, is why."""
    found = judged(
        scene(_IO, culprit=OTHER),
        signal("device.utilization", DISK, 0.98, 0.1),
        signal("device.queue", DISK, 5, 0.2),
        signal("device.latency", DISK, 0.05, 0.002),
        signal("device.queue_time", DISK, 0.02, 0.0),
        signal("device.requests", DISK, 100, 150),
        signal("device.throughput", DISK, 1e6, 1e6 / throughput),
        signal("device.share@sda", OTHER, 0.65, share),
        signal("device.share@sda", VICTIM, 0.25, 0.25),
    )
    assert (found[0].cause.code, found[0].contributing) == (expected, False)


@pytest.mark.parametrize(
    ("others", "a_second", "expected"),
    [(0.2, 0.5, "NOISY_NEIGHBOUR_IO"), (0.03, 2, "DEVICE_SATURATION"), (0.03, 33, "NOISY_NEIGHBOUR_IO")],
    ids=["a fifth", "hardly anybody", "one thread all the time"],
)
def test_bursts_of_a_neighbour_who_waits_for_itself(others: float, a_second: float, expected: str) -> None:
    """A disk is full in bursts however long it rests between them, and its owner's own long syncs make others' waits no smaller.

    Where hardly anybody else waits, nobody is a neighbour; one thread that does nothing but wait is somebody, beside any number.
    """
    waits = {"block_io": 0.9, "on_cpu": 0.1}
    seconds = {VICTIM: 10 * others, OTHER: 10 * (1 - others)}
    own = replace(
        scene(waits, culprit=OTHER),
        victims=seconds,
        on_device={DISK: seconds},
        waits={who: {reason: part * seconds[who] for reason, part in waits.items()} for who in seconds},
    )
    found = judged(
        own,
        signal("slow.seconds", HOST, a_second, 0.0),
        signal("device.utilization", DISK, 0.5, 0.01),
        signal("device.queue", DISK, 40, 0.1),
        signal("device.latency", DISK, 0.003, 0.0002),
        signal("device.requests", DISK, 10_000, 200),
        signal("device.throughput", DISK, 1e9, 1e6),
        signal("device.share@sda", OTHER, 0.99, 0.0),
        signal("device.share@sda", VICTIM, 0.01, 0.99),
    )
    assert (found[0].cause.code, found[0].contributing) == (expected, False)


@pytest.mark.parametrize(("queue", "told"), [(0.6, True), (6.0, False)])
def test_a_disk_that_was_not_there_before(queue: float, told: bool) -> None:
    """That it has requests at all is no reason why each takes longer, as long as one is served before the next comes."""
    found = judged(
        scene(_IO, culprit=VICTIM),
        signal("device.latency", DISK, 0.03, 0.0002),
        signal("device.requests", DISK, 20, 0),
        signal("device.throughput", DISK, 80_000, 0),
        signal("device.queue", DISK, queue, 0),
    )
    assert [one.cause.code for one in found] == (["SLOW_DEVICE"] if told else [])


@pytest.mark.parametrize(
    ("usual", "read_in", "told"),
    [(1.0, 1e3, True), (None, 1e3, False), (0.1, 1e3, False), (1.0, 2.5e6, False)],
    ids=["was in the cache", "reads for the first time", "was never in the cache", "as much is read as ever"],
)
def test_misses_of_which_none_is_slow(usual: float | None, read_in: float, told: bool) -> None:
    """Where no read is over the threshold no stack tells the page cache; that each asks a disk now, and hardly one before, does."""
    found = judged(
        scene(_IO, culprit=VICTIM),
        signal("vm.read_in", HOST, 3e6, read_in),
        signal("vm.refaults", HOST, 0, 0),
        signal("reads.cached", VICTIM, 0.05, usual),
        signal("device.latency", DISK, 0.0002, 0.0002),
    )
    assert [own.cause.code for own in found] == (["PAGE_CACHE_MISS_STORM"] if told else [])


def test_an_io_limit_that_is_no_number() -> None:
    """io.latency and io.cost let tasks sleep in the kernel's throttle, and no io.max says so; requests that were held say it not alone."""
    found = judged(scene({"cgroup_throttle": 0.9, "block_io": 0.1}, culprit=VICTIM), signal("io.limits", VICTIM, 0, 0))
    assert [(one.cause.code, one.case.subject) for one in found] == [("IO_CGROUP_THROTTLE", VICTIM)]
    held = judged(scene({"block_io": 1.0}, culprit=VICTIM), signal("io.limits", VICTIM, 0, 0), signal("held.share", VICTIM, 0.95, 0.0))
    assert "IO_CGROUP_THROTTLE" not in [one.cause.code for one in held]


def test_no_cause_produces_its_own_signs() -> None:
    """The graph of what hides what has no circle: of two causes at least one is told."""
    causes = discover()

    def reached(code: str, path: tuple[str, ...]) -> None:
        assert code not in path, path
        for other in causes[code].causes:
            reached(other, (*path, code))

    for code in causes:
        reached(code, ())


def test_actions_are_in_the_catalogue() -> None:
    assert {action for cause in discover().values() for action in cause.actions} <= set(ACTIONS)


def test_claims_name_nobody_else() -> None:
    """A claim has no place for what is not known."""
    for cause in discover().values():
        assert cause.claim.format(subject="S", victim="V", culprit="C")
        assert ("{culprit}" in cause.claim) <= bool(cause.culprit)
