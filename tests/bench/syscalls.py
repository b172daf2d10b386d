"""What a probe adds to a system call, against empty programs at the same places and against bpftrace."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from itertools import cycle
from pathlib import Path

from perflens.kernel.attach import attach
from perflens.kernel.attached import AttachedProbe, Sizes
from perflens.kernel.features import Host, inspect
from perflens.kernel.loader import Loaded, Plan, load
from perflens.probe import Probe
from perflens.probes import file
from tests.bench.report import Line, Result, Skipped
from tests.bench.rounds import Rounds, measure
from tests.bench.tracers import alone, tracers
from tests.bench.waiting import free_port, until

__all__ = [
    "EMPTY_PAIR",
    "PROBE",
    "Load",
    "Variant",
    "compile_object",
    "empty_programs",
    "file_probe",
    "measured",
    "medians",
    "other_syscall",
    "pread_4k",
    "read_1b",
    "while_attached",
]

_HERE = Path(__file__).parent
PROBE = replace(file.PROBE, rungs=tuple(rung for rung in file.PROBE.rungs if rung.name in ("tp_btf", "raw_tp")))
"""With the rungs that an empty pair at the entry and the exit of all system calls is the floor of."""

EMPTY_PAIR = ("empty_exit", "empty_enter")
_LEAST = ("least_exit", "least_enter")
_ROUNDS = 41
_PEER_ROUNDS = 11
_CALLS = 8_000
_PLACES = 5
_CALLS_A_MEASUREMENT = 5 * _CALLS  # five loops, see load.c
_TRIES = 20
_SLOW = 5_000_000
_BPFTRACE = (
    "tracepoint:syscalls:sys_enter_pread64 { @s[tid] = nsecs; } "
    "tracepoint:syscalls:sys_exit_pread64 /@s[tid]/ { @h = hist(nsecs - @s[tid]); delete(@s[tid]); }"
)
_LEAST_IS = "the clock at entry and exit, one count, one sum: what any tool that takes the time of a call adds here"
_PEER = "PERFLENS_BENCH_EBPF_EXPORTER"

Variant = Callable[[], AbstractContextManager[None]]


class Load:
    """The load generator: a process that makes system calls on one CPU, all of them in the same thread."""

    def __init__(self, folder: Path, cpu: int) -> None:
        program, file = folder / "load", folder / "file"
        subprocess.run(["cc", "-O2", "-Wall", "-Wno-unused-result", "-pthread", "-o", str(program), str(_HERE / "load.c")], check=True)
        file.write_bytes(os.urandom(65_536))
        self._process = subprocess.Popen([str(program), str(cpu), str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ns(self, call: str) -> float:
        """Return the CPU time of one call."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{call} {_CALLS}\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def compile_object(folder: Path, name: str = "empty") -> Path:
    """Compile a BPF program of this folder; return the object."""
    target = folder / f"{name}.bpf.o"
    headers = subprocess.run(["cc", "-print-multiarch"], capture_output=True, text=True, check=True).stdout.strip()
    source = _HERE / f"{name}.bpf.c"
    flags = ["-g", "-O2", "-Wall", "-target", "bpf", "-mcpu=v3", f"-I/usr/include/{headers}"]
    subprocess.run(["clang", *flags, "-c", str(source), "-o", str(target)], check=True)
    return target


@contextmanager
def while_attached(loaded: Loaded | AttachedProbe) -> Iterator[None]:
    """Attach what is loaded: within milliseconds, so that the variants of a round are close to each other in time."""
    loaded.attach()
    try:
        yield
    finally:
        loaded.detach()


@contextmanager
def empty_programs(path: Path, *programs: str) -> Iterator[Loaded]:
    """Load programs that do nothing."""
    loaded = load(Plan(path, programs, programs, {}, {}, {}))
    try:
        yield loaded
    finally:
        loaded.close()


