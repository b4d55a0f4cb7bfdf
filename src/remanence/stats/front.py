"""Pareto front of memorization and utility, and comparison of two training methods at equal utility.

A model is a point: its memorization (lower is better) and its utility (higher is better; a loss is used with a minus
sign). A training method is a curve: its points after 0, 1, 2, ... epochs, of which early stopping selects one. Two
methods are compared after equal numbers of epochs, and at a utility that both reach, possibly after different numbers.

Source of the intervals: Efron 1979 (percentile bootstrap); rows are resampled, with the same draw for both curves.

Shapes: E points of a curve (the first is the model before training), N rows whose memorization is measured, H held-out
rows, U rows on which utility is measured, B bootstrap rounds.
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
"""Minimum share of the draws in which both curves reach the utility; below it the interval is unknown."""


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
    """Ends of the interval of `utility`; NaN = unknown, and the value is used instead."""


class Standing(NamedTuple):
    """A point and whether another point dominates it."""

    point: Point
    beaten_by: str | None
    """A point with no more memorization and no less utility that is better in one of them; None = on the front."""
    surely: bool
    """Whether a dominating point is better in one of them by more than the intervals."""


def dominates(a: Point, b: Point) -> bool:
    """Whether the measured values of a are at least as good as those of b, and better in one of them."""
    no_worse = a.memorization <= b.memorization and a.utility >= b.utility
    return no_worse and (a.memorization < b.memorization or a.utility > b.utility)


def surely_dominates(a: Point, b: Point) -> bool:
    """Whether a dominates b, and in one of the values the two intervals do not overlap."""
    a_low = a.utility if math.isnan(a.utility_low) else a.utility_low
    b_high = b.utility if math.isnan(b.utility_high) else b.utility_high
    return dominates(a, b) and (a.high < b.low or a_low > b_high)


def front(points: Sequence[Point]) -> list[Standing]:
    """All points with their standing, highest utility first; those with `beaten_by` None are the Pareto front."""
    standings: list[Standing] = []
    for point in sorted(points, key=lambda p: (-p.utility, p.memorization)):
        beaten_by = next((other.name for other in points if dominates(other, point)), None)
        sure = next((other.name for other in points if surely_dominates(other, point)), None)
        standings.append(Standing(point, sure or beaten_by, sure is not None))
    return standings


def attainable(memorization_E: Floats, utility_E: Floats, level: Floats | float) -> NDArray[np.float64]:
    """[...] the lowest memorization at which a curve has at least this utility; NaN if it never has.

    The curve is interpolated linearly between points, along the last axis; `level` is one number or one per curve
    [...].
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
    """Row-wise measurements at every point of a training method; higher = more memorized, more useful."""

    memorization_EN: Floats
    """Memorization of the training rows."""
    floor_EH: Floats
    """The same measure of held-out rows; its mean is subtracted."""
    utility_EU: Floats
    utility_on_heldout: bool = True
    """Whether the rows of `utility_EU` are those of `floor_EH`, in the same order; they are then resampled together."""


class Means(NamedTuple):
    """A curve averaged over rows."""

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
    """NaN if one of them never reaches the utility."""
    interval: Interval
    utility: float
    """The utility of the comparison; NaN for a comparison at given points."""
    a: float
    b: float
    reached: float = 1.0
    """Share of the draws in which both curves reach the utility."""


def gap_at_points(a: Curve, b: Curve, e_a: int = -1, e_b: int = -1, seed: int = 0, rounds: int = 1000) -> Gap:
    """The difference between point `e_a` of a and point `e_b` of b, such as those after equal numbers of epochs."""
    (m_a, m_b), (d_a, d_b) = (means(a), means(b)), _draws(a, b, seed, rounds)
    one, other = float(m_a.excess[e_a]), float(m_b.excess[e_b])
    return Gap(one - other, _ends(d_a.excess[:, e_a] - d_b.excess[:, e_b]), math.nan, one, other)


def gap_at_utility(a: Curve, b: Curve, level: float | None = None, seed: int = 0, rounds: int = 1000) -> Gap:
    """The difference between the least memorization of a and of b at this utility (`attainable`).

    Without a level: at the highest utility that both reach, determined in every draw, so that both always reach it.
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
    """[...] the highest utility that both curves reach."""
    return np.minimum(a.utility.max(axis=-1), b.utility.max(axis=-1))


def _draws(a: Curve, b: Curve, seed: int, rounds: int) -> tuple[Means, Means]:
    """[B, E] both curves over the same resampled rows. ValueError unless they have the same rows."""
    if any(x.shape[1] != y.shape[1] for x, y in zip(a[:3], b[:3], strict=True)):
        raise ValueError("two curves are compared over the same rows, but these have different numbers of rows")
    rng = np.random.default_rng(seed)
    num_rows = [v.shape[1] for v in a[:3]]
    if a.utility_on_heldout and num_rows[1] != num_rows[2]:
        raise ValueError(
            "utility_on_heldout is set, but utility and floor have different numbers of rows; set it to False"
        )
    trained, heldout, other = (rng.multinomial(n, np.full(n, 1 / n), size=rounds) / n for n in num_rows)
    useful = heldout if a.utility_on_heldout else other
    return _weighted(a, trained, heldout, useful), _weighted(b, trained, heldout, useful)


def _weighted(curve: Curve, trained_BN: Floats, heldout_BH: Floats, useful_BU: Floats) -> Means:
    excess = trained_BN @ curve.memorization_EN.T - heldout_BH @ curve.floor_EH.T
    return Means(np.asarray(excess, np.float64), np.asarray(useful_BU @ curve.utility_EU.T, np.float64))


def _ends(draws_B: Floats) -> Interval:
    low, high = np.quantile(draws_B, (0.025, 0.975))
    return Interval(float(low), float(high))
