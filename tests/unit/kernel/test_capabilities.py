"""kernel/capabilities.py: what /proc says of a process, and the drop, in a process that has threads of several kinds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from perflens.capability import NAMES
from perflens.kernel.capabilities import Sets, exceeding, maps_need_bpf, of_threads, parse

STATUS = """Name:\tworker 1
CapInh:\t0000000000000001
CapPrm:\t000001ffffffffff
CapEff:\t000000c000000000
CapBnd:\t0000000000000002
CapAmb:\t0000000000000000
NoNewPrivs:\t1
"""


def test_sets_of_a_thread() -> None:
    """Each set by the names of its bits; a line that is missing is an empty set of a thread that may gain some."""
    found = parse(STATUS)

    assert found.effective == {"PERFMON", "BPF"}
    assert found.permitted == set(NAMES)
    assert found.inheritable == {"CHOWN"}
    assert found.bounding == {"DAC_OVERRIDE"}
    assert found.ambient == set()
    assert not found.may_gain
    assert found.usable == set(NAMES)
    assert parse("").usable == set()
    assert parse("").may_gain


def test_threads_that_have_more() -> None:
    """More in any set but the bounding one, or a way to gain it."""
    none = frozenset[str]()
    bpf = frozenset({"BPF"})
    threads = {
        1: ("as it should be", Sets(bpf, bpf, none, frozenset(NAMES), none, may_gain=False)),
        2: ("permitted", Sets(bpf, frozenset({"BPF", "PERFMON"}), none, none, none, may_gain=False)),
        3: ("gains", Sets(bpf, bpf, none, none, none, may_gain=True)),
    }

    assert exceeding(threads, ["BPF", "SYSLOG"]) == {2: "permitted", 3: "gains"}
    assert exceeding(threads, []) == {1: "as it should be", 2: "permitted", 3: "gains"}


def test_threads_are_read(tmp_path: Path) -> None:
    """By the ids that they have themselves, with their names; one that ended meanwhile is left out."""
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "status").write_text(STATUS)
    (tmp_path / "8").mkdir()
    (tmp_path / "9").mkdir()
    (tmp_path / "9" / "status").write_text(STATUS.replace("CapInh", "NSpid:\t9\t2\nCapInh"))

    assert of_threads(tmp_path) == {2: ("worker 1", parse(STATUS)), 7: ("worker 1", parse(STATUS))}


def test_where_anybody_may_use_bpf_the_trial_tells_nothing() -> None:
    """The switch may be turned later, so that CAP_BPF stays; the same where it cannot be read."""
    assert maps_need_bpf(0)
    assert maps_need_bpf(None)


DROP = """
import ctypes, json, signal, subprocess, sys, threading, time
from perflens.kernel.capabilities import drop, of_threads
keep = frozenset(sys.argv[1:])
pause, go = threading.Event(), threading.Event()
threads = [threading.Thread(target=pause.wait) for _ in range(3)]
asleep = threading.Thread(target=ctypes.CDLL(None).usleep, args=(400_000,))  # in the kernel, without the interpreter's lock
def spawning():
    while not pause.is_set():
        threading.Thread(target=go.wait, args=(0.5,)).start()
        time.sleep(0.001)
spawner = threading.Thread(target=spawning)
busy = threading.Thread(target=lambda: [sum(range(1000)) for _ in iter(pause.is_set, True)])
for thread in (*threads, asleep, spawner, busy):
    thread.start()
time.sleep(0.05)
sets, left = drop(keep)
found = of_threads()
pause.set()
child = subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True, check=True).stdout
from perflens.kernel.capabilities import parse
print(json.dumps({
    "left": left,
    "threads": len(found),
    "extra": [name for name, own in found.values() if own.may_gain or not own.usable <= keep],
    "effective": sorted(sets.effective),
    "child": sorted(parse(child).usable - keep),
    "gain": parse(child).may_gain,
}))
"""


@pytest.mark.parametrize("keep", [(), ("SYSLOG", "CHECKPOINT_RESTORE")])
def test_the_drop_reaches_every_thread(keep: tuple[str, ...]) -> None:
    """Those that wait, work, sleep in the kernel or make others meanwhile; none has more than is kept, nor has a program that is run."""
    done = subprocess.run([sys.executable, "-c", DROP, *keep], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)

    assert (found["left"], found["extra"], found["child"], found["gain"]) == ({}, [], [], False)
    assert found["threads"] > 6
    assert set(found["effective"]) <= set(keep)


def test_a_thread_that_cannot_be_reached_is_named() -> None:
    """One that blocks the signal is among what is left."""
    code = """
import signal, threading, time, json
from perflens.kernel import capabilities
capabilities._ROUNDS = 5
def deaf():
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGRTMAX])
    time.sleep(1)
thread = threading.Thread(target=deaf)
thread.start()
time.sleep(0.05)
print(json.dumps(list(capabilities.drop(())[1].values()) == [capabilities.of_threads()[thread.native_id][0]]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr) == ("true\n", "")
