"""Thresholds and conformal p-values from the scores of held-out texts (nulls).

Conformal p-values: Vovk, Gammerman & Shafer 2005, "Algorithmic Learning in a Random World"; Bates et al. 2023, "Testing
for outliers with conformal p-values", Annals of Statistics 51. With n nulls, p = (1 + #{null >= s}) / (1 + n); if the
score of an unseen text is exchangeable with the nulls, p <= alpha happens with probability alpha at most.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from remanence.stats.rates import Rate

Scores = NDArray[np.floating[Any]]

ALPHAS = (0.001, 0.01, 0.05)
MIN_ABOVE = 10
"""Minimum number of nulls above a threshold; with fewer the threshold is imprecise."""


@dataclass(frozen=True)
class Threshold:
    """The score above which a text is flagged, at one false-positive rate."""

    alpha: float
    score: float | None
    """Scores strictly above it are flagged; None = not available."""
    num_null: int
    reason: str = ""
    """Why it is not available; empty if it is."""

    def flags(self, scores: Scores) -> NDArray[np.bool_]:
        """[N] which scores are above; ValueError with the reason if there is no threshold."""
        if self.score is None:
            raise ValueError(self.reason)
        return np.asarray(scores) > self.score

    def measurable(self, most: Scores) -> NDArray[np.bool_]:
        """[N] whether the text can be flagged; `most` is its score if all its words were copied."""
        return self.flags(most)

    def false_positive_rate(self, null: Scores, level: float = 0.95) -> Rate:
        """Share of OTHER held-out texts that are flagged, with its exact interval. It should be alpha or less."""
        return Rate.of(self.flags(null), level)


def threshold(null: Scores, alpha: float, least: float = MIN_ABOVE) -> Threshold:
    """The score above which the conformal p-value is at most `alpha`; higher scores = more memorized.

    Not available if alpha < `least` / n. With `least` = 0 it is always available: if p cannot reach alpha (n < 1 /
    alpha
    - 1), the threshold is the highest null, and the rate is 1 / (n + 1). ValueError unless 0 < alpha < 1, or for NaN.
    """
    null = _numbers(null)
    if not 0 < alpha < 1:
        raise ValueError(f"a false-positive rate lies between 0 and 1, got {alpha}")
    n = int(null.size)
    if n == 0 or alpha * n < least * (1 - 1e-12):
        return Threshold(
            alpha,
            None,
            n,
            f"{n} held-out texts cannot calibrate a false-positive rate of {_percent(alpha)}; "
            f"it takes {math.ceil(round(max(1.0, least) / alpha, 6))}",
        )
    above = max(1, math.floor(alpha * (n + 1) * (1 + 1e-12)))
    return Threshold(alpha, float(np.partition(null, n - above)[n - above]), n)


def lowest_alpha(num_null: int, least: float = MIN_ABOVE) -> float:
    """The lowest false-positive rate that `num_null` nulls can calibrate; 1 = none."""
    return min(1.0, least / num_null) if num_null else 1.0


def p_values(scores: Scores, null: Scores) -> NDArray[np.float64]:
    """[N] conformal p-value of each score against the nulls: in [1 / (n + 1), 1], lower = more memorized."""
    null = np.sort(_numbers(null))
    at_least = null.size - np.searchsorted(null, _numbers(scores), side="left")
    return (1 + at_least) / (1 + null.size)


def halves(groups: NDArray[np.integer[Any]], seed: int = 0) -> NDArray[np.bool_]:
    """[N] True for the half that sets thresholds; members of a group (pieces of one text) are in the same half."""
    names, which = np.unique(groups, return_inverse=True)
    first = np.zeros(names.size, np.bool_)
    first[np.random.default_rng(seed).permutation(names.size)[: (names.size + 1) // 2]] = True
    return first[which]


@dataclass(frozen=True)
class ByLength:
    """One threshold for each length: a text of n words is compared with nulls of at least n words."""

    lengths: tuple[int, ...]
    """Ascending, in words."""
    thresholds: tuple[Threshold, ...]

    @classmethod
    def fit(cls, nulls: Mapping[int, Scores], alpha: float, least: float = MIN_ABOVE) -> ByLength:
        """From the null scores of texts cut to each length.

        Thresholds do not decrease with length: a lower threshold for longer texts is replaced by the higher one of the
        shorter texts.
        """
        if not nulls:
            raise ValueError("thresholds by length need the nulls of at least one length")
        lengths = tuple(sorted(nulls))
        thresholds = [threshold(nulls[n], alpha, least) for n in lengths]
        highest = -math.inf
        for i, each in enumerate(thresholds):
            if each.score is not None:
                highest = max(highest, each.score)
                thresholds[i] = Threshold(alpha, highest, each.num_null)
        return cls(lengths, tuple(thresholds))

    def of(self, num_words: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
        """[N] the threshold of texts with `num_words` [N] words; +inf if it is not available.

        Texts longer than the longest nulls get the threshold of the longest nulls.
        """
        which = np.minimum(np.searchsorted(self.lengths, num_words), len(self.lengths) - 1)
        return np.array([math.inf if t.score is None else t.score for t in self.thresholds])[which]


def p_values_by_length(
    scores: Scores, num_words: NDArray[np.integer[Any]], nulls: Mapping[int, Scores]
) -> NDArray[np.float64]:
    """[N] conformal p-value of each text against the nulls of its length, consistent with `ByLength`: flagged if p <=
    alpha.

    The largest of the p-values against the nulls of this length and of all shorter lengths.
    """
    lengths = sorted(nulls)
    which = np.minimum(np.searchsorted(lengths, num_words), len(lengths) - 1)
    p = np.zeros(np.asarray(scores).size)
    for i, length in enumerate(lengths):
        p = np.where(which >= i, np.maximum(p, p_values(scores, nulls[length])), p)
    return p


def _numbers(scores: Scores) -> NDArray[np.float64]:
    array = np.asarray(scores, np.float64)
    if array.ndim != 1 or np.isnan(array).any():
        raise ValueError(f"scores are one number per text and never NaN, got shape {array.shape}")
    return array


def _percent(alpha: float) -> str:
    return f"{100 * alpha:g} %"
