"""`python -m tests.lab [SCENARIO ...]`: run scenarios, and print what the analyzer made of each."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from tests.kernel.support import agent
from tests.lab.ground import ground
from tests.lab.report import page
from tests.lab.run import Outcome, quiet, run
from tests.lab.scenarios import SCENARIOS


def main() -> int:
    """Return 0 when every scenario was told right."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab")
    parser.add_argument("scenarios", nargs="*", help="all of them by default")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--healthy", type=float, default=45, help="seconds before the fault")
    parser.add_argument("--fault", type=float, default=75, help="most seconds of the fault")
    parser.add_argument("--cool", type=float, default=10)
    parser.add_argument("--record", type=Path, help="folder for the evidence")
    parser.add_argument("--page", type=Path, help="where the results are written")
    arguments = parser.parse_args()
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory() as folder, ground() as own:
        state = f"--analyzer.state-file={folder}/incidents.json"
        with agent(Path(folder), state, "--probes.strict") as running:
            url = running.url.removesuffix("/metrics")
            for number in range(arguments.runs):
                for name in arguments.scenarios or SCENARIOS:
                    outcome = run(
                        url, SCENARIOS[name], own, number * 100 + len(outcomes), arguments.healthy, arguments.fault, arguments.cool
                    )
                    outcomes.append(outcome)
                    print(outcome, flush=True)
                    if arguments.record:
                        arguments.record.mkdir(parents=True, exist_ok=True)
                        (arguments.record / f"{name}-{number}.json").write_text(json.dumps(outcome.evidence, indent=1))
                    quiet(url, Path(folder))
    if arguments.page:
        command = " ".join(["python -m tests.lab", *sys.argv[1:]])
        arguments.page.write_text(page(outcomes, command, arguments.healthy, arguments.fault, os.cpu_count() or 1))
    right = sum(own.right for own in outcomes)
    print(f"{right} of {len(outcomes)} right")
    return 0 if right == len(outcomes) else 1


sys.exit(main())
