"""analyzer/llm/explainer.py: whatever a server does, an incident is told in time and the outcome counted."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from perflens.analysis import Bundle
from perflens.analyzer.llm.client import Client
from perflens.analyzer.llm.counts import Outcome
from perflens.analyzer.llm.explainer import Explained, Model
from perflens.analyzer.llm.failures import Failure, FailureKind, RequestFailed
from perflens.analyzer.llm.settings import LlmSettings
from tests.unit.analyzer.llm.bundles import BUNDLE, NOISY, VOCABULARY, cause, fact, reply
from tests.unit.analyzer.llm.server import MODES, TOKEN, ModelServer, serving

MODEL = "some/model"
SUMMARY = "rsync[4711] makes nvme0n1 take 48.2 ms instead of 1.30 ms."
CLAIM = "rsync[4711] takes 81.3 % of the time of nvme0n1."

EXPECTED: dict[str, tuple[Outcome, str, int]] = {
    # outcome, source, requests
    "ok": ("ok", "llm", 1),
    "prose": ("invalid", "rules", 1),
    "prose around": ("repaired", "llm", 1),
    "fenced": ("repaired", "llm", 1),
    "think tags": ("repaired", "llm", 1),
    "thoughts only": ("invalid", "rules", 1),
    "schema ignored": ("invalid", "rules", 1),
    "length": ("repaired", "llm", 2),
    "always length": ("invalid", "rules", 2),
    "refusal": ("refused", "rules", 1),
    "content filter": ("refused", "rules", 1),
    "wrong id": ("invalid", "rules", 1),
    "wrong number": ("invalid", "rules", 1),
    "injected": ("invalid", "rules", 1),
    "no verdict": ("ok", "rules", 1),
    "400 response_format": ("repaired", "llm", 3),
    "400 max_tokens": ("repaired", "llm", 2),
    "400 context": ("repaired", "llm", 2),
    "400": ("error", "rules", 1),
    "401": ("error", "rules", 1),
    "402": ("error", "rules", 1),
    "404": ("error", "rules", 1),
    "429 seconds": ("ok", "llm", 2),
    "429 date": ("rate_limited", "rules", 1),
    "429 long": ("rate_limited", "rules", 1),
    "429 quota": ("error", "rules", 1),
    "500": ("error", "rules", 3),
    "500 once": ("ok", "llm", 2),
    "503": ("error", "rules", 1),
    "slow": ("timeout", "rules", 1),
    "hang": ("timeout", "rules", 1),
    "huge": ("invalid", "rules", 1),
    "redirect": ("error", "rules", 1),
    "usage missing": ("ok", "llm", 1),
    "not json": ("invalid", "rules", 1),
}
OPEN = {"400", "401", "402", "404", "429 quota", "redirect"}


async def at_once(seconds: float) -> None:
    """No pause between tries."""


def model_of(server: ModelServer, timeout: float = 20.0, **rest: Any) -> Model:
    settings = LlmSettings(server.base_url, MODEL, TOKEN, timeout, **rest)
    return Model(settings, VOCABULARY, Client(server.base_url, TOKEN, {"X-HF-Bill-To": "ops"}, at_once, lambda: 0.0))


class Script:
    """Stands for a server: answers with the next of its replies, and the last for ever."""

    def __init__(self, *replies: Mapping[str, Any] | Failure) -> None:
        self.replies = replies
        self.payloads: list[Mapping[str, Any]] = []
        self.gate: asyncio.Event | None = None

    async def __call__(self, payload: Mapping[str, Any], deadline: float, may_send: Callable[[], bool]) -> bytes:
        self.payloads.append(payload)
        if self.gate:
            await self.gate.wait()
        own = self.replies[min(len(self.payloads), len(self.replies)) - 1]
        if isinstance(own, Failure):
            raise RequestFailed(own)
        usage = {"prompt_tokens": 900, "completion_tokens": 100}
        choice = {"finish_reason": "stop", "message": {"content": json.dumps(own)}}
        return json.dumps({"choices": [choice], "usage": usage}).encode()


def scripted(script: Script, clock: Callable[[], float] = lambda: 0.0, **rest: Any) -> Model:
    return Model(LlmSettings("http://127.0.0.1:1/v1", MODEL, TOKEN, **rest), VOCABULARY, script, clock, clock)


def other(value: float) -> Bundle:
    """A bundle that the cache does not know: its first fact has another value."""
    return replace(BUNDLE, facts=(fact("E01", value=value), *BUNDLE.facts[1:]))


def test_every_mode_is_expected() -> None:
    assert EXPECTED.keys() == MODES.keys()


@pytest.mark.parametrize("mode", MODES)
async def test_contract(mode: str, caplog: pytest.LogCaptureFixture) -> None:
    """Each mode ends in a validated answer or the rules' words, with its outcome counted and the token nowhere."""
    outcome, source, requests = EXPECTED[mode]
    with caplog.at_level(logging.DEBUG, logger="perflens"):
        async with serving(mode) as server:
            model = model_of(server, 0.3 if mode in ("slow", "hang") else 20.0)
            told = await model.explain(BUNDLE, "opened")
            assert len(server.requests) == requests
            assert server.elsewhere == 0
    assert (told.outcome, told.source) == (outcome, source)
    assert told.summary == (SUMMARY if source == "llm" else NOISY.claim)
    assert told.hypotheses[0].claim == (CLAIM if source == "llm" else NOISY.claim)
    assert told.model == (MODEL if source == "llm" else "")
    counts = model.counts()
    assert {name: number for name, number in counts.requests.items() if number} == {outcome: 1}
    assert counts.timed == 1
    assert counts.breaker == ("open" if mode in OPEN else "closed")
    assert TOKEN not in "".join(f"{record.__dict__}" for record in caplog.records)


