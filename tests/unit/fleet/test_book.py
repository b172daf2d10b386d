"""fleet/book.py, merging.py and groups.py: which incidents are one, and what becomes of it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perflens.analysis import Incident
from perflens.analyzer.codec import decoded, encoded
from perflens.analyzer.incidents import Explanation
from perflens.fleet.book import Book
from perflens.fleet.groups import Group, light
from perflens.fleet.merging import least_hosts
from tests.unit.fleet.incidents import OTHER_WWN, WWN, Rounds, at, disk, incident, owner

A, B, C, D = "0000000a", "0000000b", "0000000c", "0000000d"


def hosts(own: Incident) -> list[str]:
    return [member.host for member in own.members]


MERGED = {
    "the same volume under two names": (
        [incident("n1", A, subject=disk("sda", WWN)), incident("n2", B, subject=disk("sdq", WWN))],
        ["n1 n2"],
    ),
    "the same volume, another cause": (
        [incident("n1", A, subject=disk("sda", WWN)), incident("n2", B, code="NOISY_NEIGHBOUR_IO", subject=disk("sda", WWN), opened=3_000)],
        ["n1 n2"],
    ),
    "a disk of the same name": ([incident("n1", A), incident("n2", B)], ["n1", "n2"]),
    "disks of the same name, other volumes": (
        [incident("n1", A, subject=disk("sda", WWN)), incident("n2", B, subject=disk("sda", OTHER_WWN))],
        ["n1", "n2"],
    ),
    "a volume and none": ([incident("n1", A, subject=disk("sda", WWN)), incident("n2", B)], ["n1", "n2"]),
    "a volume that two victims of one host wait for": (
        [incident("n1", A, subject=disk("sda", WWN)), incident("n1", B, subject=disk("sda", WWN))],
        ["n1", "n1"],
    ),
    "two of one host and one of another": (
        [
            incident("n1", A, subject=disk("sda", WWN)),
            incident("n1", B, subject=disk("sda", WWN)),
            incident("n2", C, subject=disk("sdb", WWN)),
        ],
        ["n1 n1 n2"],
    ),
    "the same cause of the same workload": (
        [incident(host, A, code="MEMCG_LIMIT", subject=owner(f"/{host}", "shop/db")) for host in ("n1", "n2")],
        ["n1 n2"],
    ),
    "another cause of the same workload": (
        [
            incident("n1", A, code="MEMCG_LIMIT", subject=owner("/1", "shop/db")),
            incident("n2", B, code="CGROUP_CPU_THROTTLE", subject=owner("/2", "shop/db")),
        ],
        ["n1", "n2"],
    ),
    "an owner of the same name": (
        [incident(host, A, code="MEMCG_LIMIT", subject=owner("nginx.service")) for host in ("n1", "n2")],
        ["n1", "n2"],
    ),
    "one cause on three hosts at once": ([incident(f"n{number}", A, opened=80 * number) for number in (1, 2, 3)], ["n1 n2 n3"]),
    "one cause on three hosts one after the other": (
        [incident(f"n{number}", A, opened=120 * number) for number in (1, 2, 3)],
        ["n1", "n2", "n3"],
    ),
    "one cause on two hosts at once": ([incident("n1", A), incident("n2", B)], ["n1", "n2"]),
    "one cause three times on two hosts": ([incident("n1", A), incident("n1", C), incident("n2", B)], ["n1", "n1", "n2"]),
    "three that nothing explains": ([incident(f"n{number}", A, code="UNEXPLAINED") for number in (1, 2, 3)], ["n1", "n2", "n3"]),
    "a volume of two, with a third at once": (
        [incident("n1", A, subject=disk("sda", WWN)), incident("n2", B, subject=disk("sda", WWN)), incident("n3", C)],
        ["n1 n2 n3"],
    ),
}


@pytest.mark.parametrize("case", MERGED)
def test_which_incidents_are_one(case: str) -> None:
    """What hosts share makes one of their incidents; what only has the same name does not."""
    given, expected = MERGED[case]
    rounds = Rounds(now=4_000)
    rounds.put(*given)

    assert rounds.round() == []
    assert sorted(" ".join(hosts(own)) for own in rounds.round()) == sorted(expected)


def test_least_hosts() -> None:
    """More hosts have more coincidences."""
    assert [least_hosts(known) for known in (0, 3, 150, 151, 1_000)] == [3, 3, 3, 4, 20]


def test_words_and_subjects() -> None:
    """It says where it is and what is shared; a single one says on which host its disk is."""
    rounds = Rounds()
    rounds.put(
        incident("n1", A, subject=disk("sda", WWN)),
        incident("n2", B, subject=disk("sdq", WWN)),
        incident("n3", C, code="SLOW_DEVICE", subject=disk("sdz")),
    )
    shared, single = sorted(rounds.round(2), key=lambda own: -len(own.members))

    assert (str(shared.subject), shared.subject.volume, shared.merged_by, shared.host) == (WWN, WWN, "volume", "fleet")
    assert shared.summary == f"On n1, n2, which share the volume {WWN}. On n1: sda does all it can."
    assert (str(single.subject), single.merged_by) == ("n3:sdz", "")
    assert single.summary == "On n3: sdz does all it can."
    assert rounds.book.active == (("DEVICE_SATURATION", WWN, "warning"), ("SLOW_DEVICE", "n3:sdz", "warning"))
    assert (dict(rounds.book.merges), dict(rounds.book.opened)) == ({"volume": 1}, {"DEVICE_SATURATION": 1, "SLOW_DEVICE": 1})


def test_many_hosts_are_named_in_part() -> None:
    rounds = Rounds()
    rounds.put(*(incident(f"n{number}", A, opened=number) for number in range(1, 9)))
    (own,) = rounds.round(2)

    assert (own.subject.kind, str(own.subject), own.merged_by, len(own.members)) == ("host", "several hosts", "cause", 8)
    assert own.summary.startswith("On n1, n2, n3, n4, n5 and 3 more, which began within minutes of each other. On n1: ")


def test_one_that_comes_later_joins() -> None:
    """The incident keeps its id, whoever comes or goes, until the last one is over."""
    rounds = Rounds()
    rounds.put(incident("n1", A, subject=disk("sda", WWN)))
    (first,) = rounds.round(2)
    rounds.put(incident("n2", B, subject=disk("sdb", WWN), opened=100))
    (second,) = rounds.round()
    rounds.end("n1", A)
    (third,) = rounds.round()
    rounds.end("n2", B)
    (last,) = rounds.round()

    assert {own.id for own in (first, second, third, last)} == {first.id}
    assert [own.state for own in (first, second, third, last)] == ["open", "open", "open", "resolved"]
    assert [[member.state for member in own.members] for own in (second, third)] == [["open", "open"], ["resolved", "open"]]
    assert last.resolved == at(rounds.now)
    assert rounds.round() == []


def test_one_that_was_told_by_itself_is_told_as_a_part() -> None:
    """Its row is finished and says where it goes on; the one that was told first goes on."""
    rounds = Rounds()
    rounds.put(incident("n1", A), incident("n2", B, opened=10))
    told = {own.members[0].host: own.id for own in rounds.round(2)}
    rounds.put(incident("n3", C, opened=60))
    found = {own.id: own for own in rounds.round()}

    assert set(found) == set(told.values())
    assert (hosts(found[told["n1"]]), found[told["n1"]].state) == (["n1", "n2", "n3"], "open")
    gone = found[told["n2"]]
    assert (gone.state, gone.summary.startswith(f"It is told as a part of incident {told['n1']}. ")) == ("resolved", True)
    assert [own.id for own in rounds.round()] == [told["n1"]]


def test_a_cause_does_not_go_on_for_ever() -> None:
    """What begins later than minutes after the first is no part of it, however many came between."""
    rounds = Rounds(now=1_000)
    rounds.put(*(incident(f"n{number}", A, opened=50 * number) for number in range(1, 4)))
    (first,) = rounds.round(2)
    rounds.put(incident("n4", A, opened=220), incident("n5", A, opened=300))
    found = rounds.round(2)

    assert sorted(len(own.members) for own in found) == [1, 4]
    assert next(own for own in found if own.id == first.id).members[-1].host == "n4"


def test_reopened_within_ten_minutes() -> None:
    """The same incident of the host, or another one on the same volume, makes it go on; later there is a new one."""
    rounds = Rounds()
    rounds.put(incident("n1", A, subject=disk("sda", WWN)))
    (first,) = rounds.round(2)
    rounds.end("n1", A)
    rounds.round(2)
    rounds.put(incident("n2", B, subject=disk("sdb", WWN), opened=60))
    (again,) = rounds.round()
    assert (again.id, again.reopened, again.state, again.resolved) == (first.id, 1, "open", 0)

    rounds.end("n2", B)
    rounds.round(50)
    rounds.put(incident("n2", C, subject=disk("sdb", WWN), opened=900))
    (new,) = rounds.round(2)
    assert new.id != first.id


def test_an_agent_that_is_down_says_nothing() -> None:
    """What it told last stands for ten minutes; then it is over, and counted."""
    rounds = Rounds()
    rounds.put(incident("n1", A))
    rounds.round(2)
    rounds.down.add("n1")
    assert [own.state for own in rounds.round(40)] == ["open"]
    assert [own.state for own in rounds.round()] == ["resolved"]
    assert (rounds.book.lost, rounds.book.active) == (1, ())


def test_nobody_listened_while_the_service_was_down() -> None:
    """An agent that is slow to answer after a long stop of the service has ten minutes from then on, too."""
    before = Rounds()
    before.put(incident("n1", A))
    (first,) = before.round(2)
    rounds = Rounds(Book("fleet", before.book.open.values()), now=before.now + 3_600)
    assert [(own.id, own.state) for own in rounds.round(40)] == [(first.id, "open")]
    assert [(own.id, own.state) for own in rounds.round(2)] == [(first.id, "resolved")]


def test_what_ended_before_it_was_told_is_told_as_over() -> None:
    rounds = Rounds()
    rounds.put(incident("n1", A))
    rounds.round()
    rounds.end("n1", A)

    assert [(own.state, own.members[0].id) for own in rounds.round()] == [("resolved", A)]
    assert dict(rounds.book.opened) == {"DEVICE_SATURATION": 1}


def test_history_and_severity() -> None:
    """A better explanation changes the cause inside the incident; what was critical once stays so."""
    rounds = Rounds()
    rounds.put(incident("n1", A, severity="critical"))
    (first,) = rounds.round(2)
    rounds.put(incident("n1", A, code="SLOW_DEVICE"))
    (second,) = rounds.round()

    assert (first.severity, first.cause, second.cause, second.history) == (
        "critical",
        "DEVICE_SATURATION",
        "SLOW_DEVICE",
        ((at(rounds.now), "DEVICE_SATURATION"),),
    )


def test_a_history_is_bounded() -> None:
    rounds = Rounds()
    for number in range(60):
        rounds.put(incident("n1", A, code=("DEVICE_SATURATION", "SLOW_DEVICE")[number % 2]))
        rounds.round()
    (own,) = rounds.book.open.values()
    assert [len(own.history), own.history[-1][0]] == [20, at(rounds.now)]


async def test_words_of_a_model() -> None:
    """They stand for the cause that they are about, and for no other; a host's own model is not spoken over."""
    rounds = Rounds()
    rounds.put(incident("n1", A))
    (own,) = rounds.round(2)
    told = await rounds.book.explained(
        own.id, Explanation("DEVICE_SATURATION", (), "Too much is asked of the disk (E01).", "llm", "m", own.bundle)
    )
    assert told
    assert (told.summary, told.source, told.model) == ("On n1: Too much is asked of the disk.", "llm", "m")
    assert [one.source for one in rounds.round()] == ["llm"]
    assert await rounds.book.explained(own.id, Explanation("SLOW_DEVICE", (), "x", "llm", "m", own.bundle)) is None
    assert await rounds.book.explained("ffffffff", Explanation("SLOW_DEVICE", (), "x", "llm", "m", own.bundle)) is None
    rounds.put(incident("n1", A, code="SLOW_DEVICE"))
    assert [one.source for one in rounds.round()] == ["rules"]


