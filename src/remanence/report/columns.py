"""Rates by a column of the data: its values on one picture, a curve over budgets for each, and the same numbers."""

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
"""What stands before the name in `by` of a line of `rates`."""
FLAGGED = "paraphrase"
"""The kind of match that is compared, and with it every stronger one."""
CURVES = 12
"""Values that have a curve of their own; the table has all."""


@dataclass(frozen=True)
class Picture:
    """All values of a column on one scale, and the same in numbers."""

    sentence: str
    """Whether its values differ by more than their intervals."""
    figure: Figure | None
    rows: list[dict[str, Any]]
    pairs: list[tuple[str, str, Cell, bool]]
    """(higher, lower, difference, whether its interval leaves out 0), widest first."""


@dataclass(frozen=True)
class Column:
    """One column of the data in the report."""

    name: str
    pictures: list[Picture]
    """What comes back, and what the detector flags where every row was asked about."""
    curves: list[Figure]
    rows: list[dict[str, Any]]
    """The numbers of the curves."""

    @property
    def figures(self) -> list[Figure]:
        """All charts of the section."""
        return [*(p.figure for p in self.pictures if p.figure is not None), *self.curves]


def columns(audit: Audit) -> list[Column]:
    """A section for each column that the rates were broken down by."""
    return [_column(audit, place, told) for place, told in enumerate(audit.verdict.get("columns") or [])]


def compared(audit: Audit, told: Mapping[str, Any]) -> list[Line]:
    """The lines of one column, in order, at the budget at which its values compare best."""
    detail = "" if told["budget"] is None else f"{BUDGET}{told['budget']}"
    return [r for r in audit.rates_by(f"{COLUMN}{told['column']}", "greedy") if r["detail"] == detail]


def tokens_of(audit: Audit, told: Mapping[str, Any]) -> int:
    """How many tokens must come back there."""
    return int(told["budget"] or audit.spec["settings"]["new_tokens"])


def _column(audit: Audit, place: int, told: Mapping[str, Any]) -> Column:
    by = f"{COLUMN}{told['column']}"
    at = [r for r in audit.rates_by(by, "greedy") if r["detail"]]
    title = f"The next {plural(tokens_of(audit, told), 'token')} come back"
    pictures = [_picture(compared(audit, told), told, told["rows"], f"values-{place}", title)]
    if told["detector"] is not None:
        flagged = [r for r in audit.rates_by(by, "match") if r["detail"].startswith(FLAGGED)]
        title = "The answer repeats a training row, word for word or in other words"
        pictures.append(_picture(flagged, told["detector"], told["rows"], f"matches-{place}", title))
    curves = [
        budget_figure([r for r in at if r["value"] == value], value, f"budget-{place}-{i}", small=True)
        for i, value in enumerate(list(told["rows"])[:CURVES])
    ]
    numbers = zip(at, rate_rows(at, name_by_value=True), strict=True)
    return Column(
        name=told["column"],
        pictures=pictures,
        curves=[f for f in curves if f is not None],
        rows=[row | {"detail": plural(int(r["detail"].removeprefix(BUDGET)), "token")} for r, row in numbers],
    )


def _picture(lines: Sequence[Line], told: Mapping[str, Any], rows: Mapping[str, int], name: str, title: str) -> Picture:
    numbers = zip(lines, rate_rows(lines, name_by_value=True), strict=True)
    return Picture(
        sentence=told["sentence"],
        figure=value_figure(lines, rows, name, title),
        rows=[row | {"detail": f"{measurable(line, rows)} measurable"} for line, row in numbers],
        pairs=[
            (p["a"], p["b"], Cell(points(p["value"]), f"{points(p['low'])} to {points(p['high'])}", ""), p["apart"])
            for p in told["pairs"]
        ],
    )
