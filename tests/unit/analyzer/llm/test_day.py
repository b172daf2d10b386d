"""What a day with twenty incidents costs, by the count of the model's own server: the agent's own path from a window to a request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random

import pytest

from perflens.agent.telling import Telling
from perflens.analysis import Incident
from perflens.analyzer.actions import ACTIONS
from perflens.analyzer.analyst import Analyst
from perflens.analyzer.causes import discover
from perflens.analyzer.incidents import Explanation, Incidents
from perflens.analyzer.llm.explainer import Model
from perflens.analyzer.llm.settings import LlmSettings
from perflens.analyzer.llm.vocabulary import Vocabulary
from perflens.export.otlp.incidents import NoIncidentLog
from tests.unit.analyzer.llm.counting import CountingModel
from tests.unit.analyzer.llm.host import TROUBLES, Host, Trouble, together
from tests.unit.analyzer.llm.server import TOKEN, ModelServer, serving

DAY, LOOK = 86_400, 10
INCIDENTS = 20
BUDGET = 160_000
BEGAN = 1_700_000_000


@dataclass
class Day:
    """An agent's analyzer and what tells its incidents, on a clock that goes on when it is told to."""

    server: ModelServer
    host: Host
    now: float = BEGAN
    troubles: list[tuple[str, int, int]] = field(default_factory=list)
    facts: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.incidents = Incidents("host")
        self.analyst = Analyst("host", self.incidents)
        vocabulary = Vocabulary(tuple(discover()), {action.id: action.text for action in ACTIONS.values()})
        settings = LlmSettings(self.server.base_url, "some/model", TOKEN)
        self.model = Model(settings, vocabulary, clock=lambda: self.now, wall=lambda: self.now)
        self.telling = Telling(self.model, None, NoIncidentLog())

    async def look(self, trouble: Trouble | None = None, place: int = 0) -> int:
        """Look at the next ten seconds, and wait for what is asked about them; return how many requests that took."""
        self.now += LOOK
        before = len(self.server.requests)
        look = self.analyst.look(self.host.window(int(self.now), trouble, place))
        running = asyncio.all_tasks()
        self.telling.tell({own.id: own for own in (*self.incidents.open, *look.changed)}.values(), self._put)
        if asked := asyncio.all_tasks() - running:
            await asyncio.gather(*asked)
            self.facts.append(len(look.bundle.facts))
        return len(self.server.requests) - before

    async def _put(self, identity: str, told: Explanation) -> Incident | None:
        return self.incidents.explained(identity, told)

    def tokens(self) -> dict[str, float]:
        """What the agent's metric says of tokens."""
        return dict(self.telling.counts().llm["tokens"])


@asynccontextmanager
async def day(counting: CountingModel, seed: int = 1, spread: float = 0.25) -> AsyncIterator[Day]:
    """A day that has begun ten minutes ago."""
    async with serving("ok", says=counting) as server:
        own = Day(server, Host(seed, spread))
        for _ in range(60):
            assert await own.look() == 0
        yield own
        await own.telling.close()


async def incidents_of(own: Day, seed: int, most_looks: int) -> None:
    """Twenty troubles of all causes, each with an incident or with one for each of several victims, of 3 to
    20 minutes; each is over for ten minutes before the next one begins.
    """
    random, codes = Random(seed), list(TROUBLES)
    for number in range(INCIDENTS):
        code, other = codes[number % len(codes)], codes[(number + 3) % len(codes)]
        trouble = TROUBLES[code] if number < len(codes) else together(TROUBLES[code], TROUBLES[other], 1 + number % 4)
        if number % 3 == 0:
            own.host.change(int(own.now))
        known = {one.id for one in own.incidents.all}
        calls = 0
        for _ in range(random.randrange(18, most_looks)):
            calls += await own.look(trouble, number)
        opened = {one.id for one in own.incidents.open} - known
        assert opened, code
        for _ in range(66):  # longer than what reopens one
            assert await own.look() == 0
        assert not own.incidents.open, code
        own.troubles.append((code, len(opened), calls))


@pytest.mark.parametrize(("seed", "schema"), [(1, False), (3, True)])
@pytest.mark.timeout(600)
async def test_a_day(seed: int, schema: bool) -> None:
    """Twenty incidents cost 160,000 tokens at most, with the schema where the server counts it too, and quiet hours none."""
    counting = CountingModel(schema)
    async with day(counting, seed) as own:
        await incidents_of(own, seed, 120)
        quiet = [await own.look() for _ in range(120)]
        outcomes = {outcome: number for outcome, number in own.model.counts().requests.items() if number}
    calls, opened = sum(number for *_, number in own.troubles), sum(number for _, number, _ in own.troubles)
    print(f"{counting}, {opened} incidents, {calls} calls: {own.troubles}; facts {min(own.facts)} to {max(own.facts)}; {outcomes}")

    assert own.tokens() == {"input": counting.read, "output": counting.written}
    assert INCIDENTS * 1_000 < counting.read + counting.written <= BUDGET
    assert opened >= INCIDENTS
    assert calls <= 3 * opened
    assert all(number <= 5 * found for _, found, number in own.troubles)
    assert set(outcomes) <= {"ok", "skipped_cache"}
    assert outcomes["ok"] == calls
    assert not any(quiet)


async def test_nothing_new() -> None:
    """An hour of the same trouble is one request."""
    async with day(CountingModel(), spread=0) as own:
        calls = [await own.look(TROUBLES["SLOW_DEVICE"]) for _ in range(360)]

    assert [number for number in calls if number] == [1]
    assert calls.index(1) < 3
