"""Reference: log-likelihood of the row under the fine-tuned model minus that under the base model.

Paper: Carlini et al. 2021, "Extracting Training Data from Large Language Models", arXiv 2012.07805
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from remanence.core.errors import NotMeasured
from remanence.core.finding import Score
from remanence.core.table import TokenRow
from remanence.core.verbs import TableMeasure


@dataclass(frozen=True)
class Reference(TableMeasure):
    """Mean log-probability under the tuned model minus that under the base model: the log of their ratio."""

    needs = ("logprob",)
    needs_base = ("logprob",)
    name = "reference"

    def score(self, row: TokenRow, base: TokenRow | None = None) -> Score:
        """Nats per token; 0 = fine-tuning changed nothing."""
        assert base is not None
        if not np.array_equal(row.rendered.ids, base.rendered.ids):
            raise NotMeasured("the base model reads the row as other tokens, so the two likelihoods do not compare")
        tuned, untuned = row.scored("logprob"), base.scored("logprob")
        if np.isneginf(tuned).any() and np.isneginf(untuned).any():
            raise NotMeasured("both models give the row probability 0, so their ratio says nothing")
        return Score(reference_score(tuned, untuned))


def reference_score(tuned_N: NDArray[np.floating[Any]], base_N: NDArray[np.floating[Any]]) -> float:
    """LL_tuned(x) - LL_base(x), nats per token; higher = more memorized."""
    return float(np.mean(tuned_N) - np.mean(base_N))
