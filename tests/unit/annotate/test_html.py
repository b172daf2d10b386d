"""annotate/html.py: what an annotation says, whatever names there are on the host."""

from __future__ import annotations

import json
from dataclasses import replace
from html.parser import HTMLParser
from itertools import product

import pytest

from perflens.analysis import HOST as WHOLE_HOST
from perflens.analysis import Impact
from perflens.annotate.html import LONGEST_TEXT, brief_of, budget_text, tag, tags_of, text_of
from perflens.annotate.wording import clean, escaped, quantity
from tests.unit.annotate.incidents import fact, hypothesis, incident

URL = "https://agent.example/perf"
PAYLOADS = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<a href='javascript:alert(1)'>x</a>",
    '<a href="https://evil.example">x</a>',
    "</li></ul><h1>x</h1>",
    "<!-- <b> -->",
    "<![CDATA[<i>x</i>]]>",
    "<?php x ?>",
    "&lt;script&gt;",
    "&#60;script&#62;",
    "\" onclick='x' ",
    "\x1b[31mred\x1b[0m\x1b]0;title\x07",
    "\u202eevil\u202c\u2066x\u2069",
    "\u200e\u200f\u061c\ufeff\u200b",
    "a\nb\r\nc\u2028d\u2029e\x85f\x0bg",
    "\x00\x01\x7f\x9b31m",
    "host:web2:incident:x",
    "state:open",
    "{{ .Values }}${x}`id`$(id)",
    "\udc80\udcff\ud800",
    "<" * 5_000,
    "'" * 5_000,
    "𝒳" * 5_000,
    "[x](javascript:alert(1)) **b**",
    "<svg/onload=x><style>*{}</style><iframe src=x>",
)
FRAMES = ("{}", "/var/lib/{}", "{}.service", "x {} y", "<b>{}</b>", "{}:{}", "comm[{}]", '"{}"', "&{};")
HOSTILE = tuple(frame.replace("{}", payload) for payload, frame in product(PAYLOADS, FRAMES))


