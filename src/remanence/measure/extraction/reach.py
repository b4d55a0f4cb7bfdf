"""Reach: how many tokens of a row greedy decoding generates exactly, which decides every token budget at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from remanence.core.table import TokenRow


class Reach(NamedTuple):
    """At the best prefix length of a grid; each count is taken at its own best prefix."""

    run: int
    """Number of tokens that greedy decoding generates exactly, before the first error."""
    room: int
    """Number of tokens with loss after the prefix: larger budgets cannot be measured on this row."""

    def within(self, budget: int) -> bool | None:
        """Whether the next `budget` tokens are extracted at a prefix length of the grid; None = the row is too
        short."""
        return None if self.room < budget else self.run >= budget


def reach(row: TokenRow, prefixes: tuple[int, ...]) -> Reach:
    """The reach of a row; `reach(...).within(n)` is the result of `Discoverable(prefixes, n)`, for every n.

    Raises `NotMeasured` if no token has loss, or if the model returned NaN.
    """
    _ = row.scored("gap")
    at = row.rendered.start + np.array(prefixes)
    at = at[at < row.rendered.ids.size]
    if not at.size:
        return Reach(0, 0)
    run, room = stretches(row.hits())[at], stretches(row.rendered.scored)[at]
    return Reach(int(run.max()), int(room.max()))


def stretches(flag_T: NDArray[np.bool_]) -> NDArray[np.int64]:
    """[T] number of consecutive True flags from this position on, including it."""
    place = np.arange(flag_T.size)
    stop = np.where(flag_T, flag_T.size, place)
    return np.minimum.accumulate(stop[::-1])[::-1] - place
