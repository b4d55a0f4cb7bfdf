"""Borders of a copied passage: the segment of words with the highest log-likelihood ratio of copy against chance.

The maximum-scoring segment of a sequence of log-likelihood ratios is the likeliest passage (Karlin, Altschul 1990,
PNAS 87, 2264; Kadane's scan finds it). A word x of text A, beside a passage of n words of text B, stands there too

    by chance with probability  beta(x) = 1 - (1 - rate(x))^n,  its rate taken from a corpus,
    in a copy with              c + (1 - c) beta(x),            where the share c of words is taken over.

c comes from the words between the borders so far: the c whose expectation is what is seen there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

LEAST_COPIED, MOST_COPIED = 0.1, 0.98
"""Bounds of c: a paraphrase keeps some words, and a copy may lose one."""


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def segment(keys_a: Any, rates_a: Any, keys_b: Any, edge_bits: float) -> tuple[int, int, float]:
    """First and last + 1 of the words of A [X] that are a copy of B [Y], and their sum of bits; higher = surer a copy.

    Words at an edge are cut off only if they speak against the copy with at least `edge_bits` bits. Bits may be
    negative, and the segment empty, where nothing speaks for a copy.
    """
    other = np.sort(keys_b)
    gain = np.empty(keys_a.size)
    hits = np.zeros(keys_a.size, np.bool_)
    excess, room = 0.0, 0.0
    for k in range(keys_a.size):
        at = np.searchsorted(other, keys_a[k])
        hits[k] = at < other.size and other[at] == keys_a[k]
        gain[k] = min(0.9999, -np.expm1(other.size * np.log1p(-min(rates_a[k], 0.9))))  # beta, for now
        excess += hits[k] - gain[k]
        room += 1 - gain[k]
    copied = min(MOST_COPIED, max(LEAST_COPIED, excess / room if room > 0 else 0.0))
    missed = np.log2(1 - copied)
    for k in range(keys_a.size):
        gain[k] = np.log2((copied + (1 - copied) * gain[k]) / gain[k]) if hits[k] else missed
    best, total, begin, start, end = 0.0, 0.0, 0, 0, 0
    for k in range(gain.size):
        if total <= 0:
            total, begin = 0.0, k
        total += gain[k]
        if total > best:
            best, start, end = total, begin, k + 1
    if -gain[:start].sum() < edge_bits:
        start = 0
    if -gain[end:].sum() < edge_bits:
        end = gain.size
    return start, end, gain[start:end].sum()
