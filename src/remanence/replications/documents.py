"""Documents of a Markov language that a tiny model learns by heart, and whether it still recites them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from remanence.corpora.markov import Ids, MarkovText
from remanence.training.tiny import train_lm

PREFIX, SUFFIX = 16, 32
"""Tokens that are given, and tokens that the model has to continue with."""
LENGTH = PREFIX + SUFFIX


def learned(
    base: Any, text: MarkovText, documents: Ids, steps: int, fresh: int, rate: float, seed: tuple[int, ...]
) -> Any:
    """A copy of the model that was trained on all documents in every step, beside `fresh` rows of new text."""

    def batches() -> Iterator[Tensor]:
        rng = np.random.default_rng(seed)
        for _ in range(steps):
            yield torch.from_numpy(np.concatenate([documents, text.sample(fresh, LENGTH, rng)]))

    model = copy.deepcopy(base)
    train_lm(model, batches(), rate)
    return model


@torch.no_grad()
def correct(model: Any, documents: Ids) -> NDArray[np.bool_]:
    """[N, SUFFIX] whether each token after the first PREFIX is the model's first choice, its true past given.

    Greedy decoding produces the whole suffix exactly when all of them are.
    """
    choices = model(input_ids=torch.from_numpy(documents)).logits[:, PREFIX - 1 : -1].argmax(-1).numpy()
    return np.equal(choices, documents[:, PREFIX:])


def recites(model: Any, documents: Ids) -> NDArray[np.bool_]:
    """[N] whether greedy decoding after the first PREFIX tokens produces the rest."""
    return np.asarray(correct(model, documents).all(axis=1), np.bool_)
