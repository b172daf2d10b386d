"""From the ring to the agent's sums: how many events a second, at what cost to the agent, and how many find no room."""

from __future__ import annotations

import os
import platform
import signal
import struct
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from perflens.agent import Agent, tree_of
from perflens.config import Settings
from perflens.config.settings import Events, Filter
from perflens.decode.events import EventDecoder, EventLayouts
from perflens.kernel.attached import object_path, object_types
from perflens.kernel.features import inspect
from perflens.kernel.loader import Plan, load
from perflens.kernel.ring import Ring
from perflens.layout import enum_labels
from perflens.probes.file import PROBE
from tests.bench.report import Line, Result
from tests.bench.rounds import Spread
from tests.bench.storm import Reads
from tests.bench.syscalls import compile_object
from tests.bench.tracers import alone

__all__ = ["Round", "drained", "headers", "stacks", "stormed"]

_RING = 16 << 20
_ROUNDS = 9
_SECONDS = 1.0
_TIMER = 0.005
_AT_ONCE = 1024
_PACE = 2_000_000  # headers a second: to send one takes far less than to take it out
_BEHIND = 0.01
_TYPES = object_types(object_path("file", platform.machine()))
_EVENT = _TYPES.struct("event")


@dataclass(frozen=True, slots=True)
class Round:
    """Events of one round: taken out of the ring and refused by it; seconds that it took, and of that the taking, by clock and by CPU."""

    taken: int
    lost: int
    seconds: float
    busy: float
    cpu: float


def drained(drain: Callable[[], None], counts: Callable[[], tuple[int, int]]) -> Round:
    """Drain by a timer for a while; ``counts`` are what was taken and what was refused so far."""
    drain()
    taken, lost = counts()
    began, cpu, busy = time.monotonic(), time.thread_time(), 0.0
    while time.monotonic() - began < _SECONDS:
        time.sleep(_TIMER)
        busy -= time.monotonic()
        drain()
        busy += time.monotonic()
    took, cpu = time.monotonic() - began, time.thread_time() - cpu
    after, refused = counts()
    if after == taken:
        raise RuntimeError("no event came: is the load running?")
    return Round(after - taken, refused - lost, took, busy, cpu)


