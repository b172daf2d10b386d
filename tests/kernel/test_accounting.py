"""Where the time of operations went, against clocks that are not the agent's; and the accounting when it gets rough."""

from __future__ import annotations

import json
import mmap
import os
import re
import shutil
import signal
import subprocess
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from perflens.kernel.attach import attach
from perflens.kernel.attached import Sizes
from perflens.kernel.features import inspect
from perflens.model import HISTOGRAM_WIDTH, SLOW_WIDTH
from perflens.registry import discover
from tests.kernel.faults import Disk, accounted, mounted, slow_disk, uncached
from tests.kernel.slow import RATE, Event, cold_file, python_in_group, release, throttled, until, wait_for_events
from tests.kernel.support import OPERATIONS, Page, RunningAgent, closed_ledger, group, owner_tree, scrape, wait
from tests.throttle import BLOCK

MILLISECOND = 1_000_000
LARGE = 64 << 20
READS = 100_000
SLEEPS_MAX = 2048  # wait.h


def _close(found: float, truth: float) -> bool:
    """Within 5 % or a millisecond."""
    return abs(found - truth) <= max(0.05 * truth, MILLISECOND)


class Clocks(NamedTuple):
    """What the kernel itself counts of a thread, in ns: on a CPU, and waiting for one."""

    on_cpu: int
    runqueue: int

    @classmethod
    def now(cls) -> Clocks:
        return cls(time.thread_time_ns(), int(Path("/proc/thread-self/schedstat").read_text().split()[1]))


def _measured(work: Callable[[], object], operations: int, told: Path, prepare: Callable[[], object] = int) -> Callable[[], None]:
    """The work so many times over, and beside each what the kernel's own clocks say that it took."""

    def run() -> None:
        found = []
        for _ in range(operations):
            prepare()
            before = Clocks.now()
            work()
            after = Clocks.now()
            found.append([after.on_cpu - before.on_cpu, after.runqueue - before.runqueue])
        told.write_text(json.dumps(found))

    return run


@contextmanager
def _hog(cpu: int) -> Iterator[None]:
    """A process that wants the whole of a CPU."""
    pid = os.fork()
    if not pid:
        os.sched_setaffinity(0, {cpu})
        signal.alarm(100)
        while True:
            pass
    try:
        yield
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _large_reads(file: Path, cpu: int, told: Path, operations: int) -> Callable[[], None]:
    """Reads of much memory from the page cache: work for the kernel, and no sleep."""
    os.truncate(file, LARGE)

    def run() -> None:
        os.sched_setaffinity(0, {cpu})
        room = [mmap.mmap(-1, LARGE)]
        fd = os.open(file, os.O_RDONLY)
        _measured(lambda: os.preadv(fd, room, 0), operations, told, lambda: os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED))()

    return run


@pytest.mark.parametrize("contended", [False, True], ids=["alone", "with a hog"])
def test_time_on_a_cpu_and_in_its_queue_is_the_kernels_own(url: str, tmp_path: Path, contended: bool) -> None:
    """Of reads that compute long in the kernel, both parts agree with the thread's CPU clock and the scheduler's run delay."""
    file, told, cpu, operations = tmp_path / "sparse", tmp_path / "told", max(os.sched_getaffinity(0)), 15
    file.touch()
    with group("computes") as own:
        if contended:
            with _hog(cpu):
                pid = own.run(_large_reads(file, cpu, told, operations))
                wait(pid)
        else:
            pid = own.run(_large_reads(file, cpu, told, operations))
            wait(pid)
        found = [event for event in wait_for_events(url, operations, pid=pid, operation="read") if event["result"] == LARGE][::-1]
    pairs = list(zip(found, json.loads(told.read_text()), strict=True))
    delayed = sum(runqueue for _, (_, runqueue) in pairs)

    assert [accounted(event) for event in found] == [event["duration_ns"] for event in found]
    assert delayed > 20 * MILLISECOND or not contended
    # virtual machines may hide the switches of some threads from programs: then a read that those interrupt first may disagree
    agreeing = [event for event, truth in pairs if _agrees(event, Clocks(*truth))]
    assert len(agreeing) >= 0.75 * len(pairs), [(event["duration_ns"], event["time"], truth) for event, truth in pairs]