@contextmanager
def file_probe(host: Host, rung: str, calls: Callable[[], int], probe: Probe = PROBE) -> Iterator[AttachedProbe]:
    """Load the file probe; in the end its ledger must hold as many operations that were aggregated as calls were made."""
    attached = attach("file", probe, host, rung=rung, sizes=Sizes.of(host, 4096), thresholds=[_SLOW] * 5)
    try:
        attached.detach()
        yield attached
        entered, outcomes, *_ = attached.ledger(attached.slots.read())
        aggregated = entered - sum(outcomes.values())
        if aggregated < calls():
            raise RuntimeError(f"{rung}: the probe saw {aggregated} operations of {calls()}")
    finally:
        attached.close()


def _with_tracefs(command: list[str]) -> list[str]:
    """Return the command with a mount of tracefs that nobody else sees and that ends with it, where there is none."""
    if Path("/sys/kernel/tracing/events").exists():
        return command
    return ["unshare", "--mount", "sh", "-c", f"mount -t tracefs tracefs /sys/kernel/tracing && exec {shlex.join(command)}"]


@contextmanager
def _bpftrace() -> Iterator[None]:
    script = f'{_BPFTRACE} interval:ms:100 {{ printf("ready\\n"); }}'
    command = _with_tracefs(["bpftrace", "-e", script])
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)

        def is_ready() -> bool:
            output.seek(0)
            return output.read().count("ready") >= 2 or process.poll() is not None

        try:
            until(is_ready, 20, "bpftrace attaches")
            yield
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(20)
        output.seek(0)
        said = output.read()
    seen = sum(int(count) for count in re.findall(r"^\[.*[)\]]\s+(\d+) \|", said, re.MULTILINE))
    if seen < _CALLS_A_MEASUREMENT:
        raise RuntimeError(f"bpftrace saw {seen} calls of {_CALLS_A_MEASUREMENT}: {said[-500:]}")


@contextmanager
def _ebpf_exporter(command: str) -> Iterator[None]:
    """Run ebpf_exporter with a histogram of pread64; ``command`` is the binary and its flags for the configuration."""
    address = f"127.0.0.1:{free_port()}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PERFLENS_")}
    words = _with_tracefs([*shlex.split(command), f"--web.listen-address={address}"])
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)

    def answers() -> bool:
        if process.poll() is not None:
            raise RuntimeError(f"{command} ended with {process.returncode}")
        try:
            with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as answer:
                return int(answer.status) == 200
        except OSError:
            return False

    try:
        until(answers, 20, "ebpf_exporter answers")
        yield
    finally:
        process.terminate()
        process.wait(10)


def measured(variants: Mapping[str, Variant], call: str, load_process: Load, rounds: int) -> Rounds:
    """Measure a call under each variant in turn, while nobody else traces."""

    def run(variant: Variant) -> float:
        for _ in range(_TRIES):
            alone()
            with variant():
                ns = load_process.ns(call)
            if not tracers():
                return ns
        raise TimeoutError(f"other programs begin to trace this machine all the time: {', '.join(tracers())}")

    return measure({name: partial(run, variant) for name, variant in variants.items()}, rounds)


