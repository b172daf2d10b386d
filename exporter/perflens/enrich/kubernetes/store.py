"""What is known of the pods of this node, those that are gone a while ago too."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from perflens.enrich.kubernetes.objects import PodFacts
from perflens.model import Pod

__all__ = ["Known", "PodStore"]

_MOST_DEAD = 4_096


class Known(NamedTuple):
    """A pod and its workload."""

    facts: PodFacts
    workload: str


class PodStore:
    """Pods by the uid that cgroups have. One thread puts, any may ask: what is put does not change.

    A pod that was deleted is remembered for ``keep`` seconds, since its last operations are seen after it; of these at most
    ``most_dead``. ``evicted`` counts those that were forgotten before their time. ``changed`` is called when there are new names, and
    ``missed`` on any thread with the uid and the container's id of what was looked for and has none.
    """

    tells = True

    def __init__(self, keep: float, clock: Callable[[], float] = time.monotonic, most_dead: int = _MOST_DEAD) -> None:
        self._keep, self._clock, self._most_dead = keep, clock, most_dead
        self._living: dict[str, Known] = {}
        self._dead: OrderedDict[str, tuple[Known, float]] = OrderedDict()
        self.evicted = 0
        self.changed: Callable[[], None] = lambda: None
        self.missed: Callable[[str, str], None] = lambda uid, container_id: None

    def find(self, uid: str, container_id: str) -> Pod | None:
        """Return the names of a pod, and of a container in it; the latter is empty when it is not known."""
        known = self._living.get(uid)
        if known is None:
            dead = self._dead.get(uid)
            known = dead[0] if dead else None
        container = known.facts.containers.get(container_id, "") if known else ""
        if not known or (container_id and not container):
            self.missed(uid, container_id)
        if known is None:
            return None
        return Pod(uid, container_id, known.facts.namespace, known.facts.name, known.workload, container)

    def living(self) -> list[PodFacts]:
        """Return what is known of each pod that lives."""
        return [known.facts for known in self._living.values()]

    def facts(self, uid: str) -> PodFacts | None:
        """Return what is known of a pod that lives."""
        known = self._living.get(uid)
        return known.facts if known else None

    def workload(self, facts: PodFacts) -> str:
        """Return the workload that a pod had before, empty for a new one: it does not change, whoever adopts the pod."""
        known = self._living.get(facts.uid)
        return known.workload if known and (known.facts.namespace, known.facts.name) == (facts.namespace, facts.name) else ""

    def put(self, known: Known) -> None:
        """Take in a pod; one that would take the place of another that lives is not."""
        before = self._living.get(known.facts.uid)
        if before is None or (before.facts.namespace, before.facts.name) == (known.facts.namespace, known.facts.name):
            self._living[known.facts.uid] = known
            self._dead.pop(known.facts.uid, None)
            self.changed()

    def remove(self, facts: PodFacts) -> None:
        """Take in that a pod was deleted; what it was last is remembered."""
        before = self._living.get(facts.uid)
        if before and (before.facts.namespace, before.facts.name) == (facts.namespace, facts.name):
            ids = {**before.facts.containers, **facts.containers}
            self._dead[facts.uid] = before._replace(facts=before.facts._replace(containers=ids)), self._clock()
            del self._living[facts.uid]
            self._prune()

    def replace(self, pods: Iterable[Known]) -> None:
        """Take in all pods that there are; the others are gone."""
        pods = list(pods)
        there = {known.facts.uid for known in pods}
        for gone in [known.facts for uid, known in self._living.items() if uid not in there]:
            self.remove(gone)
        for known in pods:
            self.put(known)

    def counts(self) -> Mapping[str, int]:
        """Return how many pods there are, and how many are remembered."""
        return {"living": len(self._living), "dead": len(self._dead)}

    def _prune(self) -> None:
        before = self._clock() - self._keep
        while self._dead:
            uid, (_, died) = next(iter(self._dead.items()))
            if died > before and len(self._dead) <= self._most_dead:
                break
            self.evicted += died > before
            del self._dead[uid]
