"""One house style for every panel: what a panel is, and the JSON of each kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Json = dict[str, Any]

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
ALARM = {"mode": "absolute", "steps": [{"color": "green", "value": None}, {"color": "red", "value": 1}]}
NEUTRAL = {"mode": "absolute", "steps": [{"color": "green", "value": None}]}

# A table is made of labels: the time is that of the query, and the value is 1.
WITHOUT_VALUE = {"id": "organize", "options": {"excludeByName": {"Time": True, "Value": True}}}


@dataclass(frozen=True)
class Panel:
    """One panel: what it shows, what that means, and the queries with their legends."""

    title: str
    description: str
    unit: str
    targets: Mapping[str, str]  # legend -> expression
    kind: Literal["timeseries", "stat", "heatmap", "table"] = "timeseries"
    width: int = 8
    height: int = 8
    stacked: bool = False
    signed: bool = False
    thresholds: Json = field(default_factory=lambda: NEUTRAL)

    def json(self) -> Json:
        config, options = getattr(self, f"_{self.kind}")()
        defaults = {"unit": self.unit, "thresholds": self.thresholds, "color": {"mode": "palette-classic"}, "mappings": [], **config}
        return {
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "datasource": DATASOURCE,
            "fieldConfig": {"defaults": defaults, "overrides": []},
            "options": options,
            "targets": [self._target(i, legend, expression) for i, (legend, expression) in enumerate(self.targets.items())],
            **({"transformations": [WITHOUT_VALUE]} if self.kind == "table" else {}),
        }

    def _target(self, index: int, legend: str, expression: str) -> Json:
        target_format = {"heatmap": "heatmap", "table": "table"}.get(self.kind, "time_series")
        is_instant = self.kind == "table"
        return {
            "refId": chr(ord("A") + index),
            "datasource": DATASOURCE,
            "editorMode": "code",
            "expr": expression,
            "legendFormat": legend,
            "range": not is_instant,
            "instant": is_instant,
            "format": target_format,
        }

    def _timeseries(self) -> tuple[Json, Json]:
        stacking = {"mode": "normal" if self.stacked else "none", "group": "A"}
        custom = {
            "lineWidth": 1,
            "fillOpacity": 40 if self.stacked else 10,
            "showPoints": "never",
            "spanNulls": False,
            "stacking": stacking,
        }
        legend = {"displayMode": "table", "placement": "bottom", "showLegend": True, "calcs": ["lastNotNull", "max"]}
        options = {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}
        return {"custom": custom, **({} if self.signed else {"min": 0})}, options

    def _stat(self) -> tuple[Json, Json]:
        options = {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "colorMode": "value", "graphMode": "area"}
        return {"color": {"mode": "thresholds"}}, options

    def _heatmap(self) -> tuple[Json, Json]:
        options = {
            "calculate": False,
            "cellGap": 1,
            "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64, "exponent": 0.5, "scale": "exponential", "fill": "dark-orange"},
            "filterValues": {"le": 1e-9},
            "legend": {"show": True},
            "rowsFrame": {"layout": "auto"},
            "tooltip": {"mode": "single", "yHistogram": True},
            "yAxis": {"axisPlacement": "left", "reverse": False, "unit": self.unit},
        }
        return {"custom": {"scaleDistribution": {"type": "linear"}}}, options

    def _table(self) -> tuple[Json, Json]:
        options = {"showHeader": True, "cellHeight": "sm", "footer": {"show": False}, "sortBy": [{"displayName": "device", "desc": False}]}
        return {"custom": {"align": "auto", "filterable": True}}, options


def stat(title: str, description: str, unit: str, query: str, thresholds: Json = NEUTRAL) -> Panel:
    """A single number of the overview."""
    return Panel(title, description, unit, {title: query}, kind="stat", height=4, width=4, thresholds=thresholds)
