"""Draws grouped bars and lines as SVG, without a plotting library; readable on light and dark pages."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from html import escape
from typing import NamedTuple

WIDTH, LEFT, RIGHT, TOP, HEIGHT, BOTTOM = 720, 56, 16, 84, 220, 48
GAP = 0.25  # of a group's width, left free beside its bars

STYLE = """
  .paper { fill: #ffffff; } text { fill: #1f2328; } .quiet { fill: #59636e; }
  .grid { stroke: #d1d9e0; } .axis { stroke: #59636e; }
  .bar0 { fill: #0969da; } .bar1 { fill: #bc4c00; } .bar2 { fill: #1a7f37; } .bar3 { fill: #8250df; }
  .line { fill: none; stroke-linejoin: round; }
  .line0 { stroke: #0969da; } .line1 { stroke: #bc4c00; } .line2 { stroke: #1a7f37; } .line3 { stroke: #8250df; }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #0d1117; } text { fill: #f0f6fc; } .quiet { fill: #9198a1; }
    .grid { stroke: #3d444d; } .axis { stroke: #9198a1; }
    .bar0 { fill: #58a6ff; } .bar1 { fill: #f0883e; } .bar2 { fill: #3fb950; } .bar3 { fill: #bc8cff; }
    .line0 { stroke: #58a6ff; } .line1 { stroke: #f0883e; } .line2 { stroke: #3fb950; } .line3 { stroke: #bc8cff; }
  }
"""


def bars(title: str, axis: str, groups: Mapping[str, Mapping[str, float]], description: str) -> str:
    """Return an SVG of bars from 0 to 1 at the most: a group for each key, a bar for each key of its mapping.

    Args:
        title: Stands above the bars.
        axis: What their height means.
        groups: Heights by group and bar; a bar that a group lacks leaves a gap.
        description: What is seen, in words, for those who do not see it.
    """
    names = list(dict.fromkeys(name for group in groups.values() for name in group))
    highest = max((height for group in groups.values() for height in group.values()), default=0.0)
    steps = max(1, math.ceil(highest * 10 - 1e-9))  # the axis ends at a tenth
    floor = TOP + HEIGHT

    def y(height: float) -> float:
        return floor - HEIGHT * height * 10 / steps

    parts = [
        f'<rect class="paper" width="{WIDTH}" height="{floor + BOTTOM}" rx="6"/>',
        f'<text x="{LEFT}" y="28" font-size="16" font-weight="600">{escape(title)}</text>',
    ]
    x = float(LEFT)
    for at, name in enumerate(names):
        parts.append(f'<rect class="bar{at % 4}" x="{x:.0f}" y="45" width="12" height="12" rx="2"/>')
        parts.append(f'<text x="{x + 18:.0f}" y="56">{escape(name)}</text>')
        x += 18 + 7.5 * len(name) + 24
    for step in range(steps + 1):
        line = y(step / 10)
        kind = "grid" if step else "axis"
        parts.append(f'<line class="{kind}" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{line:.1f}" y2="{line:.1f}"/>')
        parts.append(f'<text class="quiet" x="{LEFT - 8}" y="{line + 4:.1f}" text-anchor="end">{step / 10:.1f}</text>')
    middle = TOP + HEIGHT / 2
    parts.append(
        f'<text class="quiet" x="16" y="{middle}" text-anchor="middle" transform="rotate(-90 16 {middle})">'
        f"{escape(axis)}</text>"
    )
    room = (WIDTH - LEFT - RIGHT) / max(1, len(groups))
    wide = room * (1 - GAP) / max(1, len(names))
    for number, (label, group) in enumerate(groups.items()):
        start = LEFT + room * number + room * GAP / 2
        for at, name in enumerate(names):
            if name not in group:
                continue
            left, top = start + wide * at, y(group[name])
            size = f'width="{wide - 2:.1f}" height="{floor - top:.1f}"'
            tip = escape(f"{label}, {name}: {group[name]:.3f}")
            parts.append(
                f'<rect class="bar{at % 4}" x="{left + 1:.1f}" y="{top:.1f}" {size}><title>{tip}</title></rect>'
            )
            parts.append(
                f'<text x="{left + wide / 2:.1f}" y="{top - 5:.1f}" text-anchor="middle">{group[name]:.2f}</text>'
            )
        # The model stands on a line of its own.
        for row, line_ in enumerate(label.split(", ", 1)):
            kind = ' class="quiet"' if row else ""
            parts.append(
                f'<text{kind} x="{LEFT + room * (number + 0.5):.1f}" y="{floor + 20 + 16 * row}" '
                f'text-anchor="middle">{escape(line_)}</text>'
            )
    return _svg(title, description, parts, floor + BOTTOM)


class Style(NamedTuple):
    """How a line is drawn: which of the four colours, with which dashes (an SVG dash array), how wide."""

    colour: int
    dashes: str = "none"
    width: float = 1.6


def lines(
    title: str,
    axis: str,
    panels: Mapping[str, Mapping[str, Mapping[int, float]]],
    styles: Mapping[str, Style],
    description: str,
) -> str:
    """Return an SVG of panels of lines, two beside each other; both axes are logarithmic, that of times is shared.

    Args:
        title: Stands above the panels.
        axis: What lies on the horizontal axis.
        panels: Microseconds by panel, line and place on the horizontal axis.
        styles: Of the lines; their order is that of the legend.
        description: What is seen, in words, for those who do not see it.
    """
    names = [name for name in styles if any(panel.get(name) for panel in panels.values())]
    columns = 3
    top = 62 + 20 * -(-len(names) // columns)
    height = top + (_PANEL + 66) * -(-len(panels) // 2)
    parts = [
        f'<rect class="paper" width="{WIDTH}" height="{height}" rx="6"/>',
        f'<text x="{LEFT}" y="28" font-size="16" font-weight="600">{escape(title)}</text>',
    ]
    for number, name in enumerate(names):
        x, y = LEFT + number % columns * 220, 52 + 20 * (number // columns)
        parts.append(_path(styles[name], f"M{x} {y}h26"))
        parts.append(f'<text x="{x + 32}" y="{y + 4}">{escape(name)}</text>')
    times = [time for panel in panels.values() for line in panel.values() for time in line.values()] or [1.0]
    sizes = [size for panel in panels.values() for line in panel.values() for size in line] or [1]
    for number, (name, panel) in enumerate(panels.items()):
        box = _Box(
            left=LEFT + number % 2 * (WIDTH - LEFT) / 2,
            top=top + number // 2 * (_PANEL + 66),
            decades=(math.floor(math.log10(min(times))), math.ceil(math.log10(max(times)) + 1e-9)),
            sizes=(min(sizes), max(sizes)),
        )
        parts += _frame(box, name, axis, sorted(set(sizes)))
        for line in names:
            points = sorted((panel.get(line) or {}).items())
            if points:
                steps = "L".join(f"{box.x(size):.1f} {box.y(time):.1f}" for size, time in points)
                parts.append(_path(styles[line], f"M{steps}"))
            for size, time in points:
                tip = escape(f"{line}, {size:,}: {time:,.1f} \u00b5s")
                place = f'cx="{box.x(size):.1f}" cy="{box.y(time):.1f}"'
                parts.append(f'<circle class="bar{styles[line].colour}" {place} r="3"><title>{tip}</title></circle>')
    return _svg(title, description, parts, height)


_PANEL, _ACROSS = 190, 256  # height and width of the inside of a panel
_UNITS = {
    0: "1 \u00b5s",
    1: "10 \u00b5s",
    2: "100 \u00b5s",
    3: "1 ms",
    4: "10 ms",
    5: "100 ms",
    6: "1 s",
    7: "10 s",
    8: "100 s",
}


class _Box(NamedTuple):
    """Where a panel lies, and what its axes reach from and to: powers of ten of microseconds, and sizes."""

    left: float
    top: float
    decades: tuple[int, int]
    sizes: tuple[int, int]

    def x(self, size: int) -> float:
        first, last = map(math.log10, self.sizes)
        return self.left + 8 + (_ACROSS - 16) * ((math.log10(size) - first) / (last - first) if last > first else 0.5)

    def y(self, time: float) -> float:
        first, last = self.decades
        return self.top + 24 + _PANEL * (last - math.log10(time)) / (last - first)


def _frame(box: _Box, name: str, axis: str, sizes: list[int]) -> Iterator[str]:
    yield f'<text x="{box.left}" y="{box.top + 12:.1f}" font-weight="600">{escape(name)}</text>'
    for decade in range(box.decades[0], box.decades[1] + 1):
        y = box.y(10.0**decade)
        kind = "axis" if decade == box.decades[0] else "grid"
        ends = f'x1="{box.left}" x2="{box.left + _ACROSS}" y1="{y:.1f}" y2="{y:.1f}"'
        yield f'<line class="{kind}" {ends}/>'
        label = _UNITS.get(decade, f"10^{decade} \u00b5s")
        yield f'<text class="quiet" x="{box.left - 6}" y="{y + 4:.1f}" text-anchor="end" font-size="11">{label}</text>'
    floor = box.top + 24 + _PANEL
    for size in sizes:
        yield f'<text class="quiet" x="{box.x(size):.1f}" y="{floor + 16}" text-anchor="middle">{size:,}</text>'
    yield (
        f'<text class="quiet" x="{box.left + _ACROSS / 2}" y="{floor + 32}" text-anchor="middle" font-size="11">'
        f"{escape(axis)}</text>"
    )


def _path(style: Style, steps: str) -> str:
    look = f'stroke-width="{style.width}" stroke-dasharray="{style.dashes}"'
    return f'<path class="line line{style.colour}" {look} d="{steps}"/>'


def _svg(title: str, description: str, parts: list[str], height: float) -> str:
    inside = "\n  ".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" role="img" aria-labelledby="title description" '
        f'font-family="system-ui, -apple-system, Segoe UI, sans-serif" font-size="12">\n'
        f'  <title id="title">{escape(title)}</title>\n  <desc id="description">{escape(description)}</desc>\n'
        f"  <style>{STYLE}  </style>\n  {inside}\n</svg>\n"
    )
