"""Every rung of every family at once: it attaches, and counts known work exactly; then what all of them must agree on."""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Thread

import pytest

from perflens.registry import discover
from tests.kernel.disks import BLOCK, buffered, direct, discard
from tests.kernel.slow import throttled
from tests.kernel.support import Group, group, wait
from tests.vm.guest import work
from tests.vm.guest.disks import NATIVE, Parted, layer, loop, schedule
from tests.vm.guest.ladder import NAMES, RUNGS, Ladder, Tap, is_refused, ladder
from tests.vm.guest.requests import PARTS, requests, seen

Found = Mapping[str, object]

READS, DEEP, WRITES, LAYERED, FLUSHES = 503, 1_009, 251, 101, 31
SLOW, BLOCKED, MINUTE = 7, 10, 60
KPROBES = Path("/sys/kernel/tracing/kprobe_events")
FLUSHES_COLUMN = 18  # Documentation/admin-guide/iostats.rst
LARGE = 256 << 10  # a quarter of a second at the rate of tests/kernel/slow.py

every_cell = pytest.mark.parametrize(("family", "mechanism"), RUNGS, ids=NAMES)


@dataclass(frozen=True)
class Outcome:
    """What had to be counted, what each rung did count, and how often it tells that a program of it was skipped meanwhile, at most."""

    expected: Found
    found: Mapping[str, Found]
    missed: Mapping[str, int]


@pytest.fixture(scope="module")
def rungs() -> Iterator[Ladder]:
    with ladder() as found:
        yield found


def tap(rungs: Ladder, family: str, mechanism: str) -> Tap:
    """The rung, if the kernel permits it at all; a guest's does."""
    reason = rungs.refused.get((family, mechanism), "")
    if NATIVE and reason and is_refused(reason):
        pytest.skip("refused: EPERM")
    if NATIVE and mechanism == "kprobe" and not KPROBES.exists():
        pytest.skip("no kprobe_events")
    assert not reason, reason
    return rungs.taps[family, mechanism]


@every_cell
def test_attaches(rungs: Ladder, family: str, mechanism: str) -> None:
    kernel = tap(rungs, family, mechanism).kernel
    assert kernel.has_waits == discover()[family].has_waits


