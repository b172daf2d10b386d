"""A dashboard: its variables, its rows of panels and what is marked on its time lines, in the classic model.

File provisioning, sidecars and the catalogue take that model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from grafana import incidents
from grafana.panels import DATASOURCE, Json, Panel
from grafana.selectors import AGENT, OF_OWNER
from grafana.variables import DATA, INSTANCE, JOB

SCHEMA_VERSION = 41  # Grafana 12; older ones from 10.4 on open it, newer ones migrate it when it is opened.
COLUMNS = 24
TAG = "perflens"
RUNBOOKS = "https://github.com/perflens/perflens/blob/main/docs/runbooks.md"

Rows = Mapping[str, list[Panel]]


@dataclass(frozen=True)
class Dashboard:
    """What one dashboard is for, what can be chosen on it beside the data source and the job, and its rows."""

    name: str
    description: str
    variables: tuple[Json, ...]
    rows: Rows
    alerts: str = AGENT  # matchers of the alerts that are marked
    instance: Json = field(default_factory=lambda: INSTANCE)
    sources: tuple[Json, ...] = ()

    @property
    def uid(self) -> str:
        return f"{TAG}-{self.name.lower().replace(' ', '-')}"

    def json(self) -> Json:
        return {
            "uid": self.uid,
            "title": f"PerfLens / {self.name}",
            "description": self.description,
            "tags": [TAG],
            "schemaVersion": SCHEMA_VERSION,
            "editable": False,
            "graphTooltip": 1,
            "refresh": "30s",
            "time": {"from": "now-1h", "to": "now"},
            "timezone": "browser",
            "links": _links(),
            "annotations": {"list": [_incidents(), _alerts(self.alerts)]},
            "templating": {"list": [DATA, *self.sources, JOB, self.instance, *self.variables]},
            "panels": list(_place(self.rows)),
        }


def _incidents() -> Json:
    """One region for each incident, from the metric: it needs no token."""
    return _annotation("Incidents", "orange", incidents.REGIONS, "{{cause}}", "{{subject}} on {{instance}}", "cause,subject,instance")


def _alerts(selector: str) -> Json:
    expression = f'ALERTS{{{selector}, alertname=~"PerfLens.+", alertstate="firing"}}'
    text = f"{{{{instance}}}} {{{{device}}}} {OF_OWNER} {{{{operation}}}} {{{{subject}}}}"
    return _annotation("Alerts", "red", expression, "{{alertname}}", text, "alertname,instance")


def _annotation(name: str, color: str, expression: str, title: str, text: str, tags: str) -> Json:
    return {
        "name": name,
        "enable": True,
        "iconColor": color,
        "datasource": DATASOURCE,
        "expr": expression,
        "titleFormat": title,
        "textFormat": text,
        "tagKeys": tags,
        "step": "15s",
    }


def _links() -> list[Json]:
    """Beside the variables: the runbooks outside Grafana, and the other dashboards with the same variables."""
    return [
        link("Runbooks", "What each alert means, and what to do.", type="link", icon="doc", url=RUNBOOKS, targetBlank=True),
        link("PerfLens", "The other dashboards.", type="dashboards", icon="external link", tags=[TAG], includeVars=True, keepTime=True),
    ]


def link(title: str, tooltip: str, **own: Any) -> Json:
    flags = {"asDropdown": False, "includeVars": False, "keepTime": False, "targetBlank": False}
    return {"title": title, "url": "", "tags": [], "tooltip": tooltip, **flags, **own}


def _place(rows: Rows) -> Iterator[Json]:
    """Number the panels and lay them out, a row after the other and from left to right."""
    number = y = 0
    for title, panels in rows.items():
        yield {
            "id": (number := number + 1),
            "type": "row",
            "title": title,
            "collapsed": False,
            "panels": [],
            "gridPos": _box(0, y, COLUMNS, 1),
        }
        x, y, line = 0, y + 1, 0
        for panel in panels:
            if x + panel.width > COLUMNS:
                x, y, line = 0, y + line, 0
            yield {"id": (number := number + 1), "gridPos": _box(x, y, panel.width, panel.height), **panel.json()}
            x, line = x + panel.width, max(line, panel.height)
        y += line


def _box(x: int, y: int, width: int, height: int) -> Json:
    return {"x": x, "y": y, "w": width, "h": height}
