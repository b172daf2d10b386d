"""`python -m docs.screenshots`: pictures of `perflens top` before a real agent and a backup that is throttled. Root."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from perflens.client import Target
from perflens.tui.app import Top
from perflens.tui.source import HttpSource, Source
from perflens.tui.state import State
from tests.throttle import CannotThrottle, throttled_writer

DOCS = Path(__file__).parent
FOLDER = DOCS / "screenshots"
BEGIN, END = "<!-- screen: written by `python -m docs.screenshots` -->", "<!-- end of the screen -->"
SIZE = (100, 30)
LARGEST = 64 << 10
SECONDS, SEEN_SECONDS = 75, 5  # an incident is there after three windows; each view is asked for until then
NAME = "backup.service"
VIEWS = (
    ("dashboard", ()),
    ("stacks", ("enter",)),
    ("timeline", ("slash", *NAME, "enter", "t")),  # what others start on the machine is not shown
    ("analyses", ("escape", "a")),
    ("evidence", ("enter",)),
    ("heatmap", ("h",)),
)
# A backup starts a program now and then.
STARTS = 'for procs; do echo $$ >"$procs"; done; while :; do stat / >/dev/null; sleep 3; done'


class Private(Exception):
    """What a picture shows of the machine it was made on."""


async def pictures(source: Source, seen: float = SEEN_SECONDS) -> dict[str, tuple[str, str]]:
    """Return each view by name, as SVG and as text; ``seen`` s are left for its answers to come."""
    app, found = Top(source, State()), {}
    async with app.run_test(size=SIZE) as pilot:
        for name, keys in VIEWS:
            await pilot.press(*keys)
            await pilot.pause(seen)
            text = "\n".join(strip.text.rstrip() for strip in app.screen._compositor.render_strips())
            found[name] = app.export_screenshot(title=f"perflens top: {name}"), text
    return found


def written(found: Mapping[str, tuple[str, str]], folder: Path, private: Callable[[], Iterator[str]]) -> None:
    """Write the pictures; Private, before any is written, when one shows a name of this machine."""
    for name, (_, text) in found.items():
        for word in private():
            if re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text):
                raise Private(f"{name} shows {word}")
    folder.mkdir(exist_ok=True)
    for name, (picture, _) in found.items():
        (folder / f"{name}.svg").write_text(picture)


def of_this_machine() -> Iterator[str]:
    """Yield names that nobody else needs to know."""
    yield from {os.uname().nodename, str(DOCS.parent), str(Path.home()), str(Path.cwd())} - {"/", "localhost"}


def with_screen(page: str, text: str) -> str:
    """Return the page with this screen in its place."""
    before, _, rest = page.partition(BEGIN)
    screen = re.sub(r"\n{3,}", "\n\n", text)
    return f"{before}{BEGIN}\n\n```text\n{screen}\n```\n\n{END}{rest.partition(END)[2]}"


@contextmanager
def _backup(folder: Path) -> Iterator[None]:
    """A writer that waits for its limit, and programs that it starts."""
    with throttled_writer(folder, NAME) as group:
        starts = subprocess.Popen(["sh", "-c", STARTS, "sh", *group.procs])
        try:
            yield
        finally:
            starts.kill()
            starts.wait()


@contextmanager
def _agent(folder: Path) -> Iterator[Callable[[], str]]:
    """An agent, and where it listens once it does."""
    log = folder / "agent.log"
    command = [sys.executable, "-m", "perflens", "run", "--web.listen-address=127.0.0.1:0", "--analyzer.state-file="]
    with log.open("wb") as out:
        own = subprocess.Popen([*command, f"--filter.cgroup=/{NAME}"], stdout=out, stderr=out)
    try:
        yield lambda: re.findall(r"listening on (http://[0-9.:]+)", log.read_text())[0]
    finally:
        own.terminate()
        own.wait(15)


def main() -> int:
    """Run an agent and a slow backup, and take the pictures."""
    if os.geteuid():
        print("run it as root: it loads BPF programs and throttles a cgroup", file=sys.stderr)
        return 1
    try:
        with tempfile.TemporaryDirectory(prefix="backup-", dir="/var/tmp") as folder, _backup(Path(folder)), _agent(Path(folder)) as url:
            time.sleep(SECONDS)
            found = asyncio.run(pictures(HttpSource(Target.of(url()))))
        written(found, FOLDER, of_this_machine)
    except (CannotThrottle, Private) as error:
        print(f"no pictures can be made here: {error}", file=sys.stderr)
        return 1
    page = DOCS / "top.md"
    page.write_text(with_screen(page.read_text(), found["dashboard"][1]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
