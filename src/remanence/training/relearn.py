"""Relearning: how many training steps bring forgotten rows back. Few steps mean that they were only hidden.

A copy of the model is fine-tuned; the model itself is not changed. After training on a part of the forgotten rows, the
question is whether the others are recited again; after training on other rows of the same kind, whether ordinary
further training undoes the forgetting. Compare the number with that of a model retrained without the rows.

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
from remanence.training.reference import eval_mode, set_trainable
from remanence.training.rows import Row, plain_collator


class RelearnStep(NamedTuple):
    """The copy after some steps."""

    step: int
    memorization: float
    """Higher = more memorized."""
    loss: float
    """Of the batch of this step, before the step (nats per token); NaN at step 0."""


class Relearned(NamedTuple):
    """How fast the rows came back."""

    steps: int | None
    """Steps at the first measurement that reached the goal; None = not within the allowed steps."""
    trail: tuple[RelearnStep, ...]
    """Step 0 is the model as it was given."""


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
    """Fine-tune a copy on `rows` (AdamW, no decay, gradient norm clipped at 1) until `memorization(copy)` >= `goal`.

    `memorization` is measured on the copy in eval mode, at step 0, after every `check_every` steps and at the end.
    Dropout is off throughout, so that the same arguments give the same trail. For an adapter, only the adapter is
    trained. Raises `RemanenceError` without rows that carry loss.
    """
    learned = [row for row in rows if any(label >= 0 for label in row.labels)]
    if not learned:
        raise RemanenceError("There is nothing to relearn: give rows with tokens that carry loss.")
    trained = copy.deepcopy(model)
    trained.eval()
    weights = list(set_trainable(trained).values())
    device = next(trained.parameters()).device
    optimizer = torch.optim.AdamW(weights, lr=learning_rate, weight_decay=0.0)
    collate = plain_collator(tokenizer)
    trail = [RelearnStep(0, _measured(memorization, trained), math.nan)]
    for step, places in enumerate(_batches(len(learned), batch_size, seed), start=1):
        if trail[-1].memorization >= goal or step > max_steps:
            break
        batch = {name: value.to(device) for name, value in collate([learned[place] for place in places]).items()}
        loss = trained(**batch).loss
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        if step % check_every == 0 or step == max_steps:
            trail.append(RelearnStep(step, _measured(memorization, trained), float(loss.detach())))
    return Relearned(trail[-1].step if trail[-1].memorization >= goal else None, tuple(trail))


def _measured(memorization: Callable[[Any], float], model: Any) -> float:
    with eval_mode(model), torch.no_grad(), torch.random.fork_rng():
        return float(memorization(model))


def _batches(num_rows: int, size: int, seed: int) -> Iterator[list[int]]:
    """Indices of rows, endlessly: every row once per pass, in a new order each time."""
    rng = np.random.default_rng((seed, 8))
    while True:
        order = rng.permutation(num_rows).tolist()
        for start in range(0, num_rows, size):
            yield order[start : start + size]
