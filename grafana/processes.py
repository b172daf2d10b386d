"""What is asked about processes, and about what has not ended."""

from __future__ import annotations

from grafana.promql import rate
from grafana.selectors import AGENT

OLDEST = f"max(perflens_oldest_in_flight_seconds{{{AGENT}}}) or vector(0)"


def forked(by: str = "", selector: str = AGENT) -> str:
    """Processes that began, a second."""
    return rate("perflens_processes_forked_total", selector, by)


def executed(by: str = "", selector: str = AGENT) -> str:
    """Programs that processes became, a second."""
    return rate("perflens_processes_executed_total", selector, by)


def exited(by: str = "", selector: str = AGENT) -> str:
    """Processes that ended, a second."""
    return rate("perflens_processes_exited_total", selector, by)
