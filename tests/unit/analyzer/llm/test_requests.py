"""analyzer/llm/exchange.py: each request is told of once, however it ended, and never what was said."""

from __future__ import annotations

import time

import pytest

from perflens.analysis import ModelRequest
from perflens.analyzer.llm.explainer import Model
from perflens.analyzer.llm.settings import LlmSettings
from tests.unit.analyzer.llm.bundles import BUNDLE, VOCABULARY
from tests.unit.analyzer.llm.server import TOKEN, serving

OK = ("", "stop", 900, 120)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("ok", [OK]),
        ("prose", [OK]),
        ("length", [("", "length", 900, 120), OK]),
        ("content filter", [("refused", "content_filter", 900, 120)]),
        ("401", [("401", "", None, None)]),
        ("429 quota", [("429", "", None, None)]),
        ("slow", [("timeout", "", None, None)]),
    ],
)
async def test_requests(mode: str, expected: list[tuple[str, str, int | None, int | None]]) -> None:
    """Its outcome, why the model ended and the tokens; the retries of one request are one."""
    told: list[ModelRequest] = []
    began = time.time_ns()
    async with serving(mode) as server:
        model = Model(LlmSettings(server.base_url, "some/model", TOKEN, timeout=1.0), VOCABULARY, on_request=told.append)
        await model.explain(BUNDLE, "test")
        await model.close()

    assert [(own.error, own.finish, own.input_tokens, own.output_tokens) for own in told] == expected
    for own in told:
        assert (own.base_url, own.model, own.is_json) == (server.base_url, "some/model", True)
        assert began <= own.start <= own.end <= time.time_ns()
        assert own.most_tokens in (600, 900)
        assert TOKEN not in repr(own)
