"""The standard output of a command: whatever it is, what cannot be written there is one line on the standard error, and no traceback."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable

from perflens.errors import ConfigError, Problem

__all__ = ["ended", "flush", "recode"]


def recode(*, errors: str, encoding: str | None = None) -> None:
    """Have the standard output encode text so, in the locale's encoding if none is given; without one there is nothing."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding=encoding, errors=errors)


def ended(work: Callable[[], None]) -> int:
    """Do work that writes to the standard output; return 0, also when its reader has had enough of it. ConfigError for what else fails."""
    if sys.stdout is None:  # closed by whoever began us
        raise ConfigError((Problem("standard output", "", "is closed", "open it, or write to a file"),))
    try:
        work()
        sys.stdout.flush()
    except BrokenPipeError:
        _let_go()
    except OSError as error:
        _let_go()
        cure = "make room, or write elsewhere"
        raise ConfigError((Problem("standard output", "", f"cannot be written: {error.strerror}", cure),)) from error
    return 0


def flush() -> None:
    """Write out what is buffered, while what fails can still be told; without a standard output there is nothing."""
    if sys.stdout is not None:
        ended(lambda: None)


def _let_go() -> None:
    """What is buffered goes nowhere, in silence."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