def _agrees(event: Event, truth: Clocks) -> bool:
    """Whether both parts are the kernel's; what the thread waited for as it left the kernel, or read the clocks, is in theirs alone."""
    outside = max(0, sum(truth) - event["duration_ns"])
    return _close(event["time"]["on_cpu_ns"], truth.on_cpu) and _close(event["time"]["runqueue_ns"], truth.runqueue - outside)


def test_the_wait_for_a_cpu_after_a_sleep_is_the_kernels_own(url: str, tmp_path: Path) -> None:
    """Reads whose thread, of the least priority, has to wait for a hog when its data are there: the run delay, and no sleep."""
    file, told, cpu, operations = cold_file(tmp_path), tmp_path / "told", max(os.sched_getaffinity(0)), 25

    def run() -> None:
        fd, room = os.open(file, os.O_RDONLY | os.O_DIRECT), [mmap.mmap(-1, BLOCK)]
        os.sched_setaffinity(0, {cpu})
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        _measured(lambda: os.preadv(fd, room, 0), operations, told)()

    with group("woken") as own:
        before = scrape(url)
        with _hog(cpu):
            wait(pid := own.run(run))
        found = wait_for_events(url, 1, pid=pid, operation="read")
        page = closed_ledger(url)
    truth = json.loads(told.read_text())
    late = [runqueue for _, runqueue in truth if runqueue > 5 * MILLISECOND]
    seen = page.total("perflens_operation_wait_seconds_total", unit=own.unit, reason="runqueue") * 10**9

    assert before.count(own.unit, "read") == 0
    assert page.count(own.unit, "read") == operations
    assert [accounted(event) for event in found] == [event["duration_ns"] for event in found]
    if len(late) < 3:
        pytest.skip("the thread had not to wait for its CPU: the hog did not run there")
    matched = sum(any(_close(event["time"]["runqueue_ns"], runqueue) for event in found) for runqueue in late)
    assert matched >= min(
        0.8 * len(late), len(late) - 1
    )  # the clocks are read outside of the operation: some of the delay may fall between
    assert float(seen) <= 1.05 * sum(runqueue for _, runqueue in truth) + operations * MILLISECOND


def test_time_blocked_is_what_the_throttle_held_back(url: str, tmp_path: Path) -> None:
    """At a MiB a second 16 writes of 256 KiB wait for four seconds, less what the first may have at once."""
    writes = 16

    def run() -> None:
        fd, block = os.open(tmp_path / "throttled", os.O_WRONLY | os.O_CREAT | os.O_DIRECT, 0o600), mmap.mmap(-1, BLOCK)
        for number in range(writes):
            os.pwrite(fd, block, number * BLOCK)

    with throttled(tmp_path) as slow, group("launcher") as launcher:

        def join_and_run() -> None:
            for procs in slow.procs:
                Path(procs).write_text("0")
            run()

        wait(launcher.run(join_and_run))
        page = closed_ledger(url)
    unit = f"/{slow.name}"
    waited = float(page.total("perflens_operation_wait_seconds_total", unit=unit, reason="cgroup_throttle"))

    assert page.count(unit, "write") == writes
    assert waited == pytest.approx(writes * BLOCK / RATE, rel=0.05)


def _waited(page: Page, unit: str) -> dict[str, float]:
    """The time off the CPU of an owner by reason."""
    found: Counter[str] = Counter()
    for (name, labels), value in page.samples.items():
        own = dict(labels)
        if name == "perflens_operation_wait_seconds_total" and own.get("unit") == unit:
            found[own["reason"]] += float(value)  # type: ignore[assignment]
    return dict(found)


