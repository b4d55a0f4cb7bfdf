"""Groups of near-duplicate texts, which count as one text.

MinHash over runs of words: Broder 1997, "On the resemblance and containment of documents".
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from remanence.text.gram_table import gram
from remanence.text.words import Words

Ints = NDArray[np.int64]


def near_groups(words: Words, least: float = 0.6) -> Ints:
    """[N] one number per group of near-identical texts; a text without a twin is a group of its own.

    MinHash of 32 values over runs of 5 words: texts are joined when 4 values in a row agree and at least
    `least` of all do. Groups grow by chains. Texts of fewer than 5 words are joined when equal.
    """
    sketches = _sketches(words.keys, words.offsets)
    parent = np.arange(words.offsets.size - 1)
    for band in range(0, sketches.shape[1], 4):
        order = np.lexsort(sketches[:, band : band + 4].T)
        _join(parent, order, sketches, band, least)
    return _roots(parent)


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _sketches(keys: Any, offsets: Any) -> Any:
    """[N, 32] the smallest of 32 hashes over the runs of 5 words; of the whole text when it has fewer."""
    size = offsets.size - 1
    out = np.full((size, 32), np.uint64(0xFFFFFFFFFFFFFFFF), np.uint64)
    for text in range(size):
        begin, end = offsets[text], offsets[text + 1]
        for i in range(begin, max(begin + 1, end - 4)):
            name = np.uint64(0)
            for j in range(i, min(i + 5, end)):
                name = gram(name, keys[j])
            for m in range(32):
                out[text, m] = min(out[text, m], gram(np.uint64(m + 1), name))
        if begin == end:
            out[text, :] = gram(np.uint64(0), np.uint64(text))
    return out


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _join(parent: Any, order: Any, sketches: Any, band: int, least: float) -> None:
    for k in range(1, order.size):
        a, b = order[k - 1], order[k]
        alike = True
        for m in range(band, band + 4):
            alike = alike and sketches[a, m] == sketches[b, m]
        if alike:
            same = 0
            for m in range(sketches.shape[1]):
                same += sketches[a, m] == sketches[b, m]
            if same >= least * sketches.shape[1]:
                while parent[a] != a:
                    a = parent[a]
                while parent[b] != b:
                    b = parent[b]
                parent[max(a, b)] = min(a, b)


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _roots(parent: Any) -> Any:
    for i in range(parent.size):  # a parent comes before its children, so one pass settles all
        parent[i] = parent[parent[i]]
    return parent
