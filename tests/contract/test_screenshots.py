"""The pictures of `perflens top`: their script still makes each, and those that are kept are of today's views and show no machine."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pytest

from docs.screenshots import FOLDER, LARGEST, NAME, SIZE, VIEWS, Private, pictures, with_screen, written
from perflens.tui.lines import plain
from perflens.tui.screen import footer
from perflens.tui.state import State
from perflens.tui.views import VIEWS as EVERY
from tests.unit.tui.answers import Answers, example

ROOT = Path(__file__).parents[2]
NAMES = [name for name, _ in VIEWS]
WORDS = {
    "dashboard": (NAME, "Slowest processes", "IO_CGROUP_THROTTLE"),
    "stacks": (NAME, "Where the time went", "cgroup_throttle"),
    "timeline": (NAME, "a bar a second", "file write", "process fork", "process exec"),
    "analyses": (NAME, "Incidents", "IO_CGROUP_THROTTLE"),
    "evidence": (NAME, "confidence, score", "+ E0"),
    "heatmap": ("≥ 128 ms",),
}


def text_of(svg: str) -> str:
    """The lines of a picture."""
    return "\n".join(unescape(part).replace("\xa0", " ") for part in re.findall(r"<text[^>]*>([^<]*)</text>", svg))


async def test_the_script_makes_every_picture(tmp_path: Path) -> None:
    """Of the answers of any agent: each view by its keys, which end at the view that the picture is called by."""
    found = await pictures(Answers(example()), 0.5)
    written(found, tmp_path, lambda: iter(("some-host",)))

    assert list(found) == NAMES == list(WORDS)
    for name in NAMES:
        lines = found[name][1].split("\n")
        assert lines[0].startswith(f" PerfLens  {EVERY[name].title} "), name
        assert f"perflens top: {name}" in text_of((tmp_path / f"{name}.svg").read_text())


async def test_a_picture_of_a_machine_is_refused(tmp_path: Path) -> None:
    """When a name of the machine is on one, none is written."""
    found = await pictures(Answers(example()), 0.5)
    with pytest.raises(Private, match="dashboard shows postgres"):
        written(found, tmp_path / "none", lambda: iter(("postgres",)))

    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("name", NAMES)
def test_pictures_are_of_today(name: str) -> None:
    """Each has its view's title, the keys of the last line, and what it is there to show."""
    picture = (FOLDER / f"{name}.svg").read_text()
    text, keys = text_of(picture), plain(footer(State(), SIZE[0])).split()

    assert len(picture) < LARGEST
    assert f" {EVERY[name].title} " in text
    assert text.split()[-len(keys) :] == keys
    assert [word for word in WORDS[name] if word not in text] == []


def test_pictures_show_no_machine() -> None:
    """Nothing of the one they were made on: no home, no path but those of the example and of programs."""
    anywhere = ("/var/tmp/backup", "/usr/bin/", "/bin/", f"/{NAME}", "/sys/fs/cgroup/", "/io.max")
    for name in NAMES:
        paths = set(re.findall(r"(?<![\w.])/[a-z][\w./-]*", text_of((FOLDER / f"{name}.svg").read_text())))
        assert {path for path in paths if not path.startswith(anywhere)} == set(), name


def test_every_picture_is_referred_to() -> None:
    """The README shows pictures that exist, and together with docs/top.md all that there are."""
    readme = re.findall(r"!\[[^\]]+\]\(docs/screenshots/([a-z]+)\.svg\)", (ROOT / "README.md").read_text())
    top = re.findall(r"\]\(screenshots/([a-z]+)\.svg\)", (ROOT / "docs" / "top.md").read_text())

    assert len(readme) >= 2
    assert sorted({*readme, *top}) == sorted(path.stem for path in FOLDER.iterdir()) == sorted(NAMES)


def test_a_screen_takes_the_place_of_the_last() -> None:
    """What stands before and after it stays."""
    page = "a\n<!-- screen: written by `python -m docs.screenshots` -->\nold\n<!-- end of the screen -->\nz\n"

    assert with_screen(page, "x\n\n\n\ny") == page.replace("\nold\n", "\n\n```text\nx\n\ny\n```\n\n")
