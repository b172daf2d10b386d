"""Processes that an interrupt ends, though whoever runs the tests may ignore it, as a shell does for what it runs in the background."""

import signal

__all__ = ["interruptible"]


def interruptible() -> None:
    """Run in a child before its program begins: a signal that is ignored stays so, one with a handler is as by default."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
