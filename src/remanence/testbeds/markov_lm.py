"""Markov language models: tiny models of a language of known entropy, before and after they learn duplicated rows.

`MarkovLM` has learned the language and no document of it, since every row of its training is new. `DuplicatesLM` is
such a model after fine-tuning on rows among which some documents occur 2, 4, ... 32 times. The text, the first weights
and the order of the rows have a seed each.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from remanence.corpora.markov import TARGETS_BY_COUNT, DuplicatedCorpus, MarkovText
from remanence.testbeds.cache import cached
from remanence.testbeds.weights import load_weights, save_weights
from remanence.training.tiny import LEARNING_RATES, shuffled, tiny_gpt2, tiny_neox, train_lm

Positions = Literal["absolute", "rotary"]


@dataclass(frozen=True)
class MarkovLM:
    """A tiny model trained on fresh text of a Markov language."""

    version: ClassVar[int] = 1

    text: MarkovText = field(default_factory=MarkovText)
    """The language; its seed is the data seed of the language itself."""
    size: str = "medium"
    """small, toy, medium or large, see `remanence.training.tiny.SIZES`."""
    steps: int = 400
    batch: int = 32
    """Rows per step."""
    length: int = 48
    """Tokens per row."""
    positions: Positions = "absolute"
    """absolute: GPT-2 with learned positions; rotary: GPT-NeoX."""
    seed: int = 0
    """Of the first weights."""
    data_seed: int | None = None
    """Of the rows; None = the same as `seed`."""

    def model(self) -> Any:
        """The trained model from the cache, a new object at every call."""
        return cached(self, self.train, save_weights, self._load)

    def train(self) -> Any:
        """Train it, without the cache."""
        model = self.untrained()
        rng = np.random.default_rng((self.seed if self.data_seed is None else self.data_seed, 2))
        rows = (torch.from_numpy(self.text.sample(self.batch, self.length, rng)) for _ in range(self.steps))
        train_lm(model, rows, LEARNING_RATES[self.size])
        return model

    def untrained(self) -> Any:
        """The model with its first weights."""
        make = tiny_gpt2 if self.positions == "absolute" else tiny_neox
        return make(self.size, vocab=self.text.vocab, seed=self.seed)

    def _load(self, folder: Path) -> Any:
        return load_weights(self.untrained(), folder)


@dataclass(frozen=True)
class DuplicatesLM:
    """A `MarkovLM` fine-tuned on a corpus in which it is known how often each document occurs."""

    version: ClassVar[int] = 1

    base: MarkovLM = field(default_factory=MarkovLM)
    background: int = 600
    """Documents that occur once and are not measured."""
    targets_by_count: tuple[tuple[int, int], ...] = tuple(TARGETS_BY_COUNT.items())
    """(copies in the rows, number of such documents)."""
    held_out: int = 200
    """Documents that never occur."""
    epochs: int = 1
    batch: int = 8
    corpus_seed: int = 0
    order_seed: int = 0

    def corpus(self) -> DuplicatedCorpus:
        """The documents and the rows."""
        return DuplicatedCorpus.draw(
            self.base.text,
            self.background,
            dict(self.targets_by_count),
            self.held_out,
            self.base.length,
            self.corpus_seed,
        )

    def model(self) -> Any:
        """The fine-tuned model from the cache, a new object at every call."""
        return cached(self, self.train, save_weights, self._load)

    def train(self) -> Any:
        """Fine-tune it, without the cache (the base model comes from the cache)."""
        model = self.base.model()
        rows = shuffled(self.corpus().rows, self.batch, self.epochs, self.order_seed)
        train_lm(model, rows, LEARNING_RATES[self.base.size])
        return model

    def _load(self, folder: Path) -> Any:
        return load_weights(self.base.untrained(), folder)
