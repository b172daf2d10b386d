"""Write grafana/dashboards from overview.py and devices.py: `python -m grafana.build`, or `--check` that they are up to date."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from grafana import device_queries as d
from grafana import queries as q
from grafana.devices import ROWS as DEVICES
from grafana.overview import OVERVIEW
from grafana.panels import DATASOURCE, Json, Panel

FOLDER = Path(__file__).parent / "dashboards"
SCHEMA_VERSION = 41  # Grafana 12; older ones from 10.4 on open it, newer ones migrate it when it is opened.
COLUMNS = 24
TAG = "perflens"
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


def variables(*own: Json) -> list[Json]:
    """The data source, the agents, and a dashboard's own."""
    source = {
        "type": "datasource",
        "name": "datasource",
        "label": "Data source",
        "query": "prometheus",
        "regex": "",
        "hide": 0,
    }
    return [source, variable("job", "Job", q.JOBS), variable("instance", "Instance", q.INSTANCES), *own]


def links() -> list[Json]:
    """Beside the variables: the runbooks outside Grafana, and the other dashboards with the same variables."""
    return [
        link("Runbooks", "What each alert means, and what to do.", type="link", icon="doc", url=RUNBOOKS, targetBlank=True),
        link("PerfLens", "The other dashboards.", type="dashboards", icon="external link", tags=[TAG], includeVars=True, keepTime=True),
    ]


def link(title: str, tooltip: str, **own: Any) -> Json:
    flags = {"asDropdown": False, "includeVars": False, "keepTime": False, "targetBlank": False}
    return {"title": title, "url": "", "tags": [], "tooltip": tooltip, **flags, **own}


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


def dashboard(name: str, description: str, firing: str, variables: list[Json], rows: Mapping[str, list[Panel]]) -> Json:
    """The classic model, which file provisioning, sidecars and the catalogue take."""
    alerts = {
        "name": "Alerts",
        "enable": True,
        "iconColor": "red",
        "datasource": DATASOURCE,
        "expr": firing,
        "titleFormat": "{{alertname}}",
        "textFormat": f"{{{{instance}}}} {{{{device}}}} {{{{{q.OWNER}}}}} {{{{operation}}}}",
        "step": "15s",
    }
    return {
        "uid": f"{TAG}-{name.lower()}",
        "title": f"PerfLens / {name}",
        "description": description,
        "tags": [TAG],
        "schemaVersion": SCHEMA_VERSION,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "links": links(),
        "annotations": {"list": [alerts]},
        "templating": {"list": variables},
        "panels": list(place(rows)),
    }


def overview() -> Json:
    own = (
        variable(q.OWNER, q.OWNER.capitalize(), q.OWNERS, ".*"),
        variable("operation", "Operation", q.OPERATIONS),
        variable("fs", "File system", q.FILE_SYSTEMS),
    )
    what = "How long the file operations of every owner take, who waits, and whether the agents that say so can be trusted."
    return dashboard("Overview", what, q.FIRING, variables(*own), OVERVIEW)


def devices() -> Json:
    own = (
        variable("device", "Device", d.DEVICES),
        variable(q.OWNER, q.OWNER.capitalize(), d.OWNERS, ".*"),
        variable("operation", "Operation", d.OPERATIONS),
    )
    what = "What every disk is asked for and by whom, where its requests wait, and how long it takes for them."
    return dashboard("Devices", what, d.FIRING, variables(*own), DEVICES)


def written() -> dict[Path, str]:
    """The text of every file."""
    return {FOLDER / f"{own['uid']}.json": json.dumps(own, indent=2) + "\n" for own in (overview(), devices())}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, and end with 1 when a dashboard is out of date")
    check = parser.parse_args().check
    old = {path: text for path, text in written().items() if not path.exists() or path.read_text() != text}
    for path, text in old.items():
        if check:
            print(f"{path} is out of date: run python -m grafana.build", file=sys.stderr)
        else:
            path.write_text(text)
    return 1 if check and old else 0


if __name__ == "__main__":
    sys.exit(main())
