"""analyzer/llm/cache.py: what counts as the same question, and what a file is trusted for."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from perflens.analysis import Bundle
from perflens.analyzer.llm.aliases import aliases_of
from perflens.analyzer.llm.cache import CAPACITY, Cache, key_of
from perflens.analyzer.llm.settings import LlmSettings
from tests.unit.analyzer.llm.bundles import BUNDLE, NOISY, SLOW, fact

SETTINGS = LlmSettings(token="x")  # noqa: S106
DAY = 86_400.0


def key(bundle: Bundle = BUNDLE, settings: LlmSettings = SETTINGS) -> str:
    return key_of(bundle, aliases_of(bundle), settings)


def first(value: float) -> Bundle:
    return replace(BUNDLE, facts=(fact("E01", value=value), *BUNDLE.facts[1:]))


@pytest.mark.parametrize(
    "same",
    [
        replace(BUNDLE, host="other", start=1, end=2),
        replace(BUNDLE, hypotheses=(replace(NOISY, score=0.87), *BUNDLE.hypotheses[1:])),
        first(0.0490),
    ],
)
def test_same_question(same: Bundle) -> None:
    assert key(same) == key()


@pytest.mark.parametrize(
    "other",
    [
        replace(BUNDLE, hypotheses=(replace(NOISY, score=0.7), *BUNDLE.hypotheses[1:])),
        replace(BUNDLE, hypotheses=(SLOW,)),
        first(0.0700),
        first(-0.0482),
        first(0.0),
        replace(BUNDLE, facts=BUNDLE.facts[1:]),
    ],
)
def test_another_question(other: Bundle) -> None:
    assert key(other) != key()


@pytest.mark.parametrize("rest", [{"model": "m"}, {"operator_prompt": "x"}, {"mode": "names"}])
def test_asked_otherwise(rest: dict[str, Any]) -> None:
    assert key(settings=replace(SETTINGS, **rest)) != key()


def test_token_does_not_matter() -> None:
    assert key(settings=replace(SETTINGS, token="y")) == key()  # noqa: S106


def test_lasts_a_day() -> None:
    cache = Cache()
    cache.put("a", {"x": 1}, 100.0)
    assert cache.get("a", 100 + DAY - 1) == {"x": 1}
    assert cache.get("a", 100 + DAY) is None
    assert cache.get("a", 99) is None
    assert cache.get("b", 100) is None


def test_least_used_goes_first() -> None:
    cache = Cache()
    for at in range(CAPACITY):
        cache.put(f"{at}", {}, 0)
    cache.get("0", 1)
    cache.put("new", {}, 1)
    assert cache.get("0", 1) == {}
    assert cache.get("1", 1) is None


def test_file(tmp_path: Path) -> None:
    path = tmp_path / "replies"
    cache = Cache(str(path))
    cache.put("a", {"x": 1}, 5.0)
    cache.save()
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["replies"]
    assert Cache(str(path)).get("a", 6.0) == {"x": 1}


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "[" * 99_999, '{"form": 1}', '{"form": 1, "replies": [[1]]}', '{"form": 1, "replies": [["a", "x", {}]]}', "\udcff"],
)
def test_broken_file_is_ignored(text: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "replies"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with caplog.at_level(logging.WARNING):
        cache = Cache(str(path))
    assert [record.getMessage() for record in caplog.records] == ["kept replies of the model are ignored"]
    cache.put("a", {}, 0)
    cache.save()
    assert json.loads(path.read_text())["replies"] == [["a", 0, {}]]


def test_file_of_another_form(tmp_path: Path) -> None:
    path = tmp_path / "replies"
    path.write_text('{"form": 0}')
    assert Cache(str(path)).get("a", 0) is None


def test_file_that_cannot_be_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache = Cache(str(tmp_path / "missing" / "replies"))
    cache.put("a", {}, 0)
    with caplog.at_level(logging.WARNING):
        cache.save()
    assert [record.getMessage() for record in caplog.records] == ["replies of the model were not kept"]
