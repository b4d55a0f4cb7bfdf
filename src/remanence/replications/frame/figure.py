"""Figures: the numbers of an experiment, each with its interval and count, and how they are stored.

A figure is made from the values of single units (documents, facts, rows), so that two arms can be compared unit by
unit. The values stay in memory while an experiment runs; only the figure is stored.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from remanence.stats.intervals import Interval, bootstrap, clopper_pearson, paired_difference

Kind = Literal["share", "mean", "difference", "number"]
DIGITS = 6
"""Significant digits that are stored; a rule reads the stored figures."""


@dataclass(frozen=True)
class Figure:
    """One number with what is known of its accuracy."""

    value: float
    """NaN = it could not be measured."""
    low: float = -math.inf
    high: float = math.inf
    """Ends of the 95 % interval; infinite = not known."""
    n: int | None = None
    """Number of units behind it."""
    unit: str = ""
    kind: Kind = "number"
    sample: Any = field(default=None, compare=False, repr=False)
    """What comparisons between arms need, such as the value of every unit; not stored."""

    def above(self, limit: float) -> bool | None:
        """True when the interval lies above the limit, False when below, None when it contains it or is not known."""
        return None if math.isnan(self.value) else True if self.low > limit else False if self.high < limit else None

    def below(self, limit: float) -> bool | None:
        """As `above`, the other way round."""
        answer = self.above(limit)
        return None if answer is None else not answer

    @property
    def hits(self) -> int:
        """Of a share: how many units count."""
        assert self.kind == "share" and self.n is not None
        return 0 if self.n == 0 else round(self.value * self.n)

    @property
    def short(self) -> str:
        """The value with its unit, for sentences."""
        if self.kind == "share" and not (math.isnan(self.value) and self.n):
            return f"{self.hits} of {self.n}"
        if math.isnan(self.value):
            return "not measured"
        unit = self.unit if self.unit != "share" else "points" if self.kind == "difference" else ""
        return f"{self._text(self.value)} {unit}".strip()

    @property
    def interval(self) -> str:
        """The interval, or nothing when it is not known."""
        return f"{self._text(self.low)} to {self._text(self.high)}" if math.isfinite(self.high - self.low) else ""

    def __str__(self) -> str:
        """The value with its interval."""
        return f"{self.short} ({self.interval})" if self.interval else self.short

    def _text(self, value: float) -> str:
        sign = "+" if self.kind == "difference" else ""
        if self.unit == "share" and sign:
            return f"{100 * value:+.1f}"  # points
        if self.kind == "share" or self.unit == "share":
            return f"{value:.0%}"
        if float(value).is_integer() and self.kind == "number":
            return f"{value:,.0f}"
        size = max(abs(x) for x in (self.value, value) if math.isfinite(x))
        if 0 < size < 0.01:
            return f"{value:{sign}.2g}"
        digits = 1 if self.unit == "tokens" else 3 if size < 1 else 2 if size < 10 else 1
        return f"{value:{sign}.{digits}f}"


Row: TypeAlias = dict[str, Figure]
Figures: TypeAlias = dict[str, Row]
"""Row -> column -> figure. A row is an arm, or a comparison of arms."""


def share(flags: Any) -> Figure:
    """Share of the units [N] whose flag is set, with its Clopper-Pearson interval."""
    flags = np.asarray(flags, dtype=np.bool_)
    hits, n = int(flags.sum()), len(flags)
    return Figure(hits / n if n else math.nan, *clopper_pearson(hits, n), n, kind="share", sample=flags)


def mean(values: Any, seed: int, unit: str = "") -> Figure:
    """Mean over units [N], with its bootstrap interval."""
    values = np.asarray(values, dtype=np.float64)
    value = float(values.mean()) if len(values) else math.nan
    return Figure(value, *bootstrap(values, np.mean, seed), len(values), unit, "mean", values)


def number(value: Any, unit: str = "", n: int | None = None, sample: Any = None) -> Figure:
    """A number without an interval: a count, a setting that was chosen, or a figure of a closed form."""
    return Figure(float(value), n=n, unit=unit, sample=sample)


def difference(value: float, interval: Interval, n: int | None = None, unit: str = "") -> Figure:
    """A difference that was computed elsewhere."""
    return Figure(float(value), *interval, n, unit, "difference")


def paired(a: Figure, b: Figure, seed: int) -> Figure:
    """a minus b over the SAME units: Newcombe's paired interval for shares, bootstrap of the differences for means."""
    one, other = a.sample, b.sample
    if a.kind == b.kind == "share":
        return difference(*paired_difference(one, other), len(one), "share")
    gaps: NDArray[np.float64] = np.asarray(one - other, np.float64)
    return difference(float(gaps.mean()), bootstrap(gaps, np.mean, seed), len(gaps), a.unit)


def pooled_share(figures: Sequence[Figure]) -> Figure:
    """The share over the units of all seeds together."""
    hits, n = sum(f.hits for f in figures), sum(f.n or 0 for f in figures)
    return Figure(hits / n if n else math.nan, *clopper_pearson(hits, n), n, kind="share")


def to_json(by_seed: Sequence[Figures]) -> dict[str, Any]:
    """The figures of all seeds: row -> column -> unit, kind, and one [value, low, high, n] per seed."""
    stored: dict[str, Any] = {}
    for figures in by_seed:
        for row, columns in figures.items():
            for column, figure in columns.items():
                entry = {"unit": figure.unit, "kind": figure.kind, "by_seed": []}
                stored.setdefault(row, {}).setdefault(column, entry)
    for row, columns in stored.items():
        for column, entry in columns.items():
            entry["by_seed"] = [_numbers(figures.get(row, {}).get(column)) for figures in by_seed]
    return stored


def from_json(stored: Mapping[str, Any], place: int) -> Figures:
    """The figures of the seed at this place, as `to_json` wrote them."""
    found: Figures = {}
    for row, columns in stored.items():
        for column, entry in columns.items():
            if (numbers := entry["by_seed"][place]) is not None:
                value, low, high, n = numbers
                found.setdefault(row, {})[column] = Figure(
                    math.nan if value is None else value,
                    -math.inf if low is None else low,
                    math.inf if high is None else high,
                    n,
                    entry["unit"],
                    entry["kind"],
                )
    return found


def _numbers(figure: Figure | None) -> list[float | None] | None:
    if figure is None:
        return None
    return [
        *(float(f"{x:.{DIGITS}g}") if math.isfinite(x) else None for x in (figure.value, figure.low, figure.high)),
        figure.n,
    ]
