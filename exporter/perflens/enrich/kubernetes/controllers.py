"""What controls the controller of a pod: the Deployment of its ReplicaSet, the CronJob of its Job. Asked for once for each."""

from __future__ import annotations

import time
from collections.abc import Callable
from urllib.parse import quote

from perflens.enrich.kubernetes.objects import Controller, controller_of, decoded, metadata_of
from perflens.enrich.kubernetes.server import AskFailed, Reason, Server
from perflens.enrich.symbols.bounded import Bounded

__all__ = ["Controllers"]

_KEPT = 4_096
_SECONDS = 2.0
_REST, _LONG_REST = 30.0, 600.0  # s
_PATHS = {"ReplicaSet": "/apis/apps/v1/namespaces/{}/replicasets/{}", "Job": "/apis/batch/v1/namespaces/{}/jobs/{}"}


class Controllers:
    """``failed`` is told of each request that failed. After one, none of the kind is made for a while: names say it as well, mostly."""

    def __init__(self, server: Server, failed: Callable[[Reason], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._server, self._failed, self._clock = server, failed, clock
        self._known = Bounded[tuple[str, Controller], Controller](_KEPT)
        self._rests_until: dict[str, float] = {}

    async def above(self, namespace: str, own: Controller) -> Controller | None:
        """Return what controls this controller, NO_CONTROLLER for nothing, and None when it cannot be told."""
        known = self._known.get((namespace, own))
        if known is not None or self._clock() < self._rests_until.get(own.kind, 0.0):
            return known
        path = _PATHS[own.kind].format(quote(namespace, safe=""), quote(own.name, safe=""))
        try:
            metadata = metadata_of(decoded(await self._server.get(path, {}, _SECONDS, metadata=True)))
        except AskFailed as error:
            if error.status != 404:  # it is gone already
                self._failed(error.reason)
                self._rests_until[own.kind] = self._clock() + (_LONG_REST if error.reason == "forbidden" else _REST)
            return None
        except ValueError:
            self._failed("decode")
            return None
        if own.uid and metadata.get("uid") != own.uid:
            return None
        found = controller_of(metadata)
        self._known.put((namespace, own), found)
        return found
