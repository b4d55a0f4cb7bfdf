"""What looking costs: told in advance from one timed look, and afterwards from the clock."""

from __future__ import annotations

import math

BACKWARD = 3.0
"""A step of training reads a token forward and backward: about three times the arithmetic of a look's forward pass."""


def planned_looks(every: str | int, epochs: float, max_steps: int, done_steps: int = 0, done_epochs: float = 0) -> int:
    """How many looks are still to come after the first one."""
    if every == "epoch":
        return max(0, math.ceil(epochs - 1e-9) - math.floor(done_epochs + 1e-9))
    assert isinstance(every, int)
    return max(0, math.ceil(max_steps / every) - done_steps // every)


def share_by_tokens(look_tokens: float, looks: int, train_tokens: float) -> float:
    """Expected share of the looks in the training's work: forward passes against `BACKWARD` times as much a token."""
    return look_tokens * looks / (BACKWARD * train_tokens) if train_tokens else math.nan


def in_advance(seconds: float, rows: str, looks: int, share: float) -> str:
    """The sentence before the training; `share` may be NaN."""
    about = "" if math.isnan(share) else f", by tokens about {_percent(share)} of the training"
    planned = f"{looks} more {'is' if looks == 1 else 'are'} planned"
    return f"A look at {rows} takes {seconds:.2g} s; {planned}, {seconds * looks:.2g} s{about}."


def afterwards(looks: int, seconds: float, training: float) -> str:
    """The sentence after it; `training` = seconds of the whole, looks left out."""
    share = seconds / training if training > 0 else math.nan
    return f"{looks} looks took {seconds:.2g} s, {_percent(share)} of the {training:.3g} s that the training took."


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.2g} %"
