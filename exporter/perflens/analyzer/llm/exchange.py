"""Asks for one answer, and again in other words where a server did not take the first: what it takes is remembered."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from perflens.analysis import ModelRequest
from perflens.analyzer.llm.budget import Budget
from perflens.analyzer.llm.client import Post
from perflens.analyzer.llm.completion import Completion, CompletionError, Usage, completion_of
from perflens.analyzer.llm.extract import Extracted, ReplyError, extracted
from perflens.analyzer.llm.failures import Failure, RequestFailed
from perflens.analyzer.llm.ladder import Ladder
from perflens.analyzer.llm.prompt import Prompt
from perflens.analyzer.llm.schema import schema_of
from perflens.analyzer.llm.settings import LlmSettings
from perflens.analyzer.llm.tokens import Estimator
from perflens.analyzer.llm.vocabulary import Vocabulary

__all__ = ["Exchange", "Exchanged", "OutOfBudget"]

_MOST = 6
"""Most requests for one answer, without the client's own retries."""

_SEED = 7
_LONGER = 1.5


class OutOfBudget(Exception):
    """No request may be sent now."""


@dataclass(frozen=True, slots=True)
class Exchanged:
    """The object of a reply, with the prompt that it is to; ``is_repaired`` when it was not to be had at once or stood among text."""

    value: Mapping[str, Any]
    prompt: Prompt
    is_repaired: bool


@dataclass(slots=True)
class _Draft:
    """A request that is being worded: the room for the prompt, and whether it is asked for in other words than at first."""

    prompt: Prompt
    room: int
    is_shorter: bool = False
    is_again: bool = False


@dataclass(slots=True)
class Exchange:
    """Talks to one server. ``clock`` is a steady one in seconds, ``on_usage`` is told what each answer cost, None where nobody knows.

    ``on_request`` is told of each request when it has ended, however it did.
    """

    settings: LlmSettings
    vocabulary: Vocabulary
    post: Post
    budget: Budget
    clock: Callable[[], float]
    on_usage: Callable[[Usage | None], None]
    on_request: Callable[[ModelRequest], None] = lambda _: None
    estimator: Estimator = field(default_factory=Estimator)
    ladder: Ladder = field(default_factory=Ladder)
    refused: set[str] = field(default_factory=set)

    async def ask(self, prompt_in: Callable[[int], Prompt], deadline: float) -> Exchanged:
        """Return what the model answers to the prompt that ``prompt_in`` makes for a room in tokens.

        RequestFailed, CompletionError, ReplyError or OutOfBudget when there is no answer until the running loop's clock is at ``deadline``.
        """
        room = self.settings.input_tokens
        draft = _Draft(prompt_in(room), room)
        problem: Exception = OutOfBudget()
        for _ in range(_MOST):
            taken = self.estimator.tokens(draft.prompt.text) + self._output_tokens(draft)
            if not self.budget.take(taken, self.clock()):
                break
            try:
                completion = await self._completion(draft, taken, deadline)
            except RequestFailed as failed:
                problem = failed
                if not self._adapts(draft, failed.failure, prompt_in):
                    break
            else:
                if not completion.is_cut:
                    return self._exchanged(completion, draft)
                problem = ReplyError("the reply was cut")
                if draft.is_shorter:
                    break
                draft.is_shorter = True
            draft.is_again = True
        raise problem

    async def _completion(self, draft: _Draft, taken: int, deadline: float) -> Completion:
        payload, began = self._payload(draft), time.time_ns()
        error, usage, finish = "timeout", None, ""  # whoever is cancelled had no time left
        try:
            body = await self.post(payload, deadline, lambda: self.budget.take(taken, self.clock()))
            completion = completion_of(body)
            error, usage, finish = "", completion.usage, completion.finish
        except RequestFailed as failed:
            error = str(failed.failure.status or failed.failure.kind)
            raise
        except CompletionError as failed:
            error, usage, finish = failed.kind, failed.usage, failed.finish
            self._settle(draft, taken, usage)
            raise
        finally:
            self._tell(draft, "response_format" in payload, began, usage, finish, error)
        self._settle(draft, taken, usage)
        return completion

    def _tell(self, draft: _Draft, is_json: bool, began: int, usage: Usage | None, finish: str, error: str) -> None:
        tokens = (usage.prompt, usage.completion) if usage else (None, None)
        own = self.settings
        most = self._output_tokens(draft)
        self.on_request(ModelRequest(own.base_url, own.model, began, time.time_ns(), is_json, most, tokens[0], tokens[1], finish, error))

    def _exchanged(self, completion: Completion, draft: _Draft) -> Exchanged:
        """Return the object of a reply, and learn whether the server keeps to the form that was asked for."""
        own, now = self.settings, self.clock()
        try:
            found: Extracted = extracted(completion.text)
        except ReplyError:
            self.ladder.note(own.base_url, own.model, is_readable=False, now=now)
            raise
        self.ladder.note(own.base_url, own.model, is_readable=True, now=now)
        return Exchanged(found.value, draft.prompt, draft.is_again or not found.is_bare)

    def _adapts(self, draft: _Draft, failure: Failure, prompt_in: Callable[[int], Prompt]) -> bool:
        """Word the request otherwise after a failure; False when nothing is left to change."""
        own = self.settings
        if failure.kind == "format":
            return self.ladder.step_down(own.base_url, own.model, self.clock())
        if failure.kind == "parameter" and failure.parameter not in self.refused:
            self.refused.add(failure.parameter)
            return True
        if failure.kind == "context" and draft.room == own.input_tokens:
            draft.room //= 2
            draft.prompt = prompt_in(draft.room)
            return True
        return False

    def _payload(self, draft: _Draft) -> dict[str, Any]:
        """Return the body of a request. Source: OpenAI's API reference, create chat completion."""
        limit = "max_completion_tokens" if "max_tokens" in self.refused else "max_tokens"
        wanted = {"temperature": 0, "seed": _SEED, limit: self._output_tokens(draft)}
        return {
            "model": self.settings.model,
            "messages": draft.prompt.messages(shorter=draft.is_shorter),
            "stream": False,
            **{name: value for name, value in wanted.items() if name not in self.refused},
            **self._response_format(draft.prompt.facts),
        }

    def _response_format(self, sent: frozenset[str]) -> dict[str, Any]:
        rung = self.ladder.rung(self.settings.base_url, self.settings.model, self.clock())
        if rung == "none":
            return {}
        if rung == "json_object":
            return {"response_format": {"type": rung}}
        schema = {"name": "incident", "strict": True, "schema": schema_of(self.vocabulary, sent)}
        return {"response_format": {"type": rung, rung: schema}}

    def _output_tokens(self, draft: _Draft) -> int:
        return int(self.settings.output_tokens * (_LONGER if draft.is_shorter else 1))

    def _settle(self, draft: _Draft, taken: int, usage: Usage | None) -> None:
        self.on_usage(usage)
        if usage:
            self.budget.settle(taken, usage.prompt + usage.completion)
            self.estimator.correct(draft.prompt.text, usage.prompt)
