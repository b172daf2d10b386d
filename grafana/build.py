"""Write grafana/dashboards from the modules of each: `python -m grafana.build`, or `--check` that they are up to date."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from grafana.agents import AGENTS
from grafana.analyzer import ANALYZER
from grafana.devices import DEVICES
from grafana.node import NODE
from grafana.overview import OVERVIEW
from grafana.slow import SLOW
from grafana.workload import WORKLOAD

FOLDER = Path(__file__).parent / "dashboards"
DASHBOARDS = (OVERVIEW, NODE, WORKLOAD, DEVICES, SLOW, ANALYZER, AGENTS)


def written() -> dict[Path, str]:
    """The text of every file."""
    return {FOLDER / f"{own.uid}.json": json.dumps(own.json(), indent=2) + "\n" for own in DASHBOARDS}


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
