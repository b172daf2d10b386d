"""What identifies subjects beyond their host, put into a scene and its signals before they are judged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from perflens.analysis import Scene, Signal, Subject

__all__ = ["Identities", "identified", "identified_scene"]

Identities = Mapping[Subject, Subject]
"""Subjects of which more is known: the same ones, with their volume or workload."""


def identified(signals: Iterable[Signal], known: Identities) -> Iterator[Signal]:
    """Yield the signals, of subjects as they are known."""
    for own in signals:
        subject = known.get(own.subject)
        yield replace(own, subject=subject) if subject else own


def identified_scene(scene: Scene, known: Identities) -> Scene:
    """Return the scene with its subjects as they are known."""
    if not known:
        return scene

    def of(subject: Subject) -> Subject:
        return known.get(subject, subject)

    return Scene(
        {of(victim): seconds for victim, seconds in scene.victims.items()},
        {of(device): {of(victim): seconds for victim, seconds in own.items()} for device, own in scene.on_device.items()},
        {of(victim): waits for victim, waits in scene.waits.items()},
        {(kind, of(where)): tuple(map(of, who)) for (kind, where), who in scene.culprits.items()},
    )
