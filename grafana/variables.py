"""What can be chosen on a dashboard."""

from __future__ import annotations

from grafana.blocks import BYTES
from grafana.files import DURATION
from grafana.panels import DATASOURCE, Json
from grafana.promql import IS_CLASSIC, IS_NATIVE, label_values
from grafana.selectors import AGENT, LABELS

SLOW = f'perflens_slow_operations_total{{{AGENT}, probe="file"}}'  # a series for every owner and operation, slow or not
HISTOGRAMS = "histograms"


def values(name: str, label: str, query: str, all_value: str = ".+") -> Json:
    """The values of a label, any number of them at once."""
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


def choice(name: str, label: str, description: str, **options: str) -> Json:
    """One of some words, each of which stands for a value; the first is chosen."""
    offered = [{"text": text, "value": value, "selected": not i} for i, (text, value) in enumerate(options.items())]
    return {
        "type": "custom",
        "name": name,
        "label": label,
        "description": description,
        "query": ",".join(f"{text} : {value}" for text, value in options.items()),
        "current": offered[0],
        "options": offered,
        "multi": False,
        "includeAll": False,
        "hide": 0,
    }


def number(name: str, label: str, description: str, value: str) -> Json:
    """A number that is typed in."""
    only = {"text": value, "value": value, "selected": True}
    return {
        "type": "textbox",
        "name": name,
        "label": label,
        "description": description,
        "query": value,
        "current": only,
        "options": [only],
        "hide": 0,
    }


def source(name: str, label: str, kind: str) -> Json:
    return {"type": "datasource", "name": name, "label": label, "query": kind, "regex": "", "hide": 0}


def owners(*names: str, metric: str = SLOW) -> tuple[Json, ...]:
    """The labels of owners: what their level does not have offers nothing, and all of nothing is everything."""
    return tuple(values(name, name.capitalize(), label_values(metric, name), ".*") for name in LABELS if name in names)


def one_agent() -> Json:
    """One instance and no more, and no analyzer, which might be the first."""
    query = label_values('perflens_config_last_reload_successful{job=~"$job"}', "instance")
    own = values("instance", "Instance", query) | {"multi": False, "includeAll": False}
    return {key: value for key, value in own.items() if key not in ("allValue", "current")}


JOBS = label_values("perflens_build_info", "job")
INSTANCES = label_values('perflens_build_info{job=~"$job"}', "instance")

DATA = source("datasource", "Data source", "prometheus")
JOB, INSTANCE = values("job", "Job", JOBS), values("instance", "Instance", INSTANCES)
OPERATIONS = values("operation", "Operation", label_values(SLOW, "operation"))
REQUESTS = values("operation", "Operation", label_values(f"{BYTES}{{{AGENT}}}", "operation"))
FILE_SYSTEMS = values("fs", "File system", label_values(f'{{__name__=~"{DURATION}(_count)?", {AGENT}}}', "fs"))
# Partitions have no requests of their own. A device that is gone is not among the values, and still in `All`.
DEVICES = values("device", "Device", label_values(f'perflens_block_device_info{{{AGENT}, kind!="partition"}}', "device"))
KIND = choice(
    HISTOGRAMS, "Histograms", "As Prometheus stores them: native where it scrapes native ones.", classic=IS_CLASSIC, native=IS_NATIVE
)
