"""The inner loops of `remanence.text.chain`: grow one seed at both ends, and all seeds of a batch.

Affine gaps by three scores per cell (Gotoh 1982), in a band, given up where the score has fallen too far (X-drop,
Altschul et al. 1997). `q` and `c` are the word keys of query and corpus, places count over the whole batch and corpus,
`costs` is a `chain.Costs`, `bits` [W, D] what the words of the query are worth.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def room_for(offsets: Any, band: int) -> Any:
    """Scratch for the longest text: scores of two rows and of open insertions, where each came from, the pairs."""
    longest = 1
    for text in range(offsets.size - 1):
        longest = max(longest, offsets[text + 1] - offsets[text])
    width = 2 * band + 1
    rows = np.empty((2, width), np.float64), np.empty((2, width), np.float64)
    return rows[0], rows[1], np.empty((longest + 1, width), np.uint8), np.empty((longest, 2), np.int64)


@njit(nogil=True, cache=True, inline="always")  # pyright: ignore[reportUntypedFunctionDecorator]
def _worth(q: Any, c: Any, q_low: int, c_low: int, bits: Any, a: int, b: int) -> Any:
    """What the equal words a and b are worth: the column says how many equal words in a row end there."""
    last = bits.shape[1] - 1
    r = 1
    while r < last and a - r >= q_low and b - r >= c_low and q[a - r] == c[b - r]:
        r += 1
    return bits[a, min(r, last)]


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def extend(
    q: Any,
    c: Any,
    q_low: int,
    q_high: int,
    c_low: int,
    c_high: int,
    bits: Any,
    costs: Any,
    band: int,
    q_from: int,
    c_from: int,
    step: int,
    H: Any,
    I: Any,  # noqa: E741
    back: Any,
    pairs: Any,
) -> tuple[float, int, int, int]:
    """The best way on from a seed: bits gained, query words and corpus words used, equal words (listed in `pairs`).

    H[k, l] is the best score when k query and l corpus words are used, kept for |l - k| <= band; I the best of those
    that end in a word that only the query has. Bits of `back`: 1 equal or replaced, 2 only in the query, 3 only in the
    record; + 4 the run of query words goes on, + 8 the run of record words goes on.
    """
    width = 2 * band + 1
    most_rows = q_high - q_from if step > 0 else q_from - q_low + 1
    most_columns = c_high - c_from if step > 0 else c_from - c_low + 1
    worst = -1e300
    now, old = 0, 1
    H[now, :], I[now, :] = worst, worst
    H[now, band] = 0.0
    back[0, :] = 0
    for l in range(1, min(band, most_columns) + 1):  # noqa: E741
        H[now, band + l] = -costs.opened - (l - 1) * costs.extended
        back[0, band + l] = 3 + (8 if l > 1 else 0)
    best, best_k, best_b = 0.0, 0, band
    for k in range(1, most_rows + 1):
        now, old = old, now
        deleted = worst
        row_best = worst
        for b in range(width):
            l = k + b - band  # noqa: E741
            if l < 0 or l > most_columns:
                H[now, b], I[now, b] = worst, worst
                deleted = worst
                continue
            value, how = worst, 0
            if l > 0 and H[old, b] > worst:
                at_q, at_c = q_from + step * (k - 1), c_from + step * (l - 1)
                if q[at_q] == c[at_c]:
                    value = H[old, b] + _worth(q, c, q_low, c_low, bits, at_q, at_c)
                else:
                    value = H[old, b] - costs.replaced
                how = 1
            going = 0
            opened, extended = worst, worst
            if b + 1 < width:
                opened, extended = H[old, b + 1] - costs.opened, I[old, b + 1] - costs.extended
            I[now, b] = max(opened, extended)
            if extended > opened:
                going += 4
            if I[now, b] > value:
                value, how = I[now, b], 2
            if b > 0 and l > 0:
                opened, extended = H[now, b - 1] - costs.opened, deleted - costs.extended
                deleted = max(opened, extended)
                if extended > opened:
                    going += 8
                if deleted > value:
                    value, how = deleted, 3
            else:
                deleted = worst
            H[now, b] = value
            back[k, b] = how + going
            row_best = max(row_best, value)
            if value > best:
                best, best_k, best_b = value, k, b
        if row_best < best - costs.drop:
            break
    return (
        best,
        best_k,
        best_k + best_b - band,
        _walk_back(q, c, q_from, c_from, step, band, back, pairs, best_k, best_b),
    )


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _walk_back(
    q: Any, c: Any, q_from: int, c_from: int, step: int, band: int, back: Any, pairs: Any, k: int, b: int
) -> int:
    """List the equal words on the way to cell (k, b), nearest to the seed first; returns how many."""
    count = 0
    state = 0
    while k > 0 or b != band:
        how = back[k, b]
        if state == 0:
            state = how & 3
        if state == 1:
            at_q, at_c = q_from + step * (k - 1), c_from + step * (k + b - band - 1)
            if q[at_q] == c[at_c]:
                pairs[count, 0], pairs[count, 1] = at_q, at_c
                count += 1
            k -= 1
            state = 0
        elif state == 2:
            state = 2 if how & 4 else 0
            k, b = k - 1, b + 1
        else:
            state = 3 if how & 8 else 0
            b -= 1
    for i in range(count // 2):
        for side in range(2):
            pairs[i, side], pairs[count - 1 - i, side] = pairs[count - 1 - i, side], pairs[i, side]
    return count


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def grow_all(
    q: Any,
    q_offsets: Any,
    bits: Any,
    c: Any,
    c_offsets: Any,
    texts: Any,
    q_starts: Any,
    c_starts: Any,
    lengths: Any,
    of: Any,
    costs: Any,
    most: int,
    band: int,
) -> Any:
    H, I, back, pairs = room_for(q_offsets, band)  # noqa: E741
    places = np.empty((64, 8), np.int64)
    scores = np.empty(64, np.float64)
    size = 0
    low = 0
    while low < texts.size:
        text = texts[low]
        high = low
        while high < texts.size and texts[high] == text:
            high += 1
        q_low, q_high = q_offsets[text], q_offsets[text + 1]
        worth = np.empty(high - low, np.float64)
        for s in range(low, high):
            worth[s - low] = 0.0
            for j in range(lengths[s]):
                worth[s - low] += _worth(q, c, q_low, c_offsets[of[s]], bits, q_starts[s] + j, c_starts[s] + j)
        chosen, ends = _richest(of[low:high], q_starts[low:high], lengths[low:high], worth, most)
        first, begin = size, 0
        for group in range(ends.size):
            for place in range(begin, ends[group]):
                s = low + chosen[place]
                inside = False
                for chain in range(size - 1, first - 1, -1):
                    inside = inside or (
                        places[chain, 1] == of[s]
                        and places[chain, 2] <= q_starts[s] < places[chain, 3]
                        and places[chain, 4] <= c_starts[s] < places[chain, 5]
                    )
                if inside:
                    continue
                c_low, c_high = c_offsets[of[s]], c_offsets[of[s] + 1]
                up, rows_up, columns_up, equal_up = extend(
                    q, c, q_low, q_high, c_low, c_high, bits, costs, band,
                    q_starts[s] + lengths[s], c_starts[s] + lengths[s], 1, H, I, back, pairs,
                )  # fmt: skip
                down, rows_down, columns_down, equal_down = extend(
                    q, c, q_low, q_high, c_low, c_high, bits, costs, band,
                    q_starts[s] - 1, c_starts[s] - 1, -1, H, I, back, pairs,
                )  # fmt: skip
                score = worth[s - low] + up + down
                if score <= 0:
                    continue
                if size == scores.size:
                    places = np.concatenate((places, np.empty_like(places)))
                    scores = np.concatenate((scores, np.empty_like(scores)))
                places[size, 0], places[size, 1] = text, of[s]
                places[size, 2], places[size, 3] = q_starts[s] - rows_down, q_starts[s] + lengths[s] + rows_up
                places[size, 4], places[size, 5] = c_starts[s] - columns_down, c_starts[s] + lengths[s] + columns_up
                places[size, 6], places[size, 7] = lengths[s] + equal_up + equal_down, s
                scores[size] = score
                size += 1
            begin = ends[group]
        order = np.argsort(-scores[first:size], kind="mergesort")
        places[first:size] = places[first:size][order]
        scores[first:size] = scores[first:size][order]
        low = high
    return places[:size], scores[:size]


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _richest(of: Any, starts: Any, lengths: Any, worth: Any, most: int) -> tuple[Any, Any]:
    """The seeds of the `most` records whose seeds are worth most, record by record, in each the richest seed first.

    A record is worth the sum of its seeds, those that overlap within the query counted once.
    """
    order = np.argsort(of, kind="mergesort")  # stable: within a record by place in the query, as they came
    total = np.zeros(order.size, np.float64)
    begins = np.empty(order.size + 1, np.int64)
    num, until = 0, -1
    for k in range(order.size):
        s = order[k]
        if k == 0 or of[s] != of[order[k - 1]]:
            begins[num] = k
            num, until = num + 1, -1
        if starts[s] >= until:
            total[num - 1] += worth[s]
            until = starts[s] + lengths[s]
    begins[num] = order.size
    ranking = np.argsort(-total[:num], kind="mergesort")[:most]
    chosen = np.empty(order.size, np.int64)
    ends = np.empty(ranking.size, np.int64)
    size = 0
    for rank in range(ranking.size):
        group = order[begins[ranking[rank]] : begins[ranking[rank] + 1]]
        by_worth = np.argsort(-worth[group], kind="mergesort")
        chosen[size : size + group.size] = group[by_worth]
        size += group.size
        ends[rank] = size
    return chosen[:size], ends
