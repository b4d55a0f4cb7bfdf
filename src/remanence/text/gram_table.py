"""Table of n-grams as numbers with counts, used by the background model.

A run is hashed word by word, so the hash of all but its last word is at hand; the table is open addressing with linear
probing (Knuth, "The Art of Computer Programming" 3, 6.4).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def counted(grams: NDArray[np.uint64], groups: Ints | None) -> tuple[NDArray[np.uint64], Ints, Ints, Ints]:
    """Distinct grams, where each stands first, in how many groups (None: how often), and the number of each gram."""
    order = np.argsort(grams, kind="stable")
    ordered = grams[order]
    new = np.ones(order.size, np.bool_)
    new[1:] = ordered[1:] != ordered[:-1]
    number = np.cumsum(new) - 1
    counts_as = np.ones(order.size, np.bool_)
    if groups is not None:
        of = groups[order]
        counts_as[1:] = new[1:] | (of[1:] != of[:-1])
    counts = np.bincount(number[counts_as], minlength=int(new.sum())).astype(np.int64)
    numbers = np.empty(order.size, np.int64)
    numbers[order] = number
    return ordered[new], order[new], counts, numbers


def joined(prefix: NDArray[np.uint64], keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The hash of a gram from the hash of all but its last word; never 0, which marks an empty slot."""
    values = prefix * np.uint64(0x9E3779B97F4A7C15) + keys
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (values ^ (values >> np.uint64(31))) | np.uint64(1)


@njit(nogil=True, cache=True, inline="always")  # pyright: ignore[reportUntypedFunctionDecorator]
def gram(prefix: Any, key: Any) -> Any:
    value = prefix * np.uint64(0x9E3779B97F4A7C15) + key
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (value ^ (value >> np.uint64(31))) | np.uint64(1)


@njit(nogil=True, cache=True, inline="always")  # pyright: ignore[reportUntypedFunctionDecorator]
def slot(table: Any, name: Any) -> Any:
    """Where the name stands, or the empty slot where it would."""
    mask = np.int64(table.size - 1)
    at = np.int64((name >> np.uint64(20)) & np.uint64(mask))
    while table[at] != 0 and table[at] != name:
        at = (at + 1) & mask
    return at


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def fill(table: Any, counts_at: Any, follows_at: Any, names: Any, prefixes: Any, counts: Any) -> None:
    for i in range(names.size):
        at = slot(table, names[i])
        table[at] = names[i]
        counts_at[at] = counts[i]
    for i in range(names.size):
        if prefixes[i] != 0:
            follows_at[slot(table, prefixes[i])] += counts[i]
