"""The pods of this node, from one list and then as they change; a list again only where the server says so."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from perflens.enrich.kubernetes.controllers import Controllers
from perflens.enrich.kubernetes.lists import read_list
from perflens.enrich.kubernetes.objects import PodFacts, decoded, metadata_of, pod_facts, version_of
from perflens.enrich.kubernetes.place import Place
from perflens.enrich.kubernetes.server import AskFailed, Reason, Server
from perflens.enrich.kubernetes.store import Known, PodStore
from perflens.enrich.kubernetes.tally import EVENTS, FIRST_PAUSE, Tally, pause
from perflens.enrich.kubernetes.workloads import has_controller_above, workload_of
from perflens.logs import fields

__all__ = ["PodWatch"]

_log = logging.getLogger("perflens")

_PODS = "/api/v1/pods"
_PAGE = "500"
_MOST_PAGES = 40
_LIST_SECONDS = 60.0
_WATCH_SECONDS, _SILENCE = (240, 360), 30.0
_AT_ONCE = 8
_BEGINS_ANEW = ("gone", "decode", "size", "internal")
_CURES: Mapping[Reason, str] = {
    "token": "look at kubernetes.token_file",
    "certificate": "look at kubernetes.ca_file, and whether the name in the server's certificate is that of kubernetes.api_server",
    "unauthorized": "give the agent a token that is valid (kubernetes.token_file)",
    "forbidden": "let the service account get, list and watch pods",
}
_NO_CURE = "look whether the API server can be reached from here"


class PodWatch:
    """Keeps ``store`` up to date while it runs. ``sleep`` and ``spread`` (a number from 0 to 1) are the loop's and random's."""

    def __init__(
        self,
        place: Place,
        store: PodStore,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        spread: Callable[[], float] = random.random,
    ) -> None:
        self._node, self._store, self._sleep, self._spread = place.node, store, sleep, spread
        self._server = Server(place)
        self._tally = Tally(store)
        self.counts = self._tally.counts
        self._controllers = Controllers(self._server, self._tally.failed)
        self._version = ""
        self._failures = 0
        self._is_new = False  # the list: nothing came of a watch since

    async def run(self) -> None:
        """Watch until this is cancelled."""
        try:
            while True:
                await self._sleep(await self._round())
        finally:
            self._tally.up = False
            await self._server.close()

    async def _round(self) -> float:
        """List, if need be, and watch until that ends; return the seconds until the next round."""
        began = time.monotonic()
        try:
            if not self._version:
                await self._list()
            await self._watch()
        except AskFailed as error:
            return await self._pause(error)
        except Exception:
            _log.exception("the watch of the pods failed")
            return await self._pause(AskFailed("internal"))
        return 0.0 if time.monotonic() - began > FIRST_PAUSE else FIRST_PAUSE

    async def _list(self) -> None:
        """Take in all pods. The first time the server may answer from memory; after that it must not be older than what it told before."""
        query = {"fieldSelector": f"spec.nodeName={self._node}", "limit": _PAGE}
        if not self._tally.lists:
            query["resourceVersion"] = "0"
        found: list[PodFacts] = []
        for _ in range(_MOST_PAGES):
            page = self._page(await self._server.get(_PODS, query, _LIST_SECONDS), found)
            version, more = version_of(page), metadata_of(page).get("continue")
            if not version:
                raise AskFailed("decode")
            if not more or not isinstance(more, str):
                break
            query = {"fieldSelector": query["fieldSelector"], "limit": _PAGE, "continue": more}
        else:
            raise AskFailed("size")
        gate = asyncio.Semaphore(_AT_ONCE)

        async def known(facts: PodFacts) -> Known:
            async with gate:
                return await self._known(facts)

        self._store.replace(await asyncio.gather(*map(known, found)))
        self._tally.lists += 1
        self._version, self._is_new = version, True

    def _page(self, body: bytearray, found: list[PodFacts]) -> Mapping[str, Any]:
        def take(told: object) -> None:
            facts = self._facts(told)
            if facts:
                found.append(facts)

        try:
            page = read_list(body.decode(), take)
        except ValueError:
            raise AskFailed("decode") from None
        if page.get("items"):
            raise AskFailed("decode")
        return page

    async def _watch(self) -> None:
        """Follow the changes since the version that is known, until the server ends it."""
        seconds = _WATCH_SECONDS[0] + int(self._spread() * (_WATCH_SECONDS[1] - _WATCH_SECONDS[0]))
        query = {
            "fieldSelector": f"spec.nodeName={self._node}",
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(seconds),
        }
        async with self._server.stream(_PODS, query, seconds + _SILENCE) as lines:
            self._is_watching()
            async for line in lines:
                await self._take(_decoded(line))
                self._failures, self._is_new = 0, False
        self._failures = 0

    async def _take(self, event: Mapping[str, Any]) -> None:
        kind, told = event.get("type"), event.get("object")
        if kind not in EVENTS or not isinstance(told, dict):
            raise AskFailed("decode")
        self._tally.events[kind] += 1
        if kind == "ERROR":
            raise AskFailed("gone" if told.get("code") == 410 else "status")
        facts = None if kind == "BOOKMARK" else self._facts(told)
        if facts and kind == "DELETED":
            self._store.remove(facts)
        elif facts:
            self._store.put(await self._known(facts))
        self._version = version_of(told) or self._version

    def _facts(self, told: object) -> PodFacts | None:
        """What is wanted of a pod of this node; the others are none of ours, whatever the server thinks of a field's selector."""
        facts = pod_facts(told) if isinstance(told, dict) else None
        if facts is None or facts.node != self._node:
            self._tally.refused += 1
            return None
        return facts

    async def _known(self, facts: PodFacts) -> Known:
        workload = self._store.workload(facts)
        if not workload:
            asks = has_controller_above(facts.controller)
            workload = workload_of(facts, await self._controllers.above(facts.namespace, facts.controller) if asks else None)
        return Known(facts, workload)

    def _is_watching(self) -> None:
        if self._tally.comes_up():
            _log.info("pods are watched", extra=fields(node=self._node, pods=self._store.counts()["living"]))

    async def _pause(self, error: AskFailed) -> float:
        """Note a failure; return the seconds to wait."""
        self._tally.failed(error.reason)
        has_forgotten = error.reason == "gone" and not self._is_new  # as a server does that was down
        self._failures = 1 if has_forgotten else self._failures + 1
        if error.reason in _BEGINS_ANEW:
            self._version = ""
        if error.reason in ("connection", "certificate", "timeout"):
            await self._server.close()
        if error.reason != "gone" and self._tally.goes_down():
            about = fields(reason=error.reason, status=error.status, cure=_CURES.get(error.reason, _NO_CURE))
            _log.warning("pods cannot be watched: series of new pods carry ids", extra=about)
        return pause(self._failures, self._spread())


def _decoded(text: bytes) -> Mapping[str, Any]:
    try:
        return decoded(text)
    except ValueError:
        raise AskFailed("decode") from None
