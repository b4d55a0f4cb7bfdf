"""The charts of the report: every rate as a point with its interval, the same colours and shapes throughout.

Colours are CSS variables of the page, so the same chart works in dark mode, light mode and print. Each chart is drawn
twice from one Vega-Lite spec: as SVG in the file, and by Vega when it is scrolled into view.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import altair as alt

from remanence.report.drawing import Figure, drawn
from remanence.report.words import (
    MODELS,
    WHO,
    Line,
    count,
    measure_name,
    metric_detail,
    metric_name,
    number,
    percent,
    share,
    span,
)

SERIES = ("tuned", "floor", "base", "ceiling", "blind")
_SHAPES = {"tuned": "circle", "floor": "square", "base": "triangle-up", "ceiling": "diamond", "blind": "cross"}
_DASHES = {"tuned": [1, 0], "floor": [2, 3], "base": [6, 3], "ceiling": [8, 2, 2, 2], "blind": [1, 4]}
_PREFIX = {"tuned": "", "floor": "floor_", "base": "base_", "ceiling": "ceiling_"}
_TIPS = {"name": "title", "at": "at", "shown": "value", "interval": "95 %", "count": "rows"}


def rates_figure(lines: Sequence[Line], who: Mapping[str, str] = WHO) -> Figure | None:
    """Every rate with its floor, base and ceiling, named as in `who`."""
    points = points_of(lines, lambda r: folded(metric_name(r), metric_detail(r)), SERIES[:4], who)
    if not points:
        return None
    axis = alt.Axis(
        values=[0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 1],
        labelExpr="format(100 * datum.value, '~r') + ' %'",
        labelOverlap=True,
    )
    scale = alt.Scale(type="sqrt", domain=[0, 1])
    lines_of_label = alt.Axis(labelLimit=180, labelExpr="split(datum.label, '\\n')")
    names = alt.Y("label:N", title=None, sort=_order(points), axis=lines_of_label)
    return draw(
        "rates",
        "All rates on one scale (square-root scale)",
        points,
        lambda field: alt.X(f"{field}:Q", title=None, scale=scale, axis=axis),
        names,
        yOffset=alt.YOffset("who:N", sort=list(SERIES), scale=alt.Scale(paddingInner=0.4, paddingOuter=0.7)),
    )


def prefix_figure(lines: Sequence[Line]) -> Figure | None:
    """Rate by number of tokens in the prompt."""
    points = points_of(lines, _number_in, ("tuned", "floor", "base"))
    values = sorted({p["label"] for p in points})
    if len(values) < 2:
        return None
    x = alt.X("label:Q", title="tokens of the row in the prompt", scale=alt.Scale(zero=False, nice=False),
              axis=alt.Axis(values=values, grid=False, labelOverlap=True))  # fmt: skip
    return draw("prefix", "By number of tokens of the row in the prompt", points, share_of_rows, x, curve=True)


def samples_figure(lines: Sequence[Line], detail: str, name: str) -> Figure | None:
    """Rate by number of samples n, for one scheme and p."""
    points = points_of(lines, _number_in, ("tuned", "floor", "base"))
    values = sorted({p["label"] for p in points})
    if len(values) < 2:
        return None
    x = alt.X("label:Q", title="samples drawn (n)", scale=alt.Scale(type="log", nice=False),
              axis=alt.Axis(values=values, grid=False, format="~s", labelOverlap=True))  # fmt: skip
    title = f"By number of samples drawn: {detail}".removesuffix(": ")
    return draw(name, title, points, share_of_rows, x, curve=True)


def breakdown_figure(lines: Sequence[Line], by: str, title: str, axis: str) -> Figure | None:
    """Rate within bins of length, copies or near duplicates."""
    points = points_of(lines, lambda r: str(r["value"]), ("tuned", "floor", "base"))
    if not points:
        return None
    sort = [str(r["value"]) for r in lines]
    x = alt.X("label:O", title=axis, sort=sort, axis=alt.Axis(labelAngle=0, grid=False))
    offset = alt.XOffset("who:N", sort=list(SERIES), scale=alt.Scale(paddingInner=0.5, paddingOuter=0.8))
    return draw(f"by-{by}", title, points, share_of_rows, x, xOffset=offset)


def auc_figure(lines: Sequence[Line]) -> Figure | None:
    """ROC-AUC of each measure for training against held-out rows."""
    points: list[dict[str, Any]] = []
    for line in lines:
        auc, low, high = (number(line[key]) for key in ("auc", "auc_low", "auc_high"))
        if auc is None or low is None or high is None:
            continue
        name, target = measure_name(line["measure"]), str(line["target"])
        point = {"label": name, "at": name, "who": target, "rate": auc, "low": low, "high": high,
                 "name": MODELS.get(target, target), "shown": f"{auc:.3f}", "interval": f"{low:.3f} to {high:.3f}",
                 "count": f"{line['num_members']:,} / {line['num_nonmembers']:,}"}  # fmt: skip
        if point not in points:
            points.append(point)
    if not points:
        return None
    scale = alt.Scale(domain=[min(0.45, *(p["low"] for p in points)), 1], nice=False)
    title = "ROC-AUC (0.5 = chance)"
    coin = alt.Chart(alt.Data(values=[{"rate": 0.5}])).mark_rule(strokeDash=[2, 3], color="var(--muted)")
    return draw(
        "auc",
        "Separation of training rows and held-out rows",
        points,
        lambda field: alt.X(f"{field}:Q", title=title, scale=scale, axis=alt.Axis(tickCount=6)),
        alt.Y("label:N", title=None, sort=_order(points)),
        under=[coin.encode(x=alt.X("rate:Q", title=title, scale=scale))],
        yOffset=alt.YOffset("who:N", sort=list(SERIES), scale=alt.Scale(paddingInner=0.5, paddingOuter=0.5)),
    )


def points_of(
    lines: Sequence[Line], label: Callable[[Line], Any], series: Sequence[str], names: Mapping[str, str] = WHO
) -> list[dict[str, Any]]:
    """One dict per point; its tooltip is made here, so that all charts use the same words."""
    found: list[dict[str, Any]] = []
    for line in lines:
        place = label(line)
        at = f"{place:g}" if isinstance(place, float) else str(place).replace("\n", ", ")
        for who in series:
            value = share(line, _PREFIX[who])
            if place is not None and value is not None:
                found.append({"label": place, "at": at, "who": who, "rate": value.rate, "low": value.low,
                              "high": value.high, "name": names[who], "shown": percent(value.rate),
                              "interval": f"{span(value.low, value.high)} %", "count": count(value)})  # fmt: skip
    return found


def _number_in(line: Line) -> float | None:
    """The prefix length or n of a line; None for a line without one, which is not on the curve."""
    found = re.search(r"\d+", str(line["value"]))
    return float(found.group()) if found else None


def folded(*parts: str, width: int = 26) -> str:
    """A label wrapped into lines that fit on a phone."""
    return "\n".join(line for part in parts for line in textwrap.wrap(part, width, break_long_words=False))


def _order(points: Sequence[dict[str, Any]]) -> list[Any]:
    return list(dict.fromkeys(p["label"] for p in points))


def share_of_rows(field: str) -> alt.Y:
    axis = alt.Axis(tickCount=4, labelExpr="format(100 * datum.value, '~r') + ' %'")
    return alt.Y(f"{field}:Q", title="share of rows", scale=alt.Scale(domainMin=0), axis=axis)


def draw(
    name: str,
    title: str,
    points: Sequence[dict[str, Any]],
    measured: Callable[[str], alt.X | alt.Y],
    across: alt.X | alt.Y,
    *,
    curve: bool = False,
    under: Sequence[alt.Chart] = (),
    missing: Sequence[Any] = (),
    small: bool = False,
    **offset: alt.XOffset | alt.YOffset,
) -> Figure:
    """`measured` builds the axis of the rate for one of the fields rate and low; `across` is the other axis.

    `missing`: places of the other axis at which nothing is measurable; it is written there. `small`: one of many.
    """
    series = tuple(who for who in SERIES if any(p["who"] == who for p in points))

    def by_who(values: Sequence[Any]) -> dict[str, Any]:
        return {"scale": alt.Scale(domain=list(series), range=list(values)), "legend": None}

    colour = alt.Color("who:N", **by_who([f"var(--{s})" for s in series]))
    shape = alt.Shape("who:N", **by_who([_SHAPES[s] for s in series]))
    dash = alt.StrokeDash("who:N", **by_who([_DASHES[s] for s in series]))
    tips = [alt.Tooltip(f"{field}:N", title=label) for field, label in _TIPS.items()]
    sideways = isinstance(across, alt.Y)
    point = [measured("rate"), across, colour]
    interval = [measured("low"), alt.X2("high:Q") if sideways else alt.Y2("high:Q"), across, colour]
    data = alt.Chart(alt.Data(values=points))
    layers: list[alt.Chart] = list(under)
    if curve:
        layers.append(data.mark_area(opacity=0.13, tooltip=False).encode(*interval))
        layers.append(data.mark_line(strokeWidth=2).encode(*point, dash))
    else:
        layers.append(data.mark_rule(strokeWidth=2, opacity=0.55).encode(*interval, *offset.values(), tooltip=tips))
    dots = data.mark_point(filled=True, size=64, opacity=1)
    layers.append(dots.encode(*point, *offset.values(), shape, tooltip=tips))
    if missing:
        notes = alt.Chart(alt.Data(values=[{"label": one, "rate": 0, "said": "not measurable"} for one in missing]))
        written = notes.mark_text(align="left", dx=4, angle=0 if sideways else 270, color="var(--muted)", tooltip=False)
        layers.append(written.encode(measured("rate"), across, text="said:N"))
    places = {*_order(points), *missing}
    height = len(places) * (20 + 11 * len(series)) if sideways else 150 if small else 220
    names = {p["who"]: p["name"] for p in points}
    return drawn(name, title, [(who, names[who]) for who in series], layers, height, 220 if small else 460)
