"""`python -m docs.screenshots`: pictures of `perflens top` before a real agent and a writer that is throttled. Root."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from perflens.client import Target
from perflens.tui.app import Top
from perflens.tui.source import HttpSource
from perflens.tui.state import State
from tests.throttle import CannotThrottle, throttled_writer

DOCS = Path(__file__).parent
BEGIN, END = "<!-- screen: written by `python -m docs.screenshots` -->", "<!-- end of the screen -->"
SIZE = (100, 30)
SECONDS = 75  # an incident is there after three windows
NAME = "backup.service"
VIEWS = (
    ("dashboard", ()),
    ("timeline", ("t",)),
    ("stacks", ("d", "enter")),
    ("analyses", ("a",)),
    ("evidence", ("enter",)),
    ("heatmap", ("h",)),
)


async def pictures(url: str, folder: Path) -> str:
    """Write a picture of each view; return the dashboard as text."""
    app, text = Top(HttpSource(Target.of(url)), State()), ""
    async with app.run_test(size=SIZE) as pilot:
        for name, keys in VIEWS:
            await pilot.press(*keys)
            await pilot.pause(5)
            (folder / f"{name}.svg").write_text(app.export_screenshot(title=f"perflens top: {name}"))
            text = text or "\n".join(strip.text.rstrip() for strip in app.screen._compositor.render_strips())
    return text


def with_screen(page: str, text: str) -> str:
    """Return the page with this screen in its place."""
    before, _, rest = page.partition(BEGIN)
    screen = re.sub(r"\n{3,}", "\n\n", text)
    return f"{before}{BEGIN}\n\n```\n{screen}\n```\n\n{END}{rest.partition(END)[2]}"


def main() -> int:
    """Run an agent and a slow writer, and take the pictures."""
    if os.geteuid():
        print("run it as root: it loads BPF programs and throttles a cgroup", file=sys.stderr)
        return 1
    folder = DOCS / "screenshots"
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="backup-", dir="/var/tmp") as work:
        log = Path(work) / "agent.log"
        command = [sys.executable, "-m", "perflens", "run", "--web.listen-address=127.0.0.1:0", "--analyzer.state-file="]
        try:
            with throttled_writer(Path(work), NAME), log.open("wb") as out:
                own = subprocess.Popen([*command, f"--filter.cgroup=/{NAME}"], stdout=out, stderr=out)
                try:
                    time.sleep(SECONDS)
                    url = re.findall(r"listening on (http://[0-9.:]+)", log.read_text())[0]
                    text = asyncio.run(pictures(url, folder))
                finally:
                    own.terminate()
                    own.wait(15)
        except CannotThrottle as error:
            print(f"no writer can be throttled here: {error}", file=sys.stderr)
            return 1
    page = DOCS / "top.md"
    page.write_text(with_screen(page.read_text(), text))
    return 0


if __name__ == "__main__":
    sys.exit(main())
