"""Search in a shard of the run index: position of a query among the suffixes, length and number of matches.

Binary search that never compares again the words that both ends of the range share with the query (Manber & Myers
1993, section 2). In all kernels a query word is a number from `look_up`, and W words stand in N texts by `offsets`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

LONG = 12
"""From so many words on it pays to ask where a run ends when it is begun later."""
FEW = 16
"""Up to so many rows of a run are compared one by one."""


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def match_lengths(text: Any, order: Any, firsts: Any, words: Any, offsets: Any, skips: Any) -> Any:
    """[W] words of the longest run that begins here in the query and stands in any row; skips [N, 2] are left out.

    A skip is the stretch of the text that holds one row; (0, 0) = none. Runs that begin later never end earlier, so
    where two of them end together, all between do: a long run is probed at its half, and its words are not compared
    again from each place on.
    """
    lengths = np.full(words.size, -1, np.int32)
    for i in range(offsets.size - 1):
        at, end = offsets[i], offsets[i + 1]
        while at < end:
            if lengths[at] < 0:
                lengths[at] = _longest(text, order, firsts, words, at, end - at, skips[i, 0], skips[i, 1])
            stop = at + lengths[at]
            ahead = at + 1
            if stop == end:
                ahead = end
            elif lengths[at] >= LONG:
                probe = at + lengths[at] // 2
                if lengths[probe] < 0:
                    lengths[probe] = _longest(text, order, firsts, words, probe, end - probe, skips[i, 0], skips[i, 1])
                if probe + lengths[probe] == stop:
                    ahead = probe
            for place in range(at + 1, ahead):
                lengths[place] = stop - place
            at = ahead
    return lengths


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _longest(text: Any, order: Any, firsts: Any, words: Any, at: int, rest: int, skip_from: int, skip_to: int) -> int:
    """Words that the query from `at` on shares with one of the suffixes beside its place in the order."""
    first, last = firsts[words[at]], firsts[words[at] + 1]
    if first == last:
        return 0
    low, high, left, right, best = first, last, 1, 1, 1
    while low < high:
        middle = (low + high) >> 1
        place = order[middle]
        agreed = min(left, right)
        while agreed < rest and text[place + agreed] == words[at + agreed]:
            agreed += 1
        best = max(best, agreed)
        if agreed == rest:
            if skip_to == 0:
                return rest
            high, right = middle, agreed
        elif text[place + agreed] < words[at + agreed]:
            low, left = middle + 1, agreed
        else:
            high, right = middle, agreed
    if skip_to == 0:
        return best
    best, slot = 0, low - 1
    while slot >= first and skip_from <= order[slot] < skip_to:
        slot -= 1
    if slot >= first:
        best = _agreed(text, order[slot], words, at, rest)
    slot = low
    while slot < last and skip_from <= order[slot] < skip_to:
        slot += 1
    if slot < last:
        best = max(best, _agreed(text, order[slot], words, at, rest))
    return best


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _agreed(text: Any, place: int, words: Any, at: int, rest: int) -> int:
    """How many words the text from `place` on and the query from `at` on have in common before they differ."""
    agreed = 0
    while agreed < rest and text[place + agreed] == words[at + agreed]:
        agreed += 1
    return agreed


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def slots_of_runs(text: Any, order: Any, firsts: Any, words: Any, starts: Any, lengths: Any) -> Any:
    """[K, 2] the slots of all suffixes that begin with each run [K] of the query; equal bounds = none does."""
    slots = np.zeros((starts.size, 2), np.int64)
    for k in range(starts.size):
        low = _edge(text, order, firsts, words, starts[k], lengths[k], False)
        slots[k] = low
        if low < order.size and _agreed(text, order[low], words, starts[k], lengths[k]) == lengths[k]:
            slots[k, 1] = _edge(text, order, firsts, words, starts[k], lengths[k], True)
    return slots


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _edge(text: Any, order: Any, firsts: Any, words: Any, start: int, length: int, after: bool) -> Any:
    """The first slot whose suffix does not stand before the run; with `after`, the first that stands after it."""
    low, high = firsts[words[start]], firsts[words[start] + 1]
    left, right = 1, 1
    while low < high:
        middle = (low + high) >> 1
        place = order[middle]
        agreed = min(left, right)
        while agreed < length and text[place + agreed] == words[start + agreed]:
            agreed += 1
        if after if agreed == length else text[place + agreed] < words[start + agreed]:
            low, left = middle + 1, agreed
        else:
            high, right = middle, agreed
    return low


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def count_rows(text: Any, order: Any, repeats: Any, firsts: Any, words: Any, offsets: Any, counts: Any) -> None:
    """Add to counts [n, W] how many rows hold the 1 .. n words that begin here in the query.

    The slots of n words lie inside those of n - 1, where all suffixes agree but for the last word.
    """
    for i in range(offsets.size - 1):
        for at in range(offsets[i], offsets[i + 1]):
            low, high = firsts[words[at]], firsts[words[at] + 1]
            for n in range(min(counts.shape[0], offsets[i + 1] - at)):
                if n:
                    word = words[at + n]
                    end = high
                    while low < high:
                        middle = (low + high) >> 1
                        if text[order[middle] + n] < word:
                            low = middle + 1
                        else:
                            high = middle
                    high = end
                    begin = low
                    while low < high:
                        middle = (low + high) >> 1
                        if text[order[middle] + n] <= word:
                            low = middle + 1
                        else:
                            high = middle
                    low = begin
                if low >= high:
                    break
                counts[n, at] += high - low - (repeats[high - 1] - repeats[low])


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def lengths_in_row(text: Any, words: Any, offsets: Any, rows: Any) -> Any:
    """[W] words of the longest run that begins here and stands in the one row [N, 2] (a stretch of the text) named."""
    lengths = np.zeros(words.size, np.int32)
    for i in range(offsets.size - 1):
        for at in range(offsets[i], offsets[i + 1]):
            rest = offsets[i + 1] - at
            for place in range(rows[i, 0], rows[i, 1] - 1):
                if text[place] == words[at]:
                    lengths[at] = max(lengths[at], _agreed(text, place, words, at, rest))
    return lengths


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def places_in_rows(text: Any, words: Any, starts: Any, lengths: Any, rows: Any) -> Any:
    """[K] where in the row [K, 2] named the run [K] of the query stands first, in words; -1 = nowhere."""
    found = np.full(starts.size, -1, np.int32)
    for k in range(starts.size):
        for place in range(rows[k, 0], rows[k, 1] - lengths[k]):
            if text[place] == words[starts[k]] and _agreed(text, place, words, starts[k], lengths[k]) == lengths[k]:
                found[k] = place - rows[k, 0]
                break
    return found


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def list_rows(order: Any, begins: Any, slots: Any, limits: Any) -> tuple[Any, Any, Any]:
    """Run k, row of the shard and word in it for up to limits [K] different rows of each stretch of slots [K, 2].

    Rows come in the order of the slots, and of each its first slot.
    """
    room, most = 0, 0
    for k in range(slots.shape[0]):
        room += min(slots[k, 1] - slots[k, 0], limits[k])
        most = max(most, limits[k])
    runs = np.empty(room, np.int64)
    rows = np.empty(room, np.int64)
    starts = np.empty(room, np.int32)
    # The last run each row was listed for; where few rows are wanted, looking at them is cheaper.
    listed = np.full(begins.size - 1 if most > FEW else 0, -1, np.int64)
    n = 0
    for k in range(slots.shape[0]):
        taken = 0
        for slot in range(slots[k, 0], slots[k, 1]):
            if taken == limits[k]:
                break
            row = np.searchsorted(begins, order[slot], side="right") - 1
            if listed.size:
                known = listed[row] == k
                listed[row] = k
            else:
                known = np.any(rows[n - taken : n] == row)
            if not known:
                runs[n], rows[n], starts[n] = k, row, order[slot] - begins[row]
                n += 1
                taken += 1
    return runs[:n], rows[:n], starts[:n]