async def test_request() -> None:
    """A request is deterministic, bounded, and asks for the schema."""
    async with serving("ok") as server:
        await model_of(server, operator_prompt="Answer in German.").explain(BUNDLE, "opened")
        [sent], [headers] = server.requests, server.headers
    assert {name: sent[name] for name in ("model", "temperature", "seed", "max_tokens", "stream")} == {
        "model": MODEL,
        "temperature": 0,
        "seed": 7,
        "max_tokens": 600,
        "stream": False,
    }
    assert [message["role"] for message in sent["messages"]] == ["system", "user"]
    assert sent["messages"][0]["content"].endswith("\n\nAnswer in German.")
    assert sent["response_format"]["type"] == "json_schema"
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert headers["User-Agent"].startswith("perflens/")
    assert headers["X-HF-Bill-To"] == "ops"


@pytest.mark.parametrize(("mode", "missing", "tokens"), [("ok", 0, (900, 120)), ("usage missing", 1, (0, 0))])
async def test_usage(mode: str, missing: int, tokens: tuple[int, int]) -> None:
    """Tokens are those that the server counted; where it did not, none are made up."""
    async with serving(mode) as server:
        model = model_of(server, price_in=1.0, price_out=2.0)
        await model.explain(BUNDLE, "opened")
    counts = model.counts()
    assert (counts.usage_missing, (counts.tokens_in, counts.tokens_out)) == (missing, tokens)
    assert counts.cost_usd == pytest.approx((tokens[0] + 2 * tokens[1]) / 1e6)
    if not missing:
        assert counts.tokens_remaining == 200_000 - 1_020


async def test_claims_are_counted() -> None:
    async with serving("injected") as server:
        model = model_of(server)
        told = await model.explain(BUNDLE, "opened")
    counts = model.counts()
    assert counts.claims_kept == 0
    assert dict(counts.claims_dropped) == {"characters": 1, "vetoed": 1, "entity": 1, "uncited": 1}
    assert "evil" not in f"{told}"


async def test_nobody_to_ask() -> None:
    """Without a token for the default service nothing is sent, and nothing is counted."""
    script = Script(reply())
    model = Model(LlmSettings(), VOCABULARY, script)
    told = await model.explain(BUNDLE, "opened")
    assert told == Explained(BUNDLE.hypotheses, NOISY.claim, "rules")
    assert script.payloads == []
    assert sum(model.counts().requests.values()) == 0


async def test_server_that_is_not_there() -> None:
    model = Model(LlmSettings("http://127.0.0.1:1/v1", MODEL), VOCABULARY, Client("http://127.0.0.1:1/v1", "", {}, at_once))
    told = await model.explain(BUNDLE, "opened")
    assert (told.outcome, told.source) == ("error", "rules")


@pytest.mark.parametrize("base_url", ["http://[::1", "no url", "ftp://host/v1", "http://127.0.0.1:99999/v1"])
async def test_bad_url(base_url: str) -> None:
    model = Model(LlmSettings(base_url, MODEL, TOKEN), VOCABULARY)
    told = await model.explain(BUNDLE, "opened")
    assert (told.outcome, told.source, model.counts().breaker) == ("error", "rules", "open")


async def test_cache() -> None:
    """The same evidence is asked about once, and its answer told with the names of the bundle at hand."""
    script = Script(reply())
    model = scripted(script)
    first, second = [await model.explain(BUNDLE, "opened") for _ in range(2)]
    assert (first.outcome, second.outcome) == ("ok", "skipped_cache")
    assert replace(second, outcome="ok") == first
    assert len(script.payloads) == 1


