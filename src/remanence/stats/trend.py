"""Permutation test of a trend: does a score increase with a randomized dose?

Source: Fisher 1935, "The Design of Experiments" (randomization test). The statistic is Spearman's rank correlation
within strata (such as bands of perplexity).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Floats = NDArray[np.floating[Any]]


class Trend(NamedTuple):
    """Correlation of a score with a dose."""

    correlation: float
    """Spearman's, pooled within strata, -1 to 1; NaN if doses or scores are all equal."""
    p_value: float
    """Share of permutations, including the observed one, with at least this correlation; one-sided, 1 = no trend."""


def dose_trend(dose_N: Floats, score_N: Floats, strata_N: NDArray[Any], seed: int, rounds: int = 9999) -> Trend:
    """The trend of the scores with the doses, tested by permuting the doses within each stratum."""
    doses, scores = np.array(dose_N, np.float64), np.array(score_N, np.float64)
    strata = [np.flatnonzero(strata_N == stratum) for stratum in np.unique(strata_N)]
    for part in strata:
        doses[part] = _centred(doses[part])
        scores[part] = _centred(scores[part])
    norm = math.sqrt(float((doses**2).sum() * (scores**2).sum()))
    if norm == 0:
        return Trend(math.nan, 1.0)
    observed = float((doses * scores).sum())
    rng = np.random.default_rng(seed)
    reached = 1
    for _ in range(rounds):
        total = sum(float((rng.permutation(doses[part]) * scores[part]).sum()) for part in strata)
        reached += total >= observed - 1e-9 * norm
    return Trend(observed / norm, reached / (rounds + 1))


def _centred(values: Floats) -> NDArray[np.float64]:
    ranks = np.asarray(rankdata(values), np.float64)
    return ranks - ranks.mean()
