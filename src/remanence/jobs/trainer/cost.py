"""Cost of the evaluations during training: estimated in advance from one timed evaluation, and measured afterwards."""

from __future__ import annotations

import math

from remanence.core.units import duration

BACKWARD = 3.0
"""A training step reads a token forward and backward: about three times the arithmetic of a forward pass."""


def planned_looks(every: str | int, epochs: float, max_steps: int, done_steps: int = 0, done_epochs: float = 0) -> int:
    """Number of evaluations after the first one."""
    if every == "epoch":
        return max(0, math.ceil(epochs - 1e-9) - math.floor(done_epochs + 1e-9))
    assert isinstance(every, int)
    return max(0, math.ceil(max_steps / every) - done_steps // every)


def share_by_tokens(look_tokens: float, looks: int, train_tokens: float) -> float:
    """Expected fraction of the training's work: forward passes against `BACKWARD` times as much per token."""
    return look_tokens * looks / (BACKWARD * train_tokens) if train_tokens else math.nan


def in_advance(seconds: float, rows: str, looks: int, share: float) -> str:
    """The sentence before the training; `share` may be NaN."""
    about = "" if math.isnan(share) else f", by tokens about {_percent(share)} of the training"
    planned = f"{looks} more {'is' if looks == 1 else 'are'} planned"
    total = duration(seconds * looks)
    return f"An evaluation of {rows} takes {duration(seconds)}; {planned}, {total}{about}."


def afterwards(looks: int, seconds: float, training: float) -> str:
    """The sentence after it; `training` = seconds of the training without evaluations."""
    share = seconds / training if training > 0 else math.nan
    return (
        f"{looks} evaluations took {duration(seconds)}, {_percent(share)} of the training time ({duration(training)})."
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.2g} %"
