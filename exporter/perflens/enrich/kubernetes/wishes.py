"""Names that were asked for and are not known: a reason to ask early, a few times for each."""

from __future__ import annotations

import threading
from collections.abc import Callable

from perflens.enrich.symbols.bounded import Bounded

__all__ = ["Wishes"]

_TRIES = 5
_REMEMBERED = 16_384


class Wishes:
    """``wake`` is called on any thread for a name that it is worth to ask for.

    What nobody ever names, such as the first container of each pod or a cgroup that is called like a pod's, is given up after
    ``tries`` answers without it.
    """

    def __init__(self, wake: Callable[[], None], tries: int = _TRIES) -> None:
        self._wake, self._tries = wake, tries
        self._lock = threading.Lock()
        self._asked = Bounded[tuple[str, str], int](_REMEMBERED)
        self._open: set[tuple[str, str]] = set()
        self._sent: frozenset[tuple[str, str]] = frozenset()

    def missed(self, uid: str, container_id: str) -> None:
        """Take in that a pod, or a container in it, has no name."""
        key = uid, container_id
        with self._lock:
            tries = self._asked.get(key) or 0
            if key in self._open or tries >= self._tries or len(self._open) >= _REMEMBERED:
                return
            self._asked.put(key, tries + 1)
            self._open.add(key)
        self._wake()

    def asked(self) -> None:
        """Take in that a request is made: its answer may have the names that are wanted by now."""
        with self._lock:
            self._sent = frozenset(self._open)

    def answered(self) -> None:
        """Take in that the answer came: what is missing after it is wanted anew."""
        with self._lock:
            self._open -= self._sent
