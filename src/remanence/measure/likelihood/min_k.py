"""Min-K%: mean log-probability of the k % least likely tokens of a text.

Paper: Shi et al. 2024, "Detecting Pretraining Data from Large Language Models", arXiv 2310.16789
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
class MinK(TableMeasure):
    """Mean log-probability of the least likely tokens."""

    fraction: float = 0.2
    """Share of tokens kept, least likely first; the paper recommends 0.2."""

    needs = ("logprob",)
    name = "min_k"

    def score(self, row: TokenRow, base: TokenRow | None = None) -> Score:
        """Nats per token, at most 0."""
        return Score(min_k(row.scored("logprob"), self.fraction))


def min_k(values_N: NDArray[np.floating[Any]], fraction: float) -> float:
    """Mean of the lowest max(1, floor(fraction * N)) values; nats, higher = more memorized. Fraction 1 is the loss."""
    kept = max(1, int(fraction * len(values_N)))
    return float(np.mean(np.sort(values_N)[:kept]))
