"""agent/ticker.py: when the rings are drained, and what else their thread does meanwhile."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from perflens.agent.ticker import Ticker


async def test_a_storm_leaves_the_thread_to_others() -> None:
    """Though each drain ends later than the next is due, others have their turn, and it can be stopped."""
    drains = 0

    def drain() -> None:
        nonlocal drains
        drains += 1
        time.sleep(0.3)

    executor = ThreadPoolExecutor(max_workers=1)
    ticker = Ticker(SimpleNamespace(drain=drain, has_news=True), (), executor)  # type: ignore[arg-type]
    await asyncio.sleep(1)  # by then one is due whenever one has ended
    loop = asyncio.get_running_loop()
    await asyncio.wait_for(loop.run_in_executor(executor, time.sleep, 0), 10)
    await asyncio.wait_for(ticker.stop(), 10)
    executor.shutdown()
    assert drains >= 3


async def test_a_failure_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A drain that fails is logged, and the next one comes."""
    drains = 0

    def drain() -> None:
        nonlocal drains
        drains += 1
        raise ValueError("a bug")

    executor = ThreadPoolExecutor(max_workers=1)
    ticker = Ticker(SimpleNamespace(drain=drain, has_news=True), (), executor)  # type: ignore[arg-type]
    await asyncio.sleep(0.8)
    await ticker.stop()
    executor.shutdown()
    assert drains >= 3
    assert "upkeep failed" in caplog.text
