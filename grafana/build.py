"""Write grafana/dashboards from the panels of overview.py: `python -m grafana.build`, or `--check` that it is up to date."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from grafana import queries as q
from grafana.overview import OVERVIEW
from grafana.panels import DATASOURCE, Json, Panel

FOLDER = Path(__file__).parent / "dashboards"
SCHEMA_VERSION = 41  # Grafana 12; older ones from 10.4 on open it, newer ones migrate it when it is opened.
COLUMNS = 24
RUNBOOKS = "https://github.com/perflens/perflens/blob/main/docs/runbooks.md"


def variable(name: str, label: str, query: str, all_value: str = ".+") -> Json:
    """A variable that offers the values of a label, any number of them at once."""
    return {
        "type": "query",
        "name": name,
        "label": label,
        "datasource": DATASOURCE,
        "definition": query,
        "query": {"query": query, "refId": name},
        "refresh": 2,  # when the time range changes
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": all_value,
        "current": {"text": ["All"], "value": ["$__all"]},
        "options": [],
        "regex": "",
        "hide": 0,
    }


def variables() -> list[Json]:
    source = {
        "type": "datasource",
        "name": "datasource",
        "label": "Data source",
        "query": "prometheus",
        "regex": "",
        "hide": 0,
    }
    return [
        source,
        variable("job", "Job", q.JOBS),
        variable("instance", "Instance", q.INSTANCES),
        variable(q.OWNER, q.OWNER.capitalize(), q.OWNERS, ".*"),
        variable("operation", "Operation", q.OPERATIONS),
        variable("fs", "File system", q.FILE_SYSTEMS),
    ]


def link(title: str, tooltip: str, url: str) -> Json:
    """A link beside the variables, to a page outside Grafana."""
    flags = {"asDropdown": False, "includeVars": False, "keepTime": False, "targetBlank": True}
    return {"title": title, "type": "link", "icon": "doc", "url": url, "tags": [], "tooltip": tooltip, **flags}


def place(rows: Mapping[str, list[Panel]]) -> Iterator[Json]:
    """Number the panels and lay them out, a row after the other and from left to right."""
    number = y = 0
    for title, panels in rows.items():
        yield {
            "id": (number := number + 1),
            "type": "row",
            "title": title,
            "collapsed": False,
            "panels": [],
            "gridPos": box(0, y, COLUMNS, 1),
        }
        x, y, line = 0, y + 1, 0
        for panel in panels:
            if x + panel.width > COLUMNS:
                x, y, line = 0, y + line, 0
            yield {"id": (number := number + 1), "gridPos": box(x, y, panel.width, panel.height), **panel.json()}
            x, line = x + panel.width, max(line, panel.height)
        y += line


def box(x: int, y: int, width: int, height: int) -> Json:
    return {"x": x, "y": y, "w": width, "h": height}


def overview() -> Json:
    """The classic model, which file provisioning, sidecars and the catalogue take."""
    alerts = {
        "name": "Alerts",
        "enable": True,
        "iconColor": "red",
        "datasource": DATASOURCE,
        "expr": q.FIRING,
        "titleFormat": "{{alertname}}",
        "textFormat": f"{{{{instance}}}} {{{{{q.OWNER}}}}} {{{{operation}}}}",
        "step": "15s",
    }
    return {
        "uid": "perflens-overview",
        "title": "PerfLens / Overview",
        "description": "How long the file operations of every owner take, who waits, and whether the agents that say so can be trusted.",
        "tags": ["perflens"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "links": [link("Runbooks", "What each alert means, and what to do.", RUNBOOKS)],
        "annotations": {"list": [alerts]},
        "templating": {"list": variables()},
        "panels": list(place(OVERVIEW)),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, and end with 1 when a dashboard is out of date")
    check = parser.parse_args().check
    path, text = FOLDER / "perflens-overview.json", json.dumps(overview(), indent=2) + "\n"
    if not check:
        path.write_text(text)
    elif not path.exists() or path.read_text() != text:
        print(f"{path} is out of date: run python -m grafana.build", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
