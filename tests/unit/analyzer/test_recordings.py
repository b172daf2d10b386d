"""A window that was recorded is judged again to the same, whatever form it went through."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perflens.analysis import HOST, Bundle, Impact, Scene, Subject
from perflens.analyzer.actions import ACTIONS
from perflens.analyzer.analyst import Analyst
from perflens.analyzer.causes import discover
from perflens.analyzer.codec import BadDocument, decoded, encoded
from perflens.analyzer.conclusion import conclusion, judged_again, recording_of
from perflens.analyzer.identities import identified, identified_scene
from perflens.analyzer.incidents import Incidents
from perflens.analyzer.shapes import bundle_of, incident_of, plain
from perflens.analyzer.signals import Signal, Signals
from perflens.export import analysis
from perflens.http.escaped import encode
from tests.unit.analyzer.scenes import DISK, OTHER, VICTIM, signal
from tests.unit.analyzer.test_causes import CASES
from tests.unit.analyzer.test_values import INCIDENT
from tests.unit.analyzer.test_windows import _disk, _window

WWN = "naa.600508b1001c79ade5178f0626caaa9c"
SHARED = Subject("device", "sda", WWN)


def bundle(own: Scene, signals: tuple[Signal, ...], changes: tuple[Signal, ...] = ()) -> Bundle:
    """The bundle of a scenario, as the analyst makes it."""
    waits = [signal(f"wait.{reason}", who, part / 10) for who, split in own.waits.items() for reason, part in split.items()]
    measured = Signals([*waits, *signals, signal("slow.seconds", HOST, 1.5)])
    told = conclusion(discover(), measured, own, changes)
    impact = Impact(100, sum(own.victims.values()), own.victims)
    return Bundle("h", 1, 20 * 10**9, 5, impact, told.facts, told.hypotheses, told.verdict, (), recording_of(own, measured, changes))


CHANGES = (Signal("changed.sysctl", HOST, 5.0, "s", "was changed", "perflens: settings", detail="vm.dirty_ratio 20 to 5"),)
BUNDLES = {code: bundle(*case, CHANGES) for code, case in CASES.items()}


def through_codec(own: Bundle) -> Bundle:
    return decoded(Bundle, json.loads(json.dumps(encoded(own))))


def through_api(own: Bundle) -> Bundle:
    return bundle_of(json.loads(encode(analysis.bundle(own, ACTIONS))))


@pytest.mark.parametrize("code", CASES)
@pytest.mark.parametrize("through", [through_codec, through_api])
def test_judged_again_is_judged_the_same(code: str, through: Any) -> None:
    """Verdict, causes with their scores, facts and actions are those of the time, to the last digit."""
    own = BUNDLES[code]
    again = judged_again(through(own), discover())

    assert own.hypotheses[0].code == code
    assert own.recording
    assert own.recording.complete
    assert (again.verdict, again.hypotheses, again.facts) == (own.verdict, own.hypotheses, own.facts)
    assert through(own) == own


def test_every_window_of_the_analyst_can_be_judged_again() -> None:
    """What the analyst keeps of the last minutes is enough; of older windows it keeps what they came to, and of incidents likewise."""
    own = Analyst("h", Incidents("h"))
    for at in range(100, 200, 10):
        own.look(_window(at, 0, *_disk(0.1, 0.1, 0.001)))
    for at in range(200, 700, 10):
        own.look(_window(at, 50, *_disk(1.0, 9.0, 0.02)))

    recorded = [one for one in own.bundles if one.recording]
    assert (len(own.bundles), len(recorded)) == (50, 30)
    assert recorded == list(own.bundles)[-30:]
    for one in recorded:
        assert replace(judged_again(through_api(one), discover()), recording=None) == replace(one, recording=None)
    assert [one.bundle.recording for one in own.incidents.open] == [None]


def test_an_early_look_counts_when_it_is_bad() -> None:
    """A quiet one is neither usual nor a sign that something is over."""
    own = Analyst("h", Incidents("h"))
    for _ in range(20):
        assert own.look(_window(100, 0, *_disk(0.1, 0.1, 0.001)), early=True).changed == ()
    assert (own.baseline.learnt, len(own.bundles)) == (0, 0)
    own.look(_window(200, 50, *_disk(1.0, 9.0, 0.02)))
    (opened,) = own.look(_window(203, 50, *_disk(1.0, 9.0, 0.02)), early=True).changed
    for at in range(206, 230, 3):
        own.look(_window(at, 0, *_disk(0.1, 0.1, 0.001)), early=True)
    assert [one.id for one in own.incidents.open] == [opened.id]


def test_a_recording_is_bounded() -> None:
    """The least of the victims go first, and it says that it is not whole."""
    victims = {Subject("owner", f"/{number}"): float(number) for number in range(1, 200)}
    disks = {Subject("device", f"sd{number}"): {Subject("owner", "/199"): float(number)} for number in range(50)}
    own = Scene(victims, disks, {HOST: {"block_io": 1.0}}, {("device", Subject("device", "sd0")): (OTHER,)})
    found = recording_of(own, [signal(f"m{number}", HOST, 1.0) for number in range(2_000)], [signal("c", HOST, 1.0)] * 500)

    assert (len(found.scene.victims), len(found.scene.on_device), len(found.signals), len(found.changes)) == (64, 32, 512, 60)
    assert min(found.scene.victims.values()) == 136
    assert not found.scene.culprits
    assert not found.complete


def test_a_bundle_without_a_recording_cannot_be_judged_again() -> None:
    with pytest.raises(ValueError, match="has no recording"):
        judged_again(replace(BUNDLES["SLOW_DEVICE"], recording=None), discover())


def test_identities_reach_causes_facts_and_recordings() -> None:
    """A disk's volume is told of it wherever it is named, and makes no other disk of it."""
    own, signals = CASES["SLOW_DEVICE"]
    known = {DISK: SHARED, VICTIM: replace(VICTIM, workload="shop/db")}
    found = bundle(identified_scene(own, known), tuple(identified(signals, known)))
    cause = found.hypotheses[0]

    assert (cause.subject.volume, cause.victims[0].workload) == (WWN, "shop/db")
    assert {fact.subject.volume for fact in found.facts if fact.subject == DISK} == {WWN}
    assert judged_again(through_api(found), discover()).hypotheses[0].subject.volume == WWN
    assert DISK == SHARED
    assert len({DISK, SHARED}) == 1


