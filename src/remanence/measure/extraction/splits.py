"""All splits of a row into a prompt and the next K tokens, which are to be generated.

Shared by the extraction measures. Greedy decoding from a prompt generates exactly the row's next K tokens if and only
if each of them is the model's most likely token given the row up to that position (induction over positions), so one
pass over the row decides all splits at once.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from remanence.core.errors import NotMeasured
from remanence.core.table import TokenRow


class Splits(NamedTuple):
    """The measurable splits of a row."""

    prefix_S: NDArray[np.int64]
    """[S] prefix lengths, counted from the first token with loss."""
    at_S: NDArray[np.int64]
    """[S] index in the row of the first token to be generated."""


def splits(row: TokenRow, new_tokens: int) -> Splits:
    """All splits followed by `new_tokens` tokens that all have loss. Raises `NotMeasured` if there are none."""
    start = row.rendered.start
    scored = row.rendered.scored.astype(np.int64)
    whole = window_sums(scored, new_tokens)[start:] == new_tokens if len(scored) >= new_tokens else np.zeros(0, bool)
    prefix = np.flatnonzero(whole)
    if prefix.size == 0:
        raise NotMeasured(f"fewer than {new_tokens} tokens in a row carry loss")
    return Splits(prefix, prefix + start)


def window_sums(values_T: NDArray[np.generic], size: int) -> NDArray[np.float64]:
    """[T - size + 1] sum of the `size` values from each position on; -inf stays -inf and never becomes NaN."""
    values = values_T.astype(np.float64)
    finite = np.where(np.isfinite(values), values, 0.0)
    total = np.concatenate([[0.0], np.cumsum(finite)])
    lost = np.concatenate([[0], np.cumsum(~np.isfinite(values))])
    sums = total[size:] - total[:-size]
    return np.where(lost[size:] > lost[:-size], -np.inf, sums)


def on_grid(split: Splits, grid: tuple[int, ...]) -> dict[int, int]:
    """Prefix length -> index of its split, for those lengths of the grid at which the row can be split."""
    place = {int(p): s for s, p in enumerate(split.prefix_S)}
    found = {length: place[length] for length in grid if length in place}
    if not found:
        raise NotMeasured(
            f"too short: no prefix length of {', '.join(map(str, grid))} leaves enough tokens to generate"
        )
    return found
