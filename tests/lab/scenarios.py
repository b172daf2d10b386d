"""The faults: what is done, and what is true then."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.kernel.faults import mounted, slow_disk
from tests.lab.ground import MIB, Cgroup, Disk, Ground, Load

Fault = Callable[["Stage"], object]
VICTIM, AGGRESSOR = "w7f3", "k2q9"
READER = Load(rate=200)
LOGGER = Load("append", direct=False, fsync=1, size=64 * MIB)
BUFFERED = Load(direct=False, rate=400, size=256 * MIB)


@dataclass
class Stage:
    """What a fault has at hand: the ground, who suffers and who does it."""

    ground: Ground
    disk: Disk
    victim: Cgroup
    aggressor: Cgroup
    ends: ExitStack

    def run(self, group: Cgroup, file: str, load: Load, program: str = "") -> None:
        """Run a load until the fault is over."""
        path = self.ground.file(self.disk, file, load.size) if load.mode != "spawn" else Path("/")
        process = self.ground.start(group, program or (VICTIM if group == self.victim else AGGRESSOR), path, load)
        self.ends.callback(self.ground.stop, process)

    def script(self, group: Cgroup, *command: str | Path) -> None:
        """Run another program, and what it starts, until the fault is over."""
        process = subprocess.Popen(
            command, preexec_fn=group.join, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.ends.callback(process.wait)
        self.ends.callback(subprocess.run, ["pkill", "-9", "-s", str(process.pid)], check=False)

    def every(self, seconds: float, work: Callable[[], object]) -> None:
        """Do something again and again until the fault is over."""
        over = threading.Event()

        def again() -> None:
            while not over.wait(seconds):
                work()

        thread = threading.Thread(target=again)
        thread.start()
        self.ends.callback(thread.join)
        self.ends.callback(over.set)


@dataclass(frozen=True)
class Scenario:
    """A fault, the codes that are right for it (none: nothing is wrong), and what its victim does.

    ``culprit``: the aggressor is to be blamed. ``again``: the same fault by other means, under which no rule was ever made or changed.
    ``shares``: what is due to the victim of the CPUs, where 1,024 are anybody's.
    """

    name: str
    truth: frozenset[str]
    victim: Load | None
    inject: Fault
    culprit: bool = False
    disk: Callable[[Ground, ExitStack], Disk] | None = None
    again: bool = False
    shares: int = 1_024

    @property
    def fault(self) -> str:
        """What is wrong, by whatever means."""
        return self.name.partition(".")[0]

    @property
    def by_other_means(self) -> bool:
        """Whether the same fault is there by simpler ones."""
        return self.name != self.fault


def _noisy(stage: Stage) -> None:
    stage.run(stage.aggressor, "a", Load("read", 256 << 10, threads=16))


def _noisy_by_python(stage: Stage) -> None:
    script = (
        "import mmap,os,sys,threading\n"
        "def work():\n"
        "  fd=os.open(sys.argv[1],os.O_RDWR|os.O_DIRECT); b=mmap.mmap(-1,1<<20)\n"
        "  while True:\n"
        "    for n in range(400): os.pwritev(fd,[b],n<<20)\n"
        "[threading.Thread(target=work).start() for _ in range(8)]\n"
    )
    stage.script(stage.aggressor, sys.executable, "-c", script, stage.ground.file(stage.disk, "p"))


def _noisy_by_dd(stage: Stage) -> None:
    path = stage.ground.file(stage.disk, "p")
    stage.script(stage.aggressor, "sh", "-c", _loops(f"dd if={path} of=/dev/null bs=512k iflag=direct", 6))


def _noisy_by_the_cache(stage: Stage) -> None:
    path = stage.ground.file(stage.disk, "p")
    stage.script(stage.aggressor, "sh", "-c", _loops(f"dd if=/dev/zero of={path} bs=1M count=512 conv=notrunc,fdatasync", 2))


def _noisy_at_random(stage: Stage) -> None:
    script = (
        "import mmap,os,random,sys,threading\n"
        "def work():\n"
        "  fd=os.open(sys.argv[1],os.O_RDWR|os.O_DIRECT); b=mmap.mmap(-1,1<<16)\n"
        "  while True: (os.preadv if random.random()<.5 else os.pwritev)(fd,[b],random.randrange(8000)<<16)\n"
        "[threading.Thread(target=work).start() for _ in range(24)]\n"
    )
    stage.script(stage.aggressor, sys.executable, "-c", script, stage.ground.file(stage.disk, "p"))


def _loops(command: str, number: int) -> str:
    return " ".join([f"(while :; do {command}; done) &"] * number + ["wait"])


def _self(stage: Stage) -> None:
    stage.run(stage.victim, "v", Load("read", 64 << 10, threads=64))


def _self_by_dd(stage: Stage) -> None:
    path = stage.ground.file(stage.disk, "p")
    stage.script(stage.victim, "sh", "-c", _loops(f"dd if={path} of=/dev/null bs=512k iflag=direct", 8))


def _throttle_bytes(stage: Stage) -> None:
    stage.victim.set("blkio", "blkio.throttle.read_bps_device", f"{stage.disk.number} 204800")
    stage.ends.callback(stage.victim.set, "blkio", "blkio.throttle.read_bps_device", f"{stage.disk.number} 0")


def _throttle_reads(stage: Stage) -> None:
    stage.victim.set("blkio", "blkio.throttle.read_iops_device", f"{stage.disk.number} 50")
    stage.ends.callback(stage.victim.set, "blkio", "blkio.throttle.read_iops_device", f"{stage.disk.number} 0")


def _journal(stage: Stage) -> None:
    for at in range(12):
        stage.run(stage.aggressor, f"j{at}", Load("append", direct=False, fsync=1, size=8 * MIB))


def _journal_by_python(stage: Stage) -> None:
    script = (
        "import os,sys,threading\n"
        "def work(n):\n"
        "  while True:\n"
        "    with open(f'{sys.argv[1]}/t{n}','wb') as f:\n"
        "      f.write(bytes(8192)); f.flush(); os.fsync(f.fileno())\n"
        "    os.rename(f'{sys.argv[1]}/t{n}',f'{sys.argv[1]}/r{n}')\n"
        "[threading.Thread(target=work,args=(n,)).start() for n in range(8)]\n"
    )
    stage.script(stage.aggressor, sys.executable, "-c", script, stage.disk.point)


def _journal_by_dd(stage: Stage) -> None:
    one = f"{stage.disk.point}/n$n"
    work = f"while :; do dd if=/dev/zero of={one} bs=8k count=4000 oflag=dsync; done"
    stage.script(stage.aggressor, "sh", "-c", f"for n in 1 2 3 4 5 6 7 8 9 10 11 12; do ({work}) & done; wait")


def _cold_by_advice(stage: Stage) -> None:
    path = stage.ground.file(stage.disk, "v", BUFFERED.size)
    script = (
        "import os,sys,time\n"
        "fd=os.open(sys.argv[1],os.O_RDONLY)\n"
        "while True: os.posix_fadvise(fd,0,0,os.POSIX_FADV_DONTNEED); time.sleep(.5)\n"
    )
    stage.script(stage.aggressor, sys.executable, "-c", script, path)


def _cold_by_reclaim(stage: Stage) -> None:
    path = stage.ground.file(stage.disk, "v", BUFFERED.size)
    subprocess.run(["dd", f"if={path}", "iflag=nocache", "count=0"], check=True, stderr=subprocess.DEVNULL)  # of an earlier run's cgroup
    stage.every(1, lambda: stage.victim.set("memory", "memory.force_empty", "0"))


def _cold(stage: Stage) -> None:
    stage.every(1, lambda: Path("/proc/sys/vm/drop_caches").write_text("1"))


def _memory(stage: Stage) -> None:
    stage.victim.set("memory", "memory.limit_in_bytes", str(64 * MIB))
    stage.ends.callback(stage.victim.set, "memory", "memory.limit_in_bytes", "-1")


def _memory_by_another(stage: Stage) -> None:
    stage.victim.set("memory", "memory.limit_in_bytes", str(220 * MIB))
    stage.ends.callback(stage.victim.set, "memory", "memory.limit_in_bytes", "-1")
    script = "import time; b=bytearray(160<<20)\nwhile True:\n  for n in range(0,len(b),4096): b[n]=1\n  time.sleep(.2)\n"
    stage.script(stage.victim, sys.executable, "-c", script)


def _quota_by_others(stage: Stage) -> None:
    stage.victim.set("cpu", "cpu.cfs_quota_us", "5000")
    stage.ends.callback(stage.victim.set, "cpu", "cpu.cfs_quota_us", "-1")
    stage.script(stage.victim, "sh", "-c", _loops(":", 2))


def _quota(stage: Stage) -> None:
    stage.victim.set("cpu", "cpu.cfs_quota_us", "2000")
    stage.ends.callback(stage.victim.set, "cpu", "cpu.cfs_quota_us", "-1")


def _busy(stage: Stage) -> None:
    for _ in range(8):
        stage.run(stage.aggressor, "a", Load("burn", rate=1, direct=False))


def _busy_by_shell(stage: Stage) -> None:
    stage.script(stage.aggressor, "sh", "-c", _loops(":", 8))


def _busy_in_the_kernel(stage: Stage) -> None:
    stage.script(stage.aggressor, "sh", "-c", _loops("dd if=/dev/urandom of=/dev/null bs=1M", 8))


def _forks(stage: Stage) -> None:
    stage.run(stage.aggressor, "a", Load("spawn", threads=8))


def _forks_by_shell(stage: Stage) -> None:
    stage.script(stage.aggressor, "sh", "-c", _loops("/bin/true", 4))


def _forks_by_python(stage: Stage) -> None:
    script = "import os\nfor _ in range(5): os.fork()\nwhile True:\n  if not os.fork(): os._exit(0)\n  os.wait()\n"
    stage.script(stage.aggressor, sys.executable, "-c", script)


def _nothing(_: Stage) -> None:
    time.sleep(0)


def _blocked(stage: Stage) -> None:
    for at in range(20):
        fifo = stage.ground.folder / f"fifo{at}"
        process = subprocess.Popen(["sh", "-c", f"mkfifo {fifo} 2>/dev/null; exec cat {fifo}"])
        stage.ends.callback(process.wait)
        stage.ends.callback(process.kill)


def _blocked_by_others(stage: Stage) -> None:
    log = stage.ground.folder / "log"
    log.touch()
    for _ in range(8):
        stage.script(stage.aggressor, "tail", "-n0", "-f", log)
        stage.script(stage.aggressor, "script", "-qc", "cat", "/dev/null")
        stage.script(stage.aggressor, "sleep", "100000")
        stage.script(stage.aggressor, sys.executable, "-c", "import socket; a, b = socket.socketpair(); a.recv(1)")
    stage.every(1, lambda: log.write_text("a line\n"))


def _healthy(stage: Stage) -> None:
    stage.run(stage.aggressor, "hot", Load("read", 65_536, direct=False, rate=2_000, size=32 * MIB))


def _healthy_and_busy(stage: Stage) -> None:
    stage.run(stage.aggressor, "hot", Load("burn", rate=1, direct=False))
    stage.run(stage.aggressor, "cold", Load("write", 16_384, direct=False, rate=20, size=32 * MIB))


def _slow(stage: Stage) -> None:
    delays = getattr(stage.disk, "delays")  # noqa: B009
    delays.set(read=0.03, write=0.03)
    stage.ends.callback(delays.set)


def _slower(stage: Stage) -> None:
    delays = getattr(stage.disk, "delays")  # noqa: B009
    delays.set(read=0.1, write=0.1)
    stage.ends.callback(delays.set)


@dataclass(frozen=True)
class SlowDisk(Disk):
    """One that takes as long as it is told."""

    delays: object = None


def _slow_ground(ground: Ground, ends: ExitStack) -> Disk:
    folder = Path(tempfile.mkdtemp(dir=ground.folder))
    own = ends.enter_context(slow_disk(folder))
    point = ends.enter_context(mounted(own.device, "ext4", folder / "mounted"))
    return SlowDisk(own.device.name, point, own.delays)


def _of(*codes: str) -> frozenset[str]:
    return frozenset(codes)


_HOT = Load("read", 1 << 20, direct=False, threads=2, rate=400, size=16 * MIB)
_FAST = Load("read", 1 << 20, direct=False, threads=2, size=16 * MIB)

_SLOW_WRITER = Load("write", rate=8, size=64 * MIB)
_TWO = Load(rate=200, threads=2)

SCENARIOS: Mapping[str, Scenario] = {
    own.name: own
    for own in (
        Scenario("idle", _of(), None, _nothing),
        Scenario("benign-block", _of(), READER, _blocked),
        Scenario("benign-block.others", _of(), READER, _blocked_by_others, again=True),
        Scenario("benign-busy", _of(), READER, _healthy),
        Scenario("benign-busy.others", _of(), READER, _healthy_and_busy, again=True),
        Scenario("self-saturation", _of("DEVICE_SATURATION"), READER, _self),
        Scenario("self-saturation.dd", _of("DEVICE_SATURATION"), READER, _self_by_dd, again=True),
        Scenario("noisy-neighbour", _of("NOISY_NEIGHBOUR_IO"), READER, _noisy, culprit=True),
        Scenario("noisy-neighbour.python", _of("NOISY_NEIGHBOUR_IO"), READER, _noisy_by_python, culprit=True, again=True),
        Scenario("noisy-neighbour.dd", _of("NOISY_NEIGHBOUR_IO"), READER, _noisy_by_dd, culprit=True, again=True),
        Scenario("noisy-neighbour.cache", _of("NOISY_NEIGHBOUR_IO"), READER, _noisy_by_the_cache, culprit=True),
        Scenario("noisy-neighbour.random", _of("NOISY_NEIGHBOUR_IO"), READER, _noisy_at_random, culprit=True, again=True),
        Scenario("slow-device", _of("SLOW_DEVICE"), Load(rate=20, size=64 * MIB), _slow, disk=_slow_ground),
        Scenario("slow-device.writes", _of("SLOW_DEVICE"), _SLOW_WRITER, _slower, disk=_slow_ground, again=True),
        Scenario("io-throttle", _of("IO_CGROUP_THROTTLE"), _TWO, _throttle_reads),
        Scenario("io-throttle.bytes", _of("IO_CGROUP_THROTTLE"), _TWO, _throttle_bytes, again=True),
        Scenario("journal", _of("FSYNC_JOURNAL_STALL"), LOGGER, _journal, culprit=True),
        Scenario("journal.python", _of("FSYNC_JOURNAL_STALL"), LOGGER, _journal_by_python, culprit=True, again=True),
        Scenario("journal.dd", _of("FSYNC_JOURNAL_STALL"), LOGGER, _journal_by_dd, culprit=True),
        Scenario("cold-cache", _of("PAGE_CACHE_MISS_STORM"), BUFFERED, _cold),
        Scenario("cold-cache.advice", _of("PAGE_CACHE_MISS_STORM"), BUFFERED, _cold_by_advice),
        Scenario("cold-cache.reclaim", _of("PAGE_CACHE_MISS_STORM"), BUFFERED, _cold_by_reclaim, again=True),
        Scenario("memory-limit", _of("MEMCG_LIMIT", "CACHE_THRASH"), BUFFERED, _memory),
        Scenario("memory-limit.another", _of("MEMCG_LIMIT", "CACHE_THRASH"), BUFFERED, _memory_by_another, again=True),
        Scenario("cpu-quota", _of("CGROUP_CPU_THROTTLE"), _HOT, _quota),
        Scenario("cpu-quota.others", _of("CGROUP_CPU_THROTTLE"), _HOT, _quota_by_others, again=True),
        Scenario("run-queue", _of("RUNQ_SATURATION"), _FAST, _busy, culprit=True, shares=256),
        Scenario("run-queue.shell", _of("RUNQ_SATURATION"), _FAST, _busy_by_shell, culprit=True, shares=256, again=True),
        Scenario("run-queue.kernel", _of("RUNQ_SATURATION"), _FAST, _busy_in_the_kernel, culprit=True, shares=256),
        Scenario("fork-storm", _of("FORK_EXEC_STORM"), _FAST, _forks, culprit=True),
        Scenario("fork-storm.shell", _of("FORK_EXEC_STORM"), _FAST, _forks_by_shell, culprit=True, again=True),
        Scenario("fork-storm.python", _of("FORK_EXEC_STORM"), _FAST, _forks_by_python, culprit=True, again=True),
    )
}


@contextmanager
def injected(scenario: Scenario, stage: Stage) -> Iterator[None]:
    """The fault, until the block ends."""
    with ExitStack() as ends:
        stage.ends = ends
        scenario.inject(stage)
        yield
