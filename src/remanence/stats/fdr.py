"""False discovery rate: conformal p-values and Benjamini-Hochberg, for testing many rows at once.

Sources:
- Bates, Candes, Lei, Romano & Sesia 2023, "Testing for outliers with conformal p-values", Annals of Statistics 51:1,
  which also proves that Benjamini-Hochberg stays valid although the p-values share their held-out rows.
- Benjamini & Hochberg 1995, "Controlling the false discovery rate", JRSS B 57:289-300.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.floating[Any]]


def conformal_p_values(scores: Floats, null_scores: Floats) -> NDArray[np.float64]:
    """p [N] = (1 + number of held-out scores [M] that are at least as high) / (M + 1); higher score, smaller p.

    The smallest p that M held-out rows can give is 1 / (M + 1); with none, every p is 1. ValueError on NaN.
    """
    rows, null = np.asarray(scores, np.float64), np.asarray(null_scores, np.float64)
    if np.isnan(rows).any() or np.isnan(null).any():
        raise ValueError("p-values need scores without NaN; leave out the rows that could not be measured")
    at_least = null.size - np.searchsorted(np.sort(null), rows, side="left")
    return (1.0 + at_least.astype(np.float64)) / (null.size + 1.0)


def q_values(p: Floats) -> NDArray[np.float64]:
    """Benjamini-Hochberg adjusted p [N]: the smallest false discovery rate at which the row is flagged."""
    if np.size(p) == 0:
        return np.empty(0)
    return np.asarray(stats.false_discovery_control(np.asarray(p, np.float64), method="bh"), np.float64)


def benjamini_hochberg(p: Floats, level: float = 0.05) -> NDArray[np.bool_]:
    """[N] which rows are flagged; the expected share of false positives among them is at most `level`.

    The largest k with p_(k) <= level * k / N, and all rows up to it. ValueError for a p outside [0, 1].
    """
    # Conformal p-values lie on a grid and often equal the bound; the slack keeps rounding from dropping them.
    return q_values(p) <= level * (1 + 1e-12)
