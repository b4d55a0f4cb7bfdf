"""The demo's settings: number of private rows, number of copies, and training of the small model.

They are chosen so that rows with 16 copies are extracted, most rows that occur once are not, and nothing is extracted
from the base model or of held-out rows.
"""

from __future__ import annotations

from typing import NamedTuple

from remanence.corpora.casebook.corpus import PrivateCorpus, private_corpus


class Recipe(NamedTuple):
    """All settings that affect what the demo's model memorizes; the training fields are arguments of `finetune`."""

    seed: int = 0
    num_rows: int = 800
    duplicates: tuple[int, ...] = (1, 2, 4, 8, 16)
    num_heldout: int = 200
    epochs: int = 3
    learning_rate: float = 2e-3
    batch_size: int = 8
    max_length: int = 512

    def corpus(self) -> PrivateCorpus:
        """The training rows and the held-out rows."""
        return private_corpus(self.seed, self.num_rows, self.duplicates, self.num_heldout)

    def training(self) -> dict[str, int | float]:
        """Keyword arguments for `remanence.training.finetune.finetune`."""
        names = ("epochs", "learning_rate", "batch_size", "max_length", "seed")
        return {name: getattr(self, name) for name in names}


DEMO = Recipe()
