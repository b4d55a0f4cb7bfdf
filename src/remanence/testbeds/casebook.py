"""The casebook model: the shipped small model, fine-tuned on private rows of the fictional casebook.

The rows, their five tasks and the base models are in `remanence.corpora.casebook`. The recipe is the demo's: 800 rows,
each standing 1 to 16 times among them, and 200 held-out rows of other people.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from remanence.core.run import fingerprint
from remanence.corpora.casebook.base_model import base_folder
from remanence.corpora.casebook.corpus import PrivateCorpus
from remanence.corpora.casebook.recipe import DEMO, Recipe
from remanence.testbeds.cache import cached
from remanence.training.finetune import finetune


@dataclass(frozen=True)
class CasebookModel:
    """A model folder in the cache. Copy it before you change anything in it."""

    recipe: Recipe = DEMO
    """Rows and training; its seed is that of the rows and of the order."""
    family: Literal["causal", "seq2seq"] = "causal"

    def corpus(self) -> PrivateCorpus:
        """The rows it is trained on and the held-out ones."""
        return self.recipe.corpus()

    def folder(self) -> Path:
        """The fine-tuned model (config, tokenizer, safetensors), trained at the first call."""
        weights = (base_folder(self.family) / "model.safetensors").read_bytes()
        key = _Trained(tuple(self.recipe), self.family, fingerprint(weights))
        return cached(key, self.train, _move, lambda folder: folder / "model")

    def train(self) -> Path:
        """Train it into a new temporary folder, without the cache. The folder is named `model` and is the caller's."""
        out = Path(tempfile.mkdtemp()) / "model"
        training = self.recipe.training()
        finetune(base_folder(self.family), self.corpus().train, out, progress=False, **training)  # pyright: ignore
        return out


def _move(model: Path, folder: Path) -> None:
    shutil.move(model, folder / model.name)
    model.parent.rmdir()


@dataclass(frozen=True)
class _Trained:
    """What decides the weights."""

    version: ClassVar[int] = 1

    recipe: tuple[object, ...]
    family: str
    base: str
    """Fingerprint of the base model's weights."""
