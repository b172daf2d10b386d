"""A flame graph of folded stacks: one SVG file that needs nothing else, and zooms where scripts run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from zlib import crc32

from perflens.reports.folded import KERNEL, Weight
from perflens.reports.text import duration, printable

__all__ = ["svg"]

_WIDTH, _ROW, _MARGIN, _HEAD = 1200, 18, 10, 58
_NARROWEST = 0.3  # px; what is narrower is not drawn, and its parent shows the gap
_LETTER = 6.7  # px
_BASE_DEPTH = 3  # all, unit, operation
# Of the palette of Okabe and Ito, which people without red or green tell apart too; the lightness tells neighbours apart.
_COLOURS = {"base": (210, 210, 210), "user": (240, 180, 70), "kernel": (100, 180, 230)}
_LEGEND = (("kernel", "kernel"), ("user", "program"), ("base", "owner and operation"))

# Click: zoom; click below, or on the title: back. Names are in the titles already, so nothing is inserted.
_SCRIPT = """
const frames = [...document.querySelectorAll('g.f')], W = %d, M = %d;
const at = g => [+g.dataset.x, +g.dataset.w, +g.dataset.d];
function zoom(on) {
  const [x0, w0, d0] = on ? at(on) : [0, 1, 0];
  for (const g of frames) {
    const [x, w, d] = at(g), over = d < d0 && x <= x0 + 1e-9 && x + w >= x0 + w0 - 1e-9;
    const left = over ? 0 : (x - x0) / w0, wide = over ? 1 : w / w0;
    const hidden = !over && (left < -1e-9 || left + wide > 1 + 1e-9);
    g.style.display = hidden ? 'none' : '';
    if (hidden) continue;
    const r = g.querySelector('rect'), t = g.querySelector('text'), px = wide * W;
    r.setAttribute('x', M + left * W); r.setAttribute('width', Math.max(px - 0.5, 0.1)); r.style.opacity = over ? 0.5 : 1;
    t.setAttribute('x', M + left * W + 3);
    const n = g.dataset.n, fit = Math.floor((px - 6) / 6.7);
    t.textContent = fit < 3 ? '' : n.length <= fit ? n : n.slice(0, fit - 1) + '\\u2026';
  }
}
for (const g of frames) g.addEventListener('click', e => { e.stopPropagation(); zoom(g); });
document.documentElement.addEventListener('click', () => zoom(null));
"""


@dataclass(slots=True)
class _Node:
    """A frame with everything above it; ``value`` includes that."""

    value: int = 0
    children: dict[str, _Node] = field(default_factory=dict)


def svg(stacks: Mapping[tuple[str, ...], int], title: str, weight: Weight = "time") -> str:
    """Return the document. ``stacks`` are as ``folded`` gives them; the outermost frames are at the top."""
    root = _tree(stacks)
    boxes: list[str] = []
    deepest = _draw(root, "all", 0, 0.0, root.value, weight, boxes)
    height = _HEAD + (deepest + 1) * _ROW + _MARGIN
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH + 2 * _MARGIN}" height="{height}" '
            f'viewBox="0 0 {_WIDTH + 2 * _MARGIN} {height}" font-family="Verdana, sans-serif" font-size="12">',
            "<style>g.f{cursor:pointer} g.f:hover rect{stroke:#000;stroke-width:1} text{pointer-events:none}</style>",
            f'<rect width="100%" height="100%" fill="#fff"/><text x="{_MARGIN}" y="20" font-size="15">{_text(title)}</text>',
            *_legend(),
            *boxes,
            f"<script><![CDATA[{_SCRIPT % (_WIDTH, _MARGIN)}]]></script>",
            "</svg>",
            "",
        )
    )


def _tree(stacks: Mapping[tuple[str, ...], int]) -> _Node:
    root = _Node()
    for frames, value in stacks.items():
        node = root
        node.value += value
        for frame in frames:
            node = node.children.setdefault(frame, _Node())
            node.value += value
    return root


def _draw(node: _Node, name: str, depth: int, left: float, total: int, weight: Weight, boxes: list[str]) -> int:
    """Add the boxes of a frame and of all above it; return the deepest row. ``left`` is a part of the whole width."""
    part = node.value / total if total else 1.0
    if part * _WIDTH < _NARROWEST:
        return depth - 1
    boxes.append(_box(name, node.value, depth, left, part, weight))
    deepest = depth
    for child_name, child in sorted(node.children.items()):
        deepest = max(deepest, _draw(child, child_name, depth + 1, left, total, weight, boxes))
        left += child.value / total if total else 0.0
    return deepest


def _box(name: str, value: int, depth: int, left: float, part: float, weight: Weight) -> str:
    kind = "base" if depth < _BASE_DEPTH else "kernel" if name.endswith(KERNEL) else "user"
    shown = name.removesuffix(KERNEL) if kind == "kernel" else name
    amount = duration(value) if weight == "time" else f"{value} operations"
    x, y, width = _MARGIN + left * _WIDTH, _HEAD + depth * _ROW, part * _WIDTH
    letters = int((width - 6) / _LETTER)
    label = "" if letters < 3 else shown if len(shown) <= letters else shown[: letters - 1] + "…"
    return (
        f'<g class="f" data-x="{left:.9f}" data-w="{part:.9f}" data-d="{depth}" data-n="{_text(shown)}">'
        f"<title>{_text(shown)}: {amount}, {100 * part:.1f} %</title>"
        f'<rect x="{x:.2f}" y="{y}" width="{max(width - 0.5, 0.1):.2f}" height="{_ROW - 1}" fill="{_colour(kind, name)}"/>'
        f'<text x="{x + 3:.2f}" y="{y + 13}">{_text(label)}</text></g>'
    )


def _colour(kind: str, name: str) -> str:
    light = 0.86 + (crc32(name.encode("utf-8", "replace")) % 15) / 100
    return "#" + "".join(f"{int(part * light):02x}" for part in _COLOURS[kind])


def _legend() -> list[str]:
    return [
        f'<rect x="{_MARGIN + 190 * number}" y="32" width="12" height="12" fill="{_colour(kind, "")}"/>'
        f'<text x="{_MARGIN + 190 * number + 18}" y="43">{label}</text>'
        for number, (kind, label) in enumerate(_LEGEND)
    ]


def _text(value: str) -> str:
    return escape(printable(value))
