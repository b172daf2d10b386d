"""Explains a bundle: by a model where there is one that answers in time and what it says holds, else by the rules alone."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from perflens.analysis import Bundle, Hypothesis, ModelRequest
from perflens.analyzer.llm.aliases import aliases_of
from perflens.analyzer.llm.breaker import Breaker
from perflens.analyzer.llm.budget import Budget
from perflens.analyzer.llm.cache import Cache, key_of
from perflens.analyzer.llm.client import Client, Post
from perflens.analyzer.llm.completion import CompletionError
from perflens.analyzer.llm.counts import LlmCounts, Outcome, Tally
from perflens.analyzer.llm.exchange import Exchange, Exchanged, OutOfBudget
from perflens.analyzer.llm.extract import ReplyError
from perflens.analyzer.llm.failures import FailureKind, RequestFailed
from perflens.analyzer.llm.merge import Source, merged
from perflens.analyzer.llm.prompt import Prompt, prompt_of
from perflens.analyzer.llm.reply import Answer, answer_of
from perflens.analyzer.llm.settings import LlmSettings
from perflens.analyzer.llm.vocabulary import UNLISTED, Vocabulary
from perflens.analyzer.llm.when import when_to_call

__all__ = ["Explained", "Model", "when_to_call"]

_log = logging.getLogger(__name__)

_OUTCOMES: dict[FailureKind, Outcome] = {"rate": "rate_limited", "timeout": "timeout", "size": "invalid"}
_FORMS: tuple[FailureKind, ...] = ("format", "parameter", "context")


@dataclass(frozen=True, slots=True)
class Explained:
    """What is told of a bundle. ``outcome`` is what became of the question, None when there is nobody to ask; ``model`` whose words.

    ``ideas`` are the model's own, of causes that no rule knows: unverified, and never a headline. All text is plain, with real names.
    """

    hypotheses: tuple[Hypothesis, ...]
    summary: str
    source: Source
    disagreement: str = ""
    ideas: tuple[str, ...] = ()
    model: str = ""
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class _Told:
    """How a question ended: with an answer or without one, and why then."""

    outcome: Outcome
    answer: Answer | None = None
    reason: str = ""


class Model:
    """The language model of one configuration; a changed one is a new object, and with that the breaker is closed.

    ``clock`` is a steady one, ``wall`` is since the epoch, both in seconds. ``on_request`` is told of each request when it has ended.
    It belongs to one event loop.
    """

    def __init__(
        self,
        settings: LlmSettings,
        vocabulary: Vocabulary | None = None,
        post: Post | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        on_request: Callable[[ModelRequest], None] = lambda _: None,
    ) -> None:
        self._settings, self._vocabulary = settings, vocabulary or Vocabulary()
        self._clock, self._wall = clock, wall
        self._budget = Budget(settings.max_requests_per_minute, settings.max_requests_per_hour, settings.tokens_per_day)
        self._breaker, self._tally, self._cache = Breaker(), Tally(), Cache(settings.cache_path)
        post = post or Client(settings.base_url, settings.token, settings.headers)
        self._exchange = Exchange(settings, self._vocabulary, post, self._budget, clock, self._tally.count_usage, on_request)
        self._one = asyncio.Lock()
        self._saving: asyncio.Future[None] | None = None
        self._last_reason = ""

    async def explain(self, bundle: Bundle, why: str, is_current: Callable[[], bool] = lambda: True) -> Explained:
        """Return what is told of a bundle, within the time of the settings and without an error.

        ``why`` stands in the log; an answer that comes when ``is_current`` is no longer true is not used.
        """
        if not self._settings.is_usable:
            return _explained(bundle, None, "", None)
        told = await self._told(bundle)
        if told.answer and not is_current():
            told = _Told("stale")
        self._tally.requests[told.outcome] += 1
        explained = _explained(bundle, told.answer, self._settings.model, told.outcome)
        if told.answer:
            self._tally.count_answer(told.answer, bool(explained.disagreement))
        self._tell(told, why)
        return explained

    def counts(self) -> LlmCounts:
        """Return what became of all questions until now."""
        now, own = self._clock(), self._settings
        return self._tally.counts(self._breaker.state(now), self._budget.remaining(now), own.price_in, own.price_out)

    async def close(self) -> None:
        """Write what is not yet written."""
        if self._saving:
            await self._saving
        await asyncio.to_thread(self._cache.save)

    async def _told(self, bundle: Bundle) -> _Told:
        """Return how the question ends; whatever goes wrong, it ends."""
        deadline = asyncio.get_running_loop().time() + self._settings.timeout
        try:
            async with asyncio.timeout_at(deadline), self._one:
                return await self._answered(bundle, deadline)
        except TimeoutError:
            return _Told("timeout", reason="timeout")
        except Exception as error:
            return _Told("error", reason=type(error).__name__)  # its text may have what was sent

    async def _answered(self, bundle: Bundle, deadline: float) -> _Told:
        key = key_of(bundle, aliases_of(bundle), self._settings)
        if known := self._known(bundle, key):
            return _Told("skipped_cache", known)
        if not self._breaker.allows(self._clock()):
            return _Told("skipped_breaker")
        began, told = self._clock(), _Told("timeout", reason="timeout")
        try:
            told = await self._asked(bundle, key, deadline)
        except asyncio.CancelledError:
            self._breaker.fail("timeout", self._clock())
            raise
        finally:
            if told.outcome != "skipped_budget":
                self._tally.count_time(self._clock() - began)
        return told

    def _known(self, bundle: Bundle, key: str) -> Answer | None:
        """Return a kept answer; its numbers must be those of this bundle, so another one may be left without a sentence."""
        reply = self._cache.get(key, self._wall())
        if reply is None:
            return None
        try:
            answer = answer_of(reply, bundle, self._prompt(bundle, self._settings.input_tokens), self._vocabulary)
        except ReplyError:
            return None
        return None if answer.dropped else answer

    async def _asked(self, bundle: Bundle, key: str, deadline: float) -> _Told:
        try:
            exchanged = await self._exchange.ask(lambda room: self._prompt(bundle, room), deadline)
            self._breaker.succeed()
            return self._judged(bundle, key, exchanged)
        except OutOfBudget:
            return _Told("skipped_budget")
        except RequestFailed as failed:
            kind = failed.failure.kind
            self._breaker.fail("request" if kind in _FORMS else kind, self._clock())
            return _Told(_OUTCOMES.get(kind, "error"), reason=str(failed.failure))
        except CompletionError as error:
            self._breaker.succeed()
            return _Told(error.kind, reason=str(error))
        except ReplyError as error:
            self._breaker.succeed()
            return _Told("invalid", reason=str(error))

    def _judged(self, bundle: Bundle, key: str, exchanged: Exchanged) -> _Told:
        answer = answer_of(exchanged.value, bundle, exchanged.prompt, self._vocabulary)
        if answer.is_empty:
            return _Told("invalid", answer, "nothing of the reply holds")
        if not answer.dropped:
            self._cache.put(key, exchanged.value, self._wall())
            self._save()
        return _Told("repaired" if exchanged.is_repaired else "ok", answer)

    def _prompt(self, bundle: Bundle, room: int) -> Prompt:
        own = self._settings
        return prompt_of(bundle, self._vocabulary, own.mode, own.operator_prompt, self._exchange.estimator.tokens, room)

    def _save(self) -> None:
        """Write the cache aside: a slow disk is what incidents are about, and must not hold up their telling."""
        if self._saving is None or self._saving.done():
            self._saving = asyncio.get_running_loop().run_in_executor(None, self._cache.save)

    def _tell(self, told: _Told, why: str) -> None:
        """Write a line when answers begin to fail for another reason, and when they come again."""
        if told.reason == self._last_reason or told.outcome.startswith("skipped"):
            return
        self._last_reason = told.reason
        about = {"model": self._settings.model, "outcome": told.outcome, "why": why}
        if told.reason:
            _log.warning("the model gave no answer, incidents are told by the rules", extra={"fields": {**about, "reason": told.reason}})
        else:
            _log.info("the model answers", extra={"fields": about})


def _explained(bundle: Bundle, answer: Answer | None, model: str, outcome: Outcome | None) -> Explained:
    found = merged(bundle, answer)
    ideas = tuple(cause.claim for cause in answer.causes if cause.code == UNLISTED) if answer else ()
    whose = model if found.source != "rules" else ""
    return Explained(found.hypotheses, found.summary, found.source, found.disagreement, ideas, whose, outcome)
