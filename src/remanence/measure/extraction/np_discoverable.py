"""(n,p)-discoverable: do n samples contain the continuation of the row with probability p?

Paper: Hayes et al. 2025, "Measuring memorization through probabilistic discoverable extraction", arXiv 2410.19482
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from remanence.core.finding import Score
from remanence.core.scheme import SamplingScheme
from remanence.core.table import TokenRow
from remanence.core.verbs import TableMeasure
from remanence.measure.extraction.splits import on_grid, splits, window_sums


@dataclass(frozen=True)
class NPDiscoverable(TableMeasure):
    """Probability of sampling the next `new_tokens` tokens of the row, in closed form from one forward pass."""

    scheme: SamplingScheme = field(default_factory=SamplingScheme)
    """Sampling scheme."""
    p: float = 0.5
    """Required probability; `queries` in the evidence is the number of samples needed for it."""
    prefixes: tuple[int, ...] = (0, 8, 16, 32)
    """Prefix lengths: tokens with loss in the prompt."""
    new_tokens: int = 24
    """Number of tokens that must be generated exactly."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", f"np_discoverable[{self.scheme.name}]")
        object.__setattr__(self, "needs", ("gap", self.scheme.column))

    def score(self, row: TokenRow, base: TokenRow | None = None) -> Score:
        """log p_z, nats, at the best prefix length of the grid; -inf if the scheme excludes one of its tokens.

        Evidence: `log_p` per prefix length; `queries` needed at the best one for probability `p`.
        """
        _ = row.scored("gap")  # NaN logits are refused here: under a scheme NaN and -inf must not mix
        split = splits(row, self.new_tokens)
        log_p_S = suffix_logprobs(row.columns[self.scheme.column], self.new_tokens)[split.at_S]
        at = {length: float(log_p_S[s]) for length, s in on_grid(split, self.prefixes).items()}
        best = max(at.values())
        return Score(best, {"log_p": at, "queries": float(min_queries(best, self.p))})


def suffix_logprobs(logprob_T: NDArray[Any], new_tokens: int) -> NDArray[np.float64]:
    """[T - K + 1] log p_z = sum of log q over the K tokens from each position on, in float64."""
    return window_sums(logprob_T, new_tokens)


def prob_extracted(log_p: ArrayLike, n: ArrayLike) -> NDArray[np.float64]:
    """1 - (1 - p_z)^n, the probability of at least one hit in n independent samples."""
    log_p, n = np.asarray(log_p, np.float64), np.asarray(n, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        survive = n * np.log1p(-np.exp(log_p))
    return np.where(n == 0, 0.0, np.where(log_p >= 0, 1.0, -np.expm1(survive)))


def min_queries(log_p: ArrayLike, p: float) -> NDArray[np.float64]:
    """Fewest samples n with `prob_extracted(log_p, n) >= p`: ceil(log(1-p) / log(1-p_z)); inf if p_z = 0.

    Below log p_z = -30, where 1 - p_z rounds to 1, log(1-p_z) = -p_z to first order and n is not rounded up.
    """
    log_p = np.asarray(log_p, np.float64)
    goal = np.log1p(-p)
    with np.errstate(divide="ignore", over="ignore"):
        near = np.ceil(goal / np.log1p(-np.exp(np.minimum(log_p, -1e-300))))
        far = np.exp(np.minimum(np.log(-goal) - log_p, 709.0))
    far = np.where(np.log(-goal) - log_p > 709.0, np.inf, far)
    near = np.maximum(near, 1.0)
    near -= (near > 1) & (prob_extracted(log_p, near - 1) >= p)  # the quotient was whole and came out a hair above
    return np.where(log_p >= 0, 1.0, np.where(log_p < -30, far, near))
