"""Does a score rise with a dose that was dealt out by lot? Then shuffling the doses says exactly how surprising it is.

Source: Fisher 1935, "The Design of Experiments": a test whose chance is the experimenter's own lot. The statistic is
Spearman's rank correlation, taken within strata (such as bands of perplexity).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Floats = NDArray[np.floating[Any]]


class Trend(NamedTuple):
    """How a score goes with a dose."""

    correlation: float
    """Spearman's, pooled within strata, -1 to 1; NaN where doses or scores do not differ."""
    p_value: float
    """Share of shuffles (and the lot as it fell) with as high a correlation; one-sided, 1 where there is no trend."""


def dose_trend(dose_N: Floats, score_N: Floats, strata_N: NDArray[Any], seed: int, rounds: int = 9999) -> Trend:
    """The trend of the scores with the doses, against shuffles of the doses within each stratum."""
    doses, scores = np.array(dose_N, np.float64), np.array(score_N, np.float64)
    strata = [np.flatnonzero(strata_N == one) for one in np.unique(strata_N)]
    for part in strata:
        doses[part] = _centred(doses[part])
        scores[part] = _centred(scores[part])
    norm = math.sqrt(float((doses**2).sum() * (scores**2).sum()))
    if norm == 0:
        return Trend(math.nan, 1.0)
    found = float((doses * scores).sum())
    rng = np.random.default_rng(seed)
    reached = 1
    for _ in range(rounds):
        total = sum(float((rng.permutation(doses[part]) * scores[part]).sum()) for part in strata)
        reached += total >= found - 1e-9 * norm
    return Trend(found / norm, reached / (rounds + 1))


def _centred(values: Floats) -> NDArray[np.float64]:
    ranks = np.asarray(rankdata(values), np.float64)
    return ranks - ranks.mean()
