"""The pods of this node as its kubelet tells them: all of them every few seconds, and sooner where a name is missing."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress

from perflens.enrich.kubernetes.lists import read_list
from perflens.enrich.kubernetes.objects import PodFacts, pod_facts
from perflens.enrich.kubernetes.place import Place
from perflens.enrich.kubernetes.server import AskFailed, Reason, Server
from perflens.enrich.kubernetes.store import Known, PodStore
from perflens.enrich.kubernetes.tally import Tally, pause
from perflens.enrich.kubernetes.wishes import Wishes
from perflens.enrich.kubernetes.workloads import workload_of
from perflens.logs import fields

__all__ = ["KubeletPods"]

_log = logging.getLogger("perflens")

_PODS = "/pods"
_ANSWER_SECONDS = 10.0
_EVERY, _LEAST = 5.0, 1.0  # s between two requests, and at least
_READ, _READ_LEAST = 200, 50  # these are so many times what it takes to read an answer, or more: 0.5 % and 2 % of a CPU
_CURES: Mapping[Reason, str] = {
    "token": "look at kubernetes.token_file",
    "certificate": "look at kubernetes.kubelet_ca, and whether the kubelet's certificate is signed by it for the address of "
    "kubernetes.kubelet: by default kubelets sign their own (serverTLSBootstrap)",
    "unauthorized": "give the agent a token that is valid (kubernetes.token_file), which the kubelet has the API server look at "
    "(authentication.webhook)",
    "forbidden": "let the service account get nodes/pods; a kubelet before Kubernetes 1.33 does not know that right: set "
    "kubernetes.source to api there",
}
_NO_CURE = "look whether the kubelet can be reached from here (kubernetes.kubelet)"


class KubeletPods:
    """Keeps ``store`` up to date while it runs. ``sleep`` and ``spread`` (a number from 0 to 1) are the loop's and random's.

    What controls the controller of a pod is guessed by names: the kubelet does not know it.
    """

    def __init__(
        self,
        place: Place,
        store: PodStore,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        spread: Callable[[], float] = random.random,
        every: float = _EVERY,
    ) -> None:
        self._node, self._verify, self._store = place.node, place.verify, store
        self._sleep, self._spread, self._every = sleep, spread, every
        self._server = Server(place)
        self._tally = Tally(store)
        self.counts = self._tally.counts
        self._failures = 0
        self._missing: AbstractSet[str] = frozenset()
        self._read_seconds = 0.0

    async def run(self) -> None:
        """Ask until this is cancelled."""
        if not self._verify:
            _log.warning("the kubelet's certificate is not verified: whoever answers at its address gets the token")
        loop, wanted = asyncio.get_running_loop(), asyncio.Event()
        wishes = Wishes(lambda: _wake(loop, wanted))
        self._store.missed = wishes.missed
        try:
            while True:
                wanted.clear()
                await self._round(wishes, wanted)
        finally:
            self._store.missed = lambda uid, container_id: None
            self._tally.up = False
            await self._server.close()

    async def _round(self, wishes: Wishes, wanted: asyncio.Event) -> None:
        """Ask, and rest: until something is wanted after a good answer, and the longer the more failures there were after a bad one."""
        try:
            wishes.asked()
            await self._ask()
        except AskFailed as error:
            await self._sleep(await self._pause(error))
        except Exception:
            _log.exception("the kubelet's pods could not be taken in")
            await self._sleep(await self._pause(AskFailed("internal")))
        else:
            wishes.answered()
            await self._rest(wanted)

    async def _rest(self, wanted: asyncio.Event) -> None:
        least = max(_LEAST, min(self._read_seconds * _READ_LEAST, self._every))
        await self._sleep(least)
        with suppress(TimeoutError):
            async with asyncio.timeout(max(self._every, self._read_seconds * _READ) - least):
                await wanted.wait()

    async def _ask(self) -> None:
        body = await self._server.get(_PODS, {}, _ANSWER_SECONDS)
        began = time.thread_time()
        self._take(self._pods(body))
        self._read_seconds = time.thread_time() - began
        self._failures = 0
        self._tally.lists += 1
        if self._tally.comes_up():
            _log.info("the kubelet tells its pods", extra=fields(node=self._node, pods=self._store.counts()["living"]))

    def _pods(self, body: bytearray) -> dict[str, PodFacts]:
        found: dict[str, PodFacts] = {}

        def take(told: object) -> None:
            facts = pod_facts(told, of_kubelet=True) if isinstance(told, dict) else None
            if facts is None or facts.node != self._node:
                self._tally.refused += 1
            else:
                found[facts.uid] = facts

        try:
            rest = read_list(body.decode(), take)
        except ValueError:
            raise AskFailed("decode") from None
        if rest.get("kind") != "PodList" or rest.get("items"):
            raise AskFailed("decode")
        return found

    def _take(self, found: Mapping[str, PodFacts]) -> None:
        """Put what is new or changed. A pod is gone when two answers lack it: a kubelet that has just begun does not know all yet."""
        absent = {facts.uid: facts for facts in self._store.living() if facts.uid not in found}
        for uid in absent.keys() & self._missing:
            self._store.remove(absent[uid])
        self._missing = absent.keys() - self._missing
        for facts in found.values():
            if facts != self._store.facts(facts.uid):
                self._store.put(Known(facts, self._store.workload(facts) or workload_of(facts, None)))

    async def _pause(self, error: AskFailed) -> float:
        """Note a failure; return the seconds to wait."""
        self._tally.failed(error.reason)
        self._failures += 1
        if error.reason in ("connection", "certificate", "timeout"):
            await self._server.close()
        if self._tally.goes_down():
            about = fields(reason=error.reason, status=error.status, cure=_CURES.get(error.reason, _NO_CURE))
            _log.warning("the kubelet does not tell its pods: series of new pods carry ids", extra=about)
        return pause(self._failures, self._spread())


def _wake(loop: asyncio.AbstractEventLoop, wanted: asyncio.Event) -> None:
    with suppress(RuntimeError):  # the loop ended
        loop.call_soon_threadsafe(wanted.set)
