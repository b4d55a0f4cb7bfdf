"""The guard of a forgetting: looks at memory and loss along the way, keeps the best state, and stops in time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from remanence.core.errors import RemanenceError
from remanence.training.rows import NO_LOSS, Row, pad_rows
from remanence.training.sequences import is_seq2seq, predictions
from remanence.training.start import changeable

FAR = 5
"""The guard gives up when the loss has risen this many times as far as is allowed,"""
PATIENCE = 3
"""and has stayed there for so many looks: what holds on to the other rows often brings the loss back."""


class Seen(NamedTuple):
    """One look at the model."""

    strength: float
    """Steps done, or lambda."""
    memorization: float
    """Of the rows to forget; by default the share that is recited. Higher = more memorized."""
    loss: float
    """On rows that must not suffer (nats per token)."""


class Guard:
    """A `Watch` that keeps the best state seen: the least memorization at a loss of at most (1 + limit) x the first.

    Ties go to the lower loss, then to the earlier state; the first state is always allowed. It stops when memorization
    is down to `goal` within the limit, when the loss has been past `FAR` times the limit for `patience` looks on end,
    and when it is no number.
    """

    def __init__(
        self,
        measure: Callable[[Any], tuple[float, float]],
        limit: float = 0.02,
        goal: float = 0.0,
        patience: int = PATIENCE,
    ) -> None:
        """`measure(model)` = (memorization, loss)."""
        self.measure, self.limit, self.goal = measure, limit, goal
        self.trail: list[Seen] = []
        self.best: Seen | None = None
        self.why = "Nothing was tried."
        self.patience = patience
        self._snapshot: dict[str, Tensor] = {}

    def __call__(self, strength: float, model: Any) -> bool:
        """Take a look; True = stop."""
        seen = Seen(strength, *map(float, self.measure(model)))
        self.trail.append(seen)
        start = self.trail[0]
        if not (math.isfinite(start.loss) and math.isfinite(start.memorization)):
            raise RemanenceError("The model's loss is no number before anything is changed: its weights are broken.")
        if self.within(seen) and (self.best is None or _order(seen) < _order(self.best)):
            self.best = seen
            self._snapshot = {n: w.detach().to("cpu", copy=True) for n, w in changeable(model).items()}
        rise = self.rise(seen)
        if self.within(seen) and seen.memorization <= self.goal:
            self.why = f"Memorization is down to {seen.memorization:.3g} at {strength:g}, with the loss {rise:+.1%}."
            return True
        far = [not self.rise(one) <= FAR * self.limit for one in self.trail[-self.patience :]]
        if not math.isfinite(rise) or (len(far) == self.patience and all(far)):
            told = "is no number any more" if not math.isfinite(rise) else f"has risen by {rise:.1%}"
            self.why = f"The loss {told} at {strength:g}, far past the {self.limit:.1%} that is allowed."
            return True
        self.why = f"It went to its end, {strength:g}, with memorization at {seen.memorization:.3g} there."
        return False

    def rise(self, seen: Seen) -> float:
        """Relative rise of the loss since the first look; NaN where it is no number."""
        first = self.trail[0].loss
        return seen.loss / first - 1 if first > 0 else seen.loss - first

    def within(self, seen: Seen) -> bool:
        """Whether this state is allowed."""
        return self.rise(seen) <= self.limit

    @torch.no_grad()
    def restore(self, model: Any) -> None:
        """Put the best state seen back into the live model."""
        if self.best is None:
            raise RemanenceError("The guard has seen no state yet: let the method call it first.")
        weights = changeable(model)
        for name, value in self._snapshot.items():
            weights[name].copy_(value)


def _order(seen: Seen) -> tuple[float, float]:
    return seen.memorization, seen.loss


def longest_right_runs(model: Any, rows: Sequence[Row], batch_tokens: int = 2048) -> NDArray[np.int64]:
    """[N] the longest run of learned tokens in each row that the model, the true past given, has as its first choice.

    A token that is not learned breaks a run. Greedy decoding from the start of such a run says all of it.
    """
    runs = np.zeros(len(rows), np.int64)
    order = sorted(range(len(rows)), key=lambda i: (len(rows[i].input_ids), len(rows[i].labels)))
    at = 0
    while at < len(order):
        end, widest = at + 1, _width(rows[order[at]])
        while end < len(order) and max(widest, _width(rows[order[end]])) * (end + 1 - at) <= batch_tokens:
            widest = max(widest, _width(rows[order[end]]))
            end += 1
        runs[order[at:end]] = _right_runs(model, [rows[i] for i in order[at:end]])
        at = end
    return runs


@torch.no_grad()
def _right_runs(model: Any, rows: Sequence[Row]) -> NDArray[np.int64]:
    device = next(model.parameters()).device
    batch = {name: value.to(device) for name, value in pad_rows(rows, 0).items()}
    said = predictions(model, batch)
    return longest_runs((said.logits_BTV.argmax(-1) == said.labels_BT).cpu().numpy())


def longest_runs(flag_BT: NDArray[np.bool_]) -> NDArray[np.int64]:
    """[B] length of the longest stretch of True in every line."""
    place = np.arange(1, flag_BT.shape[1] + 1)
    last_miss = np.maximum.accumulate(np.where(flag_BT, 0, place), axis=1)
    return np.max(place - last_miss, axis=1, initial=0)


def recited(model: Any, rows: Sequence[Row], tokens: int = 24) -> float:
    """Share of the rows of which a run of `tokens` learned tokens is known, or the longest there is in a shorter row.

    Rows with nothing learned do not count. Raises `RemanenceError` when no row is left.
    """
    lines = [_learned(row, 0 if is_seq2seq(model) else 1) for row in rows]
    needed = np.array([min(tokens, int(longest_runs(line[None])[0])) for line in lines], np.int64)
    if not (needed > 0).any():
        raise RemanenceError(
            "No row has a token to learn, so nothing can be recited: check the rows and their loss mask."
        )
    return float((longest_right_runs(model, rows) >= needed)[needed > 0].mean())


def _learned(row: Row, first: int) -> NDArray[np.bool_]:
    return np.asarray(row.labels[first:]) != NO_LOSS


def _width(row: Row) -> int:
    return max(len(row.input_ids), len(row.labels))