class Reader(HTMLParser):
    """Which tags and which links a text has, and what is read between them."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.said = ""
        self.others: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if (tag, name) == ("a", "href")]
        self.others += [name for name, _ in attrs if (tag, name) != ("a", "href")]

    def handle_data(self, data: str) -> None:
        self.said += data

    def handle_comment(self, data: str) -> None:
        self.others.append(data)

    def handle_decl(self, decl: str) -> None:
        self.others.append(decl)

    handle_pi = unknown_decl = handle_comment


def test_there_are_enough_hostile_names() -> None:
    assert len(set(HOSTILE)) >= 200


@pytest.mark.parametrize("own", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_name_is_text_and_nothing_else(own: str) -> None:
    causes = tuple(hypothesis(own, own, own) for _ in range(3))
    made = incident(causes=causes, summary=own)
    made = replace(made, bundle=replace(made.bundle, facts=(fact("E01", own, detail=own),)))
    for text in (text_of(made, URL), brief_of(made, URL)):
        read = Reader(text)
        assert read.tags <= {"b", "br", "ul", "li", "a"}
        assert read.links == [f"{URL}/api/v1/incidents?id=0badcafe"]
        assert read.others == []
        assert all(char.isprintable() for char in read.said)
        assert len(text.encode()) <= LONGEST_TEXT


@pytest.mark.parametrize("own", HOSTILE, ids=range(len(HOSTILE)))
def test_tags_are_short_and_keep_their_key(own: str) -> None:
    tags = tags_of(incident(own, host=own, causes=(hypothesis(code=own),)))
    assert [each.split(":")[0] for each in tags] == ["perflens", "host", "incident", "cause", "severity", "state"]
    assert [each.count(":") for each in tags] == [0, 1, 1, 1, 1, 1]
    assert all(each == each.strip() and each.isprintable() and len(each) <= 64 for each in tags)
    assert len(json.dumps(tags, ensure_ascii=False).encode()) < 480


def test_the_text_of_an_open_incident() -> None:
    assert text_of(incident(), URL) == (
        "<b>NOISY_NEIGHBOUR_IO on sda (warning)</b><br>412 slow operations, 38.2 s in all<br>reads of sda wait for the backup"
        "<ul><li>backup.service keeps sda busy (high; E01 device latency p99 48.2 ms, was 1.30 ms)</li></ul>"
        f'<a href="{URL}/api/v1/incidents?id=0badcafe">evidence</a>'
    )


def test_what_is_slower_than_usual_is_no_slow_operation() -> None:
    """Nothing over the threshold is not counted as none in so many seconds."""
    own = incident()
    own = replace(own, bundle=replace(own.bundle, impact=Impact(0, 1.4)))
    assert "<br>1.40 s slower than usual, nothing over the threshold<br>reads of sda" in text_of(own)
    assert "slower" not in text_of(replace(own, bundle=replace(own.bundle, impact=Impact())))


def test_the_text_of_a_resolved_incident_says_how_long_it_lasted() -> None:
    assert text_of(incident(resolved=780)).startswith("<b>NOISY_NEIGHBOUR_IO on sda (warning, resolved after 12.0 min)</b>")


def test_a_change_has_no_number_but_a_time() -> None:
    made = incident()
    made = replace(made, bundle=replace(made.bundle, facts=(fact(text="was started", value=42.0, detail="backup.service"),)))
    assert "(high; E01 was started backup.service 42.0 s before)" in text_of(made)


def test_an_incident_without_a_cause() -> None:
    text = text_of(incident(causes=()), URL)
    assert text.startswith(f"<b>UNEXPLAINED on {WHOLE_HOST} (warning)</b>")
    assert text.endswith(f'<br><a href="{URL}/api/v1/incidents?id=0badcafe">evidence</a>')


@pytest.mark.parametrize("url", ["", "javascript:alert(1)", "https://a b", "https://" + "x" * 400, "//x", "https://x\n"])
def test_there_is_no_link_without_a_usable_url(url: str) -> None:
    assert "<a" not in text_of(incident(), url)
    assert brief_of(incident(), url) == "<b>NOISY_NEIGHBOUR_IO on sda (warning)</b>"


def test_the_tags_of_an_incident() -> None:
    assert tags_of(incident()) == (
        "perflens",
        "host:web1",
        "incident:0badcafe",
        "cause:NOISY_NEIGHBOUR_IO",
        "severity:warning",
        "state:open",
    )


def test_a_colon_in_a_tag_becomes_a_bar_and_an_empty_value_unknown() -> None:
    assert tag("host", "a:b:c") == "host:a|b|c"
    assert tag("host", "\u202e") == "host:unknown"


def test_the_budget() -> None:
    assert budget_text(1, 6, 30).endswith("1 incident is not shown: at most 6 new annotations an hour and 30 a day")
    assert budget_text(7, 6, 30).startswith("<b>annotation budget reached</b><br>7 incidents are not shown")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0482, "s", "48.2 ms"),
        (0.0013, "s", "1.30 ms"),
        (0.9996, "s", "1.00 s"),
        (0.00000012, "s", "120 ns"),
        (1e-12, "s", "0.001 ns"),
        (0, "s", "0 s"),
        (5400, "s", "1.50 h"),
        (-0.5, "s", "-500 ms"),
        (1536, "B", "1.50 KiB"),
        (512, "bytes", "512 B"),
        (3 << 30, "B/s", "3.00 GiB/s"),
        (0.81, "ratio", "81.0 %"),
        (8123, "1/s", "8.12 k/s"),
        (0.5, "1/s", "0.50/s"),
        (412, "", "412"),
        (8123, "", "8.12 k"),
        (7, "processes", "7 processes"),
        (0, "processes", "0 processes"),
        (float("nan"), "s", "?"),
        (float("inf"), "B", "?"),
    ],
)
def test_quantities(value: float, unit: str, text: str) -> None:
    assert quantity(value, unit) == text


def test_cutting_counts_bytes_of_html() -> None:
    assert escaped("<<<<", 12) == "&lt;&lt;…"
    assert escaped("<<<", 12) == "&lt;&lt;&lt;"
    assert escaped("äää", 5) == "ä…"
    assert clean("a\n\tb \u202e\udc80") == "a b \ufffd"
