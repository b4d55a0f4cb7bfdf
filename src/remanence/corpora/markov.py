"""Markov text: a language of known entropy, so that a loss below the entropy is memorization.

A first-order Markov chain over token ids. Each token has `branching` possible successors, the j-th with weight 1/j. A
new document cannot be guessed: with 8 successors the most likely token is right 37 % of the time, so a model that
generates a whole document has memorized it. At 8 successors the entropy is 2.62 bits (1.816 nats) per token.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]

TARGETS_BY_COUNT: Mapping[int, int] = {1: 24, 2: 24, 4: 24, 8: 24, 16: 24, 32: 24}
"""Number of copies in the training rows -> number of documents with so many copies; 1,512 rows in all."""


@dataclass(frozen=True)
class MarkovText:
    """The chain. Two objects with the same fields are the same language."""

    vocab: int = 256
    branching: int = 8
    seed: int = 0
    reserved: int = 0
    """Ids below this one never occur, so that 0 can be padding or end of text."""

    def __post_init__(self) -> None:
        if not 1 <= self.branching <= self.vocab - self.reserved:
            raise ValueError(
                f"a chain over {self.vocab - self.reserved} tokens cannot have {self.branching} successors per token; "
                "lower branching"
            )

    @cached_property
    def successors(self) -> Ids:
        """[vocab, branching] the tokens that may follow each token, most likely first; rows below `reserved` unused."""
        rng = np.random.default_rng(self.seed)
        keys = rng.random((self.vocab, self.vocab - self.reserved))
        return np.argsort(keys, axis=1)[:, : self.branching].astype(np.int64) + self.reserved

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """[branching] probability of the first, second, ... successor: 1/1, 1/2, 1/3, ... normalised."""
        weights = 1 / np.arange(1, self.branching + 1)
        return weights / weights.sum()

    @cached_property
    def transitions(self) -> NDArray[np.float64]:
        """[vocab, vocab] log-probability (nats) of each next token; -inf for an impossible one."""
        table = np.full((self.vocab, self.vocab), -np.inf)
        np.put_along_axis(table, self.successors, np.log(self.weights)[None, :], axis=1)
        return table

    def sample(self, n: int, length: int, rng: np.random.Generator | int) -> Ids:
        """[n, length] independent documents. The first token is uniform."""
        rng = np.random.default_rng(rng)
        ids = np.empty((n, length), dtype=np.int64)
        if length == 0:
            return ids
        ids[:, 0] = rng.integers(self.reserved, self.vocab, size=n)
        choices = rng.choice(self.branching, size=(n, length), p=self.weights)
        for t in range(1, length):
            ids[:, t] = self.successors[ids[:, t - 1], choices[:, t]]
        return ids

    def log_prob(self, ids: Ids) -> NDArray[np.float64]:
        """[..., T] true log-probability (nats) of every token given the ones before it; -inf for an impossible one."""
        ids = np.asarray(ids, dtype=np.int64)
        first = np.where(ids[..., :1] >= self.reserved, -np.log(self.vocab - self.reserved), -np.inf)
        return np.concatenate([first, self.transitions[ids[..., :-1], ids[..., 1:]]], axis=-1)

    def entropy_bits(self) -> float:
        """Entropy in bits per token after the first: the lowest mean loss that any model can have on new text."""
        return float(-(self.weights * np.log2(self.weights)).sum())


@dataclass(frozen=True)
class DuplicatedCorpus:
    """Fine-tuning rows in which it is known how often each document occurs, and documents that never occur."""

    background: Ids
    """[N, T] documents that occur once and are not measured."""
    targets_by_count: Mapping[int, Ids]
    """Number of copies -> [M, T] the documents that occur that often."""
    held_out: Ids
    """[H, T] documents of the same language that are not among the rows."""
    seed: int = 0
    """Seed of the order of the rows."""
    rows: Ids = field(init=False)
    """[R, T] the training rows, copies included, shuffled."""

    def __post_init__(self) -> None:
        copies = [np.repeat(documents, count, axis=0) for count, documents in self.targets_by_count.items()]
        rows = np.concatenate([self.background, *copies])
        object.__setattr__(self, "rows", np.random.default_rng(self.seed).permutation(rows))

    @classmethod
    def draw(
        cls,
        text: MarkovText,
        background: int = 600,
        targets_by_count: Mapping[int, int] = TARGETS_BY_COUNT,
        held_out: int = 200,
        length: int = 48,
        seed: int = 0,
    ) -> DuplicatedCorpus:
        """A corpus of fresh documents; `seed` is the data seed."""
        rng = np.random.default_rng((seed, 1))
        return cls(
            text.sample(background, length, rng),
            {count: text.sample(n, length, rng) for count, n in targets_by_count.items()},
            text.sample(held_out, length, rng),
            seed,
        )
