"""`python -m tests.lab [SCENARIO ...]`: run scenarios, keep what the analyzer made of each, and write the page of all that are kept."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.kernel.support import agent
from tests.lab.again import counts
from tests.lab.ground import ground
from tests.lab.report import page
from tests.lab.run import Times, quiet, run
from tests.lab.runs import Outcome, kept, load, rules
from tests.lab.scenarios import SCENARIOS

_HERE = Path(__file__).parent
_WARM_UP = 60  # s: until then nothing is usual


def main() -> int:
    """Return 0 when every run was told right."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab")
    parser.add_argument("scenarios", nargs="*", help="all of them by default; a fault's name stands for all its means")
    parser.add_argument(
        "--runs", type=int, default=1, help="how many of each there should be: those that are kept count if the rules still judge them so"
    )
    parser.add_argument("--one-means", action="store_true", help="each fault by its first means alone")
    parser.add_argument("--healthy", type=float, default=45, help="seconds before the fault")
    parser.add_argument("--fault", type=float, default=75, help="most seconds of the fault")
    parser.add_argument("--cool", type=float, default=10)
    parser.add_argument("--kept", type=Path, default=_HERE / "runs", help="folder of the runs")
    parser.add_argument("--page", type=Path, help="where the results of all runs are written")
    arguments = parser.parse_args()
    names = [name for name in SCENARIOS if not arguments.scenarios or {name, SCENARIOS[name].fault} & set(arguments.scenarios)]
    names = [name for name in names if not (arguments.one_means and SCENARIOS[name].by_other_means)]
    missing = set(arguments.scenarios) - {own for name in SCENARIOS for own in (name, SCENARIOS[name].fault)}
    if missing:
        parser.error(f"no scenario {', '.join(sorted(missing))}; there are {', '.join(SCENARIOS)}")
    outcomes = _made(names, arguments.runs, Times(arguments.healthy, arguments.fault, arguments.cool), arguments.kept)
    if arguments.page:
        arguments.page.write_text(page(load(arguments.kept), os.cpu_count() or 1))
    right = sum(own.right for own in outcomes)
    print(f"{right} of {len(outcomes)} right")
    return 0 if right == len(outcomes) else 1


def _made(names: Sequence[str], runs: int, times: Times, folder: Path) -> list[Outcome]:
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory() as scratch, ground() as own:
        state = f"--analyzer.state-file={scratch}/incidents.json"
        with agent(Path(scratch), state, "--probes.strict") as running:
            url = running.url.removesuffix("/metrics")
            time.sleep(_WARM_UP)
            for number, name in enumerate(_left(names, runs, folder)):
                outcome = run(url, SCENARIOS[name], own, number, times)
                outcomes.append(outcome)
                print(outcome, flush=True)
                kept(outcome, folder)
                quiet(url)
    return outcomes


def _left(names: Sequence[str], runs: int, folder: Path) -> Iterator[str]:
    """The runs that are not there yet: a round of all, then the next."""
    now = rules()
    done = Counter(own.scenario for own in load(folder) if counts(own, now)) if folder.exists() else Counter[str]()
    for number in range(runs):
        yield from (name for name in names if done[name] <= number)


sys.exit(main())
