"""How many steps bring forgotten rows back? Few, and they were only hidden; as many as without them, and they are gone.

A copy of the model is fine-tuned, the model itself is never touched. Trained on a part of the forgotten rows, the
question is whether the others come back with them; trained on other rows of the same kind, whether ordinary further
training undoes the forgetting. Neither number means anything alone: put the retrained model's beside it.

Source of the idea: Chundawat et al. 2023, "Zero-Shot Machine Unlearning", arXiv 2201.05629 (anamnesis index);
Lynch et al. 2024, "Eight Methods to Evaluate Robust Unlearning in LLMs", arXiv 2402.16835 (relearning).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from remanence.core.errors import RemanenceError
from remanence.training.rows import Row
from remanence.training.start import evaluating, trainable
from remanence.training.trainers import plain_collator


class At(NamedTuple):
    """The copy after some steps."""

    step: int
    memorization: float
    """Higher = more memorized."""
    loss: float
    """Of the batch of that step, before it, nats per token; NaN at step 0."""


class Relearned(NamedTuple):
    """How fast the rows came back."""

    steps: int | None
    """The first look at which the goal was reached; None = not within the steps allowed."""
    trail: tuple[At, ...]
    """Step 0 is the model as it was given."""


class Parts(NamedTuple):
    """Rows to train on, and the others, whose return is watched."""

    taught: list[int]
    watched: list[int]


def parts(num_rows: int, share: float = 0.5, seed: int = 0) -> Parts:
    """Which rows are taught again, by place; the same for every model. Both parts have a row where there are two."""
    order = np.random.default_rng((seed, 7)).permutation(num_rows).tolist()
    taught = min(max(1, round(share * num_rows)), max(1, num_rows - 1))
    return Parts(sorted(order[:taught]), sorted(order[taught:]))


def relearn(
    model: Any,
    tokenizer: Any,
    rows: Sequence[Row],
    *,
    memorization: Callable[[Any], float],
    goal: float,
    max_steps: int = 50,
    learning_rate: float = 1e-4,
    batch_size: int = 8,
    check_every: int = 1,
    seed: int = 0,
) -> Relearned:
    """Fine-tune a copy on `rows` (AdamW, no decay, gradients clipped at 1) until `memorization(copy)` reaches `goal`.

    `memorization` is asked of the copy in eval mode, at step 0, after every `check_every` steps and at the end. Dropout
    is off throughout, so that the same arguments give the same trail. An adapter alone is trained, if there is one.
    Raises `RemanenceError` without rows that carry loss.
    """
    learned = [row for row in rows if any(label >= 0 for label in row.labels)]
    if not learned:
        raise RemanenceError("There is nothing to relearn: give rows with tokens that carry loss.")
    pupil = copy.deepcopy(model)
    pupil.eval()
    weights = list(trainable(pupil).values())
    device = next(pupil.parameters()).device
    optimizer = torch.optim.AdamW(weights, lr=learning_rate, weight_decay=0.0)
    collate = plain_collator(tokenizer)
    trail = [At(0, _asked(memorization, pupil), math.nan)]
    for step, places in enumerate(_batches(len(learned), batch_size, seed), start=1):
        if trail[-1].memorization >= goal or step > max_steps:
            break
        batch = {name: value.to(device) for name, value in collate([learned[place] for place in places]).items()}
        loss = pupil(**batch).loss
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        if step % check_every == 0 or step == max_steps:
            trail.append(At(step, _asked(memorization, pupil), float(loss.detach())))
    return Relearned(trail[-1].step if trail[-1].memorization >= goal else None, tuple(trail))


def _asked(memorization: Callable[[Any], float], model: Any) -> float:
    with evaluating(model), torch.no_grad(), torch.random.fork_rng():
        return float(memorization(model))


def _batches(num_rows: int, size: int, seed: int) -> Iterator[list[int]]:
    """Places of rows without end: every row once, in a new order each time."""
    rng = np.random.default_rng((seed, 8))
    while True:
        order = rng.permutation(num_rows).tolist()
        for start in range(0, num_rows, size):
            yield order[start : start + size]
