"""tui/app.py: what stands on the screen, view by view, and what the keys do."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.events import Paste
from textual.pilot import Pilot

from perflens.tui import theme
from perflens.tui.app import Top
from perflens.tui.keys import KEYS
from perflens.tui.recording import opened
from perflens.tui.state import State
from perflens.tui.text import width
from perflens.tui.views import VIEWS
from tests.unit.tui.answers import HOSTILE, NOW, SAFE, Answers, event, example

SIZES = ((80, 24), (40, 10), (300, 80), (1, 1), (20, 3))
VIEWS_OF_DATA = ("dashboard", "timeline", "tree", "analyses", "heatmap", "stuck")


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of the examples, in UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setattr("perflens.tui.feed.time.time", lambda: float(NOW))


class Screen:
    """The app as a person sees it."""

    def __init__(self, app: Top, pilot: Pilot[int]) -> None:
        self.app, self.pilot = app, pilot

    @property
    def lines(self) -> list[str]:
        return [strip.text for strip in self.app.screen._compositor.render_strips()]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    async def press(self, *keys: str) -> None:
        """Press keys, and wait until what they ask for is drawn."""
        await self.pilot.press(*keys)
        await self.until(lambda: not self.app.feed._tasks)
        self.app.draw()
        await self.pilot.pause()

    async def until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 20
        while not holds():
            assert time.monotonic() < deadline, self.text
            await self.pilot.pause(0.02)


@asynccontextmanager
async def shown(
    parts: dict[str, Any], size: tuple[int, int] = (80, 24), view: str = "dashboard", *, error: str = "", coloured: bool = True
) -> AsyncIterator[Screen]:
    app = Top(Answers(parts, error), State(view=view), coloured)
    async with app.run_test(size=size) as pilot:
        own = Screen(app, pilot)
        await own.press()
        yield own


def empty() -> dict[str, Any]:
    """The answers of an agent that has just begun."""
    return {
        "summary": {},
        "processes": {},
        "process-tree": {},
        "timeline": {},
        "process-starts": {},
        "events": {"events": []},
        "incidents": {},
        "analyses": {},
    }


async def test_dashboard() -> None:
    """The dashboard has the totals, the types, what is not attached, the latest analysis and the slowest processes."""
    async with shown(example()) as own:
        lines = own.lines

    assert lines[0].split() == ["PerfLens", "dashboard", "by", "longest", "host:9435", "08:00:00"]
    assert lines[1].startswith("! probe block is not attached: no BTF; install a kernel with BTF")
    assert lines[2].rstrip() == "Slow operations 31 in 5 min, 2.50 s in all, 4 suppressed"
    assert lines[3].rstrip() == "99 processes, 2 were slow  1 stuck now  5 forks  3 execs"
    assert lines[4].rstrip() == "  file fsync         23  2.00 s " + "█" * 46
    assert lines[5].rstrip() == "  file read           8  500 ms " + "█" * 11 + "▌"
    assert lines[7].rstrip() == "Latest analysis 07:59:55 open critical JOURNAL_STALL device vda  (6.00 s ago)"
    assert lines[8].rstrip() == "  db.service waits for the journal of vda."
    assert lines[10].rstrip() == "Slowest processes"
    assert lines[12].split() == ["4242", "postgres", "900", "ms", "file", "fsync", "2.70", "s", "3", "07:59:58"]
    assert lines[13].split() == ["77", "cron", "50.0", "ms", "1.00", "s", "20", "07:59:58"]
    assert lines[23].split()[:4] == ["?", "help", "q", "back"]


async def test_clocks_that_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long ago something was is told by the clock of the agent, however wrong one of the two is."""
    monkeypatch.setattr("perflens.tui.feed.time.time", lambda: NOW + 3_600.0)
    async with shown(example()) as own:
        assert "device vda  (6.00 s ago)" in own.text


