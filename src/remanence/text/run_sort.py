"""Sorted suffixes of all rows, with the number of distinct rows for each common prefix.

Order: suffix array by prefix doubling (Manber & Myers 1993, SIAM J. Computing 22:935; only ties are sorted again:
Larsson & Sadakane 2007, Theoretical Computer Science 387), the first words of each suffix packed into one integer.
Common beginnings: Kärkkäinen, Manzini & Puglisi 2009, "Permuted longest-common-prefix array", CPM.
Rows per beginning: Sadakane 2007, "Succinct data structures for flexible text retrieval systems", J. Discrete
Algorithms 5 (section 4): each place beyond the first of a row is counted at the point where the two places part.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Ints = NDArray[np.int32]


def suffix_order(text: Ints) -> Ints:
    """[W] the places of all words of `text` [T] in the order of what follows them up to the end of their row.

    Words are 1, 2, ...; each row ends with one 0, which sorts first. Suffixes equal up to there stand in the order of
    their rows. Memory: about 40 bytes per word.
    """
    places = np.flatnonzero(text).astype(np.int32)
    if not places.size:
        return places
    bits = int(text.max()).bit_length()
    step = 62 // bits
    keys = _packed(text, bits, step)[places]
    by_key = np.argsort(keys)
    order = places[by_key]
    del places  # memory is what bounds a shard
    keys = keys[by_key]
    del by_key
    rank, ends = _ends(text)
    tied = _settle(rank, order, keys, np.arange(order.size, dtype=np.int32))
    del keys
    num_rows = np.int64(text.size - order.size)
    while tied.size:
        # Suffixes that tie agree on `step` words: what comes then decides; where a row is over, its number does.
        starts = order[tied]
        after = rank[np.minimum(starts + np.int64(step), ends[starts])]
        key = rank[starts] * (text.size + num_rows) + after + num_rows
        by_key = np.argsort(key)
        order[tied] = starts[by_key]
        tied = _settle(rank, order[tied], key[by_key], tied)
        step *= 2
    return order


def _settle(rank: Any, starts: Ints, keys: NDArray[np.int64], slots: Ints) -> Ints:
    """Give the sorted suffixes the slot of the first one with their key as rank; return the slots still tied."""
    first = np.empty(keys.size + 1, np.bool_)
    first[0] = first[-1] = True
    np.not_equal(keys[1:], keys[:-1], out=first[1:-1])
    rank[starts] = slots[np.maximum.accumulate(np.where(first[:-1], np.arange(slots.size, dtype=np.int32), 0))]
    return slots[~(first[:-1] & first[1:])]


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _packed(text: Any, bits: int, words: int) -> Any:
    """[T] the next words of each place in one integer, the first in the highest bits, zeros from the row's end on."""
    keys = np.zeros(text.size, np.int64)
    following = 0
    for at in range(text.size - 1, -1, -1):
        following = (np.int64(text[at]) << (bits * (words - 1))) | (following >> bits) if text[at] else 0
        keys[at] = following
    return keys


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _ends(text: Any) -> Any:
    """Ranks [T], so far only of the row ends: -R .. -1; and for each place [T] that of its row's end."""
    rank = np.zeros(text.size, np.int32)
    ends = np.zeros(text.size, np.int32)
    row, end = 0, 0
    for at in range(text.size - 1, -1, -1):
        if text[at] == 0:
            row -= 1
            rank[at] = row
            end = at
        ends[at] = end
    return rank, ends


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def repeats_before(text: Any, order: Any) -> Any:
    """[W] what to take off a number of slots to get a number of rows.

    Slots [low, high) that are all those beginning with some run hold
    `high - low - (repeats[high - 1] - repeats[low])` different rows.
    """
    shared, most = _shared_with_previous(text, order)
    row = shared[-1, 1] + 1
    last = np.full(row, -1, np.int32)  # the latest slot of each row
    # Slots whose common beginning is shorter than that of all later slots, ascending: the least of a range is the
    # first of them inside it.
    values = np.empty(most + 2, np.int32)
    slots = np.empty(most + 2, np.int32)
    height = 0
    repeats = np.zeros(order.size, np.int32)
    for slot in range(order.size):
        value, row = shared[order[slot]]
        while height and values[height - 1] >= value:
            height -= 1
        values[height], slots[height] = value, slot
        height += 1
        if last[row] >= 0:
            low, high = 0, height - 1
            while low < high:
                middle = (low + high) // 2
                if slots[middle] > last[row]:
                    high = middle
                else:
                    low = middle + 1
            repeats[slots[low]] += 1
        last[row] = slot
    for slot in range(1, order.size):
        repeats[slot] += repeats[slot - 1]
    return repeats


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _shared_with_previous(text: Any, order: Any) -> Any:
    """[T, 2] for each place, how many words its suffix shares with the one before it in the order, and its row.

    Also the most words. Side by side in memory, since they are asked together and at random.
    """
    shared = np.empty((text.size, 2), np.int32)
    shared[order[0], 0] = -1
    for slot in range(1, order.size):
        shared[order[slot], 0] = order[slot - 1]
    length, most, row = 0, 0, 0
    for at in range(text.size):
        other = shared[at, 0]
        if text[at] == 0 or other < 0:
            length = 0
        else:
            while text[at + length] and text[at + length] == text[other + length]:
                length += 1
        shared[at, 0], shared[at, 1] = length, row
        most = max(most, length)
        length = max(0, length - 1)
        row += text[at] == 0
    return shared, most
