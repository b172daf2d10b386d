"""One house style for every panel: what a panel is, and the JSON of each kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from grafana.promql import Query

Json = dict[str, Any]

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
ALARM = {"mode": "absolute", "steps": [{"color": "green", "value": None}, {"color": "red", "value": 1}]}
HEAT = {
    "mode": "scheme",
    "scheme": "Oranges",
    "steps": 64,
    "exponent": 0.5,
    "scale": "exponential",
    "reverse": False,
    "fill": "dark-orange",
}
NEUTRAL = {"mode": "absolute", "steps": [{"color": "green", "value": None}]}

BAD = {"mode": "absolute", "steps": [{"color": "red", "value": None}, {"color": "green", "value": 1}]}


@dataclass(frozen=True)
class Panel:
    """One panel: what it shows, what that means, and the queries with their legends.

    A query for both kinds of histograms becomes two targets, of which one has data. A table is made of labels, or has a column of
    values for each of its queries, named by the legend. ``exemplars`` are asked for with the first query.
    """

    title: str
    description: str
    unit: str
    targets: Mapping[str, Query]  # legend -> query
    kind: Literal["timeseries", "stat", "heatmap", "table"] = "timeseries"
    width: int = 8
    height: int = 8
    stacked: bool = False
    signed: bool = False
    exemplars: bool = False
    sort_by: str = "instance"
    links: tuple[Json, ...] = ()
    units: Mapping[str, str] = field(default_factory=dict)  # of a table's columns
    thresholds: Json = field(default_factory=lambda: NEUTRAL)

    def json(self) -> Json:
        config, options = getattr(self, f"_{self.kind}")()
        defaults = {"unit": self.unit, "thresholds": self.thresholds, "color": {"mode": "palette-classic"}, "mappings": [], **config}
        return {
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "datasource": DATASOURCE,
            "fieldConfig": {"defaults": defaults, "overrides": [_column_unit(name, unit) for name, unit in self.units.items()]},
            "options": options,
            "targets": list(self._targets()),
            **({"links": list(self.links)} if self.links else {}),
            **({"transformations": self._columns()} if self.kind == "table" else {}),
        }

    def _asked(self) -> Iterator[tuple[str, str, str]]:
        """Letter, legend and expression of each target."""
        asked = ((legend, text) for legend, query in self.targets.items() for text in ((query,) if isinstance(query, str) else query))
        for number, (legend, text) in enumerate(asked):
            yield chr(ord("A") + number), legend, text

    def _targets(self) -> Iterator[Json]:
        target_format = {"heatmap": "heatmap", "table": "table"}.get(self.kind, "time_series")
        is_instant = self.kind == "table"
        for letter, legend, text in self._asked():
            yield {
                "refId": letter,
                "datasource": DATASOURCE,
                "editorMode": "code",
                "expr": text,
                "legendFormat": legend,
                "range": not is_instant,
                "instant": is_instant,
                "exemplar": self.exemplars,
                "format": target_format,
            }

    def _columns(self) -> list[Json]:
        """A table of labels hides the value, which is 1; one of values has a row for each set of labels, and names each column."""
        if not any(self.targets):
            return [{"id": "organize", "options": {"excludeByName": {"Time": True, "Value": True}}}]
        names = {f"Value #{letter}": legend for letter, legend, _ in self._asked()}
        names |= {"Value": next(iter(self.targets))} if len(names) == 1 else {}
        return [{"id": "merge", "options": {}}, {"id": "organize", "options": {"excludeByName": {"Time": True}, "renameByName": names}}]

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
            "color": HEAT,
            "exemplars": {"color": "rgba(255,0,255,0.7)"},
            "filterValues": {"le": 1e-9},
            "legend": {"show": True},
            "rowsFrame": {"layout": "auto"},
            "tooltip": {"mode": "single", "yHistogram": True},
            "yAxis": {"axisPlacement": "left", "reverse": False, "unit": self.unit},
        }
        return {"custom": {"scaleDistribution": {"type": "linear"}}}, options

    def _table(self) -> tuple[Json, Json]:
        sort = {"displayName": self.sort_by, "desc": any(self.targets)}
        options = {"showHeader": True, "cellHeight": "sm", "sortBy": [sort]}
        return {"custom": {"align": "auto", "filterable": True}}, options


def _column_unit(name: str, unit: str) -> Json:
    return {"matcher": {"id": "byName", "options": name}, "properties": [{"id": "unit", "value": unit}]}


def stat(title: str, description: str, unit: str, query: Query, thresholds: Json = NEUTRAL) -> Panel:
    """A single number of the overview."""
    return Panel(title, description, unit, {title: query}, kind="stat", height=4, width=4, thresholds=thresholds)
