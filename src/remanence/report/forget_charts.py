"""The pictures of a forgetting: memory against its price, how soon relearning restores rows, and membership both ways.

Rises of the loss are drawn on a symmetric log scale: the few per cent that matter have most of the room, and a model
that collapsed, at a hundred times the loss, is still in the picture.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from remanence.report.drawing import Figure, drawn
from remanence.report.forget import BEFORE, RETRAINED, Forget
from remanence.report.forget_judged import ends
from remanence.report.forget_words import (
    cell_of,
    excess_cell,
    gone,
    membership_word,
    model_name,
    rise,
    rise_cell,
    value_of,
)
from remanence.report.words import Line, number, percent, points

COLOURS = 6
"""Colours of methods, `t1` to `t6`; more methods begin again with another dash."""
DASHES: Sequence[Sequence[int]] = ([1, 0], [6, 3], [2, 3], [8, 3, 2, 3])
SHAPES = {BEFORE: "square", RETRAINED: "triangle-up"}
RISES = (-0.5, -0.1, -0.02, 0.0, 0.02, 0.1, 0.5, 2.0, 10.0, 50.0, 200.0, 1000.0)
"""Ticks of the rise of the loss."""


def colour(forget: Forget, model: str) -> str:
    """The CSS variable of a model."""
    if model in {BEFORE, RETRAINED}:
        return "tuned" if model == BEFORE else "floor"
    return f"t{1 + forget.methods.index(model) % COLOURS}"


def dash(forget: Forget, model: str) -> Sequence[int]:
    """Tells methods of one colour apart."""
    if model in {BEFORE, RETRAINED}:
        return DASHES[2]
    return DASHES[forget.methods.index(model) // COLOURS % len(DASHES)]


def legend(forget: Forget, models: Sequence[str]) -> list[tuple[str, str, str]]:
    """(class, dash, name) of each model."""
    dashes = ["" if dash(forget, m) == DASHES[0] else " ".join(map(str, dash(forget, m))) for m in models]
    return [(colour(forget, m), one, model_name(m)) for m, one in zip(models, dashes, strict=True)]


def trade_figure(forget: Forget) -> Figure | None:
    """Every state that was tried: what is left of the memory above the floor, against the rise of the held-out loss."""
    dots = [dot for point in forget.points if (dot := _dot(forget, point)) is not None]
    if not dots:
        return None
    models = [model for model in forget.models if any(dot["model"] == model for dot in dots)]
    limit = forget.limit
    ends = [v for d in dots for v in (d["rise"], d.get("rise_low"), d.get("rise_high")) if v is not None]
    low, high = min(-0.02, *ends), max(2.5 * limit, *ends)
    scale = alt.Scale(type="symlog", constant=max(limit, 0.005), domain=[low, high], nice=False)
    ticks = [v for v in RISES if low <= v <= high]
    axis = alt.Axis(
        values=ticks, labelExpr="format(100 * datum.value, datum.value ? '+,~r' : 'd') + ' %'", labelOverlap=True
    )
    across = alt.X("rise:Q", title="rise of the loss on rows never trained on", scale=scale, axis=axis)
    up = alt.Y("excess:Q", title="extracted, above the floor, points",
               axis=alt.Axis(tickCount=5, labelExpr="format(100 * datum.value, '~r')"))  # fmt: skip
    tint = _by_model("Color", models, [f"var(--{colour(forget, m)})" for m in models])
    line = _by_model("StrokeDash", models, [list(dash(forget, m)) for m in models])
    shape = _by_model("Shape", models, [SHAPES.get(m, "diamond") for m in models])
    tips = [alt.Tooltip(f"{name}:N", title=title) for name, title in TIPS.items()]
    base = alt.Chart()
    marked = base.transform_filter("datum.marked")
    bar: dict[str, Any] = {"strokeWidth": 1.5, "opacity": 0.55, "tooltip": False}
    layers: list[Any] = [
        _rule({"rise": limit}, [6, 4]).encode(across),
        _rule({"excess": 0.0}, [1, 0]).encode(up),
        alt.Chart(alt.Data(values=[{"rise": limit, "said": f"limit {rise(limit)}"}]))
        .mark_text(align="left", dx=5, y=4, baseline="top", color="var(--muted)", fontSize=11, tooltip=False)
        .encode(across, text="said:N"),
        base.transform_filter("datum.path != ''").mark_line(strokeWidth=1.6, opacity=0.75, tooltip=False)
        .encode(across, up, tint, line, detail="path:N", order=alt.Order("strength:Q")),
        base.transform_filter("!datum.marked").mark_circle(size=26, opacity=0.8).encode(across, up, tint, tooltip=tips),
        marked.mark_rule(**bar).encode(across, alt.Y("excess_low:Q"), alt.Y2("excess_high:Q"), tint),
        marked.mark_rule(**bar).encode(alt.X("rise_low:Q"), alt.X2("rise_high:Q"), up, tint),
        marked.mark_point(filled=True, size=110, opacity=1, stroke="var(--paper)", strokeWidth=1)
        .encode(across, up, tint, shape, tooltip=tips),
    ]  # fmt: skip
    series = [(colour(forget, m), model_name(m)) for m in models]
    return drawn("trade", "What is left of the memory, and what it cost", series, layers, 380, 640, dots)


TIPS = {"name": "model", "setting": "setting", "at": "strength", "left": "above floor, points", "price": "loss",
        "gone": "removed", "note": ""}  # fmt: skip


def _dot(forget: Forget, point: Line) -> dict[str, Any] | None:
    """A state as the picture takes it; None where one of the two axes is no number."""
    excess, cost = number(point["excess"]), number(point["loss_rise"])
    if excess is None or cost is None or not math.isfinite(cost):
        return None
    method = point["method"]
    own = method not in {BEFORE, RETRAINED}
    excess_told, cost_told = excess_cell(ends(point, "excess")), rise_cell(ends(point, "loss_rise"))
    assert excess_told is not None and cost_told is not None
    dot: dict[str, Any] = {
        "model": method,
        "name": model_name(method),
        "path": f"{method} {point['setting']}" if own else "",
        "setting": point["setting"] or "–",
        "strength": point["strength"],
        "at": f"{point['strength']:g} {point['unit']}" if own else "–",
        "excess": excess,
        "rise": cost,
        "left": f"{points(excess)} ({excess_told.interval or 'no interval'})",
        "price": f"{rise(cost)} ({cost_told.interval or 'no interval'})",
        "gone": gone(number(point.get("removed"))),
        "note": "kept" if own and point["chosen"] else "on the front" if point["on_front"] else "",
        "marked": not own or bool(point["chosen"]),
    }  # fmt: skip
    if dot["marked"]:
        for name, value, key in (("excess", excess, "excess"), ("rise", cost, "loss_rise")):
            for end in ("low", "high"):
                found = number(point.get(f"{key}_{end}"))
                dot[f"{name}_{end}"] = value if found is None or not math.isfinite(found) else found
    return dot


def beyond(forget: Forget) -> list[str]:
    """What the picture cannot hold, in words: states whose loss is no finite number."""
    found: dict[str, int] = {}
    for point in forget.points:
        if _dot(forget, point) is None and point["method"] not in {BEFORE, RETRAINED}:
            found[point["method"]] = found.get(point["method"], 0) + 1
    return [f"{model_name(m)}: {n:,} of its states cannot be drawn, because the loss or the rate there is no number."
            for m, n in found.items()]  # fmt: skip


def relearn_figure(forget: Forget, rows: str, title: str) -> Figure | None:
    """Share of rows that are extracted after each step of further training, model by model."""
    lines = [line for line in forget.relearn if line["rows"] == rows and number(line["rate"]) is not None]
    models = [model for model in forget.models if any(line["model"] == model for line in lines)]
    if not lines:
        return None
    dots = [{"model": line["model"], "name": model_name(line["model"]), "step": line["step"], "rate": line["rate"],
             "shown": percent(line["rate"])} for line in lines]  # fmt: skip
    across = alt.X("step:Q", title="steps", axis=alt.Axis(tickMinStep=1, grid=False))
    up = alt.Y("rate:Q", title="share of rows that are extracted", scale=alt.Scale(domain=[0, 1]),
               axis=alt.Axis(tickCount=5, labelExpr="format(100 * datum.value, '~r') + ' %'"))  # fmt: skip
    tint = _by_model("Color", models, [f"var(--{colour(forget, m)})" for m in models])
    line = _by_model("StrokeDash", models, [list(dash(forget, m)) for m in models])
    tips = [alt.Tooltip("name:N", title="model"), alt.Tooltip("step:Q"), alt.Tooltip("shown:N", title="extracted")]
    base = alt.Chart()
    goals = {float(one["goal"]) for one in forget.relearned if one["rows"] == rows and one.get("goal") is not None}
    layers: list[Any] = [_rule({"rate": goal}, [6, 4]).encode(up) for goal in sorted(goals)]
    layers.append(base.mark_line(strokeWidth=2, tooltip=False).encode(across, up, tint, line))
    layers.append(base.mark_circle(size=30, opacity=1).encode(across, up, tint, tooltip=tips))
    series = [(colour(forget, m), model_name(m)) for m in models]
    return drawn(f"relearn-{rows}", title, series, layers, 240, values=dots)


def membership_figure(forget: Forget) -> Figure | None:
    """AUC of the rows to forget against held-out rows, with a coin in the middle."""
    dots: list[dict[str, Any]] = []
    for model in forget.models:
        for metric, name in (("auc_loss", "by loss"), ("auc_min_k", "by Min-K%")):
            line = forget.score(model, "forget", metric)
            cell, auc = cell_of(line), number(line["value"]) if line else None
            if line is None or cell is None or auc is None:
                continue
            low, high = number(line["low"]), number(line["high"])
            dots.append({"label": model_name(model), "model": model, "metric": name, "auc": auc,
                         "low": auc if low is None else low, "high": auc if high is None else high,
                         "shown": value_of(auc, "auc"), "interval": cell.interval,
                         "says": membership_word(auc, low, high)})  # fmt: skip
    if not dots:
        return None
    models = [model for model in forget.models if any(dot["model"] == model for dot in dots)]
    axis: dict[str, Any] = {
        "title": "AUC: below 0.5 over-unlearned, 0.5 a coin, above 0.5 recognised",
        "scale": alt.Scale(domain=[0, 1]),
        "axis": alt.Axis(values=[0, 0.25, 0.5, 0.75, 1], format=".2~f"),
    }
    across = alt.X("auc:Q", **axis)
    up = alt.Y("label:N", title=None, sort=[model_name(m) for m in models])
    tint = _by_model("Color", models, [f"var(--{colour(forget, m)})" for m in models])
    kinds = ["by loss", "by Min-K%"]
    shape = alt.Shape("metric:N", scale=alt.Scale(domain=kinds, range=["circle", "cross"]), legend=None)
    offset = alt.YOffset("metric:N", sort=kinds, scale=alt.Scale(paddingInner=0.5, paddingOuter=0.6))
    told = {"label": "model", "metric": "score", "shown": "AUC", "interval": "95 %", "says": ""}
    tips = [alt.Tooltip(f"{name}:N", title=title) for name, title in told.items()]
    base = alt.Chart()
    layers: list[Any] = [
        _rule({"auc": 0.5}, [2, 3]).encode(across),
        base.mark_rule(strokeWidth=2, opacity=0.55).encode(
            alt.X("low:Q", **axis), alt.X2("high:Q"), up, offset, tint, tooltip=tips
        ),
        base.mark_point(filled=True, size=64, opacity=1).encode(across, up, offset, tint, shape, tooltip=tips),
    ]
    series = [(colour(forget, m), model_name(m)) for m in models]
    return drawn(
        "membership", "Telling forgotten rows from rows never seen", series, layers, 42 * len(models), values=dots
    )


def _rule(at: Mapping[str, float], stroke: Sequence[int]) -> Any:
    chart = alt.Chart(alt.Data(values=[dict(at)]))
    return chart.mark_rule(strokeDash=list(stroke), color="var(--muted)", opacity=0.7, tooltip=False)


def _by_model(channel: str, models: Sequence[str], values: Sequence[Any]) -> Any:
    made = getattr(alt, channel)
    return made("model:N", scale=alt.Scale(domain=list(models), range=list(values)), legend=None)
