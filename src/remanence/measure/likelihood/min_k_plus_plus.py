"""Min-K%++: Min-K% with log-probabilities standardised by the model's distribution at each position.

Paper: Zhang et al. 2025, "Min-K%++: Improved Baseline for Detecting Pre-Training Data from LLMs", arXiv 2404.02936
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from remanence.core.finding import Score
from remanence.core.table import TokenRow
from remanence.core.verbs import TableMeasure


@dataclass(frozen=True)
class MinKPlusPlus(TableMeasure):
    """Mean of the lowest token z-scores, each relative to the distribution at its position."""

    fraction: float = 0.2
    """Share of tokens kept, lowest z first."""

    needs = ("logprob", "mean", "std")
    name = "min_k_plus_plus"

    def score(self, row: TokenRow, base: TokenRow | None = None) -> Score:
        """Standard deviations."""
        return Score(min_k_plus_plus(row.scored("logprob"), row.scored("mean"), row.scored("std"), self.fraction))


def min_k_plus_plus(
    logprob_N: NDArray[np.floating[Any]],
    mean_N: NDArray[np.floating[Any]],
    std_N: NDArray[np.floating[Any]],
    fraction: float,
) -> float:
    """Mean of the lowest max(1, floor(fraction * N)) of z_t = (log p_t - mu_t) / sigma_t; higher = more memorized.

    mu_t and sigma_t are mean and standard deviation of log p(v) under p at position t; sigma_t^2 is at least 1e-12.
    """
    z_N = (logprob_N - mean_N) / np.maximum(std_N, 1e-6)
    kept = max(1, int(fraction * len(z_N)))
    return float(np.mean(np.sort(z_N)[:kept]))
