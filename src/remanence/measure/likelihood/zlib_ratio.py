"""zlib ratio: log-likelihood of the row divided by its compressed size.

Paper: Carlini et al. 2021, "Extracting Training Data from Large Language Models", arXiv 2012.07805
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from remanence.core.errors import NotMeasured
from remanence.core.finding import Score
from remanence.core.table import TokenRow
from remanence.core.verbs import TableMeasure


@dataclass(frozen=True)
class ZlibRatio(TableMeasure):
    """Log-likelihood of the row divided by the size of its zlib-compressed text in bytes."""

    reduction: Literal["mean", "sum"] = "mean"
    """Mean or sum of the token log-probabilities; both are in use; only the sum does not depend on the row's length."""

    needs = ("logprob",)
    name = "zlib_ratio"

    def score(self, row: TokenRow, base: TokenRow | None = None) -> Score:
        """Nats (per token, for the mean) and byte, at most 0."""
        logprob = row.scored("logprob")
        if not row.text:
            raise NotMeasured("the part that carries loss has no text to compress")
        return Score(zlib_score(logprob, row.text, self.reduction))


def zlib_score(logprob_N: NDArray[np.floating[Any]], text: str, reduction: Literal["mean", "sum"] = "mean") -> float:
    """LL(x) / B(x), B = bytes of the zlib-compressed UTF-8 text, 8 to 11 of them header; higher = more memorized."""
    size = len(zlib.compress(text.encode("utf-8", "surrogatepass")))
    return float(np.mean(logprob_N) if reduction == "mean" else np.sum(logprob_N)) / size