async def test_dashboard_when_there_is_room() -> None:
    """On a wide screen the owner and the file stand there too."""
    async with shown(example(), (300, 80)) as own:
        row = next(line for line in own.lines if " 4242 " in line)

    assert "db.service" in row
    assert "/var/lib/postgres/wal" in row


async def test_timeline() -> None:
    """The timeline has a bar for each second of the window, and one list of slow operations, forks and execs, the newest first."""
    async with shown(example(), view="timeline") as own:
        lines = own.lines

    assert lines[1].rstrip() == "Slow operations of the last 1 min, a bar a second"
    assert [line[:14].strip() for line in lines[2:9]] == ["slow 8", "", "", "", "time 80.0 ms", "forks 8", "execs 0"]
    assert [line[14:].find("█") for line in lines[2:9]] == [56, 56, 56, 56, 56, 56, -1]
    assert lines[9].split() == ["07:59:01", "08:00:00"]
    assert lines[10].rstrip() == "of 8 forks and execs 2 are listed"
    rows = [line.split() for line in lines[12:17]]
    assert [row[1] for row in rows] == ["4242", "99", "99", "77", "4242"]
    assert "file fsync" in lines[12]
    assert "journal 67%" in lines[12]
    assert rows[1][2:] == ["backup", "process", "exec", "by", "1"]
    assert rows[2][2:] == ["cron", "process", "fork", "by", "1"]


async def test_forks_and_execs_in_the_timeline() -> None:
    """Sorted by time taken they come last, or not at all; the filter finds them; Enter shows their process."""
    async with shown(example(), (200, 24), view="timeline") as own:
        await own.press("o")
        longest = [line.split()[1] for line in own.lines[12:17]]
        await own.press("o")
        slow = [line.split()[1] for line in own.lines[11:16] if line.strip()]
        await own.press("o", "slash", *"exec", "enter")
        found = [line for line in own.lines[12:17] if line.strip()]
        await own.press("enter")
        text = own.text

    assert (longest, slow) == (["4242", "77", "4242", "99", "99"], ["4242", "77", "4242"])
    assert [line.split()[1:3] for line in found] == [["99", "backup"]]
    assert found[0].split()[-2:] == ["/usr/bin/backup", "cron.service"]
    assert "backup PID 99" in text


async def test_zoom() -> None:
    """Plus and minus change the window, from 30 s to 5 min."""
    async with shown(example(), view="timeline") as own:
        await own.press("plus", "plus")
        shortest = own.lines[1]
        await own.press("minus", "minus", "minus", "minus")
        longest = own.lines[1]

    assert shortest.rstrip() == "Slow operations of the last 30 s, a bar a second"
    assert longest.rstrip() == "Slow operations of the last 5 min, a bar for 5 s"


async def test_tree() -> None:
    """Every process stands below its parent with its slow operations; sorted otherwise the list is flat."""
    async with shown(example(), view="tree") as own:
        tree = [line.rstrip() for line in own.lines[3:6]]
        await own.press("o")
        flat = [line.split()[:2] for line in own.lines[3:6]]

    assert [line.split()[:4] for line in tree] == [
        ["1", "systemd", "23", "db.service"],
        ["4242", "postgres", "3", "3"],
        ["77", "cron", "(ended)", "20"],
    ]
    assert [line.index(name) for line, name in zip(tree, ("systemd", "postgres", "cron"), strict=True)] == [8, 10, 10]
    assert flat == [["77", "cron"], ["4242", "postgres"], ["1", "systemd"]]


