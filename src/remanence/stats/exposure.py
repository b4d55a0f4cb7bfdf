"""Exposure: the rank of the true value among all candidate values, in bits.

Paper: Carlini et al. 2019, "The Secret Sharer: Evaluating and Testing Unintended Memorization in Neural Networks",
arXiv 1802.08232. Their definition: exposure = log2 |R| - log2 rank(value), over all candidates R.

Shapes: N records, C candidates.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln


def exposure(scores: NDArray[np.floating[Any]], true: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """[...] bits: log2 C minus log2 of the rank of candidate `true` [...] under `scores` [..., C] (higher = likelier).

    log2 C = ranked first. Higher = more memorized. Ties get the middle of their ranks, so a model with equal scores
    gets about 1 bit instead of 0 or log2 C. Raises ValueError on NaN.
    """
    if np.isnan(scores).any():
        raise ValueError("exposure needs scores without NaN; leave out the records that could not be scored")
    own = np.take_along_axis(scores, true[..., None], axis=-1)
    above = (scores > own).sum(axis=-1)
    ties = (scores == own).sum(axis=-1) - 1
    return np.log2(scores.shape[-1]) - np.log2(1.0 + above + ties / 2)


def chance_exposure(candidates: int) -> float:
    """Mean exposure if all ranks are equally likely: log2 C - log2(C!) / C, which tends to log2 e = 1.44 bits."""
    return math.log2(candidates) - float(gammaln(candidates + 1)) / math.log(2) / candidates