def test_a_clock_that_is_wrong() -> None:
    """Nothing has begun in the future."""
    rounds = Rounds()
    rounds.put(incident("n1", A, opened=10_000))
    (own,) = rounds.round(2)

    assert own.opened <= at(rounds.now) + 60 * 10**9


def test_what_there_is_no_room_for_is_counted() -> None:
    rounds = Rounds()
    rounds.put(*(incident(f"n{number % 50}", f"{number:08x}", code="UNEXPLAINED") for number in range(1_100)))
    told = rounds.round(2)

    assert (len(told), rounds.book.dropped) == (1_000, 200)


def test_over_a_restart() -> None:
    """A new process goes on with the same incidents, told or not, and their words."""
    rounds = Rounds()
    rounds.put(incident("n1", A, subject=disk("sda", WWN)), incident("n2", B, subject=disk("sda", WWN)), incident("n3", C))
    before = rounds.round(2)
    rounds.end("n3", C)
    rounds.round()
    kept = json.loads(json.dumps(encoded([light(own) for own in (*rounds.book.open.values(), *rounds.book.resolved.values())])))
    after = Rounds(Book("fleet", decoded(tuple[Group, ...], kept)), now=rounds.now)
    after.hosts = rounds.hosts
    shared = next(own for own in before if own.merged_by)

    assert [own.id for own in after.round()] == [shared.id]
    assert {own.id for own in after.book.incidents} == {own.id for own in before}
    after.end("n1", A)
    after.end("n2", B)
    assert [(own.id, own.state) for own in after.round()] == [(shared.id, "resolved")]


