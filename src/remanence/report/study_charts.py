"""The pictures of a study: small SVG drawn by hand, a few kilobytes each, so that many arms open at once.

Colours are CSS variables of the page, as in every report; what a point says in words stands in its title.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from markupsafe import Markup, escape

SHAPES = {
    "tuned": '<circle r="3.6"/>',
    "floor": '<rect x="-3.2" y="-3.2" width="6.4" height="6.4"/>',
    "base": '<path d="M0-4 3.9 3.4H-3.9z"/>',
    "ceiling": '<path d="M0-4.4 4 0 0 4.4-4 0z"/>',
}
"""Of each series, around its own middle."""


@dataclass(frozen=True)
class Scale:
    """From values to places between 0 and 1."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    power: float = 1.0
    """Below 1, the scale is stretched near its low end."""

    def __call__(self, value: float) -> float:
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return share**self.power

    @property
    def marks(self) -> list[tuple[float, str]]:
        """(place in per cent, label) of each tick."""
        return [(round(100 * self(value), 2), label) for value, label in self.ticks]


RATES = Scale(0.0, 1.0, ((0, "0"), (0.05, "5"), (0.25, "25"), (0.5, "50"), (1, "100\u00a0%")), 0.5)
"""Shares of rows, stretched near zero."""
WHOLE = Scale(0.0, 1.0, ((0, "0"), (0.25, "25"), (0.5, "50"), (0.75, "75"), (1, "100\u00a0%")))
"""The same, unstretched."""


def centred(values: Iterable[float | None]) -> Scale:
    """Differences of rates around a zero in the middle, wide enough for all of them."""
    most = max((abs(v) for v in values if v is not None), default=0.1)
    limit = next((end for end in (0.05, 0.1, 0.2, 0.3, 0.5, 0.75) if end >= most), 1.0)
    return Scale(-limit, limit, ((-limit, f"\u2212{100 * limit:g}"), (0, "0"), (limit, f"+{100 * limit:g}")))


def steps(values: Iterable[float], unit: float = 1.0, most: int = 4) -> Scale:
    """A plain scale over all values, with round ticks; labels are in `unit`s."""
    found = list(values)
    low, high = min(found), max(found)
    if high - low < 1e-9:
        low, high = low - 0.05, high + 0.05
    raw = (high - low) / most
    size = 10 ** math.floor(math.log10(raw))
    step = next(size * m for m in (1, 2, 2.5, 5, 10) if size * m >= raw)
    first, last = math.floor(low / step), math.ceil(high / step)
    ticks = tuple((n * step, f"{n * step / unit:.6g}") for n in range(first, last + 1))
    return Scale(ticks[0][0], ticks[-1][0], ticks)


class Dot(NamedTuple):
    """A point with its interval."""

    who: str
    value: float
    low: float
    high: float
    says: str


def panel(
    name: str, places: Sequence[tuple[str, Sequence[Dot]]], scale: Scale, *, joined: bool = False, width: int = 196,
    zero: bool = False,
) -> Markup:  # fmt: skip
    """One small picture: labels across, values up. A place without dots says "not measurable", it is never a zero.

    A label may have two lines. `joined`: dots of a series are joined by a line. `zero`: a line is drawn at 0.
    """
    left, top, right, bottom, height = 39, 8, 6, 30, 156
    inner, tall = width - left - right, height - top - bottom
    step = inner / len(places)
    out = _axis(scale, left, top, inner, tall)
    if zero:
        out.append(f'<path class="zero" d="M{left} {_num(top + tall * (1 - scale(0)))}h{inner}"/>')
    whos = list(dict.fromkeys(dot.who for _, dots in places for dot in dots))
    paths: dict[str, list[str]] = {who: [] for who in whos}
    drawn: dict[str, list[str]] = {who: [] for who in whos}
    for at, (label, dots) in enumerate(places):
        middle = left + step * (at + 0.5)
        out += _label(label, middle, height - bottom)
        if not dots:
            out.append(f'<text class="none" transform="translate({_num(middle + 3)} {height - bottom - 4})rotate(-90)">'
                       "not measurable</text>")  # fmt: skip
        for who in set(whos) - {dot.who for dot in dots}:
            paths[who].append("")
        spread = min(5.0, step * 0.8 / max(1, len(whos)))
        for dot in dots:
            x = middle + spread * (whos.index(dot.who) - (len(whos) - 1) / 2)
            y, low, high = (_num(top + tall * (1 - scale(v))) for v in (dot.value, dot.low, dot.high))
            paths[dot.who].append(f"{_num(x)} {y}")
            drawn[dot.who].append(
                f'<path d="M{_num(x)} {low}V{high}"/><g transform="translate({_num(x)} {y})">{_shape(dot.who)}'
                f"<title>{escape(dot.says)}</title></g>"
            )
    for who in reversed(whos):
        line = "".join(_path(part) for part in _runs(paths[who])) if joined else ""
        out.append(f'<g class="s {who}">{line}{"".join(drawn[who])}</g>')
    return _svg(name, width, height, out)


