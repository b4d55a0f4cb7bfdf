"""The demo in figures: how many private rows, how often repeated, and how long the small model is fine-tuned on them.

Chosen so that the answer is worth reading: rows seen 16 times come back, rows seen once mostly do not, held-out rows
and the base model give back nothing.
"""

from __future__ import annotations

from typing import NamedTuple

from remanence.corpora.casebook.corpus import PrivateCorpus, private_corpus


class Recipe(NamedTuple):
    """Everything that decides what the demo's model remembers; the training fields are arguments of `finetune`."""

    seed: int = 0
    num_rows: int = 800
    duplicates: tuple[int, ...] = (1, 2, 4, 8, 16)
    num_heldout: int = 200
    epochs: int = 3
    learning_rate: float = 2e-3
    batch_size: int = 8
    max_length: int = 512

    def corpus(self) -> PrivateCorpus:
        """The rows to train on and the rows to keep aside."""
        return private_corpus(self.seed, self.num_rows, self.duplicates, self.num_heldout)

    def training(self) -> dict[str, int | float]:
        """Keyword arguments for `remanence.training.finetune.finetune`."""
        names = ("epochs", "learning_rate", "batch_size", "max_length", "seed")
        return {name: getattr(self, name) for name in names}


DEMO = Recipe()