@pytest.mark.parametrize(("view", "moves"), [("dashboard", 0), ("tree", 1), ("timeline", 0), ("stuck", 0)])
async def test_stacks_of_any_process(view: str, moves: int) -> None:
    """Enter shows the stacks, parts, waits and requests of what is selected, from every list."""
    async with shown(example(), (80, 50), view) as own:
        await own.press(*["down"] * moves, "enter")
        text, frames = own.text, [line.strip() for line in own.lines if "+0x" in line]

    assert "postgres PID 4242  TID 4243 worker" in text
    assert "operation 1 of 3" in text if view != "timeline" else "operation 2 of 3" in text
    assert ("has not ended" in text) is (view != "timeline")
    for part in ("db.service", "/var/lib/postgres/wal  (vda)", "journal", "67%", "Waits of 1 ms and more: 3", "Requests of disks: 1"):
        assert part in text
    assert frames == ["jbd2_log_wait_commit+0x10", "ext4_sync_file+0x20", "fdatasync+0x5"]


async def test_other_operations_of_the_process() -> None:
    """Left and right go through the operations of the process, and what is shown stays when longer ones come."""
    async with shown(example(), view="dashboard") as own:
        await own.press("s", "right")
        second = own.text
        source = own.app.feed.source
        assert isinstance(source, Answers)
        source.parts["events"]["events"].append(event(4242, 8_000_000_000, "postgres"))
        await own.press("right")
        await own.press("left")
        again = own.text

    assert "operation 2 of 3" in second
    assert "file fsync 900 ms" in second
    assert "file fsync 900 ms" in again or "8.00 s" in again


async def test_analyses_and_their_evidence() -> None:
    """The history has incidents and windows; Enter shows the facts for and against, what may help and who waited."""
    async with shown(example(), (100, 60), "analyses") as own:
        rows = [line.split()[:4] for line in own.lines[4:6]]
        await own.press("enter")
        text = own.text
        await own.press("q")
        back = own.lines[0]

    assert rows == [["07:59:55", "open", "critical", "JOURNAL_STALL"], ["08:00:00", "window", "JOURNAL_STALL", "device"]]
    for part in (
        "incident 0a1b2c3d, open critical",
        "1. JOURNAL_STALL device vda  high confidence, score 0.90, explains 80%",
        "caused by owner backup.service",
        "+ E01 time in the journal [device vda] 2.50 s, usually 100 ms",
        "- E02 CPU time in use [device vda] 40%",
        "> Move the backup.",
        "run ionice -c3",
        "3.00 s  owner db.service",
        "no locks were measured",
    ):
        assert part in text
    assert "analyses" in back


async def test_heat_map() -> None:
    """Each slow operation is a mark at its time and duration."""
    async with shown(example(), view="heatmap") as own:
        lines = own.lines

    assert lines[1].rstrip() == "Latency of slow operations of the last 1 min: 3 that were explained"
    marked = {line[:9].strip(): line[10:].count("█") for line in lines if "≥" in line}
    assert marked == {"≥ 512 ms": 1, "≥ 256 ms": 0, "≥ 128 ms": 0, "≥ 64.0 ms": 0, "≥ 32.0 ms": 1, "≥ 16.0 ms": 1}


async def test_stuck() -> None:
    """What has not ended stands there with where it sleeps."""
    async with shown(example(), (160, 24), "stuck") as own:
        row = own.lines[3]

    assert row.split()[:8] == ["4242", "postgres", "7.00", "s", "file", "fsync", "jbd2_log_wait_commit+0x10", "/var/lib/postgres/wal"]


async def test_help_names_every_key() -> None:
    """The help has every key and its meaning."""
    async with shown(example(), (120, 60), "dashboard") as own:
        await own.press("question_mark")
        text = own.text

    assert [key.written for key in KEYS if f"{key.written:<10} {key.meaning}" not in text] == []


async def test_filter() -> None:
    """The filter narrows what is seen as it is written; Enter keeps it, and Esc ends it; keys are letters meanwhile."""
    async with shown(example()) as own:
        await own.press("slash", *"cron q")
        assert own.lines[-1].startswith(" / cron q▏")
        await own.press("backspace", "backspace", "enter")
        kept = own.text
        await own.press("escape")
        ended = own.text

    assert "filter: cron" in kept
    assert " 4242 " not in kept
    assert "filter:" not in ended
    assert " 4242 " in ended


