"""The selftest from its beginning to its end, family by family."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from perflens.errors import PerfLensError
from perflens.model import ProbeState
from perflens.selftest import cost, counts, ledger, slow
from perflens.selftest.case import Case, Owner
from perflens.selftest.families import family_of
from perflens.selftest.model import Check, Disk, Family, Report
from perflens.selftest.page import Page
from perflens.selftest.subject import Event, Subject
from perflens.selftest.throttle import Throttle, mark_of
from perflens.selftest.workload import Workload, WorkloadError

__all__ = ["Ground", "prove"]

_MS = 1_000_000
_HOLD = 96 * _MS  # in the middle of the bucket of 62.5 to 125 ms
_LONGEST_HOLD = 1_000 * _MS
_COUNTS_SETTLE, _EVENTS_SETTLE, _PAUSE = 1.5, 3.0, 0.05  # s
_NOTHING = Report({})
_AGENT = "agent"
_SEES_NO_LIMIT = "bcc"


@dataclass(frozen=True, slots=True)
class Ground:
    """Where it all takes place: the folder, the disk, whose the work is, and the member lists of the cgroups (empty for none).

    ``throttle`` holds requests of the work back, and of nobody else.
    """

    folder: Path
    disk: Disk
    owner: Owner
    members: str
    members_beside: str
    deadline: float
    throttle: Throttle


def prove(subject: Subject, names: Iterable[str], ground: Ground) -> Iterator[Check]:
    """Yield each line as it is found; ``names`` are the probes to prove. PerfLensError when the agent cannot be asked at all."""
    families = {name: family_of(name) for name in names}
    workload = Workload(ground.deadline, ground.throttle)
    try:
        prices = {name: cost.Price(name, family, ground.folder / name) for name, family in families.items() if family and family.tight}
        if subject.attaches:
            for price in prices.values():
                price.before(workload)
        subject.start()
        states = subject.states()
        for name in families:
            state = states.get(name)
            yield _attached(name, state)
            if state is None or not state.attached:
                continue
            yield from _Proof(name, families, subject, ground, workload, state.mechanism).lines()
            if name in prices:
                yield prices[name].check(workload, attaches=subject.attaches)
        yield _whole(subject.page())
    finally:
        workload.close()


def _attached(name: str, state: ProbeState | None) -> Check:
    if state is None:
        reason = f"the probe does not run; leave --no-probe.{name} out, or install an agent that has it"
        return Check(name, "attached", "attached", "off", "failed", reason)
    if not state.attached:
        reason = f"{state.reason or 'the agent does not say why'}; {state.cure or 'see perflens check'}"
        return Check(name, "attached", "attached", "not attached", "failed", reason)
    return Check(name, "attached", "attached", state.mechanism, "ok")


def _whole(page: Page) -> Check:
    """Whether no part of the page is missing."""
    failed = [name for name, fine in page.by("collector", "perflens_scrape_collector_success").items() if not fine]
    if not failed:
        return Check(_AGENT, "page", "whole", "whole", "ok")
    reason = "a part of the metrics cannot be shown; report this as a bug, with the agent's log at --log.level=debug"
    return Check(_AGENT, "page", "whole", f"without {', '.join(failed)}", "failed", reason)


class _Proof:
    """One of the families, which is attached."""

    def __init__(
        self, name: str, families: Mapping[str, Family | None], subject: Subject, ground: Ground, workload: Workload, mechanism: str
    ) -> None:
        self._name, self._family, self._subject, self._ground = name, families[name], subject, ground
        self._workload, self._mechanism = workload, mechanism
        self._holding = [probe for probe, family in families.items() if family and family.holds]

    def lines(self) -> Iterator[Check]:
        """Yield its lines, the ledger's last."""
        family = self._family
        lacking = "there is no known workload for this family" if family is None else family.lacks(self._ground.disk)
        if family is None or lacking:
            yield from (Check(self._name, line, "", "", "skipped", lacking) for line in _lines_of(family))
        else:
            try:
                case = self._case(family)
                yield from counts.counted(case)
                if counts.is_missing(case):
                    yield from (case.skipped(line, "", "nothing of it was counted") for line in _lines_of(family) if line != "count")
                else:
                    yield from counts.checks(case)
                    yield from slow.checks(case)
            except WorkloadError as error:
                reason = f"{error}; look after the folder of --dir and the load of the host, or give it more --timeout"
                yield Check(self._name, "workload", "done", "not done", "failed", reason)
        yield ledger.check(self._name, self._subject.page, self._ground.deadline)

    def _case(self, family: Family) -> Case:
        """Do the known work, and look at the page until it has all of it."""
        ground, folder = self._ground, str(self._ground.folder / self._name)
        self._workload.prepare(self._name, folder, ground.members)
        before = self._subject.page()
        report = self._workload.work(self._name, folder, ground.members, self._hold(family), whole=True)
        if family.held_in and self._mechanism == _SEES_NO_LIMIT:
            report = report.untold(f"{_SEES_NO_LIMIT} does not see what a cgroup's limit holds back")
        share = _NOTHING
        if ground.members_beside:
            share = self._workload.work(self._name, folder, ground.members_beside, 0.0, whole=False)
        thresholds = {name: self._subject.threshold(self._name, name) for name in report.counts}
        case = Case(
            self._name,
            family,
            ground.owner,
            report,
            share,
            before,
            before,
            thresholds,
            mechanism=self._mechanism,
            object_name=family.object_of(ground.disk),
        )
        return self._with_events(self._until(lambda own: own.then(self._subject.page()), case, counts.all_counted, _COUNTS_SETTLE))

    def _hold(self, family: Family) -> float:
        """How long an operation is held up: longer than what is slow, unless that takes longer than anybody would wait.

        An operation may serve one of another probe, and is told with it: so that must be slow too.
        """
        thresholds = [self._subject.threshold(probe, name) for probe in self._holding for name in family.holds]
        known = max((ns for ns in thresholds if ns < _LONGEST_HOLD), default=0)
        return min(max(known + known // 4, _HOLD), _LONGEST_HOLD) / 1e9

    def _with_events(self, case: Case) -> Case:
        if not case.report.held:
            return case
        least = min(own for spans in slow.held_spans(case).values() for own, _ in spans)

        def look(own: Case) -> Case:
            found = self._subject.events(self._name, least * 9 // 10)
            return replace(own, events=[event for event in found if _is_ours(event, self._ground.folder / self._name)])

        try:
            return self._until(look, case, slow.all_there, _EVENTS_SETTLE if slow.are_counted(case) else 0)
        except PerfLensError as error:
            return replace(case, untold=str(error))

    def _until(self, look: Callable[[Case], Case], case: Case, enough: Callable[[Case], bool], seconds: float) -> Case:
        now, last = time.monotonic(), self._ground.deadline
        deadline = min(now + (max(seconds, (last - now) / 4) if seconds else 0), last)
        while not enough(case := look(case)) and time.monotonic() < deadline:
            time.sleep(_PAUSE)
        return case


def _is_ours(event: Event, folder: Path) -> bool:
    """Whether a path that an event tells is below the family's folder, or its thread marked: only ours is, whoever is said to own it.

    Without a path its file is the one of that number there.
    """
    paths = [own.get("path", "") for own in event.values() if isinstance(own, Mapping)]
    if event.get("comm") == mark_of(folder) or any(f"/{folder.parent.name}/{folder.name}/" in str(path) for path in paths):
        return True
    unnamed = [own for own in event.values() if isinstance(own, Mapping) and "inode" in own and not own.get("path")]
    if not unnamed:
        return False
    numbers = {(f"{os.major(found.st_dev)}:{os.minor(found.st_dev)}", found.st_ino) for found in map(Path.stat, folder.rglob("*"))}
    return any((own.get("device"), own["inode"]) in numbers for own in unnamed)


def _lines_of(family: Family | None) -> list[str]:
    """The lines that a family would have had, for those who wonder what was not proven."""
    if family is None:
        return ["count", "buckets", "sum", "owner", "slow", "event", "stack"]
    lasting = ["buckets", "sum", "slow", "event", *(["stack"] if family.slept_in else [])] if family.histograms else []
    return ["count", *(["bytes"] if family.bytes_total else []), *lasting, "owner"]
