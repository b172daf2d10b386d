"""http/flight.py: scrapes that arrive together."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from perflens.http.flight import SingleFlight


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(max_workers=1) as own:
        yield own


class Work:
    """Work that can be held, and that tells what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()
        self.running = self.most = 0

    def __call__(self, query: str) -> bytes:
        self.asked.append(query)
        self.running += 1
        self.most = max(self.most, self.running)
        self.begun.set()
        assert self.go_on.wait(10)
        self.running -= 1
        if query == "bad":
            raise ValueError("no")
        return f"{query} {len(self.asked)}".encode()


async def begun(work: Work) -> None:
    assert await asyncio.to_thread(work.begun.wait, 10)


async def test_sixteen_at_once(executor: ThreadPoolExecutor) -> None:
    """Sixteen questions of the same kind take at most two runs."""
    work = Work()
    flight = SingleFlight(work, executor)
    answers = await asyncio.gather(*(flight.get("q") for _ in range(16)))

    assert flight.flights == len(work.asked) <= 2
    assert set(answers) <= {b"q 1", b"q 2"}


async def test_question_after_the_begin(executor: ThreadPoolExecutor) -> None:
    """Who asks when a run has begun gets the answer of a new one."""
    work = Work()
    work.go_on.clear()
    flight = SingleFlight(work, executor)
    first = asyncio.create_task(flight.get("q"))
    await begun(work)
    later = [asyncio.create_task(flight.get("q")) for _ in range(15)]
    await asyncio.sleep(0.01)
    work.go_on.set()

    assert await first == b"q 1"
    assert set(await asyncio.gather(*later)) == {b"q 2"}
    assert flight.flights == 2


async def test_one_after_the_other(executor: ThreadPoolExecutor) -> None:
    """An answer is never used again."""
    flight = SingleFlight(Work(), executor)

    assert [await flight.get("q") for _ in range(3)] == [b"q 1", b"q 2", b"q 3"]


async def test_different_questions() -> None:
    """Questions of different kinds have a run each, never two at a time."""
    work = Work()
    with ThreadPoolExecutor(max_workers=4) as executor:
        flight = SingleFlight(work, executor)
        answers = await asyncio.gather(*(flight.get(query) for query in "abcabc"))

    assert sorted(work.asked) == ["a", "b", "c"]
    assert [answer[:1] for answer in answers] == [b"a", b"b", b"c"] * 2
    assert work.most == 1


async def test_exception(executor: ThreadPoolExecutor) -> None:
    """Everyone who waits for a run that fails gets its exception, and the next run works."""
    flight = SingleFlight(Work(), executor)
    answers = await asyncio.gather(*(flight.get("bad") for _ in range(4)), return_exceptions=True)

    assert all(isinstance(answer, ValueError) for answer in answers)
    with pytest.raises(ValueError, match="no"):
        await flight.get("bad")
    assert await flight.get("good") == b"good 3"


async def test_client_that_goes_away(executor: ThreadPoolExecutor) -> None:
    """One who stops waiting takes the answer from nobody else."""
    work = Work()
    work.go_on.clear()
    flight = SingleFlight(work, executor)
    impatient, patient = asyncio.create_task(flight.get("q")), asyncio.create_task(flight.get("q"))
    await begun(work)
    impatient.cancel()
    work.go_on.set()

    assert await patient == b"q 1"
    assert impatient.cancelled() or impatient.cancelling()


async def test_all_go_away_before_the_begin(executor: ThreadPoolExecutor) -> None:
    """Nothing is run, and nothing kept, for those who have gone; who asks the same afterwards gets an answer."""
    work = Work()
    work.go_on.clear()
    flight = SingleFlight(work, executor)
    first = asyncio.create_task(flight.get("q"))
    await begun(work)
    gone = [asyncio.create_task(flight.get(str(number % 40))) for number in range(100)]
    await asyncio.sleep(0.01)
    for each in gone:
        each.cancel()
    await asyncio.gather(*gone, return_exceptions=True)
    again = asyncio.create_task(flight.get("7"))
    work.go_on.set()

    assert (await first, await again) == (b"q 1", b"7 2")
    assert work.asked == ["q", "7"]
    assert not flight._waiting
    assert not flight._passengers


async def test_all_go_away_from_a_run_that_fails(executor: ThreadPoolExecutor) -> None:
    """A failure that nobody waits for any more is no error of the next question."""
    work = Work()
    work.go_on.clear()
    flight = SingleFlight(work, executor)
    alone = asyncio.create_task(flight.get("bad"))
    await begun(work)
    alone.cancel()
    work.go_on.set()

    assert await flight.get("q") == b"q 2"