async def test_cached_numbers_of_another_bundle() -> None:
    """A kept answer whose numbers are no longer those that were measured is not told."""
    script = Script(reply(), reply(summary="D1 takes 49.9 ms.", summary_evidence=["E01"]))
    model = scripted(script)
    await model.explain(BUNDLE, "opened")
    assert (await model.explain(other(0.0499), "moved")).summary == "nvme0n1 takes 49.9 ms."
    assert len(script.payloads) == 2


async def test_cache_outlives_the_agent(tmp_path: Path) -> None:
    path = tmp_path / "replies.json"
    model = scripted(Script(reply()), cache_path=str(path))
    await model.explain(BUNDLE, "opened")
    await model.close()
    assert path.stat().st_mode & 0o777 == 0o600
    assert "nvme0n1" not in path.read_text()
    told = await scripted(Script(), cache_path=str(path)).explain(BUNDLE, "opened")
    assert (told.outcome, told.summary) == ("skipped_cache", SUMMARY)


async def test_budget_of_requests() -> None:
    script = Script(reply())
    model = scripted(script, max_requests_per_minute=2)
    outcomes = [(await model.explain(other(10.0**power), "moved")).outcome for power in range(3)]
    assert outcomes[2] == "skipped_budget"
    assert len(script.payloads) == 2
    assert model.counts().timed == 2


async def test_budget_of_tokens() -> None:
    script = Script(reply())
    told = await scripted(script, tokens_per_day=1_000).explain(BUNDLE, "opened")
    assert (told.outcome, script.payloads) == ("skipped_budget", [])


@pytest.mark.parametrize(("kind", "seconds"), [("auth", None), ("quota", 21_600), ("config", 600), ("request", 600), ("context", 600)])
async def test_breaker(kind: FailureKind, seconds: int | None) -> None:
    """What cannot succeed is not asked again until that may have changed."""
    now = [0.0]
    script = Script(Failure(kind, 400))
    model = scripted(script, lambda: now[0], input_tokens=2_000)
    await model.explain(BUNDLE, "opened")
    asked = len(script.payloads)
    now[0] = (seconds or 1e9) - 1
    assert (await model.explain(BUNDLE, "moved")).outcome == "skipped_breaker"
    assert len(script.payloads) == asked
    if seconds:
        now[0] = seconds
        assert (await model.explain(BUNDLE, "moved")).outcome == "error"


async def test_stale() -> None:
    """An answer to a question that nobody has any more is not told."""
    model = scripted(Script(reply()))
    told = await model.explain(BUNDLE, "opened", lambda: False)
    assert (told.outcome, told.source, told.summary) == ("stale", "rules", NOISY.claim)


async def test_one_at_a_time() -> None:
    script = Script(reply())
    script.gate = asyncio.Event()
    model = scripted(script)
    both = [asyncio.create_task(model.explain(other(10.0**power), "opened")) for power in range(2)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(script.payloads) == 1
    script.gate.set()
    await asyncio.gather(*both)
    assert len(script.payloads) == 2


async def test_cancelled() -> None:
    """The end of the agent ends a question too."""
    script = Script(reply())
    script.gate = asyncio.Event()
    task = asyncio.create_task(scripted(script).explain(BUNDLE, "opened"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_disagreement_is_counted_and_told() -> None:
    far = replace(BUNDLE, hypotheses=(replace(NOISY, score=0.95), *BUNDLE.hypotheses[1:]))
    model = scripted(Script(reply(cause("SLOW_DEVICE", "D1 takes 48.2 ms."))))
    told = await model.explain(far, "opened")
    assert told.disagreement == "model prefers SLOW_DEVICE on nvme0n1"
    assert model.counts().disagreements == 1
    assert told.hypotheses[0].code == "NOISY_NEIGHBOUR_IO"


async def test_ideas() -> None:
    idea = cause("OTHER", "P1 and D1 are at odds.", confidence="low")
    told = await scripted(Script(reply(cause(), idea))).explain(BUNDLE, "opened")
    assert told.ideas == ("rsync[4711] and nvme0n1 are at odds.",)
    assert told.summary == SUMMARY


async def test_errors_of_our_own_end_in_the_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake in reading answers costs the answer and nothing else."""

    def fail(*arguments: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr("perflens.analyzer.llm.explainer.answer_of", fail)
    told = await scripted(Script(reply())).explain(BUNDLE, "opened")
    assert (told.outcome, told.source) == ("error", "rules")


async def test_failures_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    model = scripted(Script(Failure("transient", 500), Failure("transient", 500), reply(), reply()))
    with caplog.at_level(logging.INFO, logger="perflens"):
        for power in range(4):
            await model.explain(other(10.0**power), "moved")
    assert [record.getMessage() for record in caplog.records][:1] == ["the model gave no answer, incidents are told by the rules"]
    assert len(caplog.records) == 2
