"""A password of the web configuration: whether an answer's time tells that a user does not exist."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from itertools import count

import bcrypt

from perflens.web_config.passwords import Passwords
from tests.bench.report import Line, Result
from tests.bench.rounds import Spread, measure

__all__ = ["unknown_user"]

_ROUNDS = 41
_COST = 10  # what htpasswd is told in most instructions


def unknown_user() -> Iterator[Line]:
    """Compare the medians of a user that does not exist and of a wrong password; no password is sent twice."""
    own, numbers = Passwords(), count()
    users = {"prometheus": bcrypt.hashpw(b"right", bcrypt.gensalt(_COST)).decode()}

    def timed(user: str) -> Callable[[], float]:
        def check() -> float:
            password = f"wrong {next(numbers)}".encode()
            began = time.perf_counter()
            if asyncio.run(own.is_right(users, user, password)):
                raise RuntimeError("a wrong password was right")
            return (time.perf_counter() - began) * 1e3

        return check

    rounds = measure({"wrong": timed("prometheus"), "unknown": timed("nobody")}, _ROUNDS)
    own.close()
    wrong, unknown = rounds.plain("wrong").median, rounds.plain("unknown").median
    ratio = max(wrong / unknown, unknown / wrong)
    medians = f"wrong {wrong:.1f} ms, unknown {unknown:.1f} ms"
    yield Result("unknown_user", "unknown user against wrong password", Spread(ratio, ratio, ratio), "×", 1.1, medians)
