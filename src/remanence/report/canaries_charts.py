"""The pictures of an audit of canaries: exposure by repetition, canary by canary and on average, and membership."""

from __future__ import annotations

import math
from typing import Any

import altair as alt

from remanence.report.canaries import NAMES, SIDES, Canaries, planted
from remanence.report.drawing import Figure, drawn
from remanence.report.words import number

SHAPES = {"tuned": "circle", "base": "triangle-up", "t1": "diamond"}


def exposure_figure(canaries: Canaries) -> Figure | None:
    """Mean exposure with its interval by repetition, every canary as a small dot; chance is dashed."""
    dots, means = _dots(canaries), _means(canaries)
    if not means:
        return None
    line = canaries.of("tuned")[-1]
    across, up = _by_copies(canaries), alt.Y("exposure:Q", title="exposure, bits", axis=alt.Axis(tickCount=6))
    sides = [side for side in ("base", "tuned") if any(m["side"] == side for m in means)]
    tint = alt.Color("side:N", scale=alt.Scale(domain=sides, range=[f"var(--{s})" for s in sides]), legend=None)
    shape = alt.Shape("side:N", scale=alt.Scale(domain=sides, range=[SHAPES[s] for s in sides]), legend=None)
    offset = alt.XOffset("side:N", sort=sides, scale=alt.Scale(paddingOuter=0.5))
    tips = [alt.Tooltip(f"{n}:N", title=t) for n, t in (("name", ""), ("planted", ""), ("shown", "exposure, bits"),
                                                        ("interval", "95 %"))]  # fmt: skip
    layers: list[Any] = [
        _rule("exposure", float(line["chance"]), [2, 3]),
        _rule("exposure", float(line["most"]), [6, 4]),
        alt.Chart(alt.Data(values=dots))
        .mark_circle(size=18, opacity=0.35, tooltip=False)
        .encode(across, up, offset, tint),
        alt.Chart()
        .mark_rule(strokeWidth=2, opacity=0.6, tooltip=False)
        .encode(across, alt.Y("low:Q"), alt.Y2("high:Q"), offset, tint),
        alt.Chart().mark_point(filled=True, size=90, opacity=1).encode(across, up, offset, tint, shape, tooltip=tips),
    ]
    series = [(side, _name(side)) for side in reversed(sides)]
    return drawn("exposure", "Exposure by repetition", series, layers, 300, values=means)


def membership_figure(canaries: Canaries) -> Figure | None:
    """AUC of canaries against their controls by repetition, with a coin in the middle."""
    dots: list[dict[str, Any]] = [
        {
            "side": side, "name": NAMES[target, measure], "planted": planted(line["copies"]),
            "auc": line["auc"], "low": line["auc_low"], "high": line["auc_high"],
            "shown": f"{line['auc']:.2f}", "interval": f"{line['auc_low']:.2f} to {line['auc_high']:.2f}",
        }
        for (target, measure), side in SIDES.items()
        for line in canaries.of(target, measure)
        if line["copies"] and number(line["auc"]) is not None
    ]  # fmt: skip
    if not dots:
        return None
    sides = [side for side in ("base", "tuned", "t1") if any(d["side"] == side for d in dots)]
    across = _by_copies(canaries)
    up = alt.Y("auc:Q", title="AUC against controls", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(tickCount=5))
    tint = alt.Color("side:N", scale=alt.Scale(domain=sides, range=[f"var(--{s})" for s in sides]), legend=None)
    shape = alt.Shape("side:N", scale=alt.Scale(domain=sides, range=[SHAPES[s] for s in sides]), legend=None)
    offset = alt.XOffset("side:N", sort=sides, scale=alt.Scale(paddingOuter=0.5))
    tips = [alt.Tooltip(f"{n}:N", title=t) for n, t in (("name", ""), ("planted", ""), ("shown", "AUC"),
                                                        ("interval", "95 %"))]  # fmt: skip
    layers: list[Any] = [
        _rule("auc", 0.5, [2, 3]),
        alt.Chart()
        .mark_rule(strokeWidth=2, opacity=0.6, tooltip=False)
        .encode(across, alt.Y("low:Q"), alt.Y2("high:Q"), offset, tint),
        alt.Chart().mark_point(filled=True, size=80, opacity=1).encode(across, up, offset, tint, shape, tooltip=tips),
    ]
    series = [(side, _name(side)) for side in reversed(sides)]
    return drawn("canary-membership", "Telling canaries from their controls", series, layers, 240, values=dots)


def _by_copies(canaries: Canaries) -> Any:
    names = [planted(line["copies"]) for line in canaries.of("tuned")]
    return alt.X("planted:N", title=None, sort=names, axis=alt.Axis(labelAngle=0, grid=False))


def _means(canaries: Canaries) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for side in ("base", "tuned"):
        for line in canaries.of(side):
            if (mean := number(line["exposure"])) is None:
                continue
            low, high = number(line["exposure_low"]), number(line["exposure_high"])
            known = low is not None and high is not None and math.isfinite(low) and math.isfinite(high)
            found.append(
                {
                    "side": side, "name": _name(side), "planted": planted(line["copies"]), "exposure": mean,
                    "low": low if known else mean, "high": high if known else mean, "shown": f"{mean:.2f}",
                    "interval": f"{low:.2f} to {high:.2f}" if known else "",
                }
            )  # fmt: skip
    return found


def _dots(canaries: Canaries) -> list[dict[str, Any]]:
    return [
        {"side": r["target"], "planted": planted(r["copies"]), "exposure": r["exposure"]}
        for r in canaries.exposures
        if r["measure"] == "loss" and r["kind"] == "canary" and r["exposure"] is not None
    ]


def _name(side: str) -> str:
    return next(NAMES[key] for key, value in SIDES.items() if value == side)


def _rule(name: str, at: float, stroke: list[int]) -> Any:
    chart = alt.Chart(alt.Data(values=[{name: at}]))
    return chart.mark_rule(strokeDash=stroke, color="var(--muted)", opacity=0.7, tooltip=False).encode(
        alt.Y(f"{name}:Q")
    )
