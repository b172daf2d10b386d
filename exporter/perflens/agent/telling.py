"""Tells incidents: a model may word them, and Grafana shows them. Neither holds up the analyzer."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from perflens.analysis import Incident, ModelRequest, Subject, TellingCounts
from perflens.analyzer.actions import ACTIONS
from perflens.analyzer.causes import discover
from perflens.analyzer.incidents import Explanation
from perflens.analyzer.llm.settings import LlmSettings, Token
from perflens.analyzer.llm.settings import token_from as llm_token
from perflens.analyzer.llm.when import Why, when_to_call
from perflens.annotate.changes import Changes
from perflens.annotate.settings import GrafanaSettings
from perflens.annotate.settings import token_from as grafana_token
from perflens.config import Settings
from perflens.export.otlp import incidents
from perflens.export.otlp.incidents import IncidentLog, LogCounts
from perflens.logs import fields

if TYPE_CHECKING:
    from perflens.analyzer.llm.explainer import Model
    from perflens.annotate.counts import SinkCounts
    from perflens.annotate.sink import GrafanaSink

__all__ = ["Telling", "Tokens", "model_of", "telling", "tokens_of"]

_log = logging.getLogger("perflens")

_SECOND = 1_000_000_000
_ASKED_KEPT = 500

Traced = Callable[[ModelRequest], None]

Put = Callable[[str, Explanation], Awaitable[Incident | None]]
"""Puts a model's words into an incident by its id; None when they come too late."""


class _Asked(NamedTuple):
    """An incident as it was when the model was last asked of it, and the first causes that it was asked of with."""

    last: Incident
    causes: frozenset[tuple[str, Subject]]


class Telling:
    """Belongs to the event loop, but for ``counts``. Without a model incidents keep the words of the rules."""

    def __init__(self, model: Model | None, sink: GrafanaSink | None, log: IncidentLog) -> None:
        self._model, self._sink, self._incident_log = model, sink, log
        self._changes = Changes()
        self._asked: dict[str, _Asked] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._running = asyncio.get_running_loop().create_task(sink.run()) if sink else None

    def know(self, incidents: Iterable[Incident]) -> None:
        """Take in incidents that were told before the agent began."""
        self._changes = Changes(incidents)

    def tell(self, incidents: Iterable[Incident], put: Put) -> None:
        """Take in incidents as they are now."""
        for own in incidents:
            self._record(own)
            if self._sink:
                self._sink.put(own)
            if self._model and (why := self._why(own)):
                self._note(own)
                task = asyncio.get_running_loop().create_task(self._ask(own, why, put))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    def _record(self, own: Incident) -> None:
        change = self._changes.of(own)
        if change:
            self._incident_log.put(change, own)

    def _why(self, own: Incident) -> Why:
        asked = self._asked.get(own.id)
        return when_to_call(asked.last, own, asked.causes) if asked else when_to_call(None, own)

    def _note(self, own: Incident) -> None:
        asked = self._asked.pop(own.id, None)
        self._asked[own.id] = _Asked(own, (asked.causes if asked else frozenset()) | {(own.cause, own.subject)})
        if len(self._asked) > _ASKED_KEPT:
            del self._asked[next(iter(self._asked))]

    def _is_last(self, own: Incident) -> bool:
        return own.id in self._asked and self._asked[own.id].last is own

    async def _ask(self, own: Incident, why: str, put: Put) -> None:
        if self._model is None:
            return
        told = await self._model.explain(own.bundle, why, lambda: self._is_last(own))
        if told.source == "rules":
            return
        causes = tuple(cause for cause in told.hypotheses if not cause.contributing)
        changed = await put(own.id, Explanation(own.cause, causes, told.summary, told.source, told.model, own.bundle))
        if changed:
            self._record(changed)
        if changed and self._sink:
            self._sink.put(changed)

    def counts(self) -> TellingCounts:
        """Return what became of questions and annotations; any thread may ask."""
        sinks = {"grafana": self._sink.counts() if self._sink else None, "otlp_log": self._incident_log.counts()}
        return TellingCounts(_llm(self._model), {name: _of_sink(own) for name, own in sinks.items() if own})

    async def close(self) -> None:
        """Let the request under way end, and leave the rest in its file."""
        for task in self._tasks:
            task.cancel()
        if self._sink and self._running:
            await self._sink.stop()
            await asyncio.gather(self._running, return_exceptions=True)
        if self._model:
            await self._model.close()
        await asyncio.to_thread(self._incident_log.close)