async def test_filter_is_edited() -> None:
    """What is pasted is escaped, Ctrl-U begins anew, Esc ends it, and keys mean again what they did."""
    async with shown(example()) as own:
        await own.press("slash")
        own.app.post_message(Paste(" post\x1bgres\n wal\n"))
        await own.press()
        pasted = own.lines[-1]
        await own.press("ctrl+u", "c", "escape", "t")

        assert pasted.startswith(" / post\\x1bgres wal▏")
        assert (own.app.state.filter, own.app.state.view) == ("", "timeline")


async def test_keys_of_flow_control() -> None:
    """Ctrl-S and Ctrl-Q, by which terminals hold and go on, are no keys of the screen, though Textual would end of the second."""
    async with shown(example()) as own:
        await own.press("ctrl+s", "ctrl+q")
        assert own.app.is_running
        assert own.app.return_value is None


async def test_pause() -> None:
    """While paused nothing is asked, and the screen says so."""
    async with shown(example()) as own:
        await own.press("space")
        source = own.app.feed.source
        assert isinstance(source, Answers)
        before = len(source.asked)
        await own.pilot.pause(5)
        assert "PAUSED" in own.lines[0]
        assert own.lines[1].startswith("! probe block")
        assert len(source.asked) == before
        await own.press("space")
        await own.until(lambda: len(source.asked) > before)


async def test_sort() -> None:
    """Each press sorts by the next column, and says by which."""
    firsts = {}
    async with shown(example()) as own:
        for _ in range(4):
            firsts[own.lines[0].split()[3]] = own.lines[12].split()[1]
            await own.press("o")

    assert firsts == {"longest": "postgres", "total": "postgres", "count": "cron", "name": "cron"}


async def test_what_is_selected_stays_selected() -> None:
    """When the order changes the same process stays selected."""
    async with shown(example()) as own:
        await own.press("down", "o", "o")

        assert own.app.state.cursor.key == (77, 77000)
        assert own.app.state.cursor.index == 0


async def test_back_and_quit() -> None:
    """q goes back view by view, and leaves from the dashboard with 0."""
    async with shown(example()) as own:
        await own.press("t", "p")
        await own.press("q")
        assert own.app.state.view == "timeline"
        await own.press("q")
        assert own.app.state.view == "dashboard"
        await own.press("q")
        await own.until(lambda: not own.app.is_running)

    assert own.app.return_value == 0


async def test_copy() -> None:
    """The selected row is copied; of the stacks everything is."""
    async with shown(example()) as own:
        await own.press("y")
        row = own.app.clipboard
        assert f"copied {len(row)} characters" in own.lines[0]
        await own.press("s", "y")
        stacks = own.app.clipboard

    assert row.split()[:4] == ["4242", "postgres", "900", "ms"]
    assert "jbd2_log_wait_commit+0x10\n  ext4_sync_file+0x20" in stacks


async def test_scrolling() -> None:
    """What does not fit can be scrolled to, and not beyond."""
    async with shown(example(), (40, 10)) as own:
        await own.press("question_mark", "end")
        last = own.lines[-2].strip()
        await own.press("up", "pagedown", "down", "home")
        first = own.lines[1].strip()

    assert last == "configured."
    assert first == "Keys"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("view", [*VIEWS, "evidence"])
@pytest.mark.parametrize("parts", [example(), example(HOSTILE), empty()], ids=["example", "hostile", "empty"])
async def test_every_view_at_every_size(view: str, size: tuple[int, int], parts: dict[str, Any]) -> None:
    """Every view is drawn at every size, of any data, each line as wide as the screen and safe."""
    async with shown(parts, size, view) as own:
        lines = own.lines

    assert len(lines) == size[1]
    assert {width(line) for line in lines} == {size[0]}
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize("view", VIEWS_OF_DATA)
async def test_nothing_was_slow(view: str) -> None:
    """With nothing to show every view says so."""
    async with shown(empty(), view=view) as own:
        text = own.text

    words = ("nothing was slow", "no slow operation", "no process is known", "nothing was found", "nothing to show", "nothing is stuck")
    assert any(word in text for word in words)


