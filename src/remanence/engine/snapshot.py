"""Snapshots of a model while it changes: which rows are extracted, and their loss, from one pass over a group of rows.

Shared by forgetting, which measures a model while a method changes it, and by the trainer callback.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from remanence.stats.rates import Rate

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Snapshot:
    """One group of rows under one state of a model, [N] each; NaN where a row could not be measured."""

    extracted: Floats
    """1 where the row is extracted greedily at some prefix length, else 0."""
    nll: Floats
    """Summed negative log-probability of the tokens that carry loss (nats)."""
    tokens: Floats
    """Number of these tokens."""

    @property
    def known(self) -> NDArray[np.bool_]:
        """[N] whether a row is long enough to be extracted."""
        return ~np.isnan(self.extracted)

    @property
    def flags(self) -> NDArray[np.bool_]:
        """[K] for each row that is long enough, whether it is extracted."""
        return self.extracted[self.known] > 0.5

    @property
    def rate(self) -> Rate:
        """Of the rows that are extracted greedily."""
        return Rate.of(self.flags)

    @property
    def loss(self) -> float:
        """Mean loss per token that carries loss (nats), each token counted once; NaN without any."""
        known = ~np.isnan(self.nll)
        return float(self.nll[known].sum() / self.tokens[known].sum()) if known.any() else float("nan")

    @property
    def per_row(self) -> Floats:
        """[N] mean log-probability of the tokens of a row; higher = more memorized."""
        with np.errstate(invalid="ignore"):
            return -self.nll / self.tokens
