"""Waits for what another process does, within a bound."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

__all__ = ["free_port", "until"]


def until(condition: Callable[[], bool], seconds: float, what: str, interval: float = 0.02) -> None:
    """Return once the condition holds; TimeoutError that names what was waited for."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:.0f} s: {what}")
        time.sleep(interval)


def free_port() -> int:
    """Return a TCP port of the loopback address that nobody listens on."""
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        return int(own.getsockname()[1])
