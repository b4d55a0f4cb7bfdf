"""Applies an unlearning method to a target and its rows, and returns a new target.

Every method after training is an optimization: it changes a model with increasing strength and calls a `StopCallback`
along the way. Which state is kept is decided by the `Guard`, in the same way for all methods.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

from remanence.core.errors import RemanenceError
from remanence.core.record import Record
from remanence.core.run import fingerprint
from remanence.core.target import Opens
from remanence.training.guard import Guard, recited_fraction
from remanence.training.prepare import prepare
from remanence.training.reference import trainable_state
from remanence.training.rows import Row, plain_collator
from remanence.training.sequences import is_seq2seq, mean_loss
from remanence.training.unlearn import StopCallback

Optimize: TypeAlias = Callable[[Any, Any, Sequence[Row], Sequence[Row], StopCallback], None]
"""(model, tokenizer, forget, retain, stop): changes the live model along growing strength until `stop` returns True."""

SHARE = 10
"""Where no rows are held out, one retain row in this many stands in for them."""


class Sides(NamedTuple):
    """The rows of a forgetting, as the model takes them."""

    forget: list[Row]
    retain: list[Row]
    """Rows that a method may train on to keep them."""
    heldout: list[Row]
    """Rows that nobody trains on; the guard takes the loss on them."""


def sides(target: Opens, records: Sequence[Record], needs: Collection[str] = (), seed: int = 0) -> Sides:
    """The records by their group, rendered with the target's own renderer; rows with nothing to learn are left out.

    Without held-out records a fixed tenth of the retain rows takes their place and is not trained on. Raises
    `RemanenceError` when a side is empty that cannot be.
    """
    rows = {
        group: prepare([r for r in records if r.group == group], target.render).rows  # pyright: ignore[reportArgumentType]
        for group in ("forget", "retain", "heldout")
    }
    forget, retain, heldout = rows["forget"], rows["retain"], rows["heldout"]
    if not forget:
        raise RemanenceError("None of the rows is to be forgotten: give those the group 'forget'.")
    if not heldout:
        order = np.random.default_rng((seed, 7)).permutation(len(retain))
        aside = set(order[: -(-len(retain) // SHARE)].tolist())
        heldout = [row for place, row in enumerate(retain) if place in aside]
        retain = [row for place, row in enumerate(retain) if place not in aside]
    if not heldout:
        raise RemanenceError(
            "Nothing says what must not suffer: give rows of the group 'heldout', or at least one of 'retain'."
        )
    if "retain" in needs and not retain:
        raise RemanenceError("This method trains on rows that are to be kept: give more rows of the group 'retain'.")
    return Sides(forget, retain, heldout)


def memorization_and_loss(tokenizer: Any, rows: Sides, tokens: int = 24) -> Callable[[Any], tuple[float, float]]:
    """What the guard measures: fraction of forget rows with `tokens` tokens recited, and the held-out loss (nats)."""
    collate = plain_collator(tokenizer)

    def measure(model: Any) -> tuple[float, float]:
        loss = mean_loss(model, rows.heldout, collate, batch_size=16, seq2seq=is_seq2seq(model))
        return recited_fraction(model, rows.forget, tokens), loss

    return measure


def apply_unlearning(
    target: Opens,
    records: Sequence[Record],
    walk: Optimize,
    name: str,
    limit: float = 0.02,
    *,
    needs: Collection[str] = (),
    goal: float = 0.0,
    tokens: int = 24,
    seed: int = 0,
) -> Opens:
    """A target that has forgotten: `target+name`, of the same form (whole or PEFT), with a fingerprint of its own.

    The model is copied and the copy walked under a `Guard` of this `limit` (greatest relative rise of the held-out
    loss) and `goal` (share of forget rows with a run of `tokens` recited); the best state is what comes back. `target`
    stays as it is. `seed` chooses the retain rows that stand in for held-out ones.
    """
    module: Any = getattr(target, "module", None)
    tokenizer: Any = getattr(target, "tokenizer", None)
    if module is None or tokenizer is None:
        raise RemanenceError(f"{name} changes weights, and {target.name} has none to change; load a model's folder.")
    rows = sides(target, records, needs, seed)
    model = copy.deepcopy(module).eval()
    guard = Guard(memorization_and_loss(tokenizer, rows, tokens), limit, goal)
    walk(model, tokenizer, rows.forget, rows.retain, guard)
    guard.restore(model)
    return with_changed_model(target, model, name)


def with_changed_model(target: Opens, model: Any, name: str) -> Opens:
    """The same target with another model in it, named `target+name`."""
    changed: Any = copy.copy(target)
    changed.module, changed.name = model.eval(), f"{target.name}+{name}"
    changed.fingerprint = fingerprint(target.fingerprint.encode(), name.encode(), weights_bytes(trainable_state(model)))
    return changed


def weights_bytes(weights: Mapping[str, Tensor]) -> bytes:
    """A digest of named tensors."""
    return fingerprint(
        *(
            part
            for key, value in sorted(weights.items())
            for part in (key.encode(), value.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
        )
    ).encode()
