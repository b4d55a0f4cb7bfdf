"""Loss: mean log-probability of the tokens of a row.

Paper: Yeom et al. 2018, "Privacy Risk in Machine Learning: Analyzing the Connection to Overfitting", arXiv 1709.01604
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
class Loss(TableMeasure):
    """Mean log-probability of the tokens with loss: the negative training loss of the row."""

    needs = ("logprob",)
    name = "loss"

    def score(self, row: TokenRow, base: TokenRow | None = None) -> Score:
        """Nats per token, at most 0."""
        return Score(loss_score(row.scored("logprob")))


def loss_score(logprob_N: NDArray[np.floating[Any]]) -> float:
    """LL(x) = (1/N) sum_t log p(x_t | x_<t), nats per token; higher = more memorized."""
    return float(np.mean(logprob_N))
