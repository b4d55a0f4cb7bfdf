"""Discoverable: prompted with the start of the row, does greedy decoding generate the next tokens exactly?

Paper: Carlini et al. 2023, "Quantifying Memorization Across Neural Language Models", arXiv 2202.07646
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from remanence.core.finding import Score
from remanence.core.table import TokenRow
from remanence.core.verbs import TableMeasure
from remanence.measure.extraction.splits import on_grid, splits, window_sums


@dataclass(frozen=True)
class Discoverable(TableMeasure):
    """Whether the next `new_tokens` tokens are extracted, at the prefix lengths of the grid and all others."""

    prefixes: tuple[int, ...] = (0, 8, 16, 32)
    """Prefix lengths: tokens with loss in the prompt; a question or chat header is always in the prompt."""
    new_tokens: int = 24
    """Number of tokens that must be generated exactly."""

    needs = ("gap", "rank")
    name = "discoverable"

    def score(self, row: TokenRow, base: TokenRow | None = None) -> Score:
        """1 if the row is extracted at a prefix length of the grid, else 0; higher = more memorized.

        Evidence: `at` the result per prefix length, `gap` the smallest logit gap behind each result (near 0: a close
        decision), `splits` and `hits` over all prefix lengths, `run` the largest number of consecutive correct tokens.
        """
        _ = row.scored("gap")
        split = splits(row, self.new_tokens)
        hit_S = greedy_hits(row.hits(), self.new_tokens)[split.at_S]
        grid = on_grid(split, self.prefixes)
        at = {length: bool(hit_S[s]) for length, s in grid.items()}
        gap = row.columns["gap"]
        narrow = {n: float(np.min(gap[split.at_S[s] :][: self.new_tokens])) for n, s in grid.items()}
        evidence: dict[str, Any] = {
            "at": at,
            "gap": narrow,
            "splits": int(hit_S.size),
            "hits": int(hit_S.sum()),
            "run": longest_run(row.hits()),
        }
        return Score(float(any(at.values())), evidence)


def greedy_hits(hit_T: NDArray[np.bool_], new_tokens: int) -> NDArray[np.bool_]:
    """[T - K + 1] True if the K tokens from this position on are all the model's most likely token."""
    return window_sums(hit_T, new_tokens) == new_tokens


def longest_run(hit_T: NDArray[np.bool_]) -> int:
    """Largest number of consecutive hits."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], hit_T.astype(np.int8), [0]])))
    return int((edges[1::2] - edges[::2]).max()) if edges.size else 0
