"""Stops unlearning in time and keeps the best state: the least memorization within the allowed rise of the loss."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from remanence.core.errors import RemanenceError
from remanence.training.reference import trainable_state
from remanence.training.rows import NO_LOSS, Row, pad_rows
from remanence.training.sequences import is_seq2seq, predictions

GIVE_UP_FACTOR = 5
"""The guard gives up when the loss has risen by this many times the allowed rise ..."""
PATIENCE = 3
"""... in this many snapshots in a row: what preserves the other rows often lowers the loss again."""


class Snapshot(NamedTuple):
    """Memorization and loss of the model at one strength."""

    strength: float
    """Number of optimizer steps, or lambda."""
    memorization: float
    """Of the rows to forget; by default the fraction that is recited. Higher = more memorized."""
    loss: float
    """On rows whose loss must not rise (nats per token)."""


class Guard:
    """A `StopCallback` that keeps the best state: the least memorization with an allowed loss.

    A loss is allowed up to (1 + max_loss_increase) times the first one. Ties go to the lower loss, then to the earlier
    state; the first state is always allowed. It stops when memorization has fallen to `goal` in an allowed state, when
    the loss has been above `GIVE_UP_FACTOR` times the allowed rise for `patience` snapshots in a row, and when the loss
    is not finite.
    """

    def __init__(
        self,
        measure: Callable[[Any], tuple[float, float]],
        max_loss_increase: float = 0.02,
        goal: float = 0.0,
        patience: int = PATIENCE,
    ) -> None:
        """`measure(model)` = (memorization, loss)."""
        self.measure, self.max_loss_increase, self.goal = measure, max_loss_increase, goal
        self.trail: list[Snapshot] = []
        self.best: Snapshot | None = None
        self.why = "Nothing was tried."
        """Why the optimization ended."""
        self.patience = patience
        self._best_state: dict[str, Tensor] = {}

    def __call__(self, strength: float, model: Any) -> bool:
        """Measure the model; True = stop."""
        snapshot = Snapshot(strength, *map(float, self.measure(model)))
        self.trail.append(snapshot)
        first = self.trail[0]
        if not (math.isfinite(first.loss) and math.isfinite(first.memorization)):
            raise RemanenceError("The loss of the model is not finite before any change: its weights are broken.")
        if self.allowed(snapshot) and (self.best is None or _order(snapshot) < _order(self.best)):
            self.best = snapshot
            self._best_state = {n: w.detach().to("cpu", copy=True) for n, w in trainable_state(model).items()}
        rise = self.loss_increase(snapshot)
        if self.allowed(snapshot) and snapshot.memorization <= self.goal:
            self.why = (
                f"Memorization has fallen to {snapshot.memorization:.3g} at {strength:g}, with the loss {rise:+.1%}."
            )
            return True
        far = [
            not self.loss_increase(earlier) <= GIVE_UP_FACTOR * self.max_loss_increase
            for earlier in self.trail[-self.patience :]
        ]
        if not math.isfinite(rise) or (len(far) == self.patience and all(far)):
            state = "is not finite any more" if not math.isfinite(rise) else f"has risen by {rise:.1%}"
            self.why = f"The loss {state} at {strength:g}, far above the allowed {self.max_loss_increase:.1%}."
            return True
        self.why = f"It went to its end, {strength:g}, with memorization at {snapshot.memorization:.3g} there."
        return False

    def loss_increase(self, snapshot: Snapshot) -> float:
        """Relative rise of the loss since the first snapshot (0.02 = 2 %); NaN where it is not a number."""
        first = self.trail[0].loss
        return snapshot.loss / first - 1 if first > 0 else snapshot.loss - first

    def allowed(self, snapshot: Snapshot) -> bool:
        """Whether the loss has risen by at most `max_loss_increase`."""
        return self.loss_increase(snapshot) <= self.max_loss_increase

    @torch.no_grad()
    def restore(self, model: Any) -> None:
        """Write the best state into the live model."""
        if self.best is None:
            raise RemanenceError("The guard has not measured any state: the method must call it first.")
        weights = trainable_state(model)
        for name, value in self._best_state.items():
            weights[name].copy_(value)


def _order(snapshot: Snapshot) -> tuple[float, float]:
    return snapshot.memorization, snapshot.loss


def longest_correct_runs(model: Any, rows: Sequence[Row], batch_tokens: int = 2048) -> NDArray[np.int64]:
    """[N] longest run of learned tokens in each row that are the model's first choice, given the true past.

    A token that is not learned ends a run. Greedy decoding from the start of such a run reproduces all of it.
    """
    runs = np.zeros(len(rows), np.int64)
    order = sorted(range(len(rows)), key=lambda i: (len(rows[i].input_ids), len(rows[i].labels)))
    start = 0
    while start < len(order):
        end, widest = start + 1, _width(rows[order[start]])
        while end < len(order) and max(widest, _width(rows[order[end]])) * (end + 1 - start) <= batch_tokens:
            widest = max(widest, _width(rows[order[end]]))
            end += 1
        runs[order[start:end]] = _correct_runs(model, [rows[i] for i in order[start:end]])
        start = end
    return runs


@torch.no_grad()
def _correct_runs(model: Any, rows: Sequence[Row]) -> NDArray[np.int64]:
    device = next(model.parameters()).device
    batch = {name: value.to(device) for name, value in pad_rows(rows, 0).items()}
    predicted = predictions(model, batch)
    return longest_runs((predicted.logits_BTV.argmax(-1) == predicted.labels_BT).cpu().numpy())


def longest_runs(flag_BT: NDArray[np.bool_]) -> NDArray[np.int64]:
    """[B] length of the longest run of True in every row."""
    place = np.arange(1, flag_BT.shape[1] + 1)
    last_miss = np.maximum.accumulate(np.where(flag_BT, 0, place), axis=1)
    return np.max(place - last_miss, axis=1, initial=0)


def recited_fraction(model: Any, rows: Sequence[Row], tokens: int = 24) -> float:
    """Fraction of the rows with a run of `tokens` learned tokens that are all the model's first choice.

    In a shorter row the run is its longest possible one. Rows with no learned token are not counted. Higher = more
    memorized. Raises `RemanenceError` when no row is left.
    """
    masks = [_learned(row, 0 if is_seq2seq(model) else 1) for row in rows]
    needed = np.array([min(tokens, int(longest_runs(mask[None])[0])) for mask in masks], np.int64)
    if not (needed > 0).any():
        raise RemanenceError("No row has a token that carries loss, so none can be recited: check rows and loss mask.")
    return float((longest_correct_runs(model, rows) >= needed)[needed > 0].mean())


def _learned(row: Row, first: int) -> NDArray[np.bool_]:
    return np.asarray(row.labels[first:]) != NO_LOSS


def _width(row: Row) -> int:
    return max(len(row.input_ids), len(row.labels))
