"""The steps of the 2015 detector for many pairs in one call; `pan2015` says what they mean.

`susp` and `src` are the first five fields of `Documents`; labels are places in `LABELS`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from remanence.text.bags import cosines_of, norms_of, seeds_of, shared_terms, weigh
from remanence.text.passages import common_runs, extend, without_overlap


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def compare_pairs(
    susp: Any, src: Any, pairs: Any, th1: float, th2: float, th3: float, gap: int, least_gap: int, summary_gap: int,
    passage_chars: int, verbatim_chars: int, summary_ratio: float, swapped: bool,
) -> Any:  # fmt: skip
    """Labels [P] as places in LABELS, offsets [P+1] and spans [R, 4] of the passages."""
    labels = np.zeros(pairs.shape[0], np.int64)
    offsets = np.zeros(pairs.shape[0] + 1, np.int64)
    spans = np.empty((16, 4), np.int64)
    n = 0
    for p in range(pairs.shape[0]):
        labels[p], found = _pair(
            susp, src, pairs[p, 0], pairs[p, 1], th1, th2, th3, gap, least_gap, summary_gap, passage_chars,
            verbatim_chars, summary_ratio, swapped,
        )  # fmt: skip
        while n + found.shape[0] > spans.shape[0]:
            spans = np.concatenate((spans, np.empty_like(spans)))
        spans[n : n + found.shape[0]] = found
        n += found.shape[0]
        offsets[p + 1] = n
    return labels, offsets, spans[:n]


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _pair(
    susp: Any, src: Any, i: int, j: int, th1: float, th2: float, th3: float, gap: int, least_gap: int, summary_gap: int,
    passage_chars: int, verbatim_chars: int, summary_ratio: float, swapped: bool,
) -> Any:  # fmt: skip
    bags_a, offsets_a, words_a, word_starts_a, word_ends_a = susp
    bags_b, offsets_b, words_b, word_starts_b, word_ends_b = src
    s0, s1 = bags_a.sentence_offsets[i], bags_a.sentence_offsets[i + 1]
    t0, t1 = bags_b.sentence_offsets[j], bags_b.sentence_offsets[j + 1]
    starts_a, ends_a, sizes_a = bags_a.starts[s0:s1], bags_a.ends[s0:s1], bags_a.sizes[s0:s1]
    starts_b, ends_b, sizes_b = bags_b.starts[t0:t1], bags_b.ends[t0:t1], bags_b.sizes[t0:t1]
    p0, p1 = bags_a.posting_offsets[i], bags_a.posting_offsets[i + 1]
    q0, q1 = bags_b.posting_offsets[j], bags_b.posting_offsets[j + 1]
    terms_a, places_a = bags_a.terms[p0:p1], bags_a.places[p0:p1]
    terms_b, places_b = bags_b.terms[q0:q1], bags_b.places[q0:q1]
    num_a, num_b = s1 - s0, t1 - t0
    counts_a, counts_b = bags_a.counts[p0:p1], bags_b.counts[q0:q1]
    weights_a, weights_b = weigh(terms_a, counts_a, counts_a, terms_b, counts_b, counts_b, num_a + num_b, 0.0)
    dots, shared = shared_terms(terms_a, places_a, weights_a, num_a, terms_b, places_b, weights_b, num_b)
    cosines = cosines_of(dots, norms_of(places_a, weights_a, num_a), norms_of(places_b, weights_b, num_b))
    seeds = seeds_of(cosines, shared, sizes_a, sizes_b, th1, th2)
    nothing = np.empty((0, 4), np.int64)
    if seeds.shape[0] == 0:
        return 0, nothing

    cases = extend(seeds, dots, terms_a, places_a, weights_a, terms_b, places_b, weights_b, gap, least_gap, th3)
    narrow = _long_enough(without_overlap(cases, cosines), starts_a, ends_a, starts_b, ends_b, passage_chars)
    verbatim = nothing
    for k in range(narrow.shape[0]):
        x0, x1 = _inside(word_starts_a[offsets_a[i] : offsets_a[i + 1]], narrow[k, 0], narrow[k, 1])
        y0, y1 = _inside(word_starts_b[offsets_b[j] : offsets_b[j + 1]], narrow[k, 2], narrow[k, 3])
        x0, x1, y0, y1 = x0 + offsets_a[i], x1 + offsets_a[i], y0 + offsets_b[j], y1 + offsets_b[j]
        runs = common_runs(
            words_a[x0:x1], word_starts_a[x0:x1], word_ends_a[x0:x1],
            words_b[y0:y1], word_starts_b[y0:y1], word_ends_b[y0:y1], verbatim_chars,
        )  # fmt: skip
        verbatim = np.concatenate((verbatim, runs))
    if verbatim.shape[0]:
        return 1, verbatim

    cases = extend(seeds, dots, terms_a, places_a, weights_a, terms_b, places_b, weights_b, summary_gap, least_gap, th3)
    wide = _long_enough(without_overlap(cases, cosines), starts_a, ends_a, starts_b, ends_b, passage_chars)
    length_a, length_b = 0, 0
    for k in range(wide.shape[0]):
        length_a, length_b = length_a + wide[k, 1] - wide[k, 0], length_b + wide[k, 3] - wide[k, 2]
    short, long = (length_b, length_a) if swapped else (length_a, length_b)
    if wide.shape[0] and long >= summary_ratio * short:
        return 2, wide
    return (3 if narrow.shape[0] else 0), narrow


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _long_enough(cases: Any, starts_a: Any, ends_a: Any, starts_b: Any, ends_b: Any, least: int) -> Any:
    """The cases as character spans [R, 4], without those shorter than `least` on either side."""
    spans = np.empty_like(cases)
    n = 0
    for k in range(cases.shape[0]):
        spans[n, 0], spans[n, 1] = starts_a[cases[k, 0]], ends_a[cases[k, 1]]
        spans[n, 2], spans[n, 3] = starts_b[cases[k, 2]], ends_b[cases[k, 3]]
        if spans[n, 1] - spans[n, 0] >= least and spans[n, 3] - spans[n, 2] >= least:
            n += 1
    return spans[:n].copy()


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _inside(starts: Any, low: int, high: int) -> Any:
    """First and last + 1 of the words that begin in the characters [low, high)."""
    return np.searchsorted(starts, low), np.searchsorted(starts, high)
