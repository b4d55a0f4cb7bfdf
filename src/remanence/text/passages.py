"""Passages of similar sentence pairs, and the runs of words that two passages have in common.

Paper: Sanchez-Perez, Sidorov, Gelbukh 2014, "A Winning Approach to Text Alignment for Text Reuse Detection at PAN
2014", CLEF 2014: the steps extension and filtering; Sanchez-Perez, Gelbukh, Sidorov 2015, CLEF 2015: the runs.

A case is `[A first, A last, B first, B last]`: places of sentences in the two texts, both ends inside.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

TIE = 1e-9
"""Two qualities that differ by less are equal, and the passage that begins first stays: sums depend on their order."""


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def summed_norm(terms: Any, places: Any, weights: Any, first: int, last: int) -> float:
    """Norm of the sum of the vectors of the sentences first..last."""
    total, k = 0.0, 0
    while k < terms.size:
        term, weight = terms[k], 0.0
        while k < terms.size and terms[k] == term:
            if first <= places[k] <= last:
                weight += weights[k]
            k += 1
        total += weight * weight
    return np.sqrt(total)


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def extend(
    seeds: Any, dots: Any, terms_a: Any, places_a: Any, weights_a: Any, terms_b: Any, places_b: Any, weights_b: Any,
    gap: int, least_gap: int, least_cosine: float,
) -> Any:  # fmt: skip
    """Cases [C, 4] that cover the clusters of seeds, in the order of A.

    Seeds are cut where more than `gap` sentences lie between neighbours, on alternating sides until nothing splits. A
    cluster whose covering ranges, summed, have a cosine above `least_cosine` is a case; another is cut again with a gap
    one smaller, down to `least_gap`, and else dropped.
    """
    num = seeds.shape[0]
    cases = np.empty((max(num, 1), 4), np.int64)
    n = 0
    if num == 0:
        return cases[:0]
    order = np.arange(num)
    stack = np.empty((2 * num + 2, 5), np.int64)  # first seed, end, side to cut, sides that did not split, gap
    stack[0, 0], stack[0, 1], stack[0, 2], stack[0, 3], stack[0, 4] = 0, num, 0, 0, gap
    depth = 1
    while depth:
        depth -= 1
        low, high, side, whole, allowed = stack[depth]
        if whole < 2:
            part = order[low:high].copy()
            values = np.empty(part.size, np.uint64)  # as the bags have them: one kind of sort is compiled, not two
            for k in range(part.size):
                values[k] = seeds[part[k], side]
            ranked = np.argsort(values, kind="mergesort")
            begin = low
            for k in range(part.size):
                order[low + k] = part[ranked[k]]
                if k and seeds[order[low + k], side] - seeds[order[low + k - 1], side] - 1 > allowed:
                    stack[depth] = np.array((begin, low + k, 1 - side, 0, allowed))
                    depth += 1
                    begin = low + k
            stack[depth] = np.array((begin, high, 1 - side, whole + 1 if begin == low else 0, allowed))
            depth += 1
            continue
        a0, a1, b0, b1 = dots.shape[0], -1, dots.shape[1], -1
        for k in range(low, high):
            i, j = seeds[order[k], 0], seeds[order[k], 1]
            a0, a1, b0, b1 = min(a0, i), max(a1, i), min(b0, j), max(b1, j)
        dot = 0.0
        for i in range(a0, a1 + 1):
            for j in range(b0, b1 + 1):
                dot += dots[i, j]
        norm = summed_norm(terms_a, places_a, weights_a, a0, a1) * summed_norm(terms_b, places_b, weights_b, b0, b1)
        if norm > 0 and dot > least_cosine * norm:
            cases[n, 0], cases[n, 1], cases[n, 2], cases[n, 3] = a0, a1, b0, b1
            n += 1
        elif allowed > least_gap:
            stack[depth] = np.array((low, high, 0, 0, allowed - 1))
            depth += 1
    cases = cases[:n]
    keys = (cases[:, 0] * np.int64(dots.shape[1] + 1) + cases[:, 2]).astype(np.uint64)
    return cases[np.argsort(keys, kind="mergesort")]


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def without_overlap(cases: Any, cosines: Any) -> Any:
    """Cases [C, 4], sorted by A, of which no two share a sentence of A: of neighbours that do, the better one stays.

    Better is the higher `quality`; if both exceed 0.99 the one with more sentences of A.
    """
    kept = np.empty_like(cases)
    n = 0
    for k in range(cases.shape[0]):
        if n == 0 or cases[k, 0] > kept[n - 1, 1]:
            kept[n] = cases[k]
            n += 1
            continue
        before = quality(kept[n - 1], cases[k], cosines)
        after = quality(cases[k], kept[n - 1], cosines)
        if before > 0.99 and after > 0.99:
            replace = cases[k, 1] - cases[k, 0] > kept[n - 1, 1] - kept[n - 1, 0]
        else:
            replace = after > before + TIE
        if replace:
            kept[n - 1] = cases[k]
    return kept[:n]


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def quality(case: Any, rival: Any, cosines: Any) -> float:
    """sim(O) + (1 - sim(O)) sim(N): O the sentences of A that the rival has too, N the others.

    sim(F) is the mean over the sentences of F of their best cosine in the case's range of B; 0 for no sentence.
    """
    common, other, num_common, num_other = 0.0, 0.0, 0, 0
    for i in range(case[0], case[1] + 1):
        best = 0.0
        for j in range(case[2], case[3] + 1):
            best = max(best, cosines[i, j])
        if rival[0] <= i <= rival[1]:
            common, num_common = common + best, num_common + 1
        else:
            other, num_other = other + best, num_other + 1
    common = common / num_common if num_common else 0.0
    other = other / num_other if num_other else 0.0
    return common + (1 - common) * other


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def common_runs(a: Any, starts_a: Any, ends_a: Any, b: Any, starts_b: Any, ends_b: Any, longer: int) -> Any:
    """All maximal common runs of the words a [X] and b [Y] of more than `longer` characters on the side of A.

    [R, 4] character spans (A start, A end, B start, B end), by where they end in A, then in B. Maximal = cannot grow at
    either end. Time X * Y, memory Y.
    """
    runs = np.empty((8, 4), np.int64)
    n = 0
    length = np.zeros(b.size + 1, np.int64)
    for i in range(a.size):
        for j in range(b.size - 1, -1, -1):
            run = length[j] + 1 if a[i] == b[j] else 0
            length[j + 1] = run
            if run == 0 or (i + 1 < a.size and j + 1 < b.size and a[i + 1] == b[j + 1]):
                continue
            if ends_a[i] - starts_a[i - run + 1] > longer:
                if n == runs.shape[0]:
                    runs = np.concatenate((runs, np.empty_like(runs)))
                runs[n, 0], runs[n, 1] = starts_a[i - run + 1], ends_a[i]
                runs[n, 2], runs[n, 3] = starts_b[j - run + 1], ends_b[j]
                n += 1
    return runs[:n].copy()


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def chained(runs: Any, gap: int) -> Any:
    """Runs [R, 4] in the order of A; what begins at most `gap` characters behind another, on both sides, joins it."""
    runs = runs[np.argsort(runs[:, 0].astype(np.uint64), kind="mergesort")]
    n = 0
    for k in range(runs.shape[0]):
        at = n
        for m in range(n):
            if 0 <= runs[k, 0] - runs[m, 1] <= gap and 0 <= runs[k, 2] - runs[m, 3] <= gap:
                at = m
                break
        if at < n:
            runs[at, 1], runs[at, 3] = runs[k, 1], runs[k, 3]
        else:
            runs[n] = runs[k]
            n += 1
    return runs[:n].copy()