@pytest.fixture(scope="module")
def blocked(rungs: Ladder) -> Iterator[float]:
    """Threads that wait for somebody to write into a pipe, from before the first count on; when they began to."""
    assert rungs.taps
    out, into = os.pipe()
    with group("blocked") as own:

        def block() -> None:
            threads = [Thread(target=os.read, args=(out, 1)) for _ in range(BLOCKED)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        pid, began = own.run(block), time.monotonic()
        tasks = Path(f"/proc/{pid}/task")
        while len(list(tasks.iterdir())) <= BLOCKED:
            time.sleep(0.1)
        yield began
        os.write(into, bytes(BLOCKED))
        wait(pid)


def misses(rungs: Ladder, family: str, before: Mapping[str, int] | None = None) -> dict[str, int]:
    """How many calls of programs the kernel tells that it skipped, by rung; those since ``before`` if there is one."""
    return {each.mechanism: each.missed - (before or {}).get(each.mechanism, 0) for each in rungs.of(family)}


def by_owner(rungs: Ladder, family: str, expected: Mapping[str, int], do: Callable[[], object]) -> Outcome:
    """Have a group do known work, and look at what each rung has for it."""
    missed = misses(rungs, family)
    with group(family) as own:
        owner = own.folder.stat().st_ino
        wait(own.run(do))
        found = {each.mechanism: {name: each.of(owner=owner, operation=name).number for name in expected} for each in rungs.of(family)}
    return Outcome(expected, found, misses(rungs, family, missed))


@pytest.fixture(scope="module")
def of_file(rungs: Ladder, folder: Path) -> Outcome:
    work.prepare(folder)
    return by_owner(rungs, "file", work.FILE, lambda: work.file_work(folder))


@pytest.fixture(scope="module")
def of_process(rungs: Ladder) -> Outcome:
    return by_owner(rungs, "process", work.PROCESS, work.process_work)


@pytest.fixture(scope="module")
def plain(request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    """A disk that nobody else uses: null_blk, or a loop device where there is none."""
    if not NATIVE:
        yield request.getfixturevalue("disk")
        return
    with loop(folder) as name:
        yield name


WORK: Mapping[str, tuple[str, int, Callable[[str], None]]] = {
    "direct reads": ("read", READS, lambda disk: direct(disk, "read", READS, 1)),
    "direct reads, 32 at once": ("read", DEEP, lambda disk: direct(disk, "read", DEEP, 32)),
    "direct writes, 4 at once": ("write", WRITES, lambda disk: direct(disk, "write", WRITES, 4)),
    "writes and a sync": ("write", 0, buffered),
}


def _in_child(disk: str, do: Callable[[str], None], own: Group) -> None:
    wait(own.run(lambda: do(disk)))


@pytest.fixture(scope="module")
def of_block(rungs: Ladder, plain: str) -> Outcome:
    """Requests under each scheduler: by the kernel's count, by the rung's, and of these the maker's own; direct ones as many as made."""
    expected: dict[str, object] = {}
    found: dict[str, dict[str, object]] = {each.mechanism: {} for each in rungs.of("block")}
    missed = misses(rungs, "block")
    for scheduler in ("none", "mq-deadline"):
        schedule(plain, scheduler)
        for title, (operation, number, do) in WORK.items():
            name, outcome = f"{scheduler}: {title}", seen(rungs, plain, operation, partial(_in_child, plain, do))
            made = (number, number * BLOCK) if number else outcome.kernel
            expected[name] = (made, made, made)
            for mechanism in found:  # pages may still be those of who wrote them before (test_owners.py)
                own = outcome.own[mechanism] if number else made
                found[mechanism][name] = (outcome.kernel, outcome.rungs[mechanism], own)
    schedule(plain, "none")
    return Outcome(expected, found, misses(rungs, "block", missed))


def _numbers(value: object) -> list[int]:
    return [own for part in value for own in _numbers(part)] if isinstance(value, tuple) else [int(value)]  # type: ignore[call-overload]


def _off(expected: Found, found: Found) -> int:
    """How many operations or blocks are missing, where that is most; a surplus is no loss but an error."""
    pairs = [pair for name in expected for pair in zip(_numbers(expected[name]), _numbers(found[name]), strict=True)]
    assert all(own <= wanted for wanted, own in pairs), (expected, found)
    return max(-((own - wanted) // BLOCK) if wanted - own >= BLOCK else wanted - own for wanted, own in pairs)


@every_cell
@pytest.mark.usefixtures("blocked")
def test_counts(request: pytest.FixtureRequest, rungs: Ladder, family: str, mechanism: str) -> None:
    """Exactly; where the kernel preempts programs and skips others meanwhile, at most as many are missing as are told."""
    tap(rungs, family, mechanism)
    outcome = request.getfixturevalue(f"of_{family}")
    found, missed = outcome.found[mechanism], outcome.missed[mechanism]
    if missed and 0 < _off(outcome.expected, found) <= missed:
        pytest.skip(f"{missed} missed, as told")
    assert found == outcome.expected, f"the kernel tells of {missed} calls of programs that it skipped"


def test_requests_of_two_queues(rungs: Ladder, disk: str) -> None:
    """Both CPUs make requests, each in a queue of its own."""

    def pinned(cpu: int) -> None:
        os.sched_setaffinity(0, {cpu})
        direct(disk, "write", WRITES, 1)

    def both(own: Group) -> None:
        wait(*[own.run(partial(pinned, cpu)) for cpu in (0, 1)])

    firsts = {Path(f"/sys/block/{disk}/mq/{queue}/cpu_list").read_text().partition(",")[0].strip() for queue in (0, 1)}
    assert firsts == {"0", "1"}
    assert seen(rungs, disk, "write", both).agreed == (2 * WRITES, 2 * WRITES * BLOCK)


def test_discards(rungs: Ladder, slow: Parted) -> None:
    assert seen(rungs, slow.name, "discard", lambda _: discard(slow.plain)).agreed[1] == 16 << 20


def flushes_of(disk: str) -> int:
    """How many flushes the kernel counted."""
    lines = (line.split() for line in Path("/proc/diskstats").read_text().splitlines())
    return next(int(fields[FLUSHES_COLUMN]) for fields in lines if fields[2] == disk)


def test_flushes(rungs: Ladder, slow: Parted) -> None:
    """A flush is asked for by a write without data, which the kernel counts too, and made by a request of the queue."""

    def sync(_: Group) -> None:
        fd = os.open(f"/dev/{slow.plain}", os.O_RDWR)
        for number in range(FLUSHES):
            os.pwrite(fd, bytes(BLOCK), number * BLOCK)
            os.fsync(fd)
        os.close(fd)

    os.sync()  # pages of the same device that somebody else left
    known = [requests(each, slow.name, "flush")[0] for each in rungs.of("block")]
    before = flushes_of(slow.name)
    assert seen(rungs, slow.name, "write", sync).agreed[1] == FLUSHES * BLOCK
    flushes = flushes_of(slow.name) - before
    assert flushes >= FLUSHES
    assert [requests(each, slow.name, "flush")[0] for each in rungs.of("block")] == [number + flushes for number in known]


def _layered(disk: str) -> None:
    direct(disk, "write", LAYERED, 4)


def test_requests_below_a_layer(rungs: Ladder, disk: str) -> None:
    """A device mapper makes no requests: its bios are the layer's, and each request is counted once, on the disk.

    A bio that one rung did not see is one that the kernel says it skipped a program for.
    """
    with layer(disk, "below") as top:
        assert seen(rungs, disk, "write", partial(_in_child, top, _layered)).agreed == (LAYERED, LAYERED * BLOCK)
        layered = [each.of(part=PARTS["layer"], object_name=top, operation="write").number for each in rungs.of("block")]
        missed = [each.missed for each in rungs.of("block")]
    assert max(layered) == LAYERED
    assert all(0 <= LAYERED - number <= skipped for number, skipped in zip(layered, missed, strict=True)), (layered, missed)


def test_requests_of_a_loop_device(rungs: Ladder, folder: Path) -> None:
    with loop(folder) as name:
        assert seen(rungs, name, "write", partial(_in_child, name, _layered)).agreed == (LAYERED, LAYERED * BLOCK)


def test_rungs_agree_on_slow_operations(rungs: Ladder, folder: Path) -> None:
    """Operations of 250 ms, the same for all rungs: as many, and durations within 5 % of each other."""
    file = folder / "slow"
    file.write_bytes(bytes(SLOW * LARGE))
    os.sync()

    def write(procs: tuple[str, ...]) -> None:
        for path in procs:
            Path(path).write_text("0")
        fd, block = os.open(file, os.O_WRONLY | os.O_DIRECT), mmap.mmap(-1, LARGE)
        for number in range(SLOW):
            os.pwrite(fd, block, number * LARGE)

    with throttled(folder) as limited, group("launcher") as launcher:
        owner = next(path for path in limited.folders if path.parent == launcher.folder.parent).stat().st_ino
        wait(launcher.run(lambda: write(limited.procs)))
        found = {each.mechanism: each.of(owner=owner, operation="write") for each in rungs.of("file")}
    sums = [own.total for own in found.values()]
    assert {own.number for own in found.values()} == {SLOW}, found
    assert min(sums) > SLOW * 0.1e9
    assert max(sums) <= 1.05 * min(sums), found


def test_blocked_readers_silence_nobody(rungs: Ladder, folder: Path, blocked: float) -> None:
    """When ten threads have been in a read that does not end for a minute, the reads of others are seen."""
    file = folder / "read"
    file.write_bytes(bytes(BLOCK))

    def read() -> None:
        fd = os.open(file, os.O_RDONLY)
        for _ in range(READS):
            os.pread(fd, 1, 0)

    time.sleep(max(blocked + MINUTE - time.monotonic(), 0))
    missed = misses(rungs, "file")
    with group("reader") as own:
        owner = own.folder.stat().st_ino
        wait(own.run(read))
        counted = {each.mechanism: each.of(owner=owner, operation="read").number for each in rungs.of("file")}
    told = misses(rungs, "file", missed)
    assert all(0 <= READS - number <= told[name] for name, number in counted.items()), (counted, told)
    assert all(number > READS // 2 for number in counted.values()), counted