@pytest.mark.timeout(300)
def test_nearly_all_of_the_time_is_attributed(url: str, tmp_path: Path) -> None:
    """Of 100,000 direct reads of 4 KiB, in two processes, at most 0.2 % of the time is unattributed; the parts stay below the sum."""
    file, each = cold_file(tmp_path), READS // 2

    def run() -> None:
        fd, room = os.open(file, os.O_RDONLY | os.O_DIRECT), [mmap.mmap(-1, 4096)]
        signal.alarm(200)
        for number in range(each):
            os.preadv(fd, room, number % 1024 * 4096)

    with group("many") as own:
        before = scrape(url)
        wait(own.run(run), own.run(run))
        page = closed_ledger(url)
    took = page.total(f"{OPERATIONS}_sum", unit=own.unit, operation="read")
    waited = _waited(page, own.unit)
    name = "perflens_unattributed_seconds_total"

    assert page.count(own.unit, "read") == READS
    assert waited.get("unattributed", 0) <= 0.002 * float(took)
    assert float(page.total(name, probe="file") - before.total(name, probe="file")) >= waited.get("unattributed", 0) * 0.999
    assert 0.3 * float(took) < sum(waited.values()) <= float(took)  # they wait for the disk, and for nothing longer than they took


def _maps(agent: RunningAgent, name: str) -> list[int]:
    """The ids of the kernel's tables of this name that the agent holds."""
    if not shutil.which("bpftool"):
        pytest.skip("needs bpftool")
    own = set()
    for file in Path(f"/proc/{agent.process.pid}/fdinfo").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            if match := re.search(r"^map_id:\s*(\d+)$", file.read_text(), re.MULTILINE):
                own.add(int(match[1]))
    listed = json.loads(subprocess.run(["bpftool", "--json", "map", "show"], capture_output=True, check=True).stdout)
    return [each["id"] for each in listed if each["id"] in own and each.get("name") == name]


def _dump(number: int) -> list[dict[str, Any]]:
    command = ["bpftool", "--json", "map", "dump", "id", str(number)]
    found: list[dict[str, Any]] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return found


def _threads_in_sleeps(agent: RunningAgent) -> set[int]:
    """The threads that have an entry in a table of sleeps; each probe has one."""
    numbers = _maps(agent, "sleeps")
    assert numbers
    entries = [entry for number in numbers for entry in _dump(number) if "key" in entry]
    return {int.from_bytes(bytes(int(byte, 16) for byte in entry["key"]), "little") for entry in entries}


@pytest.mark.parametrize("how", ["direct", "cached"])
def test_threads_killed_in_an_operation_leave_nothing(running: RunningAgent, rung: str, tmp_path: Path, how: str) -> None:
    """Readers that are killed while they sleep end their operation: no slot, no sleep stays, and the ledger closes."""
    file = cold_file(tmp_path, 32 * BLOCK)
    code = (
        "import mmap, threading\n"
        "fd = os.open(sys.argv[1], os.O_RDONLY | (os.O_DIRECT if sys.argv[2] == 'direct' else 0))\n"
        "room = [mmap.mmap(-1, 1 << 18) for _ in range(8)]\n"
        "def work(i):\n"
        "    for n in range(4): os.preadv(fd, [room[i]], (i * 4 + n) << 18)\n"
        "for i in range(8): threading.Thread(target=work, args=(i,)).start()\n"
    )
    before = closed_ledger(running.url)
    with throttled(tmp_path, reads=2 * RATE) as slow:
        readers = [subprocess.Popen(python_in_group(slow, code, file, how)) for _ in range(3)]
        pids = {reader.pid for reader in readers}
        until(lambda: scrape(running.url).total("perflens_probe_operations_in_flight", probe="file") >= 3)
        threads = {int(path.name) for pid in pids for path in Path(f"/proc/{pid}/task").iterdir()}
        time.sleep(1)
        for reader in readers:
            reader.kill()
        time.sleep(0.2)
        release(slow)
        for reader in readers:
            reader.wait(20)
    page = closed_ledger(running.url)

    assert len(threads) > 3
    assert not _threads_in_sleeps(running) & threads
    assert page.outcome("died") == before.outcome("died")
    assert page.outcome("no_slot") == before.outcome("no_slot")


