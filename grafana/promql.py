"""How queries are made: rates of counters, and questions to histograms in the words of both of their kinds."""

from __future__ import annotations

from typing import NamedTuple


class Switch(NamedTuple):
    """One question to histograms, as each kind of them is asked. The variable `histograms` chooses; never do both meet in one query.

    It is a pattern that every instance matches for classic ones, and none for native ones: the query that is not wanted selects
    nothing, which costs Prometheus a look into its index.
    """

    classic: str
    native: str


Query = str | Switch

CLASSIC = 'instance=~"$histograms"'
NATIVE = 'instance!~"$histograms"'
IS_CLASSIC, IS_NATIVE = ".+", "-"  # the values of that variable


def rate(metric: str, selector: str, by: str = "") -> str:
    """What a counter grows by in a second, in sum or by labels."""
    return f"sum{_by(by)}(rate({metric}{{{selector}}}[$__rate_interval]))"


def grown(metric: str, selector: str, by: str = "") -> str:
    """What a counter grew by in the time that is shown."""
    return f"sum{_by(by)}(increase({metric}{{{selector}}}[$__range]))"


def compose(template: str, *parts: Query) -> Query:
    """A query made of others, which `{}` stands for: of both kinds, if any of them is."""
    classic, native = (template.format(*(part if isinstance(part, str) else part[kind] for part in parts)) for kind in (0, 1))
    return Switch(classic, native) if any(isinstance(part, Switch) for part in parts) else classic


def count(histogram: str, selector: str, by: str = "") -> Query:
    """What is observed in a second."""
    return Switch(rate(f"{histogram}_count", f"{selector}, {CLASSIC}", by), f"histogram_count({_native(histogram, selector, by)})")


def total(histogram: str, selector: str, by: str = "") -> Query:
    """The sum of what is observed in a second."""
    return Switch(rate(f"{histogram}_sum", f"{selector}, {CLASSIC}", by), f"histogram_sum({_native(histogram, selector, by)})")


def mean(histogram: str, selector: str, by: str = "") -> Query:
    """The mean of what is observed; nothing where nothing is."""
    return compose("{} / ({} > 0)", total(histogram, selector, by), count(histogram, selector, by))


def buckets(histogram: str, selector: str) -> Query:
    """What each bucket counts, a second; a native histogram has them all in one."""
    return Switch(rate(f"{histogram}_bucket", f"{selector}, {CLASSIC}", "le"), _native(histogram, selector, ""))


def quantile(q: float, histogram: str, selector: str, by: str = "") -> Query:
    """What a share q of the observed does not exceed."""
    classic = rate(f"{histogram}_bucket", f"{selector}, {CLASSIC}", f"{by}, le" if by else "le")
    return Switch(f"histogram_quantile({q}, {classic})", f"histogram_quantile({q}, {_native(histogram, selector, by)})")


def share_above(bound: str, histogram: str, selector: str, by: str = "") -> Query:
    """The share of what is observed above a bound of the classic buckets, so that it is exact; nothing where nothing is observed."""
    every = rate(f"{histogram}_count", f"{selector}, {CLASSIC}", by)
    short = rate(f"{histogram}_bucket", f'{selector}, {CLASSIC}, le="{bound}"', by)
    native = _native(histogram, selector, by)
    return Switch(f"({every} - {short}) / ({every} > 0)", f"1 - histogram_fraction(0, {bound}, {native}) and histogram_count({native}) > 0")


def _native(histogram: str, selector: str, by: str) -> str:
    return rate(histogram, f"{selector}, {NATIVE}", by)


def _by(labels: str) -> str:
    return f" by ({labels}) " if labels else ""


def label_values(metric: str, label: str) -> str:
    """The values of a label that a variable offers."""
    return f"label_values({metric}, {label})"
