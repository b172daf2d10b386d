"""Passwords against bcrypt hashes: one at a time in a thread of their own, and none told from a user that does not exist."""

from __future__ import annotations

import asyncio
import hmac
import os
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

__all__ = ["Busy", "Passwords"]

_KEPT = 128
_MOST_WAITING = 16
_LONGEST = 72
"""Bytes of a password that bcrypt looks at."""

_NOBODY = "." * 53
"""Salt and hash of no password: who is unknown is checked against it."""


class Busy(Exception):
    """Too many passwords wait to be checked."""


class Passwords:
    """Checks passwords. Those that were right are known again by a keyed hash, which is worth nothing outside of this process."""

    def __init__(self) -> None:
        self._secret = os.urandom(32)
        self._right: OrderedDict[bytes, None] = OrderedDict()
        self._checks: dict[bytes, asyncio.Future[bool]] = {}
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="passwords")

    async def is_right(self, users: Mapping[str, str], user: str, password: bytes) -> bool:
        """Whether a user has this password; raises Busy. Who sends what is being checked already waits for that."""
        known, hashed = user in users, users.get(user) or self._hash_of_nobody(users, user)
        key = self._digest(user.encode(), hashed.encode(), password)
        if key in self._right:
            self._right.move_to_end(key)
            return True
        check = self._checks.get(key)
        if check is None:
            if len(self._checks) >= _MOST_WAITING:
                raise Busy
            loop = asyncio.get_running_loop()
            check = self._checks[key] = loop.run_in_executor(self._thread, _is_right, password, hashed)
            check.add_done_callback(lambda _: self._checks.pop(key))
        is_right = await asyncio.shield(check) and known
        if is_right:
            self._right[key] = None
            if len(self._right) > _KEPT:
                self._right.popitem(last=False)
        return is_right

    def _hash_of_nobody(self, users: Mapping[str, str], user: str) -> str:
        """A hash as costly as that of some user, and always of the same one for a name."""
        costs = sorted(hashed[4:6] for hashed in users.values())
        return f"$2b${costs[self._digest(user.encode())[0] % len(costs)]}${_NOBODY}"

    def _digest(self, *parts: bytes) -> bytes:
        return hmac.digest(self._secret, b"".join(len(part).to_bytes(4) + part for part in parts), "sha256")

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(cancel_futures=True)


def _is_right(password: bytes, hashed: str) -> bool:
    import bcrypt  # where there are users alone

    try:
        return bcrypt.checkpw(password[:_LONGEST], hashed.encode())
    except ValueError:
        return False
