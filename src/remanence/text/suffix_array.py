"""Suffix array: all suffixes of all rows in sorted order, for binary search of token runs.

Source: Manber & Myers 1993, "Suffix arrays: a new method for on-line string searches", SIAM J. Computing 22:935-948;
the doubling sorts only the places that are still tied (Larsson & Sadakane 2007, Theoretical Computer Science 387).
Nothing here loops over tokens in Python.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def suffix_array(text: NDArray[np.integer[Any]]) -> Ints:
    """[N] the starts of all suffixes of `text` [N] in ascending order; a suffix that ends first comes first."""
    values = np.unique(text, return_inverse=True)[1].astype(np.int64)
    n = values.size
    order = np.argsort(values, kind="stable")
    rank = np.empty(n, np.int64)
    tied = _settle(rank, order, values[order], np.arange(n))
    step = 1
    while tied.size:
        # Tied suffixes agree on `step` tokens; what follows decides, and that is ranked already (0 = text is over).
        starts = order[tied]
        after = np.zeros(starts.size, np.int64)
        inside = starts + step < n
        after[inside] = rank[starts[inside] + step] + 1
        key = rank[starts] * (n + 1) + after
        by_key = np.argsort(key, kind="stable")
        order[tied] = starts[by_key]
        tied = _settle(rank, starts[by_key], key[by_key], tied)
        step *= 2
    return order


def _settle(rank: Ints, starts: Ints, key: Ints, slots: Ints) -> Ints:
    """Give the sorted suffixes the slot of the first one with their key as rank; return the slots still tied."""
    if not slots.size:
        return slots
    first = np.concatenate(([True], key[1:] != key[:-1]))
    rank[starts] = slots[np.maximum.accumulate(np.where(first, np.arange(slots.size), 0))]
    alone = first & np.concatenate((first[1:], [True]))
    return slots[~alone]


@njit(cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def bounds(text: Any, order: Any, query: Any, start: int, length: int) -> tuple[int, int]:
    """Slots [low, high) of `order` with suffixes that begin with `query[start : start + length]`."""
    low, high = 0, order.size
    while low < high:
        middle = (low + high) // 2
        if compare(text, order[middle], query, start, length) < 0:
            low = middle + 1
        else:
            high = middle
    first, high = low, order.size
    while low < high:
        middle = (low + high) // 2
        if compare(text, order[middle], query, start, length) <= 0:
            low = middle + 1
        else:
            high = middle
    return first, low


@njit(cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def compare(text: Any, at: int, query: Any, start: int, length: int) -> int:
    """-1, 0 or 1: does the suffix of `text` at `at` stand before, begin with, or stand after the run of the query?"""
    for k in range(length):
        if at + k >= text.size or text[at + k] < query[start + k]:
            return -1
        if text[at + k] > query[start + k]:
            return 1
    return 0


@njit(cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def shared(text: Any, at: int, query: Any, start: int) -> int:
    """How many tokens the suffix of `text` at `at` and the rest of the query have in common from their beginning."""
    length = min(text.size - at, query.size - start)
    for k in range(length):
        if text[at + k] != query[start + k]:
            return k
    return length
