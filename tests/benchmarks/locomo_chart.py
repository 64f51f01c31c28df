"""Draws grouped bars as an SVG, without a plotting library; readable on light and dark pages."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape

WIDTH, LEFT, RIGHT, TOP, HEIGHT, BOTTOM = 720, 56, 16, 84, 220, 48
GAP = 0.25  # of a group's width, left free beside its bars

STYLE = """
  .paper { fill: #ffffff; } text { fill: #1f2328; } .quiet { fill: #59636e; }
  .grid { stroke: #d1d9e0; } .axis { stroke: #59636e; }
  .bar0 { fill: #0969da; } .bar1 { fill: #bc4c00; } .bar2 { fill: #1a7f37; } .bar3 { fill: #8250df; }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #0d1117; } text { fill: #f0f6fc; } .quiet { fill: #9198a1; }
    .grid { stroke: #3d444d; } .axis { stroke: #9198a1; }
    .bar0 { fill: #58a6ff; } .bar1 { fill: #f0883e; } .bar2 { fill: #3fb950; } .bar3 { fill: #bc8cff; }
  }
"""


def chart(title: str, axis: str, groups: Mapping[str, Mapping[str, float]], description: str) -> str:
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
    inside = "\n  ".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {floor + BOTTOM}" width="{WIDTH}" '
        f'height="{floor + BOTTOM}" role="img" aria-labelledby="title description" '
        f'font-family="system-ui, -apple-system, Segoe UI, sans-serif" font-size="12">\n'
        f'  <title id="title">{escape(title)}</title>\n  <desc id="description">{escape(description)}</desc>\n'
        f"  <style>{STYLE}  </style>\n  {inside}\n</svg>\n"
    )
