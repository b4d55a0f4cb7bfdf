"""Rates by a column of the data: a chart of its values, a curve over budgets for each value, and the numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from remanence.report.audit import Audit
from remanence.report.drawing import Figure
from remanence.report.sections import Cell, rate_rows
from remanence.report.value_charts import BUDGET, budget_figure, measurable, value_figure
from remanence.report.words import Line, plural, points

COLUMN = "column:"
"""Prefix of the column's name in `by` of a line of `rates`."""
FLAGGED = "paraphrase"
"""The kind of match that is compared, together with all stronger kinds."""
CURVES = 12
"""Maximum number of values with a curve; the table has all values."""


@dataclass(frozen=True)
class Picture:
    """A chart of all values of a column, and the numbers."""

    sentence: str
    """Whether the values differ by more than chance."""
    figure: Figure | None
    rows: list[dict[str, Any]]
    pairs: list[tuple[str, str, Cell, bool]]
    """(higher, lower, difference, whether its interval excludes 0), largest first."""


@dataclass(frozen=True)
class Column:
    """One column of the data in the report."""

    name: str
    pictures: list[Picture]
    """Extraction, and what the detector flags if every row was prompted."""
    curves: list[Figure]
    rows: list[dict[str, Any]]
    """The numbers of the curves."""

    @property
    def figures(self) -> list[Figure]:
        """All charts of the section."""
        return [*(p.figure for p in self.pictures if p.figure is not None), *self.curves]


def columns(audit: Audit) -> list[Column]:
    """A section for each column that the rates were broken down by."""
    return [_column(audit, place, summary) for place, summary in enumerate(audit.verdict.get("columns") or [])]


def compared(audit: Audit, summary: Mapping[str, Any]) -> list[Line]:
    """The lines of one column, in order, at the budget at which its values compare best."""
    detail = "" if summary["budget"] is None else f"{BUDGET}{summary['budget']}"
    return [r for r in audit.rates_by(f"{COLUMN}{summary['column']}", "greedy") if r["detail"] == detail]


def tokens_of(audit: Audit, summary: Mapping[str, Any]) -> int:
    """Number of tokens that must be extracted there."""
    return int(summary["budget"] or audit.spec["settings"]["new_tokens"])


def _column(audit: Audit, place: int, summary: Mapping[str, Any]) -> Column:
    by = f"{COLUMN}{summary['column']}"
    at = [r for r in audit.rates_by(by, "greedy") if r["detail"]]
    title = f"The next {plural(tokens_of(audit, summary), 'token')} are extracted"
    pictures = [_picture(compared(audit, summary), summary, summary["rows"], f"values-{place}", title)]
    if summary["detector"] is not None:
        flagged = [r for r in audit.rates_by(by, "match") if r["detail"].startswith(FLAGGED)]
        title = "The generated text matches a training row, verbatim or as a paraphrase"
        pictures.append(_picture(flagged, summary["detector"], summary["rows"], f"matches-{place}", title))
    curves = [
        budget_figure([r for r in at if r["value"] == value], value, f"budget-{place}-{i}", small=True)
        for i, value in enumerate(list(summary["rows"])[:CURVES])
    ]
    numbers = zip(at, rate_rows(at, name_by_value=True), strict=True)
    return Column(
        name=summary["column"],
        pictures=pictures,
        curves=[f for f in curves if f is not None],
        rows=[row | {"detail": plural(int(r["detail"].removeprefix(BUDGET)), "token")} for r, row in numbers],
    )


def _picture(
    lines: Sequence[Line], summary: Mapping[str, Any], rows: Mapping[str, int], name: str, title: str
) -> Picture:
    numbers = zip(lines, rate_rows(lines, name_by_value=True), strict=True)
    return Picture(
        sentence=summary["sentence"],
        figure=value_figure(lines, rows, name, title),
        rows=[row | {"detail": f"{measurable(line, rows)} measurable"} for line, row in numbers],
        pairs=[
            (p["a"], p["b"], Cell(points(p["value"]), f"{points(p['low'])} to {points(p['high'])}", ""), p["apart"])
            for p in summary["pairs"]
        ],
    )
