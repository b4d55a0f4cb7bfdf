"""Less memory at the same use? Which models are worth having, and how two ways of training compare at equal utility.

A model is a point: what it memorized (lower is better) against its utility (higher is better; a loss goes in with a
minus sign). A way of training is a curve: its points after 0, 1, 2, ... passes, of which early stopping picks one.
Two ways are compared at equal passes, and at the utility that both reach, which need not be at the same pass.

Source of the intervals: Efron 1979 (percentile bootstrap); rows are drawn again, the same draw for both curves.

Shapes: E points of a curve (the first is the untouched model), N rows whose memorization is measured, H held-out rows,
U rows on which utility is measured, B bootstrap rounds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from remanence.stats.intervals import Interval

Floats = NDArray[np.floating[Any]]
UNKNOWN = Interval(-math.inf, math.inf)
REACHED = 0.95
"""Share of the draws in which both curves must reach the utility, or the interval says nothing."""


@dataclass(frozen=True)
class Point:
    """One model on the front."""

    name: str
    memorization: float
    """Lower is better."""
    low: float
    high: float
    """Ends of the interval of `memorization`."""
    utility: float
    """Higher is better."""
    utility_low: float = math.nan
    utility_high: float = math.nan
    """Ends of the interval of `utility`; NaN = not known, the value then stands for both."""


class Standing(NamedTuple):
    """Where a point stands among the others."""

    point: Point
    beaten_by: str | None
    """A point that memorizes no more and is of no less use, and better in one of the two; None = on the front."""
    surely: bool
    """Whether some point that beats it is better in one of the two beyond the intervals."""


def dominates(a: Point, b: Point) -> bool:
    """Whether a is at least as good as b in both ways, as measured, and better in one."""
    no_worse = a.memorization <= b.memorization and a.utility >= b.utility
    return no_worse and (a.memorization < b.memorization or a.utility > b.utility)


def surely_dominates(a: Point, b: Point) -> bool:
    """Whether a dominates b and one of its advantages is wider than the two intervals."""
    a_low = a.utility if math.isnan(a.utility_low) else a.utility_low
    b_high = b.utility if math.isnan(b.utility_high) else b.utility_high
    return dominates(a, b) and (a.high < b.low or a_low > b_high)


def front(points: Sequence[Point]) -> list[Standing]:
    """Every point with its standing, most useful first; those with `beaten_by` None are the Pareto front."""
    found: list[Standing] = []
    for point in sorted(points, key=lambda p: (-p.utility, p.memorization)):
        beaten_by = next((other.name for other in points if dominates(other, point)), None)
        sure = next((other.name for other in points if surely_dominates(other, point)), None)
        found.append(Standing(point, sure or beaten_by, sure is not None))
    return found


def attainable(memorization_E: Floats, utility_E: Floats, level: Floats | float) -> NDArray[np.float64]:
    """[...] the least memorization at which a curve has at least this utility; NaN where it never has.

    The curve runs straight from point to point, along the last axis; `level` is one number or one per curve [...].
    """
    m, u = np.broadcast_arrays(np.asarray(memorization_E, np.float64), np.asarray(utility_E, np.float64))
    level_1 = np.asarray(level, np.float64)[..., None]
    at_points = np.where(u >= level_1, m, np.inf).min(axis=-1)
    below, above = u[..., :-1] - level_1, u[..., 1:] - level_1
    crosses = below * above < 0
    part = np.divide(below, below - above, out=np.zeros_like(below), where=crosses)
    on_the_way = m[..., :-1] + part * (m[..., 1:] - m[..., :-1])
    between = np.where(crosses, on_the_way, np.inf).min(axis=-1, initial=np.inf)
    least = np.minimum(at_points, between)
    return np.where(np.isfinite(least), least, np.nan)


class Curve(NamedTuple):
    """What was measured, row by row, at every point of a way of training; higher = more memorized, more useful."""

    memorization_EN: Floats
    """Of the rows that were trained on."""
    floor_EH: Floats
    """The same number of rows that were not; its mean is taken off."""
    utility_EU: Floats
    utility_on_heldout: bool = True
    """Whether the rows of `utility_EU` are those of `floor_EH`, in the same order; they are then drawn together."""


class Means(NamedTuple):
    """A curve without its rows."""

    excess: NDArray[np.float64]
    """[..., E] memorization minus floor."""
    utility: NDArray[np.float64]


def means(curve: Curve) -> Means:
    """The curve as measured, [E]."""
    one = [np.full((1, v.shape[1]), 1 / v.shape[1]) for v in curve[:3]]
    return Means(*(v[0] for v in _weighted(curve, *one)))


class Gap(NamedTuple):
    """Curve a minus curve b in memorization above the floor; below 0 = a memorizes less."""

    value: float
    """NaN where one of the two never reaches the utility."""
    interval: Interval
    utility: float
    """The utility at which they were compared; NaN for a comparison at equal points."""
    a: float
    b: float
    reached: float = 1.0
    """Share of the draws in which both reach it."""


def gap_at_points(a: Curve, b: Curve, e_a: int = -1, e_b: int = -1, seed: int = 0, rounds: int = 1000) -> Gap:
    """The difference between point `e_a` of a and point `e_b` of b, such as those after equally many passes."""
    (m_a, m_b), (d_a, d_b) = (means(a), means(b)), _draws(a, b, seed, rounds)
    one, other = float(m_a.excess[e_a]), float(m_b.excess[e_b])
    return Gap(one - other, _ends(d_a.excess[:, e_a] - d_b.excess[:, e_b]), math.nan, one, other)


def gap_at_utility(a: Curve, b: Curve, level: float | None = None, seed: int = 0, rounds: int = 1000) -> Gap:
    """The difference between the least memorization of a and of b at this utility (`attainable`).

    Without a level: at the best utility that both reach, found anew in every draw, so that both always reach it.
    """
    whole, drawn = (means(a), means(b)), _draws(a, b, seed, rounds)
    at = _common(*whole) if level is None else np.asarray(level, np.float64)
    at_B = _common(*drawn) if level is None else np.full(rounds, level)
    one, other = (float(attainable(curve.excess, curve.utility, at)) for curve in whole)
    gaps_B = np.subtract(*(attainable(curve.excess, curve.utility, at_B) for curve in drawn))
    kept = gaps_B[~np.isnan(gaps_B)]
    reached = kept.size / rounds
    known = reached >= REACHED and not math.isnan(one - other)
    return Gap(one - other, _ends(kept) if known else UNKNOWN, float(at), one, other, reached)


def _common(a: Means, b: Means) -> NDArray[np.float64]:
    """[...] the best utility that both curves reach."""
    return np.minimum(a.utility.max(axis=-1), b.utility.max(axis=-1))


def _draws(a: Curve, b: Curve, seed: int, rounds: int) -> tuple[Means, Means]:
    """[B, E] both curves over the same drawn rows. ValueError unless they are of the same rows."""
    if any(x.shape[1] != y.shape[1] for x, y in zip(a[:3], b[:3], strict=True)):
        raise ValueError("two curves are compared over the same rows, but these have different numbers of rows")
    rng = np.random.default_rng(seed)
    num_rows = [v.shape[1] for v in a[:3]]
    if a.utility_on_heldout and num_rows[1] != num_rows[2]:
        raise ValueError("utility is said to be of the held-out rows, but there are not as many; set the flag to False")
    trained, heldout, other = (rng.multinomial(n, np.full(n, 1 / n), size=rounds) / n for n in num_rows)
    useful = heldout if a.utility_on_heldout else other
    return _weighted(a, trained, heldout, useful), _weighted(b, trained, heldout, useful)


def _weighted(curve: Curve, trained_BN: Floats, heldout_BH: Floats, useful_BU: Floats) -> Means:
    excess = trained_BN @ curve.memorization_EN.T - heldout_BH @ curve.floor_EH.T
    return Means(np.asarray(excess, np.float64), np.asarray(useful_BU @ curve.utility_EU.T, np.float64))


def _ends(draws_B: Floats) -> Interval:
    low, high = np.quantile(draws_B, (0.025, 0.975))
    return Interval(float(low), float(high))
