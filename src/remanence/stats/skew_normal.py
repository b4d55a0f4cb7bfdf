"""Skew-normal distribution: fit to observed values and lower tail probability in bits, beyond the observed range.

Carlini et al. 2019, "The Secret Sharer", arXiv 1802.08232, section 4.3: the log-perplexities of secrets follow a
skew-normal, so exposure beyond the ranks is estimated as -log2 P(perplexity <= that of the canary). Azzalini 1985, "A
class of distributions which includes the normal ones". The fit uses moments: with a few dozen values maximum likelihood
sometimes puts the bound of the distribution at the lowest value, with an infinite result.

Legend: density 2 phi(z) Phi(a z) / w of z = (x - xi) / w.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, logsumexp

MOST_SKEW = 0.99
"""A skew-normal has a skewness of at most 0.9953; more skewed values are fitted with this skewness."""
FEWEST = 8
"""Minimum number of values for a fit."""
_GRID = np.linspace(math.log(1e-9), math.log(60.0), 4001)
"""Logarithms of the distances below z at which the density is summed."""


class SkewNormal(NamedTuple):
    """A fitted skew-normal."""

    shape: float
    """a: 0 = normal, above 0 = the upper tail is the longer one."""
    place: float
    """xi"""
    scale: float
    """w"""

    def log_cdf(self, values: NDArray[np.floating[Any]] | float) -> NDArray[np.float64]:
        """[...] log P(X <= value), nats; accurate far below the smallest float."""
        z = (np.asarray(values, np.float64) - self.place) / self.scale
        below = z[..., None] - np.exp(_GRID)
        log_density = math.log(2 / math.sqrt(2 * math.pi)) - below**2 / 2 + log_ndtr(self.shape * below)
        step = float(_GRID[1] - _GRID[0])
        return np.minimum(0.0, np.asarray(logsumexp(log_density + _GRID, axis=-1)) + math.log(step))


def fit_skew_normal(values_N: NDArray[np.floating[Any]]) -> SkewNormal:
    """The skew-normal with the mean, the variance and (within the possible range) the skewness of the values.

    ValueError for fewer than `FEWEST` values, for NaN or infinity, and if all are equal.
    """
    x = np.asarray(values_N, np.float64)
    if x.size < FEWEST or not np.isfinite(x).all():
        raise ValueError(f"a skew-normal is fitted to at least {FEWEST} finite values, got {x.size}")
    mean, spread = float(x.mean()), float(x.std(ddof=1))
    if spread <= 1e-12 * max(1.0, abs(mean)):
        raise ValueError("a skew-normal cannot be fitted to values that are all the same")
    skew = float(np.clip(((x - mean) ** 3).mean() / x.std() ** 3, -MOST_SKEW, MOST_SKEW))
    part = abs(skew) ** (2 / 3)
    delta = math.copysign(math.sqrt(math.pi / 2 * part / (part + ((4 - math.pi) / 2) ** (2 / 3))), skew)
    shape = delta / math.sqrt(1 - delta**2)
    scale = spread / math.sqrt(1 - 2 * delta**2 / math.pi)
    return SkewNormal(shape, mean - scale * delta * math.sqrt(2 / math.pi), scale)


def extrapolated_exposure(others_N: NDArray[np.floating[Any]], own: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """[...] bits: -log2 P(score >= own) under a skew-normal fitted to the scores of others (higher = likelier).

    Values beyond log2 N bits are extrapolated. ValueError as for `fit_skew_normal`.
    """
    fitted = fit_skew_normal(-np.asarray(others_N, np.float64))
    return -fitted.log_cdf(-np.asarray(own, np.float64)) / math.log(2)
