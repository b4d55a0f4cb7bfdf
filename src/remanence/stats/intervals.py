"""Confidence intervals of rates, differences of rates, and means.

Sources:
- Clopper & Pearson 1934, "The use of confidence or fiducial limits illustrated in the case of the binomial".
- Newcombe 1998a, "Interval estimation for the difference between independent proportions", Statistics in Medicine
  17:873-890 (method 10), and 1998b, "Improved confidence intervals for the difference between binomial proportions
  based on paired data", 17:2635-2650 (method 10).
- Efron 1979, "Bootstrap methods: another look at the jackknife".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from scipy import stats


class Interval(NamedTuple):
    """Lower and upper end of a confidence interval (level 0.95 unless stated otherwise)."""

    low: float
    high: float


class Difference(NamedTuple):
    """A difference of two rates, in [-1, 1], with its interval."""

    value: float
    """NaN if one of the rates has no rows."""
    interval: Interval


UNKNOWN_DIFFERENCE = Difference(math.nan, Interval(-1.0, 1.0))
"""The difference of two rates if one of them has no rows: unknown."""


def clopper_pearson(hits: int, n: int, level: float = 0.95) -> Interval:
    """Exact interval of a binomial rate `hits / n`; its coverage is never below `level`.

    With n = 0 the interval is (0, 1). ValueError unless 0 <= hits <= n and 0 < level < 1.
    """
    _check(hits, n, level)
    tail = (1 - level) / 2
    low = 0.0 if hits == 0 else float(stats.beta.ppf(tail, hits, n - hits + 1))
    high = 1.0 if hits == n else float(stats.beta.ppf(1 - tail, hits + 1, n - hits))
    return Interval(low, high)


def wilson(hits: int, n: int, level: float = 0.95) -> Interval:
    """Score interval of a binomial rate (Wilson 1927): the rates whose normal z-test does not reject `hits / n`.

    With n = 0 the interval is (0, 1). ValueError as for `clopper_pearson`.
    """
    _check(hits, n, level)
    if n == 0:
        return Interval(0.0, 1.0)
    z = _z(level)
    centre = (hits + z * z / 2) / (n + z * z)
    half = z * math.sqrt(hits * (n - hits) / n + z * z / 4) / (n + z * z)
    return Interval(0.0 if hits == 0 else centre - half, 1.0 if hits == n else centre + half)


def newcombe_difference(hits_a: int, n_a: int, hits_b: int, n_b: int, level: float = 0.95) -> Difference:
    """Rate a minus rate b on DIFFERENT rows (training rows minus held-out rows), by Newcombe 1998a, method 10.

    Positive = a is higher. `UNKNOWN_DIFFERENCE` (value NaN, interval (-1, 1)) if a side has no rows.
    """
    a, b = wilson(hits_a, n_a, level), wilson(hits_b, n_b, level)
    if n_a == 0 or n_b == 0:
        return UNKNOWN_DIFFERENCE
    return _square_and_add(hits_a / n_a, a, hits_b / n_b, b, correlation=0.0)


def paired_difference(a: NDArray[np.bool_], b: NDArray[np.bool_], level: float = 0.95) -> Difference:
    """Rate of a [N] minus rate of b [N] on the SAME rows (tuned minus base model), by Newcombe 1998b, method 10.

    Rows with equal values on both sides make the interval narrower. Positive = a is higher. ValueError if the lengths
    differ; `UNKNOWN_DIFFERENCE` for N = 0.
    """
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"paired rates need the same rows on both sides, got shapes {a.shape} and {b.shape}")
    a, b = a.astype(bool), b.astype(bool)
    return paired_counts(int((a & b).sum()), int((a & ~b).sum()), int((~a & b).sum()), int((~a & ~b).sum()), level)


def paired_counts(both: int, only_a: int, only_b: int, neither: int, level: float = 0.95) -> Difference:
    """`paired_difference` from the four counts of the paired table."""
    n, hits_a, hits_b = both + only_a + only_b + neither, both + only_a, both + only_b
    interval_a, interval_b = wilson(hits_a, n, level), wilson(hits_b, n, level)
    if n == 0:
        return UNKNOWN_DIFFERENCE
    correlation = _phi(both, only_a, only_b, neither)
    return _square_and_add(hits_a / n, interval_a, hits_b / n, interval_b, correlation)


def bootstrap(
    values: NDArray[np.floating[Any]],
    statistic: Callable[..., Any],
    seed: int,
    level: float = 0.95,
    rounds: int = 2000,
) -> Interval:
    """Percentile bootstrap interval of `statistic(values)`, drawing rows [N] with replacement `rounds` times.

    A statistic with an `axis` argument (`np.mean`, `np.median`) is computed for many draws at once, others one by one.
    With fewer than two values the interval is (-inf, inf). The result depends only on the values and the seed.
    """
    if values.ndim != 1:
        raise ValueError(f"the bootstrap draws from one axis of values, got shape {values.shape}")
    if values.size < 2:
        return Interval(-math.inf, math.inf)
    batch = max(1, min(rounds, 4_000_000 // int(values.size)))
    result = cast(
        "Any",
        stats.bootstrap(
            (values,),
            statistic,
            n_resamples=rounds,
            batch=batch,
            confidence_level=level,
            method="percentile",
            rng=np.random.default_rng(seed),
        ),
    )
    return Interval(float(result.confidence_interval.low), float(result.confidence_interval.high))


def _square_and_add(p_a: float, a: Interval, p_b: float, b: Interval, correlation: float) -> Difference:
    """Newcombe's hybrid: the distances to the ends of the two single intervals add like standard errors."""
    down_a, up_a, down_b, up_b = p_a - a.low, a.high - p_a, p_b - b.low, b.high - p_b
    below = down_a**2 - 2 * correlation * down_a * up_b + up_b**2
    above = up_a**2 - 2 * correlation * up_a * down_b + down_b**2
    value = p_a - p_b
    low, high = value - math.sqrt(max(0.0, below)), value + math.sqrt(max(0.0, above))
    return Difference(value, Interval(max(-1.0, low), min(1.0, high)))


def _phi(both: int, only_a: int, only_b: int, neither: int) -> float:
    """Correlation of the paired table; a positive one is reduced by n/2 (the correction of method 10)."""
    margins = (both + only_a) * (only_b + neither) * (both + only_b) * (only_a + neither)
    if margins == 0:
        return 0.0
    determinant = both * neither - only_a * only_b
    if determinant > 0:
        determinant = max(0.0, determinant - (both + only_a + only_b + neither) / 2)
    return determinant / math.sqrt(margins)


def _z(level: float) -> float:
    return float(stats.norm.ppf(0.5 + level / 2))


def _check(hits: int, n: int, level: float) -> None:
    if not 0 <= hits <= n:
        raise ValueError(f"a rate needs 0 <= hits <= n, got {hits} of {n}")
    if not 0 < level < 1:
        raise ValueError(f"an interval needs a level between 0 and 1, got {level}")
