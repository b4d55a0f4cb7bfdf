"""Probability: geometric mean of the token probabilities of a row.

Paper: Maini et al. 2024, "TOFU: A Task of Fictitious Unlearning for LLMs", arXiv 2401.06121, as OpenUnlearning
(arXiv 2506.12618) computes it: P(a|q)^(1/|a|) = exp(-nll per token)
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
class Probability(TableMeasure):
    """The row's probability, to the power of one over its number of tokens with loss."""

    needs = ("logprob",)
    name = "probability"

    def score(self, row: TokenRow, base: TokenRow | None = None) -> Score:
        """0 to 1; the row's loss on a scale between 0 and 1."""
        return Score(probability(row.scored("logprob")))


def probability(logprob_N: NDArray[np.floating[Any]]) -> float:
    """P(a|q)^(1/|a|) = exp((1/N) sum_t log p(a_t | q, a_<t)); higher = more memorized."""
    return float(np.exp(np.mean(logprob_N)))
