"""Exact ROC-AUC of any number of training rows, in memory proportional to the number of held-out rows.

The AUC depends only on how many held-out scores are below each training score. A training row is therefore counted in a
bin, the gap between two held-out scores or one of these scores, and does not have to be kept. The same counts give
DeLong's variance, true-positive rates, and conformal p-values with their q-values (`remanence.stats.fdr`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from remanence.core.errors import NotMeasured
from remanence.stats.membership import (
    Floats,
    MembershipQuality,
    TprAtFpr,
    delong_interval,
    roc_auc,
    threshold_at,
)
from remanence.stats.rates import Rate


class MemberCounts:
    """Training rows counted between the distinct scores [K] of the held-out rows [M]; bin 2k+1 is score k itself."""

    def __init__(self, nonmembers: Floats) -> None:
        self.nonmembers = np.sort(np.asarray(nonmembers, np.float64))
        if np.isnan(self.nonmembers).any():
            raise ValueError("membership needs scores without NaN; leave out the rows that could not be measured")
        self._scores, self._counts = np.unique(self.nonmembers, return_counts=True)
        self._bins = np.zeros(2 * self._scores.size + 1, np.int64)

    def add(self, members: Floats) -> None:
        """Count the scores of more training rows [N]."""
        self._bins += np.bincount(self.bins(members), minlength=self._bins.size)

    def bins(self, members: Floats) -> NDArray[np.int64]:
        """[N] the bin of each score. ValueError on NaN."""
        scores = np.asarray(members, np.float64)
        if np.isnan(scores).any():
            raise ValueError("membership needs scores without NaN; leave out the rows that could not be measured")
        return np.searchsorted(self._scores, scores, "left") + np.searchsorted(self._scores, scores, "right")

    @property
    def num_members(self) -> int:
        """Number of training rows counted so far."""
        return int(self._bins.sum())

    def quality(self, fprs: Sequence[float], level: float = 0.95) -> MembershipQuality:
        """`membership.membership_quality` of all rows added. Raises `NotMeasured` if a side is empty."""
        n, m = self.num_members, self.nonmembers.size
        if not n or not m:
            _ = roc_auc(np.zeros(min(1, n)), np.zeros(min(1, m)))  # raises, in the same words
        above_B, below_K = self._under() / m, self._over() / n
        area = float((self._bins * above_B).sum() / n)
        variance = 0.0
        if min(n, m) > 1:
            above = float((self._bins * (above_B - area) ** 2).sum() / (n - 1))
            below = float((self._counts * (below_K - area) ** 2).sum() / (m - 1))
            variance = above / n + below / m
        supported: list[TprAtFpr] = []
        refused: dict[float, str] = {}
        for fpr in fprs:
            try:
                supported.append(self._at(fpr))
            except NotMeasured as error:
                refused[fpr] = error.reason
        return MembershipQuality(
            num_members=n,
            num_nonmembers=m,
            auc=area,
            auc_interval=delong_interval(area, variance, n, m, level),
            advantage=self._advantage(),
            tpr_at=tuple(supported),
            refused=refused,
        )

    def p_values(self) -> NDArray[np.float64]:
        """[bins] `fdr.conformal_p_values` of a training row in each bin."""
        strictly_under = np.repeat(np.concatenate(([0], np.cumsum(self._counts))), 2)[:-1]
        at_least = self.nonmembers.size - strictly_under
        return (1.0 + at_least) / (self.nonmembers.size + 1.0)

    def q_values(self) -> NDArray[np.float64]:
        """[bins] `fdr.q_values` of a training row in each bin, over all rows added; NaN in empty bins."""
        p_B, n = self.p_values(), self.num_members
        rank_B = np.cumsum(self._bins[::-1])[::-1]  # rows with a p at most this one: higher scores, smaller p
        # bins 2k and 2k+1 differ in score, but a row at score k and one just under share a p only across 2k-1 and 2k
        q_B = np.full(p_B.size, np.nan)
        levels, where = np.unique(p_B, return_inverse=True)
        rank_L = np.zeros(levels.size, np.int64)
        np.maximum.at(rank_L, where, rank_B)
        with np.errstate(divide="ignore"):
            raw_L = np.where(rank_L > 0, levels * (n / np.maximum(1, rank_L)), np.inf)
        q_L = np.minimum(1.0, np.minimum.accumulate(raw_L[::-1])[::-1])
        filled = self._bins > 0
        q_B[filled] = q_L[where][filled]
        return q_B

    def counted_within(self, level: float) -> int:
        """Number of rows with a q-value of at most `level`."""
        q_B = self.q_values()
        return int(self._bins[np.nan_to_num(q_B, nan=np.inf) <= level].sum())

    def _under(self) -> NDArray[np.float64]:
        """[bins] number of held-out rows below a row of that bin, ties one half."""
        under = np.zeros(self._bins.size)
        whole = np.concatenate(([0], np.cumsum(self._counts)))
        under[0::2] = whole
        under[1::2] = whole[:-1] + self._counts / 2
        return under

    def _over(self) -> NDArray[np.float64]:
        """[K] number of training rows above each distinct held-out score, ties one half."""
        from_top = np.cumsum(self._bins[::-1])[::-1]
        return from_top[2::2] + self._bins[1::2] / 2

    def _at(self, fpr: float) -> TprAtFpr:
        threshold = threshold_at(self.nonmembers, fpr)
        bin_of = 2 * int(np.searchsorted(self._scores, threshold)) + 1
        members = int(self._bins[bin_of + 1 :].sum())
        others = int((self.nonmembers > threshold).sum())
        rates = Rate.counted(members, self.num_members), Rate.counted(others, self.nonmembers.size)
        return TprAtFpr(fpr, threshold, *rates)

    def _advantage(self) -> float:
        """Largest TPR minus FPR; the best threshold is a distinct score or just below the lowest training row of a
        gap."""
        held: NDArray[Any] = np.zeros(self._bins.size, np.int64)
        held[1::2] = self._counts
        called_n = np.concatenate(([0], np.cumsum(self._bins[::-1])))
        called_m = np.concatenate(([0], np.cumsum(held[::-1])))
        return float((called_n / self.num_members - called_m / self.nonmembers.size).max())
