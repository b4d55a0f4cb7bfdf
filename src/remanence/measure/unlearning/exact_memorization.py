"""Exact memorization: share of the row's tokens that are the most likely next token after the true prefix.

Paper: Tirumala et al. 2022, "Memorization Without Overfitting", arXiv 2205.10770; as OpenUnlearning (arXiv 2506.12618)
computes it, over the tokens with loss
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from remanence.core.finding import Score
from remanence.core.table import TokenRow
from remanence.core.verbs import TableMeasure


@dataclass(frozen=True)
class ExactMemorization(TableMeasure):
    """Teacher-forced token accuracy: the context of every token is the true one."""

    needs = ("gap", "rank")
    name = "exact_memorization"

    def score(self, row: TokenRow, base: TokenRow | None = None) -> Score:
        """0 to 1. Predictable text has high values without memorization: compare with held-out rows."""
        _ = row.scored("gap")
        hits = row.hits()[row.rendered.scored]
        return Score(exact_memorization(hits), {"hits": int(hits.sum()), "tokens": int(hits.size)})


def exact_memorization(hit_N: NDArray[np.bool_]) -> float:
    """EM = (1/N) sum_t [argmax p(. | x_<t) = x_t]; higher = more memorized."""
    return float(np.mean(hit_N))
