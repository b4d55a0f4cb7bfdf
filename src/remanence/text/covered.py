"""Words of a text that are in runs shared with another text, such as its prompt."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from remanence.text.words import Words

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


def covered_by_lengths(lengths: NDArray[np.integer[Any]], min_words: int) -> Bools:
    """[W] is the word inside a run of at least `min_words`? From how long a shared run begins at each word [W]."""
    begins = np.flatnonzero(lengths >= min_words)
    change = np.zeros(lengths.size + 1, np.int64)
    np.add.at(change, begins, 1)
    np.add.at(change, begins + lengths[begins], -1)
    return np.cumsum(change)[:-1] > 0


def covered_by_other(words: Words, others: Words, which: Ints, min_words: int) -> Bools:
    """[W] is the word inside a run of at least `min_words` that its text shares with text `which` [N] of the others?

    -1 = with none. Time: words of the text times words of the other.
    """
    if which.shape != (words.offsets.size - 1,):
        raise ValueError(f"one other text for each of {words.offsets.size - 1} texts, got {which.size}")
    return _covered(words.keys, words.offsets, others.keys, others.offsets, which, min_words)


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _covered(q: Any, q_offsets: Any, c: Any, c_offsets: Any, which: Any, min_words: int) -> Any:
    covered = np.zeros(q.size, np.bool_)
    for text in range(q_offsets.size - 1):
        if which[text] < 0:
            continue
        low, high = q_offsets[text], q_offsets[text + 1]
        first, last = c_offsets[which[text]], c_offsets[which[text] + 1]
        for place in range(first, last):
            for at in range(low, high):
                new = q[at] == c[place] and (at == low or place == first or q[at - 1] != c[place - 1])
                if not new:
                    continue
                length = 1
                while at + length < high and place + length < last and q[at + length] == c[place + length]:
                    length += 1
                if length >= min_words:
                    covered[at : at + length] = True
    return covered
