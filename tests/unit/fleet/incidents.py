"""Incidents of hosts, and books that are told of them round by round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from perflens.analysis import Bundle, Fact, Hypothesis, Impact, Incident, Subject
from perflens.fleet.book import Book, Reading

SECOND = 10**9
BEGIN = 1_700_000_000 * SECOND
WWN, OTHER_WWN = "naa.600508b1001c79ade5178f0626caaa9c", "naa.5000c500a1b2c3d4"


def at(seconds: float) -> int:
    """ns since the epoch, so many seconds after the tests begin."""
    return BEGIN + int(seconds * SECOND)


def disk(name: str = "sda", volume: str = "") -> Subject:
    return Subject("device", name, volume)


def owner(name: str = "/a", workload: str = "") -> Subject:
    return Subject("owner", name, workload=workload)


def incident(
    host: str, identity: str, *, code: str = "DEVICE_SATURATION", subject: Subject | None = None, opened: float = 0.0, **changes: Any
) -> Incident:
    """An open incident of a host, with a fact and a cause about a subject (its disk `sda` unless told)."""
    subject = subject or disk()
    fact = Fact("E01", "device.queue", subject, "requests in flight in the mean", 20.0, "", 0.5, 1, "exact", "/proc/diskstats", "support")
    cause = Hypothesis(code, 0.9, subject, None, (owner(),), f"{subject.name} does all it can.", ("E01",), (), 0.9, ("A01",))
    causes = () if code == "UNEXPLAINED" else (cause,)
    bundle = Bundle(host, at(opened - 20), at(opened), at(opened), Impact(50, 4.5, {owner(): 4.5}), (fact,), causes, "incident")
    made = Incident(
        identity, host, "open", "warning", at(opened), at(opened), at(opened), 0, f"{subject.name} does all it can.", causes, bundle
    )
    return replace(made, **changes)


class Rounds:
    """A book, and the incidents that are open on each host, which a test changes as it likes; every round takes 15 s."""

    def __init__(self, book: Book | None = None, now: float = 0.0) -> None:
        self.book = book or Book("fleet")
        self.hosts: dict[str, list[Incident]] = {}
        self.down: set[str] = set()
        self.now = now

    def put(self, *incidents: Incident) -> None:
        for own in incidents:
            self.hosts.setdefault(own.host, [])
            self.hosts[own.host] = [one for one in self.hosts[own.host] if one.id != own.id] + [own]

    def end(self, host: str, identity: str) -> None:
        self.hosts[host] = [own for own in self.hosts[host] if own.id != identity]

    def round(self, number: int = 1) -> list[Incident]:
        """What the last of so many rounds tells."""
        told: Sequence[Incident] = ()
        for _ in range(number):
            self.now += 15
            readings = [Reading(host, tuple(own)) for host, own in self.hosts.items() if host not in self.down]
            told = self.book.update(readings, max(len(self.hosts), 3), at(self.now))
        return list(told)
