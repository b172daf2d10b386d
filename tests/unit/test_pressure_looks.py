"""agent/pressure.py: looks in turn, and early ones while tasks wait."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from perflens.agent import pressure
from perflens.agent.pressure import LEAST, Looks
from perflens.analyzer.readings.pressure import PressureTriggers


class Time:
    """A clock that moves when somebody waits; ``events`` are called once their time has come."""

    def __init__(self) -> None:
        self.now = 100.0
        self.end = float("inf")
        self.events: list[tuple[float, Callable[[], None]]] = []

    async def wait(self, seconds: float) -> bool:
        until = self.now + seconds
        while self.events and self.events[0][0] <= until:
            self.now, event = self.events.pop(0)
            event()
            for _ in range(10):
                await asyncio.sleep(0)  # whoever waits for the event cancels this wait
        self.now = min(until, self.end)
        return self.now >= self.end

    def clock(self) -> float:
        return self.now


async def taken(time: Time, number: int, prepare: Callable[[Looks], None] = lambda _: None) -> list[tuple[str, float]]:
    looks = Looks("", 10.0, time.clock)
    prepare(looks)
    try:
        return [(await looks.next(time.wait), time.now - 100) for _ in range(number)]
    finally:
        looks.close()


async def test_looks_in_turn() -> None:
    assert await taken(Time(), 3) == [("due", 10), ("due", 20), ("due", 30)]


async def test_the_end() -> None:
    time = Time()
    time.end = 105.0
    assert await taken(time, 1) == [("ended", 5)]


async def test_pressure_makes_a_look_early_and_moves_none_in_turn() -> None:
    """Not within 3 s of another look, in turn or early."""
    time = Time()

    def prepare(looks: Looks) -> None:
        time.events = [(100 + at, looks._pressed.set) for at in (1.0, 15.0, 28.0)]

    found = await taken(time, 5, prepare)
    assert found == [("early", LEAST), ("due", 10), ("early", 15), ("due", 20), ("due", 30)]


async def test_one_between_two_in_turn() -> None:
    """Under pressure that lasts there are as many early looks as there are in turn."""
    time = Time()

    def prepare(looks: Looks) -> None:
        time.events = [(100 + at / 2, looks._pressed.set) for at in range(1, 300)]

    assert [why for why, _ in await taken(time, 12, prepare)] == ["early", "due"] * 6


async def test_a_host_without_pressure_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "perflens")
    time = Time()
    looks = Looks(str(tmp_path), 10.0, time.clock)
    assert await looks.next(time.wait) == "due"
    looks.close()

    assert [record.message for record in caplog.records] == ["pressure does not wake the analyzer"]


async def test_what_the_kernel_reports_comes_to_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that has urgent data, as a trigger does, wakes the wait; and once, not for ever."""
    listening = socket.create_server(("127.0.0.1", 0))
    sender = socket.create_connection(listening.getsockname())
    receiver, _ = listening.accept()
    monkeypatch.setattr(pressure, "PressureTriggers", lambda _: _Triggers(receiver.fileno()))
    looks = Looks("/proc", 10.0)
    sender.send(b"!", socket.MSG_OOB)

    async def wait(seconds: float) -> bool:
        await asyncio.sleep(0 if seconds == LEAST else 60)
        return False

    assert await looks.next(wait) == "early"
    looks.close()
    for own in (sender, receiver, listening):
        own.close()


class _Triggers(PressureTriggers):
    def __init__(self, file: int) -> None:
        self._files = {"io": os.dup(file)}
        self.gaps = ()