async def test_a_hostile_name() -> None:
    """Escapes, bidi marks and markup in a name are text, and the columns stay where they are."""
    async with shown(example(HOSTILE), (120, 24)) as own:
        row = next(line for line in own.lines if "4242" in line)
        other = next(line for line in own.lines if "cron" in line)
        await own.press("s")

        assert SAFE in own.text
    assert "evil\\x1b[31m\\u2…" in row
    assert width(row[: row.index("900 ms")]) == width(other[: other.index("50.0 ms")]) + 1


async def test_agent_gone() -> None:
    """When the agent is gone the data stays, and the screen says how old it is and why."""
    async with shown(example()) as own:
        source = own.app.feed.source
        assert isinstance(source, Answers)
        source.error = "Connection refused"
        await own.until(lambda: "stale for" in own.lines[0])
        assert own.lines[1].strip() == "Connection refused"
        assert "postgres" in own.text
        source.error = ""
        await own.until(lambda: "stale for" not in own.lines[0])


async def test_never_an_agent() -> None:
    """An agent that refuses from the start is told as the reason."""
    async with shown({}, error="HTTP 401: the token is missing") as own:
        await own.until(lambda: "stale for" in own.lines[0])

        assert own.lines[1].strip() == "HTTP 401: the token is missing"


async def test_without_colour() -> None:
    """Without colour no span has one, and what is selected is reversed."""
    async with shown(example(), coloured=False) as own:
        strips = own.app.screen._compositor.render_strips()
        styles = [segment.style for strip in strips for segment in strip if segment.style]

    assert [own for own in styles if own.color and not own.color.is_default] == []
    assert any(own.reverse for own in styles)
    assert {name for name, own in theme.styles(False).items() if own.color or own.bgcolor} == set()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP])
async def test_signals(number: signal.Signals) -> None:
    """A signal ends the screen as a key does, with the code that a shell gives to it."""
    async with shown(example()) as own:
        os.kill(os.getpid(), number)
        await own.until(lambda: not own.app.is_running)

    assert own.app.return_value == 128 + number


async def test_a_bug_is_no_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A bug of a view ends the screen and is kept; nothing is printed, variables least of all."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    async def used() -> None:
        async with app.run_test() as pilot:
            monkeypatch.setattr(app, "lines", broken)
            await pilot.press("t")

    app = Top(Answers(example()), State())
    with pytest.raises(ZeroDivisionError):
        await used()

    assert isinstance(app.failure, ZeroDivisionError)
    assert "Traceback" not in "".join(capsys.readouterr())


async def test_a_recording(tmp_path: Path) -> None:
    """A recording is shown in every view with when it was made, and never stale."""
    file = tmp_path / "c.json"
    file.write_text(
        json.dumps({"perflens_capsule": 1, "made_at": "2027-01-15T08:00:00Z", **{k.replace("-", "_"): v for k, v in example().items()}})
    )
    app = Top(opened(str(file)), State())
    async with app.run_test(size=(100, 30)) as pilot:
        own = Screen(app, pilot)
        await own.press()
        first = own.lines[0]
        for key in ("t", "p", "h", "a", "n", "d", "s"):
            await own.press(key)
            assert "stale" not in own.lines[0]
        assert "Where the time went" in own.text

    assert first.split()[:8] == ["PerfLens", "dashboard", "recorded", "at", "08:00:00", "by", "longest", "c.json"]


def test_keys_are_unique_and_known() -> None:
    """No key means two things, and every action is one of the app."""
    names = [name for key in KEYS for name in key.names]

    assert len(names) == len(set(names))
    assert [key.action for key in KEYS if not hasattr(Top, f"action_{key.action.partition('(')[0]}")] == []
