"""The app: keys change the state, time and answers change the data, and the screen is drawn of both."""

from __future__ import annotations

import asyncio
import signal
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.events import Event, Key, Paste, Resize
from textual.timer import Timer

from perflens.tui import screen, theme
from perflens.tui.canvas import Canvas
from perflens.tui.chosen import chosen
from perflens.tui.driver import Driver
from perflens.tui.feed import Feed
from perflens.tui.keys import KEYS
from perflens.tui.lines import Line, plain
from perflens.tui.page import Page, Size, View
from perflens.tui.source import Source
from perflens.tui.state import WINDOWS, State
from perflens.tui.views import VIEWS
from perflens.tui.views.stacks import operations

__all__ = ["Top"]

_TICK = 1.0
_GATHER = 0.15  # s: answers that come together are drawn together
_NOTE_SECONDS = 3.0


def _bindings() -> list[BindingType]:
    return [Binding(name, key.action, key.meaning, show=False, priority=name == "ctrl+c") for key in KEYS for name in key.names]


class Top(App[int], inherit_bindings=False):
    """`perflens top`. ``failure`` is the bug that ended it, None when a key or a signal did."""

    CSS = """
    Screen, Canvas { background: ansi_default; color: ansi_default; }
    Canvas { height: 1fr; width: 100%; }
    """
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = _bindings()

    def __init__(self, source: Source, state: State, coloured: bool = True) -> None:
        super().__init__(driver_class=Driver, ansi_color=True)
        self.state = state
        self.feed = Feed(source, self._schedule)
        self.failure: Exception | None = None
        self._canvas = Canvas(theme.styles(coloured))
        self._note, self._shown = "", Page()
        self._pending: Timer | None = None

    def compose(self) -> ComposeResult:
        """Return the one widget."""
        yield self._canvas

    def on_mount(self) -> None:
        """Begin to ask and to draw."""
        self._canvas.can_focus = True
        self._canvas.focus()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self.exit, 128 + number)
        self.set_interval(_TICK, self._tick)
        self._tick()
        self.draw()

    async def on_unmount(self) -> None:
        """Stop asking."""
        await self.feed.close()

    def on_resize(self, _: Resize) -> None:
        """Draw for the new size once the widgets have it."""
        self.call_after_refresh(self.draw)

    @property
    def view(self) -> View:
        """The view that is shown."""
        return VIEWS[self.state.view]

    def lines(self) -> list[Line]:
        """Return the whole screen."""
        width, height = self._canvas.size
        data = self.feed.data()
        age, reason = self.feed.stale()
        source = self.feed.source
        status = screen.Status(source.name, data.now, source.recorded, age, reason, self._note)
        top = [screen.header(self.view, self.state, status, width), *screen.notice(status, width)]
        room = max(height - len(top) - 1, 0)
        self._shown = self.view.page(data, self.state, Size(width, room))
        body = screen.body(self._shown, self.state.cursor, width, room)
        return [*top, *body, screen.footer(self.state, width)][:height]

    def draw(self) -> None:
        """Draw what changed."""
        if self._pending:
            self._pending.stop()
            self._pending = None
        if self._canvas.is_attached and self._canvas.size.width:
            self._canvas.show(self.lines())

    def _tick(self) -> None:
        self.feed.look(self.view.asks(self.state), self.state.paused)
        self._schedule()

    def _schedule(self) -> None:
        if self._pending is None and self.is_running:
            self._pending = self.set_timer(_GATHER, self.draw)

    def _fatal_error(self) -> None:
        """End on a bug without the traceback of Textual, which shows the values of variables, secrets among them."""
        error = self._exception
        self.failure = error
        self._close_messages_no_wait()

    def action_show(self, name: str) -> None:
        """Show a view."""
        if name == self.state.view:
            return
        self.state.before = [*(own for own in self.state.before if own not in (name, self.state.view)), self.state.view]
        self._enter(name)

    def _enter(self, name: str) -> None:
        self.state.view = name
        self.feed.look(self.view.asks(self.state), self.state.paused)
        self.draw()

    def action_leave(self) -> None:
        """Go back to the view before; from the dashboard leave."""
        if self.state.before:
            self._enter(self.state.before.pop())
        elif self.state.view != "dashboard":
            self._enter("dashboard")
        else:
            self.exit(0)

    async def action_quit(self) -> None:
        """Leave."""
        self.exit(0)

    def action_stacks(self) -> None:
        """Show the stacks of what is selected, or the evidence."""
        if self.state.view == "analyses":
            if self._shown.keys:
                self.state.diagnosis = str(self.state.cursor.key)
                self.state.cursors.pop("evidence", None)
                self.action_show("evidence")
            return
        choice = chosen(self.feed.data(), self.state)
        if choice is None:
            self._say("select a process first")
            return
        self.state.process, self.state.process_name, self.state.event = choice
        self.state.cursors.pop("stacks", None)
        self.action_show("stacks")

    def action_move(self, by: int) -> None:
        """Select another row, or scroll."""
        screen.move(self._shown, self.state.cursor, by)
        self.draw()

    def action_page(self, by: int) -> None:
        """Go a page on."""
        self.action_move(by * screen.rows_room(self._shown, self._canvas.size.height - 2))

    def action_edge(self, last: int) -> None:
        """Go to the first row or the last one."""
        self.action_move(len(self._shown.keys) * (1 if last else -1))

    def action_turn(self, by: int) -> None:
        """Show another operation of the process."""
        found = operations(self.feed.data(), self.state) if self.state.view == "stacks" else []
        if found:
            at = next((number for number, event in enumerate(found) if event.id == self.state.event), 0)
            self.state.event = found[(at + by) % len(found)].id
            self.state.cursors.pop("stacks", None)
            self.draw()

    async def on_event(self, event: Event) -> None:
        """Take keys as letters while the filter is written: here, before the next one is looked up, however fast they come."""
        if self.state.typing and isinstance(event, Key | Paste):
            if isinstance(event, Paste):
                self.state.type(" ".join(event.text.split()))
            elif event.key == "ctrl+c":
                self.exit(0)
            else:
                self.state.edit(event.key, event.character or "")
            self.draw()
        else:
            await super().on_event(event)

    def action_filter(self) -> None:
        """Let the filter be written."""
        self.state.typing = True
        self.draw()

    def action_clear(self) -> None:
        """End the filter, or go back."""
        if self.state.filter:
            self.state.filter = ""
            self.draw()
        elif self.state.view != "dashboard":
            self.action_leave()

    def action_pause(self) -> None:
        """Stop asking, or go on."""
        self.state.paused = not self.state.paused
        self._tick()
        self.draw()

    def action_sort(self) -> None:
        """Sort by the next of the view's orders."""
        self.state.orders[self.state.view] = (self.state.orders.get(self.state.view, 0) + 1) % len(self.view.orders)
        self.draw()

    def action_zoom(self, by: int) -> None:
        """Show a shorter or longer window."""
        at = WINDOWS.index(self.state.window) + by
        self.state.window = WINDOWS[max(min(at, len(WINDOWS) - 1), 0)]
        self.draw()

    def action_copy(self) -> None:
        """Copy the selected row, or of a view without one all of it."""
        page = self._shown
        if page.selectable and page.keys:
            text = plain(page.row(self.state.cursor.index)).rstrip()
        else:
            text = "\n".join(plain(page.row(at)).rstrip() for at in range(len(page.keys)))
        self.copy_to_clipboard(text)
        self._say(f"copied {len(text)} characters")

    def _say(self, note: str) -> None:
        self._note = note
        self.set_timer(_NOTE_SECONDS, self._forget)
        self.draw()

    def _forget(self) -> None:
        self._note = ""
        self.draw()