MANY = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int fd, wanted;
static pthread_barrier_t all;

static void *reads(void *number)
{
	static __thread char room[8192];

	pthread_barrier_wait(&all);
	return pread(fd, room, sizeof(room), (long)number * sizeof(room)) == sizeof(room) ? number : (void *)-1L;
}

/* many FILE NUMBER: so many threads read two pages each, at once */
int main(int argc, char **argv)
{
	pthread_attr_t small;
	pthread_t *thread;
	long made, failed = 0;
	void *got;

	wanted = atoi(argv[2]);
	thread = calloc(wanted, sizeof(*thread));
	fd = open(argv[1], O_RDONLY);
	if (!thread || fd < 0 || pthread_barrier_init(&all, NULL, wanted))
		return 1;
	if (pthread_attr_init(&small) || pthread_attr_setstacksize(&small, 32768))
		return 1;
	for (made = 0; made < wanted && !pthread_create(&thread[made], &small, reads, (void *)made); made++)
		;
	if (made < wanted) {
		printf("%ld\n", made);
		return 3;
	}
	while (made--) {
		pthread_join(thread[made], &got);
		failed += got == (void *)-1L;
	}
	return failed ? 2 : 0;
}
"""


@pytest.fixture
def no_readahead(tmp_path: Path) -> Iterator[tuple[Path, Disk]]:
    """A file on a disk from which each page is read by itself."""
    with slow_disk(tmp_path) as disk, mounted(disk.device, "ext4", tmp_path / "mounted") as point:
        (disk.queue / "read_ahead_kb").write_text("0")
        yield uncached(point / "file", 10_000 * 8192), disk


@pytest.mark.timeout(240)
def test_ten_thousand_operations_asleep_at_once(running: RunningAgent, rung: str, tmp_path: Path, no_readahead: tuple[Path, Disk]) -> None:
    """More than the table of sleeps holds: what has no entry is counted, its time is the next sleep's or unclassified, sums are right."""
    threads, (file, disk) = 10_000, no_readahead
    source, program, url = tmp_path / "many.c", tmp_path / "many", running.url
    source.write_text(MANY)
    subprocess.run(["gcc", "-O1", "-pthread", "-o", program, source], check=True)
    before = closed_ledger(url)
    disk.delays.set(read=0.001)
    with group("asleep") as own:
        done = subprocess.run(
            ["sh", "-c", 'echo $$ > "$1"; shift; exec "$@"', "sh", own.folder / "cgroup.procs", program, file, str(threads)],
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
        )
        disk.delays.set()
        if done.returncode == 3:
            pytest.skip(f"this host allows {done.stdout.strip()} threads only")
        assert done.returncode == 0
        page = closed_ledger(url)
        found = wait_for_events(url, 100, owner=own.unit)
    took, waited = float(page.total(f"{OPERATIONS}_sum", unit=own.unit)), _waited(page, own.unit)
    name = "perflens_probe_sleep_not_noted_total"

    assert page.count(own.unit, "read") >= threads
    assert page.total(name, probe="file") - before.total(name, probe="file") > SLEEPS_MAX  # how many are asleep at once is the machine's
    assert waited["unclassified"] > 1, (waited, took)  # s; a sleep that is noted later takes the time of those before it that were not
    assert 0.9 * took < sum(waited.values()) <= took
    assert [accounted(event) for event in found] == [event["duration_ns"] for event in found]
    until(lambda: not _threads_in_sleeps(running))