def test_an_incident_comes_through_the_api() -> None:
    shown = json.loads(encode(analysis.incident(INCIDENT, ACTIONS)))

    assert incident_of(shown) == INCIDENT
    assert incident_of({**shown, "of a newer agent": 1}) == INCIDENT


def _places(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(document, (dict, list)):
        for key in document if isinstance(document, dict) else range(len(document)):
            yield from _places(document[key], (*path, key))


DOCUMENT = json.loads(encode(analysis.incident(replace(INCIDENT, bundle=BUNDLES["NOISY_NEIGHBOUR_IO"]), ACTIONS)))
PLACES = [path for path in _places(DOCUMENT) if path]
STRANGE: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, -1, 2**70, 1.5, "", "x" * 5_000, "\x1b[2J\u202e<b>", [], {}, [None], [{}], {"a": 1}]
)


@settings(deadline=None)
@given(st.sampled_from(PLACES), STRANGE)
def test_any_document_is_an_incident_or_a_bad_document(path: tuple[Any, ...], value: object) -> None:
    """Whatever stands at any place, it is taken in bounds or refused, and nothing else happens."""
    document = json.loads(json.dumps(DOCUMENT))
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    try:
        own = incident_of(document)
    except BadDocument:
        return
    text = json.dumps(encoded(own), ensure_ascii=False)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert len(text) < 1 << 20
    assert len(own.summary) <= 2_000


def test_text_is_bounded_and_cannot_turn_or_hide() -> None:
    assert plain("a\x1b[2J\nb\u202ec\ud800", 99) == "a\ufffd[2J\ufffdb\ufffdc\ufffd"
    assert plain("x" * 99, 10) == "x" * 9 + "…"
