"""The checks in guest/, each on every kernel that is asked for: KERNELS="5.10 6.1 6.12 newest native"; CHECKS="rungs" for some."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest

from tests.vm.guest.ladder import NAMES
from tests.vm.report import Run, merged, outcomes, properties

ROOT = Path(__file__).resolve().parents[2]
GUEST = ROOT / "tests" / "components" / "guest"
PAGE = ROOT / "docs" / "kernels.md"
UNAVAILABLE = 125
KERNELS = [series for series in os.environ.get("KERNELS", "").split() if series != "aarch64"]  # test_aarch64.py
CHECKS = os.environ.get("CHECKS", "").split()
COMPILED = ("5.10", "6.1")  # kernels whose headers are fetched too, for bcc: that of Debian 12 knows them
NONE = pytest.param("", marks=pytest.mark.skip(reason="boots other kernels, which takes minutes each: make test-vm"))
PATIENCE = 10
LONGEST = 1_500  # s of one guest


@dataclass(frozen=True)
class Boot:
    """A start of the guest: its CPUs, the kernel's parameters, and the checks that are run then, by the names of their modules."""

    cpus: int
    parameters: str
    checks: tuple[str, ...]


ONE, MANY = 1, 128
ALL = tuple(sorted(path.stem.removeprefix("test_") for path in (ROOT / "tests/vm/guest").glob("test_*.py")))
APART = ("possible_cpus", "preempted", "preconditions")  # need another command line, or take as long as all the rest
CAPABILITIES, BCC = "capabilities", "bcc"


def whole(*without: str) -> Boot:
    """All checks that are not apart; capabilities only when CHECKS names them."""
    left_out = {*APART, *without, *({CAPABILITIES} - set(CHECKS))}
    return Boot(2, "", tuple(name for name in ALL if name not in left_out))


WHOLE, BUT_BCC, COMPILING = whole(), whole(BCC), Boot(2, "", (BCC,))
SETTINGS = Boot(2, "", ("preconditions",))
PREEMPTED = Boot(2, "preempt=full", ("preempted",))
BOOTS = {
    "5.10": ((BUT_BCC, SETTINGS), *([(COMPILING,)] if BCC in CHECKS else [])),
    "6.1": ((BUT_BCC, SETTINGS), (COMPILING, PREEMPTED)),
    "6.12": ((WHOLE, SETTINGS), (PREEMPTED,)),
    "newest": (
        (WHOLE, SETTINGS),
        (PREEMPTED,),
        (Boot(MANY, "", ("possible_cpus",)), Boot(ONE, "", ("possible_cpus",))),
    ),
    "native": ((Boot(0, "", tuple(name for name in ALL if name != "possible_cpus")),),),
}
"""One group of starts after the other; those of a group at once, as most checks keep one CPU busy. 5.10 has no preempt=full; neither
it nor 6.1 counts the memory of maps exactly; both have headers, with which bcc compiles for minutes."""


def guest(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Ask the component; without it the test is skipped. A guest that takes too long is ended with what it started."""
    with subprocess.Popen(
        [GUEST, *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            out, err = process.communicate(timeout=LONGEST)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    if process.returncode == UNAVAILABLE:
        pytest.skip(err.strip())
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def pytest_of(series: str, checks: tuple[str, ...], report: Path) -> list[str]:
    """The command that runs checks there."""
    settings = [f"PERFLENS_GUEST={series}", "COLUMNS=200"]
    if series != "native":
        settings.append(f"PERFLENS_TEST_PATIENCE={PATIENCE}")
    modules = [f"tests/vm/guest/test_{name}.py" for name in checks]
    flags = ["-p", "no:cacheprovider", "--timeout=600", "--color=no", "--durations=10", "-o", "junit_family=xunit1", f"--junitxml={report}"]
    return ["env", *settings, str(ROOT / ".venv/bin/python"), "-m", "pytest", *modules, *flags]


def run_in(series: str, boot: Boot, report: Path) -> subprocess.CompletedProcess[str]:
    """Run the checks of a boot; those that were not asked for are left out."""
    command = pytest_of(series, tuple(name for name in boot.checks if name in (CHECKS or ALL)), report)
    if series == "native":
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    options = ("--append", boot.parameters) if boot.parameters else ()
    return guest(series, "--cpus", str(boot.cpus), *options, "--results", str(report.parent), "--", *command)


def version_of(series: str) -> str:
    """The release of the kernel, once it is here."""
    if series == "native":
        return platform.release()
    fetched = guest("--fetch", *(["--headers"] if series in COMPILED else []), series)
    assert fetched.returncode == 0, fetched.stderr
    return fetched.stdout.strip()


def scrapes(reports: list[str]) -> str:
    """Whether the time of a scrape with many possible CPUs is within twice that with one."""
    seconds = {int(own["possible_cpus"]): float(own["scrape_seconds"]) for own in map(properties, reports) if "scrape_seconds" in own}
    if not {ONE, MANY} <= seconds.keys():
        return "FAIL"
    ratio = seconds[MANY] / seconds[ONE]
    return f"{ratio:.2f} x" if ratio <= 2 else "FAIL"


def write(series: str, version: str, reports: list[str]) -> list[str]:
    """Bring the column of this kernel into the page and return what failed; of several boots the worst counts."""
    cells, checks = outcomes(reports, NAMES)
    if any(boot.cpus == MANY for group in BOOTS[series] for boot in group):
        checks[f"possible_cpus: a scrape with {MANY} takes at most twice the time of one with {ONE}"] = scrapes(reports)
    PAGE.write_text(merged(PAGE, Run(series, version, datetime.now(UTC).date().isoformat(), cells, checks)))
    return [name for name, own in {**cells, **checks}.items() if own == "FAIL"]


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("series", KERNELS or [NONE])
def test_kernel(series: str, tmp_path: Path) -> None:
    """Every check holds on this kernel; docs/kernels.md tells what came out, whatever it is."""
    version, failed, reports = version_of(series), [], []
    files = (tmp_path / f"{number}.xml" for number in count())
    for group in BOOTS[series]:
        wanted = [(boot, file) for boot, file in zip(group, files, strict=False) if set(boot.checks) & set(CHECKS or ALL)]
        with ThreadPoolExecutor() as pool:
            runs = list(pool.map(lambda own: run_in(series, *own), wanted))
        for done in runs:
            print(done.stdout)
            failed += [done.stderr or "a check failed"] if done.returncode else []
        reports += [file.read_text() for _, file in wanted if file.exists()]
    if not CHECKS:
        failed += write(series, version, reports)
    assert not failed, "\n".join(failed)