class Point(NamedTuple):
    """A place on a line; `low` and `high` where an interval is known."""

    x: float
    y: float
    says: str = ""
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Trace:
    """A line of a plane, in the colour of its class."""

    kind: str
    points: Sequence[Point]
    thin: bool = False
    """Of one seed, behind the mean."""
    dash: str = ""


def plane(
    name: str, traces: Sequence[Trace], x_title: str, y_title: str, *, unit: float = 1.0, width: int = 460,
    height: int = 320, zero: bool = False, same_y: Scale | None = None,
) -> Markup:  # fmt: skip
    """Lines over two measured axes; `unit` is what a number of the upright axis counts in."""
    left, top, right, bottom = 44 if width > 300 else 34, 20, 12, 38
    inner, tall = width - left - right, height - top - bottom
    across = steps((p.x for t in traces for p in t.points), most=5 if width > 300 else 3)
    ends = [v for t in traces for p in t.points for v in (p.y, p.low, p.high) if v is not None]
    up = same_y or steps([*ends, *([0.0] if zero else [])], unit)
    out = _axis(up, left, top, inner, tall)
    if zero:
        out.append(f'<path class="zero" d="M{left} {_num(top + tall * (1 - up(0)))}h{inner}"/>')
    for value, label in across.ticks:
        out += _label(label, left + inner * across(value), height - bottom)
    out.append(f'<text x="{left + inner / 2:g}" y="{height - 4}" text-anchor="middle">{escape(x_title)}</text>')
    out.append(f'<text x="2" y="11">{escape(y_title)}</text>')
    for trace in sorted(traces, key=lambda t: not t.thin):
        at = [(_num(left + inner * across(p.x)), _num(top + tall * (1 - up(p.y)))) for p in trace.points]
        dash = f' stroke-dasharray="{trace.dash}"' if trace.dash else ""
        inside = [_path([f"{x} {y}" for x, y in at], dash)]
        for (x, y), point in zip(at, trace.points, strict=True):
            if point.low is not None and point.high is not None:
                low, high = (_num(top + tall * (1 - up(v))) for v in (point.low, point.high))
                inside.append(f'<path class="iv" d="M{x} {low}V{high}"/>')
            if point.says:
                inside.append(f'<circle cx="{x}" cy="{y}" r="3.2"><title>{escape(point.says)}</title></circle>')
        out.append(f'<g class="s {trace.kind}{" thin" if trace.thin else ""}">{"".join(inside)}</g>')
    return _svg(name, width, height, out)


def _axis(scale: Scale, left: float, top: float, inner: float, tall: float) -> list[str]:
    out: list[str] = []
    for value, label in scale.ticks:
        y = _num(top + tall * (1 - scale(value)))
        out.append(f'<path class="grid" d="M{left} {y}h{_num(inner)}"/>')
        out.append(f'<text x="{left - 5}" y="{y}" dy=".33em" text-anchor="end">{escape(label)}</text>')
    return out


def _label(label: str, middle: float, y: float) -> list[str]:
    lines = label.split("\n")
    return [
        f'<text x="{_num(middle)}" y="{y + 13 + 11 * n:g}" text-anchor="middle">{escape(line)}</text>'
        for n, line in enumerate(lines)
    ]


def _runs(places: Sequence[str]) -> list[list[str]]:
    """Cut where nothing was measurable: no line bridges a gap."""
    runs: list[list[str]] = [[]]
    for place in places:
        if place:
            runs[-1].append(place)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _path(places: Sequence[str], dash: str = "") -> str:
    return f'<path class="line"{dash} d="M{"L".join(places)}"/>' if len(places) > 1 else ""


def _shape(who: str, shapes: Mapping[str, str] = SHAPES) -> str:
    return shapes.get(who, shapes["tuned"])


def _svg(name: str, width: float, height: float, inside: Sequence[str]) -> Markup:
    """One picture; the parts are escaped where they hold words of the data."""
    head = f'<svg class="panel" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(name)}">'
    return Markup(head + "".join(inside) + "</svg>")


def _num(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
