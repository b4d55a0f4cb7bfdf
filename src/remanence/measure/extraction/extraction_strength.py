"""Extraction strength: how short a prefix is enough for the model to generate the whole rest of the row?

Paper: Carlini et al. 2021, "Extracting Training Data from Large Language Models", arXiv 2012.07805; as in
Wang et al. 2025, "Towards Effective Evaluations and Comparisons for LLM Unlearning Methods", arXiv 2406.09179
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from remanence.core.finding import Score
from remanence.core.table import TokenRow
from remanence.core.verbs import TableMeasure


@dataclass(frozen=True)
class ExtractionStrength(TableMeasure):
    """One minus the share of the row that the prompt must contain for greedy decoding to complete the rest."""

    needs = ("gap", "rank")
    name = "extraction_strength"

    def score(self, row: TokenRow, base: TokenRow | None = None) -> Score:
        """0 (even the last token is wrong) to 1 (the whole row is generated without a prefix)."""
        _ = row.scored("gap")
        hits = row.hits()[row.rendered.scored]
        value = extraction_strength(hits)
        return Score(value, {"tail": round(value * hits.size), "tokens": int(hits.size)})


def extraction_strength(hit_N: NDArray[np.bool_]) -> float:
    """1 - min{k : greedy decoding from the first k tokens generates the rest} / N; higher = more memorized."""
    misses = np.flatnonzero(~hit_N)
    shown = 0 if misses.size == 0 else int(misses[-1]) + 1
    return 1.0 - shown / len(hit_N)
