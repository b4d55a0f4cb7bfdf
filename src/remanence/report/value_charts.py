"""Charts for rows of different lengths: the values of a column on one scale, and the rate by number of tokens.

If no row has as many tokens as must be extracted, the chart shows a note instead of a zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import altair as alt

from remanence.report.charts import SERIES, draw, folded, points_of, share_of_rows
from remanence.report.drawing import Figure
from remanence.report.words import Line, plural

BUDGET = "budget="
"""Prefix of the number in `detail` of a line of `rates`."""


def measurable(line: Line, rows: Mapping[str, int]) -> str:
    """27 of 42 rows: how many rows of the line's value could be measured."""
    return f"{line['n']:,} of {plural(rows[line['value']], 'row')}"


def value_figure(lines: Sequence[Line], rows: Mapping[str, int], name: str, title: str) -> Figure | None:
    """Every value of the column on one scale, each with its floor, base and ceiling."""

    def label(line: Line) -> str:
        return folded(str(line["value"]), measurable(line, rows), width=20)

    found = points_of(lines, label, SERIES[:4])
    if not found:
        return None
    axis = alt.Axis(tickCount=5, labelExpr="format(100 * datum.value, '~r') + ' %'", labelOverlap=True)
    scale = alt.Scale(domain=[0, 1])
    folds = alt.Axis(labelLimit=160, labelExpr="split(datum.label, '\\n')")
    return draw(
        name,
        title,
        found,
        lambda field: alt.X(f"{field}:Q", title=None, scale=scale, axis=axis),
        alt.Y("label:N", title=None, sort=[label(line) for line in lines], axis=folds),
        missing=[label(line) for line in lines if not line["n"]],
        yOffset=alt.YOffset("who:N", sort=list(SERIES), scale=alt.Scale(paddingInner=0.4, paddingOuter=0.7)),
    )


def budget_figure(lines: Sequence[Line], title: str, name: str, *, small: bool = False) -> Figure | None:
    """Rate by number of tokens that must be extracted; a note if no row has that many."""

    def budget(line: Line) -> int:
        return int(str(line["detail"] or line["value"]).removeprefix(BUDGET))

    found = points_of(lines, budget, ("tuned", "floor", "base"))
    if len(lines) < 2 or not (found or small):
        return None
    title_of_axis = None if small else "tokens that must be extracted"
    budgets = alt.Scale(domain=[budget(line) for line in lines])
    across = alt.X("label:O", title=title_of_axis, axis=alt.Axis(labelAngle=0, grid=False), scale=budgets)
    missing = [budget(line) for line in lines if not line["n"]]
    axis = alt.Axis(values=[0, 0.5, 1], labelExpr="format(100 * datum.value, '~r') + ' %'")

    def measured(field: str) -> alt.Y:
        return alt.Y(f"{field}:Q", title=None, scale=alt.Scale(domain=[0, 1]), axis=axis)

    return draw(
        name, title, found, measured if small else share_of_rows, across, curve=True, missing=missing, small=small
    )