ROUNDS = st.lists(
    st.tuples(st.sampled_from(["n1", "n2", "n3", "n4"]), st.sampled_from([A, B, C, D]), st.integers(0, 3), st.booleans()), max_size=12
)


@settings(deadline=None)
@given(st.lists(ROUNDS, max_size=8))
def test_nothing_is_told_twice_or_lost(script: list[list[tuple[str, str, int, bool]]]) -> None:
    """Whatever comes and goes, each open incident of a host is in exactly one of the fleet, and what was told open is told to its end."""
    rounds, told = Rounds(), {}
    kinds = (disk("sda", WWN), disk("sdb"), disk("sda", OTHER_WWN), owner("/x", "shop/db"))
    for step in script:
        for host, identity, kind, lasts in step:
            if lasts:
                rounds.put(incident(host, identity, subject=kinds[kind], opened=rounds.now))
            elif host in rounds.hosts:
                rounds.end(host, identity)
        told.update({own.id: own for own in rounds.round()})
        inside = [
            (member.host, member.id)
            for own in rounds.book.open.values()
            for part in own.parts
            if part.is_open
            for member in [part.incident]
        ]
        assert sorted(inside) == sorted((host, own.id) for host, mine in rounds.hosts.items() for own in mine)
        assert {own.id for own in told.values() if own.state == "open"} == {own.id for own in rounds.book.open.values() if own.told}
    for host in rounds.hosts:
        rounds.hosts[host] = []
    told.update({own.id: own for own in rounds.round(2)})
    told.update({own.id: replace(own) for own in rounds.book.incidents})
    assert {own.state for own in told.values()} <= {"resolved"}
