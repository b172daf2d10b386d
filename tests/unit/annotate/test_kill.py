"""annotate/: a kill at any step loses no annotation and doubles none; a new agent takes up where the old one ended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from perflens.analysis import Incident
from perflens.annotate import outbox
from perflens.annotate.grafana import GrafanaApi
from perflens.annotate.html import tags_of, text_of
from tests.unit.annotate.incidents import Clock, abandon, incident, ms, only, settings, sink_of, work
from tests.unit.annotate.server import Grafana, serving

URL = "https://agent.example"
LIFE = (incident(), incident(updated=120), incident(updated=210, severity="critical"), incident(updated=300, resolved=390))
SILENT = {"PATCH": "silent"}
DEAF = {"PATCH": "silent", "PUT": "silent"}


class Killed(BaseException):
    """The process ends here."""


class Steps:
    """Counts requests and writes to disk, and kills at one of them: before it has taken effect, or after."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.kill_at, self.taken, self.is_after = 0, 0, False
        exchange, write = GrafanaApi._exchange, outbox.write_private

        async def asked(*arguments: Any) -> Any:
            self._before()
            result = await exchange(*arguments)
            self._after()
            return result

        def written(path: str, data: bytes) -> None:
            self._before()
            write(path, data)
            self._after()

        patch.setattr(GrafanaApi, "_exchange", asked)
        patch.setattr(outbox, "write_private", written)

    def _before(self) -> None:
        self.taken += 1
        if self.taken == self.kill_at and not self.is_after:
            raise Killed

    def _after(self) -> None:
        if self.taken == self.kill_at and self.is_after:
            raise Killed


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    return Steps(monkeypatch)


async def live(url: str, folder: Path, clock: Clock, life: tuple[Incident, ...]) -> int:
    """Tell a life until a kill; return how many states were told before it, all of them when there was none."""
    sink = sink_of(settings(url, folder), clock)
    told = 0
    try:
        for own in life:
            told += 1
            sink.put(own)
            await work(sink, clock, 90)
    except Killed:
        return told
    finally:
        await abandon(sink)
    return len(life) + 1


@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("always", [{}, SILENT, DEAF], ids=["patch", "put", "replace"])
async def test_an_agent_that_is_killed_at_any_step_goes_on(steps: Steps, tmp_path: Path, always: dict[str, str], is_after: bool) -> None:
    steps.is_after = is_after
    for kill_at in range(1, 200):
        grafana, clock, folder = Grafana(always=always), Clock(), tmp_path / str(kill_at)
        folder.mkdir()
        steps.kill_at, steps.taken = kill_at, 0
        async with serving(grafana) as url:
            told = await live(url, folder, clock, LIFE)
            if told > len(LIFE):
                assert kill_at > 12
                return
            assert await live(url, folder, clock, LIFE[told - 1 :]) > len(LIFE) - told
        row, last = only(grafana), LIFE[-1]
        assert (row.time, row.end, row.text, row.tags) == (ms(0), ms(330), text_of(last, URL), list(tags_of(last)))
    raise AssertionError("the life has no end")


@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
async def test_an_agent_that_forgot_the_incident_closes_it(steps: Steps, tmp_path: Path, is_after: bool) -> None:
    steps.is_after = is_after
    for kill_at in range(1, 200):
        grafana, clock, folder = Grafana(), Clock(), tmp_path / str(kill_at)
        folder.mkdir()
        steps.kill_at, steps.taken = kill_at, 0
        async with serving(grafana) as url:
            if await live(url, folder, clock, LIFE[:3]) > 3:
                return
            was_known = bool(grafana.rows) or (folder / "outbox").exists()
            sink = sink_of(settings(url, folder), clock)
            await work(sink, clock, 600)
            await abandon(sink)
            assert sink.counts().pending == 0
        assert len(grafana.rows) == was_known
        assert all(row.tags[-1] == "state:resolved" for row in grafana.rows.values())
    raise AssertionError("the life has no end")


async def test_two_kills_in_a_row(steps: Steps, tmp_path: Path) -> None:
    for first in range(1, 12):
        for second in range(1, 8):
            grafana, clock, folder = Grafana(), Clock(), tmp_path / f"{first}.{second}"
            folder.mkdir()
            async with serving(grafana) as url:
                for steps.kill_at, steps.is_after in ((first, True), (second, False), (0, False)):
                    steps.taken = 0
                    await live(url, folder, clock, LIFE[:1])
            assert only(grafana).tags == list(tags_of(LIFE[0]))


async def test_without_a_file_the_open_annotation_is_found_by_its_tags() -> None:
    grafana, clock = Grafana(), Clock()
    async with serving(grafana) as url:
        for opened, ended in ((0.0, 0.0), (100.0, 0.0), (100.0, 400.0)):
            sink = sink_of(settings(url), clock)
            sink.put(own := incident(opened=opened, updated=opened + 60, resolved=ended))
            await work(sink, clock, 70)
            await abandon(sink)
    row = only(grafana)
    assert (row.time, row.end, row.tags[-1]) == (ms(0), ms(340), "state:resolved")
    assert row.text == text_of(own, URL)
