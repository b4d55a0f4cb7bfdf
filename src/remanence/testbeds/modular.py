"""A rule world of arithmetic: sums or products modulo a prime, some of the training labels replaced at random.

The rule can be learned from the right labels; a wrong label can only be memorized.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from remanence.core.errors import RemanenceError

Ids = NDArray[np.int64]


class ModularData(NamedTuple):
    """All P pairs of numbers, split."""

    pairs_P2: Ids
    true_P: Ids
    """The answer by the rule."""
    given_P: Ids
    """The label of training; equal to the true one outside the training rows."""
    train_P: NDArray[np.bool_]
    """Whether the pair is trained on."""

    @property
    def wrong_P(self) -> NDArray[np.bool_]:
        """Whether the given label is not the true one; a random label may happen to be right."""
        return self.given_P != self.true_P


@dataclass(frozen=True)
class ModularArithmetic:
    """The rule, the split and the corruption. Two seeds: of the split, and of the random labels."""

    prime: int = 97
    operation: Literal["add", "multiply"] = "add"
    train_share: float = 0.5
    corrupted: float = 0.35
    """Share of the training labels that are replaced by uniform random ones, so that (1 - 1/prime) of them change."""
    split_seed: int = 0
    noise_seed: int = 0

    def load(self) -> ModularData:
        """The pairs and their labels."""
        if not (0 < self.train_share <= 1 and 0 <= self.corrupted <= 1):
            raise RemanenceError("train_share and corrupted are shares from 0 to 1, and some pairs must be trained on.")
        first, second = np.divmod(np.arange(self.prime**2), self.prime)
        true = (first + second if self.operation == "add" else first * second) % self.prime
        order = np.random.default_rng((self.split_seed, 1)).permutation(len(true))
        trained = order[: int(self.train_share * len(true))]
        replaced = trained[: int(self.corrupted * len(trained))]
        given = true.copy()
        given[replaced] = np.random.default_rng((self.noise_seed, 2)).integers(self.prime, size=len(replaced))
        return ModularData(np.stack([first, second], axis=1), true, given, np.isin(np.arange(len(true)), trained))
