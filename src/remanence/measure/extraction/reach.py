"""How far greedy decoding follows a row: two counts per row that answer every budget of generated tokens at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from remanence.core.table import TokenRow


class Reach(NamedTuple):
    """At the best prefix length of a grid; each count is taken at its own best prefix."""

    run: int
    """Tokens that greedy decoding gets right from the cut on, before its first miss."""
    room: int
    """Tokens that carry loss from the cut on: a budget above it cannot be measured on this row."""

    def within(self, budget: int) -> bool | None:
        """Whether the next `budget` tokens all come back at some prefix of the grid; None = the row has not so many."""
        return None if self.room < budget else self.run >= budget


def reach(row: TokenRow, prefixes: tuple[int, ...]) -> Reach:
    """The reach of a row; `reach(...).within(n)` is the verdict of `Discoverable(prefixes, n)`, for every n.

    Raises `NotMeasured` when no token carries loss, or when the model returned NaN.
    """
    _ = row.scored("gap")
    at = row.rendered.start + np.array(prefixes)
    at = at[at < row.rendered.ids.size]
    if not at.size:
        return Reach(0, 0)
    run, room = stretches(row.hits())[at], stretches(row.rendered.scored)[at]
    return Reach(int(run.max()), int(room.max()))


def stretches(flag_T: NDArray[np.bool_]) -> NDArray[np.int64]:
    """[T] how many flags in a row are True from this position on, itself included."""
    place = np.arange(flag_T.size)
    stop = np.where(flag_T, flag_T.size, place)
    return np.minimum.accumulate(stop[::-1])[::-1] - place
