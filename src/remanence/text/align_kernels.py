"""Numba kernels of the aligner for many pairs in one call; see `remanence.text.align`.

`a` and `b` are `Prepared`; `settings` are the aligner's fields in four groups: seeds, passages, limits, verbatim runs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from remanence.text.bags import cosines_of, near_best, norms_of, seeds_of, shared_terms, weigh
from remanence.text.borders import segment
from remanence.text.passages import chained, common_runs, extend, without_overlap


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def align_pairs(a: Any, b: Any, pairs: Any, settings: Any) -> Any:
    """Offsets [P + 1] and passages [R, 6]: start and end in A, in B, kind, bits."""
    offsets = np.zeros(pairs.shape[0] + 1, np.int64)
    passages = np.empty((16, 6))
    n = 0
    for p in range(pairs.shape[0]):
        found = _align_pair(a, pairs[p, 0], b, pairs[p, 1], settings)
        while n + found.shape[0] > passages.shape[0]:
            passages = np.concatenate((passages, np.empty_like(passages)))
        passages[n : n + found.shape[0]] = found
        n += found.shape[0]
        offsets[p + 1] = n
    return offsets, passages[:n].copy()


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _align_pair(a: Any, i: int, b: Any, j: int, settings: Any) -> Any:
    (prior, cosine, dice, passage_cosine, near), (gap, summary_gap, ratio, whole), _, _ = settings
    s0, s1 = a.bags.sentence_offsets[i], a.bags.sentence_offsets[i + 1]
    t0, t1 = b.bags.sentence_offsets[j], b.bags.sentence_offsets[j + 1]
    p0, p1 = a.bags.posting_offsets[i], a.bags.posting_offsets[i + 1]
    q0, q1 = b.bags.posting_offsets[j], b.bags.posting_offsets[j + 1]
    terms_a, places_a, terms_b, places_b = (
        a.bags.terms[p0:p1],
        a.bags.places[p0:p1],
        b.bags.terms[q0:q1],
        b.bags.places[q0:q1],
    )
    num_a, num_b = s1 - s0, t1 - t0
    weights_a, weights_b = weigh(
        terms_a, a.bags.counts[p0:p1], a.shares[p0:p1], terms_b, b.bags.counts[q0:q1], b.shares[q0:q1],
        num_a + num_b, prior,
    )  # fmt: skip
    dots, shared = shared_terms(terms_a, places_a, weights_a, num_a, terms_b, places_b, weights_b, num_b)
    cosines = cosines_of(dots, norms_of(places_a, weights_a, num_a), norms_of(places_b, weights_b, num_b))
    seeds = seeds_of(cosines, shared, a.bags.sizes[s0:s1], b.bags.sizes[t0:t1], cosine, dice)
    if seeds.shape[0] == 0:
        return np.empty((0, 6))
    seeds = near_best(seeds, cosines, near)
    parts = extend(seeds, dots, terms_a, places_a, weights_a, terms_b, places_b, weights_b, gap, 0, passage_cosine)
    wide = extend(
        seeds, dots, terms_a, places_a, weights_a, terms_b, places_b, weights_b, summary_gap, 0, passage_cosine
    )
    narrow, wide = without_overlap(parts, cosines), without_overlap(wide, cosines)
    starts_a, ends_a, starts_b, ends_b = (
        a.bags.starts[s0:s1],
        a.bags.ends[s0:s1],
        b.bags.starts[t0:t1],
        b.bags.ends[t0:t1],
    )
    cases = np.empty((narrow.shape[0] + wide.shape[0], 4), np.int64)
    n = 0
    for k in range(wide.shape[0]):
        length_a, length_b = ends_a[wide[k, 1]] - starts_a[wide[k, 0]], ends_b[wide[k, 3]] - starts_b[wide[k, 2]]
        if length_b >= ratio * length_a and _num_inside(parts, wide[k]) >= 2:
            cases[n] = wide[k]
            if length_b >= whole * (ends_b[-1] - starts_b[0]):
                cases[n, 2], cases[n, 3] = 0, num_b - 1
            n += 1
    num_summaries = n
    for k in range(narrow.shape[0]):
        free = True
        for m in range(num_summaries):
            free = free and (narrow[k, 0] > cases[m, 1] or cases[m, 0] > narrow[k, 1])
        if free:
            cases[n] = narrow[k]
            n += 1
    cases[:n, :2] += s0
    cases[:n, 2:] += t0
    return _bordered(a, b, cases[:n], num_summaries, settings)


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _num_inside(cases: Any, whole: Any) -> int:
    n = 0
    for c in cases:
        n += c[0] >= whole[0] and c[1] <= whole[1] and c[2] >= whole[2] and c[3] <= whole[3]
    return n


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _bordered(a: Any, b: Any, cases: Any, num_summaries: int, settings: Any) -> Any:
    """Cases [C, 4] of sentences of all texts, summaries first, as passages [R, 6]."""
    _, _, (edge_bits, least_chars, least_bits), (verbatim_chars, verbatim_gap, verbatim_alone) = settings
    passages = np.empty((max(4, cases.shape[0]), 6))
    n, num_verbatim = 0, 0
    for k in range(cases.shape[0]):
        a0, a1, b0, b1 = cases[k]
        x0, x1, y0, y1 = a.first_words[a0], a.first_words[a1 + 1], b.first_words[b0], b.first_words[b1 + 1]
        start, end, score = segment(a.keys[x0:x1], a.rates[x0:x1], b.keys[y0:y1], edge_bits)
        if start >= end or score < least_bits:
            continue
        found = np.empty((1, 4), np.int64)
        kind = 1 if k < num_summaries else 0
        if kind == 0:
            runs = common_runs(
                a.keys[x0:x1], a.starts[x0:x1], a.ends[x0:x1], b.keys[y0:y1], b.starts[y0:y1], b.ends[y0:y1],
                verbatim_chars,
            )  # fmt: skip
            if runs.shape[0]:
                found, kind = chained(runs, verbatim_gap), 2
        if kind < 2:
            found[0, 0] = a.bags.starts[a0] if start == 0 else a.starts[x0 + start]
            found[0, 1] = a.bags.ends[a1] if end == x1 - x0 else a.ends[x0 + end - 1]
            found[0, 2], found[0, 3] = b.bags.starts[b0], b.bags.ends[b1]
        if kind == 0:
            first, last, _ = segment(b.keys[y0:y1], b.rates[y0:y1], a.keys[x0 + start : x0 + end], edge_bits)
            if 0 < first < last:
                found[0, 2] = b.starts[y0 + first]
            if first < last < y1 - y0:
                found[0, 3] = b.ends[y0 + last - 1]
        for row in found:
            if row[1] - row[0] < least_chars or row[3] - row[2] < least_chars:
                continue
            if n == passages.shape[0]:
                passages = np.concatenate((passages, np.empty_like(passages)))
            if kind == 2:
                score = _run_bits(a, x0, x1, row[0], row[1], b, y0, y1, row[2], row[3])
            passages[n, :4] = row
            passages[n, 4], passages[n, 5] = kind, score
            n += 1
            num_verbatim += kind == 2
    if verbatim_alone and num_verbatim:
        kept = 0
        for k in range(n):
            if passages[k, 4] == 2:
                passages[kept] = passages[k]
                kept += 1
        n = kept
    return passages[:n]


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _run_bits(
    a: Any, x0: int, x1: int, start_a: int, end_a: int, b: Any, y0: int, y1: int, start_b: int, end_b: int
) -> float:
    """Bits of the words of a run alone."""
    u0, u1 = np.searchsorted(a.starts[x0:x1], start_a), np.searchsorted(a.starts[x0:x1], end_a)
    v0, v1 = np.searchsorted(b.starts[y0:y1], start_b), np.searchsorted(b.starts[y0:y1], end_b)
    return segment(a.keys[x0 + u0 : x0 + u1], a.rates[x0 + u0 : x0 + u1], b.keys[y0 + v0 : y0 + v1], np.inf)[2]
