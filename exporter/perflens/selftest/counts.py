"""Is every operation counted, once, in the right bucket and for the right owner?"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from decimal import Decimal

from perflens.selftest.case import Case
from perflens.selftest.model import Check, Span

__all__ = ["all_counted", "checks", "counted", "is_missing"]

_FILTERED = "start the agent without --filter.*, and with a higher --series.limit if perflens_series_dropped_total grows"
_BUG = "report this as a bug, with the output of perflens check"
_SECOND = 1_000_000_000


def all_counted(case: Case) -> bool:
    """Whether as many were counted as must be; a page that is read a moment later may have more."""
    shares = [(case.report, case.owner.unit), *([(case.share, case.owner.beside)] if case.is_exact else [])]
    return all(
        found >= number for report, unit in shares for name, number in report.counts.items() for found in case.counted(name, unit).values()
    )


def is_missing(case: Case) -> bool:
    """Whether none of the operations was counted, so that nothing else can be told of them."""
    return not any(found for name in case.report.counts for found in case.counted(name).values())


def counted(case: Case) -> Iterator[Check]:
    """Yield a line for each operation and metric."""
    for name, number in case.report.counts.items():
        for metric, found in case.counted(name).items():
            yield _count(case, _title(case, "count", name, metric), number, found)


def checks(case: Case) -> Iterator[Check]:
    """Yield the lines of labels, bytes, buckets, sums and owners."""
    if case.family.object_label:
        yield _object(case)
    for name, number in case.report.bytes.items():
        yield _count(case, f"bytes {name}", number, int(case.moved(case.family.bytes_total, operation=name, **case.labels())))
    for metric in case.family.histograms:
        yield _buckets(case, metric)
        yield _sum(case, metric)
    yield _owner(case)


def _title(case: Case, what: str, operation: str, metric: str) -> str:
    """The name of a line; where a family has several histograms their names tell them apart."""
    short = metric.removeprefix(f"perflens_{case.name}_").partition("_")[0]
    return " ".join(filter(None, (what, operation, short if len(case.family.histograms) > 1 else "")))


def _count(case: Case, title: str, number: int, found: int) -> Check:
    expected = str(number) if case.is_exact else f"at least {number}"
    if found == number or (found > number and not case.is_exact):
        return case.ok(title, expected, found)
    if found < number:
        return case.failed(title, expected, found, f"{number - found} are missing; {_FILTERED}")
    return case.failed(title, expected, found, f"{found - number} are too many; {_BUG}")


def _object(case: Case) -> Check:
    """The file system, or whatever else the family's series are told apart by."""
    label, title = case.family.object_label, case.family.object_label
    if not case.is_exact:
        return case.skipped(title, case.object_name, "others share these series")
    if not case.object_name:
        return case.skipped(title, "", "it lies on others, and which of them has what is not known")
    metric, own = f"{case.family.histograms[0]}_count", case.labels()
    before = case.before.by(label, metric, **own)
    found = ", ".join(sorted(name for name, count in case.after.by(label, metric, **own).items() if count > before.get(name, 0)))
    if found == case.object_name:
        return case.ok(title, case.object_name, found)
    return case.failed(title, case.object_name, found or "none", f"the series name another {label}; {_BUG}")


def _spans(case: Case, metric: str) -> list[tuple[str, list[Span]]]:
    """The spans of each operation, as a histogram must have them: one of a part has the least of it only if that part was held up."""
    is_part = case.family.held_in not in ("", metric)
    return [(name, [(0, most) for _, most in spans] if is_part else spans) for name, spans in case.report.spans.items() if spans]


def _buckets(case: Case, metric: str) -> Check:
    """Of each bound: as many are counted up to it as surely took no longer, and no more than may have taken no longer."""
    title, expected = _title(case, "buckets", "", metric), f"{sum(len(spans) for _, spans in _spans(case, metric))} within their bounds"
    if not case.is_exact:
        return case.skipped(title, expected, "others share these series")
    for name, spans in _spans(case, metric):
        wrong = _wrong_bucket(case, metric, name, spans)
        if wrong:
            return case.failed(title, expected, f"{name}: {wrong}", f"durations are in the wrong bucket; {_BUG}")
    return case.ok(title, expected, expected)


def _wrong_bucket(case: Case, metric: str, operation: str, spans: list[Span]) -> str:
    wanted = {"operation": operation, **case.labels()}
    before = case.before.by("le", f"{metric}_bucket", **wanted)
    after = case.after.by("le", f"{metric}_bucket", **wanted)
    least, most = sorted(own for own, _ in spans), sorted(own for _, own in spans)
    for bound, count in after.items():
        ns = float(bound) * _SECOND
        fewest, found, many = bisect_right(most, ns), int(count - before.get(bound, 0)), bisect_right(least, ns)
        if not fewest <= found <= many:
            return f"{found} up to {bound} s, not {fewest} to {many}"
    return "" if after else "no bucket"


def _sum(case: Case, metric: str) -> Check:
    title = _title(case, "sum", "", metric)
    least = sum(own for _, spans in _spans(case, metric) for own, _ in spans)
    most = sum(own for _, spans in _spans(case, metric) for _, own in spans)
    expected = f"{least / 1e6:.3f} to {most / 1e6:.3f} ms"
    if not case.is_exact:
        return case.skipped(title, expected, "others share these series")
    ns = sum((case.moved(f"{metric}_sum", operation=name, **case.labels()) for name, _ in _spans(case, metric)), Decimal(0)) * _SECOND
    found = f"{float(ns) / 1e6:.3f} ms"
    if least <= ns <= most:
        return case.ok(title, expected, found)
    return case.failed(title, expected, found, f"the sum is not that of the durations; {_BUG}")


def _owner(case: Case) -> Check:
    """Both shares, each for its own cgroup; and no slow operation of ours is another's."""
    own, beside = sum(case.report.counts.values()), sum(case.share.counts.values())
    expected = f"{own} own, {beside} beside"
    if not case.tells_owners:
        cure = "owners cannot be told apart; start the agent with --owner.level=unit"
        return case.failed("owner", expected, "node level: all owners in one series", cure)
    if case.owner.shared:
        return case.skipped("owner", expected, case.owner.shared)
    found_own, found_beside = (
        sum(next(iter(case.counted(name, unit).values())) for name in case.report.counts) for unit in (case.owner.unit, case.owner.beside)
    )
    found = f"{found_own} own, {found_beside} beside"
    strangers = sorted({str(event["owner"]["unit"]) for event in case.events or ()} - {case.owner.unit, case.owner.beside})
    if strangers:
        return case.failed("owner", expected, f"{found}, events of {', '.join(strangers)}", f"events have another owner; {_BUG}")
    if found == expected:
        return case.ok("owner", expected, found)
    return case.failed("owner", expected, found, f"the owners' series do not have what each did; {_FILTERED}")
