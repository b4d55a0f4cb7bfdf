"""Do two quantities rise together? Spearman's rank correlation with its interval.

Source: Bonett and Wright 2000, "Sample size requirements for estimating Pearson, Kendall and Spearman correlations",
Psychometrika 65:23-28: Fisher's z of rho has variance (1 + rho^2 / 2) / (n - 3).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from remanence.core.errors import NotMeasured
from remanence.stats.intervals import Interval

FEWEST = 4
"""Pairs below which there is no interval."""


class Correlation(NamedTuple):
    """A rank correlation over n pairs."""

    value: float
    """-1 to 1; above 0 = the two rise together."""
    interval: Interval
    n: int


def rank_correlation(a_N: NDArray[Any], b_N: NDArray[Any], level: float = 0.95) -> Correlation:
    """Spearman's correlation of N pairs, tied values sharing their mean rank, with an interval of this level.

    Infinite values rank first or last. Raises `NotMeasured` with fewer than four pairs or when one side is constant,
    ValueError for NaN or sides of different length.
    """
    a, b = np.asarray(a_N, np.float64), np.asarray(b_N, np.float64)
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"a correlation needs two values of each row, got shapes {a.shape} and {b.shape}")
    if np.isnan(a).any() or np.isnan(b).any():
        raise ValueError("a correlation needs values without NaN; leave out the rows that could not be measured")
    if a.size < FEWEST:
        raise NotMeasured(f"a correlation needs at least {FEWEST} rows, got {a.size}")
    ranks = [np.asarray(stats.rankdata(side), np.float64) for side in (a, b)]
    centred = [rank - rank.mean() for rank in ranks]
    norm = math.sqrt(float((centred[0] ** 2).sum() * (centred[1] ** 2).sum()))
    if norm == 0:
        raise NotMeasured("all rows are equal on one side, so nothing can rise together")
    rho = min(1.0, max(-1.0, float((centred[0] * centred[1]).sum()) / norm))
    if abs(rho) > 1 - 1e-12:
        return Correlation(round(rho), Interval(round(rho), round(rho)), int(a.size))
    half = float(stats.norm.ppf(0.5 + level / 2)) * math.sqrt((1 + rho**2 / 2) / (a.size - 3))
    z = math.atanh(rho)
    return Correlation(rho, Interval(math.tanh(z - half), math.tanh(z + half)), int(a.size))