def _rounds(drain: Callable[[], None], counts: Callable[[], tuple[int, int]]) -> list[Round]:
    """Drain on the first CPU, where the producer is not."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        return [drained(drain, counts) for _ in range(_ROUNDS)]
    finally:
        os.sched_setaffinity(0, allowed)


def _lines(row: str, what: str, rounds: list[Round], budget: float) -> Iterator[Line]:
    rate = Spread.of(own.taken / own.seconds / 1e3 for own in rounds)
    each = Spread.of(own.cpu / own.taken * 1e6 for own in rounds)
    sent = Spread.of((own.taken + own.lost) / own.seconds / 1e3 for own in rounds)
    lost = Spread.of(100 * own.lost / (own.taken + own.lost) for own in rounds)
    busy = Spread.of(100 * own.cpu / own.seconds for own in rounds)
    told = f"sent {sent.median:,.0f} k/s, lost {lost.median:.2f} % (at most {lost.high:.2f} %); the drain has {busy.median:.0f} % of a CPU"
    yield Result(row, f"{what}: taken a second", rate, "k/s", budget, told, at_least=True)
    yield Result(row, f"{what}: CPU of the drain an event", each, "us", 1.0, "taken out and summed up, none explained")


def _decoder() -> EventDecoder:
    reasons = tuple(enum_labels("wait_reason", _TYPES.enum("wait_reason"), exclude=frozenset({"WAIT_REASONS"})).values())
    kinds = enum_labels("event_kind", _TYPES.enum("event_kind"))
    layouts = EventLayouts(_EVENT, _TYPES.struct("wait_interval"), _TYPES.struct("event_frame"), _TYPES.struct("request_note"))
    return EventDecoder("file", layouts, {0: "read"}, reasons, kinds)


def _header() -> bytes:
    event = bytearray(_EVENT.size)
    for name, value in {"start": 10**12, "duration": 10**4, "process_start": 10**9, "pid": 1}.items():
        struct.pack_into(f"={_EVENT[name].code}", event, _EVENT[name].offset, value)
    return bytes(event)


@contextmanager
def _sending(work: Callable[[], object]) -> Iterator[None]:
    """Send a batch again and again in a child on the last CPU, no faster than the pace."""
    parent, pid = os.getpid(), os.fork()
    if not pid:
        try:
            os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
            due = time.monotonic()
            while os.getppid() == parent:
                due = max(due, time.monotonic() - _BEHIND) + _AT_ONCE / _PACE
                work()
                while time.monotonic() < due:
                    pass
        finally:
            os._exit(1)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


class _Summing:
    """Drains a ring and sums up what was in it, as the intake does."""

    def __init__(self, ring: Ring) -> None:
        self._ring, self._decoder = ring, _decoder()
        self.taken = 0

    def drain(self) -> None:
        left = 1
        while left:
            batch, used, records, left = self._ring.drain()
            found = self._decoder.sums(batch, used, 0)
            self.taken += sum(own.events for own in found.sums)
            if not records:
                return


def headers() -> Iterator[Line]:
    """Records of a header alone, sent as fast as one CPU can."""
    with tempfile.TemporaryDirectory(prefix="perflens-bench-", dir="/var/tmp") as folder:
        loaded = load(Plan(compile_object(Path(folder), "header"), ("header_send",), (), {}, {}, {}))
    try:
        header, counted = _header(), loaded.memory("counted")
        loaded.memory("records")[: len(header)] = header
        own, arguments = _Summing(loaded.ring("ring", _RING)), struct.pack("=2Q", _AT_ONCE, len(header))

        def counts() -> tuple[int, int]:
            return own.taken, struct.unpack_from("=Q", counted, 8)[0]

        alone()
        with _sending(lambda: loaded.run("header_send", arguments)):
            rounds = _rounds(own.drain, counts)
        own.drain()
        sent = struct.unpack_from("=Q", counted)[0]
        if own.taken != sent:
            raise RuntimeError(f"{own.taken} records arrived of {sent} that were sent")
    finally:
        loaded.close()
    yield from _lines("ring_header", f"headers of {len(header)} bytes", rounds, 1_500)


@contextmanager
def stormed(explained: int) -> Iterator[tuple[Agent, Reads, Callable[[], tuple[int, int]]]]:
    """An agent in this process that sees every read of another one; with what it has taken and what was refused so far."""
    alone()
    with Reads.begun("read_4096") as reads:
        host, budget = inspect(), Events(rate=0, explained=explained)
        settings = Settings(threshold=1, events=budget, filter=Filter(pid=(str(reads.pid),)))
        agent = Agent(settings, host, {"file": PROBE}, tree_of(host, settings))
        try:
            agent.start()
            if not agent.running:
                raise RuntimeError(agent.states[0].reason)
            kernel = agent.running[0].kernel
            yield agent, reads, lambda: (agent.intake.read["file"], kernel.events()["ring_full"])
        finally:
            agent.explainer.close()
            agent.drainer.shutdown()
            agent.worker.submit(agent.stop).result()
            agent.worker.shutdown()


def stacks() -> Iterator[Line]:
    """Every read of a process as an event, with its stack and its path, through the real probe and the real intake."""
    with stormed(0) as (agent, reads, counts):
        rounds = _rounds(agent.intake.drain, counts)
        reads.pause()
        time.sleep(0.1)
        agent.intake.drain()
        read, emitted = agent.intake.read["file"], agent.running[0].kernel.events()["emitted"]
    if read != emitted:
        raise RuntimeError(f"{read} events were read of {emitted} that were emitted")
    yield from _lines("ring_stacks", "events with stack and path", rounds, 200)