@contextmanager
def _bench(call: str) -> Iterator[tuple[Load, dict[str, Variant]]]:
    """The load, and the variants that every row has: bare, the empty pair, the least pair that takes a time, and each rung."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="perflens-bench-", dir="/var/tmp")))  # a disk
        load_process = Load(folder, max(os.sched_getaffinity(0)))
        stack.callback(load_process.close)
        host, made = inspect(), Counter[str]()
        variants: dict[str, Variant] = {"bare": nullcontext}
        empty = compile_object(folder)
        for name, pair in {"empty pair": EMPTY_PAIR, "least": _LEAST}.items():
            floors = [stack.enter_context(empty_programs(empty, *pair)) for _ in range(_PLACES)]
            variants[name] = _in_turn(partial(while_attached, floor) for floor in floors)
        for rung in PROBE.rungs:
            own = [f"{rung.name} {place}" for place in range(_PLACES)]
            loaded = {name: stack.enter_context(file_probe(host, rung.name, partial(made.__getitem__, name))) for name in own}
            variants[rung.name] = _in_turn(_counted(partial(while_attached, probe), name, made, call) for name, probe in loaded.items())
        yield load_process, variants


def _in_turn(places: Iterable[Variant]) -> Variant:
    """One variant from the same programs loaded several times: where in memory they lie costs or spares them some ns."""
    turns = cycle(places)
    return lambda: next(turns)()


def _counted(variant: Variant, name: str, made: Counter[str], call: str) -> Variant:
    @contextmanager
    def run() -> Iterator[None]:
        with variant():
            yield
        made[name] += _CALLS_A_MEASUREMENT if call.startswith("read") else 0

    return run


def medians(found: Rounds, base: str = "bare") -> str:
    """Return what each variant adds."""
    names = list(found.values[0])
    own = ", ".join(f"{name} {found.added(name, base).median:+.0f}" for name in names if name != base)
    return f"{base} {found.plain(base).median:.0f} ns; added: {own}"


def read_1b() -> Iterator[Line]:
    """Added ns of a 1-byte pread of a cached file, as multiples of an empty pair's and of a peer's."""
    with _bench("read_1") as (load_process, variants):
        found = measured(variants, "read_1", load_process, _ROUNDS)
        for rung in PROBE.rungs:
            value = found.added_ratio(rung.name, "empty pair", "bare")
            yield Result("read_1B", f"added by {rung.name} / added by the empty pair", value, "×", 2.0, medians(found))
        least = found.added_ratio("least", "empty pair", "bare")
        yield Result("read_1B", "added by the least / added by the empty pair", least, "×", None, _LEAST_IS)
        del variants["empty pair"]
        missing = "" if shutil.which("bpftrace") else "bpftrace is not installed"
        yield from _against("bpftrace", _bpftrace, variants, load_process, 0.4, missing)
        command = os.environ.get(_PEER, "")
        peer = partial(_ebpf_exporter, command)
        yield from _against("ebpf_exporter", peer, variants, load_process, None, "" if command else f"{_PEER} names no command")


def _against(
    name: str, peer: Variant, variants: Mapping[str, Variant], load_process: Load, budget: float | None, missing: str
) -> Iterator[Line]:
    if missing:
        yield Skipped("read_1B", f"added / added by {name}", missing)
        return
    found = measured({**variants, name: peer}, "read_1", load_process, _PEER_ROUNDS)
    for rung in PROBE.rungs:
        value = found.added_ratio(rung.name, name, "bare")
        yield Result("read_1B", f"added by {rung.name} / added by {name}", value, "×", budget, medians(found))
    yield Result("read_1B", f"added by the least / added by {name}", found.added_ratio("least", name, "bare"), "×", None, _LEAST_IS)


def pread_4k() -> Iterator[Line]:
    """A cached 4 KiB pread with the probe attached as a multiple of a bare one."""
    with _bench("read_4096") as (load_process, variants):
        found = measured(variants, "read_4096", load_process, _ROUNDS)
        for rung in PROBE.rungs:
            yield Result("pread_4K", f"{rung.name} / bare", found.ratio(rung.name, "bare"), "×", 1.7, medians(found))
        yield Result("pread_4K", "least / bare", found.ratio("least", "bare"), "×", None, _LEAST_IS)
        yield Result("pread_4K", "empty pair / bare", found.ratio("empty pair", "bare"), "×", None, "the floor")


def other_syscall() -> Iterator[Line]:
    """Added ns of a system call that the probe does not look at, as a multiple of an empty pair's."""
    with _bench("getppid") as (load_process, variants):
        del variants["least"]  # no time is taken
        found = measured(variants, "getppid", load_process, _ROUNDS)
        for rung in PROBE.rungs:
            value = found.added_ratio(rung.name, "empty pair", "bare")
            yield Result("other_syscall", f"added by {rung.name} / added by the empty pair", value, "×", 1.1, medians(found))
