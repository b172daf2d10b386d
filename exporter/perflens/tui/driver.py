"""The terminal as Textual drives it, but for what it does not stand: odd bytes, a terminal that is gone, and SIGCONT."""

from __future__ import annotations

import os
import select
import signal
from codecs import getincrementaldecoder
from typing import Any

from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver

__all__ = ["Driver"]

_WAIT = 100  # ms: also how long the end of a sequence of keys is waited for
_AT_ONCE = 4_096  # bytes


class Driver(LinuxDriver):
    """Textual's driver for Linux."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        if self._file:
            self._file.reconfigure(errors="replace")  # a locale may know no bars: one cell each, not `\u2588`

    def run_input_thread(self) -> None:
        """Pass on what is typed, until the screen is left. Bytes that are no text, or no keys, are left out; Textual would end of them.

        A terminal that is gone ends the app: SIGHUP comes only to those whose controlling terminal it was.
        """
        poll = select.poll()
        poll.register(self.fileno, select.POLLIN)
        parser, decode = XTermParser(), getincrementaldecoder("utf-8")("ignore").decode
        while not self.exit_event.is_set():
            text = ""
            if poll.poll(_WAIT):
                typed = self._read()
                if not typed:
                    self._app.call_later(self._app.exit, 128 + signal.SIGHUP)
                    return
                text = decode(typed)
            try:
                messages = [*(parser.feed(text) if text else ()), *parser.tick()]
            except Exception:  # of a sequence that no terminal should send
                messages, parser = [], XTermParser()
            for message in messages:
                self.process_message(message)

    def _read(self) -> bytes:
        try:
            return os.read(self.fileno, _AT_ONCE)
        except OSError:
            return b""

    def _sigcont_application(self, *_: object) -> None:
        """Go on once the signal is handled: it may have come in the midst of anything."""
        self._app.call_later(self._go_on)

    def _go_on(self) -> None:
        """Take the terminal again, and draw all of it. After SIGSTOP, or SIGCONT alone, it was never given back."""
        if not os.isatty(self.fileno):
            return
        if not self._must_signal_resume:
            self.suspend_application_mode()
        self.resume_application_mode()
        self._app.refresh(layout=True)
