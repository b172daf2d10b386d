"""What became of every explanation that was asked for, and what it cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, get_args

from perflens.analyzer.llm.breaker import BreakerState
from perflens.analyzer.llm.completion import Usage
from perflens.analyzer.llm.reply import Answer

__all__ = ["OUTCOMES", "LlmCounts", "Outcome", "Tally"]

Outcome = Literal[
    "ok",
    "repaired",
    "invalid",
    "refused",
    "rate_limited",
    "timeout",
    "error",
    "stale",
    "skipped_cache",
    "skipped_budget",
    "skipped_breaker",
]
"""``repaired``: the answer was usable, but stood among other text or had to be asked for again."""

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
_MILLION = 1e6


@dataclass(frozen=True, slots=True)
class LlmCounts:
    """Counts since the start. ``claims_dropped`` is of sentences by reason, tokens are as servers reported them.

    ``seconds`` and ``timed`` are the sum and the number of explanations for which a request was sent; ``cost_usd`` is None without prices.
    """

    requests: Mapping[Outcome, int]
    claims_kept: int
    claims_dropped: Mapping[str, int]
    tokens_in: int
    tokens_out: int
    usage_missing: int
    disagreements: int
    breaker: BreakerState
    tokens_remaining: int
    seconds: float
    timed: int
    cost_usd: float | None


@dataclass(slots=True)
class Tally:
    """The same while it is counted."""

    requests: Counter[Outcome] = field(default_factory=Counter)
    claims_kept: int = 0
    claims_dropped: Counter[str] = field(default_factory=Counter)
    tokens_in: int = 0
    tokens_out: int = 0
    usage_missing: int = 0
    disagreements: int = 0
    seconds: float = 0.0
    timed: int = 0

    def count_answer(self, answer: Answer, differs: bool) -> None:
        """Count the sentences of an answer, and whether it is of another mind than the rules."""
        self.claims_kept += answer.kept
        self.claims_dropped.update(answer.dropped)
        self.disagreements += differs

    def count_usage(self, usage: Usage | None) -> None:
        """Count the tokens of one request."""
        if usage is None:
            self.usage_missing += 1
        else:
            self.tokens_in += usage.prompt
            self.tokens_out += usage.completion

    def count_time(self, seconds: float) -> None:
        """Count how long an explanation took that was asked for."""
        self.seconds += seconds
        self.timed += 1

    def counts(self, breaker: BreakerState, tokens_remaining: int, price_in: float | None, price_out: float | None) -> LlmCounts:
        """Return the counts of this moment; prices are in USD for a million tokens."""
        priced = price_in is not None and price_out is not None
        cost = (self.tokens_in * (price_in or 0.0) + self.tokens_out * (price_out or 0.0)) / _MILLION if priced else None
        return LlmCounts(
            MappingProxyType({outcome: self.requests[outcome] for outcome in OUTCOMES}),
            self.claims_kept,
            MappingProxyType(dict(self.claims_dropped)),
            self.tokens_in,
            self.tokens_out,
            self.usage_missing,
            self.disagreements,
            breaker,
            tokens_remaining,
            self.seconds,
            self.timed,
            cost,
        )
