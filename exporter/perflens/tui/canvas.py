"""The widget that shows lines: it draws those again that changed, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from perflens.tui.lines import Line, cells

__all__ = ["Canvas"]


class Canvas(Widget):
    """Lines of the screen, each as wide as the widget."""

    def __init__(self, styles: Mapping[str, Style]) -> None:
        super().__init__()
        self._styles_by_name = styles
        self._lines: Sequence[Line] = ()

    def show(self, lines: Sequence[Line]) -> None:
        """Show these lines."""
        before, self._lines = self._lines, lines
        if len(before) != len(lines):
            self.refresh()
            return
        changed = [Region(0, y, self.size.width, 1) for y, (old, new) in enumerate(zip(before, lines, strict=True)) if old != new]
        if changed:
            self.refresh(*changed)

    def render_line(self, y: int) -> Strip:
        """Return one line as Textual draws it."""
        own = self._lines[y] if y < len(self._lines) else ()
        strip = Strip([Segment(text, self._styles_by_name[style]) for text, style in own], cells(own))
        return strip.adjust_cell_length(self.size.width)
