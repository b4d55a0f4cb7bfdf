"""The report of a run by name: one HTML file with the verdict, the distribution of scores and the worst rows."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import altair as alt
import numpy as np
from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from remanence.core.catalogue import Entry, entries
from remanence.core.run import Run
from remanence.report.drawing import Figure, drawn
from remanence.report.page import asset, bundle, embedded
from remanence.report.system import MOST_EVIDENCE, MOST_ROWS, WHO, SystemRun, edges_of, parts
from remanence.report.words import bound, plural

DASHES = {"tuned": [1, 0], "floor": [2, 3], "base": [6, 3]}


def system_page(run: Run, *, reveal: bool = False) -> str:
    """The whole page. Without `reveal` no training text is in it."""
    read = SystemRun.read(run)
    figure = distribution(read)
    scripts = [bundle(), asset("page.js")]
    assert not any("</script" in script for script in scripts)
    pages = Environment(
        loader=FunctionLoader(asset), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return pages.get_template("system.html.j2").render(
        run=read,
        entry=_entry(read),
        reveal=reveal,
        plural=plural,
        bound=bound,
        figure=figure,
        figures=read.figures(),
        rows=read.rows(),
        num_ranked=len(read.ranking),
        most=MOST_ROWS,
        evidence=list(read.evidence(reveal=reveal)),
        most_evidence=MOST_EVIDENCE,
        settings=parts(read.spec),
        svg=lambda figure: Markup(figure.svg),
        style=Markup("".join(asset(name) for name in ("report.css", "rows.css", "study.css", "forget.css"))),
        scripts=[Markup(script) for script in scripts],
        hashes=[base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts],
        specs=embedded({} if figure is None else {figure.name: figure.spec}),
    )


def _entry(read: SystemRun) -> Entry | None:
    found = [e for e in entries(name=read.system["name"]) if e.verb == read.system["verb"]]
    return found[0] if found else None


def distribution(read: SystemRun) -> Figure | None:
    """Histograms of the scores of both sides, and of the base model; a rule at the threshold."""
    scores = read.scores()
    if not scores:
        return None
    edges = edges_of(list(scores.values()))
    points: list[dict[str, Any]] = []
    for who, those in scores.items():
        counts, _ = np.histogram(those, edges)
        for low, high, count in zip(edges, edges[1:], counts.tolist(), strict=False):
            points.append({"who": who, "name": WHO[who], "low": low, "high": high, "share": count / len(those),
                           "at": f"{low:.4g} to {high:.4g}", "rows": f"{count:,} of {len(those):,}"})  # fmt: skip
    names = list(scores)

    def by_who(values: list[Any]) -> dict[str, Any]:
        return {"scale": alt.Scale(domain=names, range=values), "legend": None}

    x = alt.X("low:Q", title="score (higher = more memorized)", scale=alt.Scale(nice=False, zero=False),
              axis=alt.Axis(grid=False))  # fmt: skip
    y = alt.Y("share:Q", title="share of rows", axis=alt.Axis(tickCount=4, format="%"))
    tips = [alt.Tooltip(f"{key}:N", title=title) for key, title in (("name", "rows"), ("at", "score"), ("rows", "n"))]
    colour = alt.Color("who:N", **by_who([f"var(--{who})" for who in names]))
    data = alt.Chart(alt.Data(values=points))
    bars = data.mark_bar(opacity=0.35, binSpacing=0).encode(x, alt.X2("high:Q"), y.stack(None), colour, tooltip=tips)
    line = data.mark_line(interpolate="step-after", strokeWidth=2).encode(
        x, y.stack(None), colour, alt.StrokeDash("who:N", **by_who([DASHES[who] for who in names])), tooltip=tips
    )
    layers: list[Any] = [bars, line]
    threshold = (read.verdict.get("share") or {}).get("threshold")
    if threshold is not None and np.isfinite(threshold):
        rule = alt.Chart(alt.Data(values=[{"low": threshold}])).mark_rule(strokeDash=[2, 3], color="var(--muted)")
        layers.append(rule.encode(x=alt.X("low:Q")))
    return drawn("distribution", "Scores on both sides", [(who, WHO[who]) for who in names], layers, 220)