def _llm(model: Model | None) -> Mapping[str, Mapping[str, float]]:
    if model is None:
        return {}
    own = model.counts()
    return {
        "requests": {str(outcome): count for outcome, count in own.requests.items()},
        "claims": {"kept": own.claims_kept, **{f"dropped_{reason}": count for reason, count in own.claims_dropped.items()}},
        "tokens": {"input": own.tokens_in, "output": own.tokens_out},
        "duration": {"count": own.timed, "sum": own.seconds},
        "other": {
            "usage_missing": own.usage_missing,
            "rule_disagreements": own.disagreements,
            "tokens_remaining": own.tokens_remaining,
            "breaker_open": own.breaker != "closed",
        },
    }


def _of_sink(own: SinkCounts | LogCounts) -> Mapping[str, Mapping[str, float]]:
    return {"delivered": own.delivered, "failed": own.failed, "dropped": own.dropped, "other": {"pending": own.pending, "up": own.up}}


@dataclass(frozen=True, slots=True)
class Tokens:
    """What lets the agent in at the model's server and at Grafana; empty where there is none."""

    llm: Token
    grafana: str = field(repr=False)


def tokens_of(settings: Settings, environment: Mapping[str, str] = os.environ) -> Tokens:
    """Read the tokens; ConfigError when a file or a variable holds none."""
    return Tokens(
        llm_token(environment, settings.llm.token_file) if settings.llm.base_url else Token(),
        grafana_token(environment, settings.grafana.token_file) if settings.grafana.url else "",
    )


def telling(settings: Settings, host: str, tokens: Tokens, traced: Traced = lambda _: None) -> Telling:
    """Return what the settings ask for; ``traced`` is told of each request to a model. What is not asked for is not imported."""
    log = incidents.start(settings.otlp.endpoint, settings.otlp.protocol)
    return Telling(model_of(settings, tokens.llm, traced), _sink(settings, host, tokens.grafana), log)


def model_of(settings: Settings, token: Token, traced: Traced = lambda _: None) -> Model | None:
    """Return the model that is asked; None when there is none that can be."""
    own = settings.llm
    chosen = LlmSettings(
        base_url=own.base_url,
        model=own.model,
        token=token.value,
        timeout=own.timeout / _SECOND,
        max_requests_per_minute=own.requests_per_minute,
        tokens_per_day=own.tokens_per_day,
        mode=own.redaction,
        operator_prompt=own.prompt,
        cache_path=own.cache_file,
    )
    if not chosen.is_usable:
        if token.hint:
            _log.info("no model is asked", extra=fields(reason="no token", cure=token.hint))
        return None
    from perflens.analyzer.llm.explainer import Model  # most hosts never need it
    from perflens.analyzer.llm.vocabulary import Vocabulary

    return Model(chosen, Vocabulary(tuple(discover()), {action.id: action.text for action in ACTIONS.values()}), on_request=traced)


def _sink(settings: Settings, host: str, token: str) -> GrafanaSink | None:
    own = settings.grafana
    if not own.url:
        return None
    if not token:
        _log.warning("no annotations", extra=fields(reason="no token", cure="set grafana.token-file or GRAFANA_TOKEN"))
        return None
    from perflens.annotate.sink import GrafanaSink  # likewise

    return GrafanaSink(GrafanaSettings(own.url, token, host, own.external_url, own.outbox_file, own.per_hour, own.per_day))