@pytest.mark.timeout(60)
def test_operations_that_share_a_slot_are_accounted_for(rung: str, tmp_path: Path) -> None:
    """With two slots for the whole host most writers are in the table beside them: what they waited for is told all the same."""
    writers, writes = 7, 3
    probe = attach("file", discover()["file"], inspect(), rung=rung, sizes=Sizes(256, 2, 2), thresholds=[1 << 40] * 5)
    files = [os.open(tmp_path / f"file{number}", os.O_WRONLY | os.O_CREAT | os.O_DIRECT) for number in range(writers)]
    block, width = mmap.mmap(-1, BLOCK), SLOW_WIDTH + len(probe.wait_reasons)
    with throttled(tmp_path, writes=8 * RATE) as slow, group("launcher") as launcher:
        owner = (owner_tree() / slow.name).stat().st_ino

        def write(fd: int) -> None:
            for procs in slow.procs:
                Path(procs).write_text("0")
            for number in range(writes):
                os.pwrite(fd, block, number * BLOCK)

        wait(*[launcher.run(lambda fd=fd: write(fd)) for fd in files])  # type: ignore[misc]
        time.sleep(0.2)
        probe.detach()
    counters = probe.counters()
    bindings = array("i", [-1]) * (2 * probe.capacity)
    rows, waits = array("Q", bytes(8 * HISTOGRAM_WIDTH * 256)), array("Q", bytes(8 * width * 256))
    cells = probe.harvest(bindings, rows, waits)
    for number, cell in enumerate(cells):
        bindings[2 * cell] = bindings[2 * cell + 1] = number
    probe.harvest(bindings, rows, waits)
    own = [number for number, cell in enumerate(cells) if (probe.key(cell).owner, probe.key(cell).operation) == (owner, 1)]
    operations, took = (sum(rows[number * HISTOGRAM_WIDTH + column] for number in own) for column in (0, 1))
    waited: Counter[str] = Counter()
    for number in own:
        waited.update(dict(zip(probe.wait_reasons, waits[number * width + SLOW_WIDTH : (number + 1) * width], strict=True)))
    probe.close()
    for fd in files:
        os.close(fd)

    assert operations == writers * writes, counters
    assert counters["slot_collision"] > 0
    assert counters["overflow_entered"] == counters["overflow_left"]
    assert 0.9 * took < waited.total() <= took
    # a virtual machine may hide the switches of some threads from programs: what those interrupt is not attributed
    assert waited["cgroup_throttle"] >= 0.9 * (waited.total() - waited["unattributed"]) > 0.45 * waited.total()


def test_a_reader_beside_a_throttled_writer_is_not_throttled(url: str, rung: str, tmp_path: Path, no_readahead: tuple[Path, Disk]) -> None:
    """In one group, whose writes alone the kernel holds back, a reader waits for its own disk."""
    file, disk = no_readahead

    def writes() -> None:
        fd, block = os.open(tmp_path / "written", os.O_WRONLY | os.O_CREAT | os.O_DIRECT, 0o600), mmap.mmap(-1, BLOCK)
        for number in range(8):
            os.pwrite(fd, block, number * BLOCK)

    def reads() -> None:
        fd, room = os.open(file, os.O_RDONLY | os.O_DIRECT), [mmap.mmap(-1, 4096)]
        time.sleep(0.2)
        for number in range(10):
            os.preadv(fd, room, number * 4096)

    disk.delays.set(read=0.05)
    with throttled(tmp_path, reads=1 << 30) as slow, group("launcher") as launcher:

        def joined(work: Callable[[], object]) -> Callable[[], None]:
            def run() -> None:
                for procs in slow.procs:
                    Path(procs).write_text("0")
                work()

            return run

        writer, reader = launcher.run(joined(writes)), launcher.run(joined(reads))
        wait(writer, reader)
        read: list[Event] = wait_for_events(url, 10, pid=reader, operation="read")
        written: list[Event] = wait_for_events(url, 7, pid=writer, operation="write")
    reason = "block_io" if rung == "tp_btf" else "unclassified"

    for events, expected in ((read, reason), (written, "cgroup_throttle")):
        blocked: Counter[str] = Counter()
        for event in events:
            blocked.update(event["time"]["blocked_ns"])
        assert blocked[expected] >= 0.95 * blocked.total(), (expected, blocked)
