"""What is asked about the analyzer, the model and Grafana's annotations."""

from __future__ import annotations

from grafana.promql import compose, grown, rate
from grafana.selectors import AGENT

ACTIVE = f"perflens_incident_active{{{AGENT}}}"
OPEN = f"count({ACTIVE}) or vector(0)"
CRITICAL = f'count(perflens_incident_active{{{AGENT}, severity="critical"}}) or vector(0)'
OPEN_BY_CAUSE = f"count by (cause) ({ACTIVE})"
OPEN_BY_AGENT = f"count by (instance) ({ACTIVE})"
TABLE = f"max by (instance, severity, cause, subject) ({ACTIVE})"
REGIONS = f"max by (instance, cause, subject) ({ACTIVE})"  # not by severity, which may rise meanwhile

OPENED = grown("perflens_incidents_total", AGENT)
OPENED_BY_CAUSE = grown("perflens_incidents_total", AGENT, "cause")

WINDOWS = rate("perflens_analysis_windows_total", AGENT, "instance")
IMPACTS = rate("perflens_analysis_impacts_total", AGENT, "instance")
IMPACT_SHARE = compose("{} / ({} > 0)", IMPACTS, WINDOWS)
FAILURES = rate("perflens_analysis_failures_total", AGENT, "instance")
WINDOW_DURATION = compose("{} / ({} > 0)", rate("perflens_analysis_duration_seconds_total", AGENT, "instance"), WINDOWS)
UNWRITTEN = rate("perflens_analysis_state_write_failures_total", AGENT, "instance")

REQUESTS = rate("perflens_llm_requests_total", AGENT, "outcome")
CLAIMS = rate("perflens_llm_claims_total", AGENT, "result")
TOKENS = rate("perflens_llm_tokens_total", AGENT, "direction")
LATENCY = compose(
    "{} / ({} > 0)", rate("perflens_llm_duration_seconds_total", AGENT, "instance"), rate("perflens_llm_answers_total", AGENT, "instance")
)
BUDGET = f"min by (instance) (perflens_llm_budget_tokens_remaining{{{AGENT}}})"
BREAKER = f"max by (instance) (perflens_llm_breaker_open{{{AGENT}}})"
DISAGREEMENTS = rate("perflens_llm_rule_disagreements_total", AGENT, "instance")
USAGE_MISSING = rate("perflens_llm_usage_missing_total", AGENT, "instance")


def _cost(tokens: str) -> str:
    """Tokens of each direction at their prices, which are for a million."""
    read, written = (tokens.format(f'{AGENT}, direction="{direction}"') for direction in ("input", "output"))
    return f"({read} * $price_input + {written} * $price_output) / 1e6"


COST = _cost("sum(increase(perflens_llm_tokens_total{{{}}}[$__range]))")
COST_OF_A_DAY = compose("86400 * {}", _cost("sum(rate(perflens_llm_tokens_total{{{}}}[$__rate_interval]))"))

SINK_UP = f"min by (instance, sink) (perflens_sink_up{{{AGENT}}})"
SINK_PENDING = f"max by (instance, sink) (perflens_sink_pending{{{AGENT}}})"
DELIVERED = rate("perflens_sink_delivered_total", AGENT, "sink, operation")
FAILED = rate("perflens_sink_failed_total", AGENT, "sink, reason")
DROPPED = rate("perflens_sink_dropped_total", AGENT, "sink, reason")
