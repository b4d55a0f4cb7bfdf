"""Sentence similarity: sentences of two texts as bags of weighted words, and their cosines.

Paper: Sanchez-Perez, Sidorov, Gelbukh 2014, "A Winning Approach to Text Alignment for Text Reuse Detection at PAN
2014", CLEF 2014: the seeding step. What a word weighs comes from the two texts, from a corpus, or from both.

In every kernel the sentences of text A are rows, those of text B columns. Time and memory grow with A times B.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray


class Bags(NamedTuple):
    """N texts as bags of terms per sentence: S sentences and E different (text, term, sentence) in all."""

    sentence_offsets: NDArray[np.int64]
    """[N+1] the sentences of text i are offsets[i]:offsets[i+1]."""
    starts: NDArray[np.int64]
    """[S] first character in its own text."""
    ends: NDArray[np.int64]
    """[S] one past the last character."""
    sizes: NDArray[np.int64]
    """[S] different terms."""
    posting_offsets: NDArray[np.int64]
    """[N+1] the postings of text i are offsets[i]:offsets[i+1], by term, then by sentence."""
    terms: NDArray[np.uint64]
    """[E]"""
    places: NDArray[np.int64]
    """[E] sentence, counted from 0 in its own text."""
    counts: NDArray[np.float64]
    """[E] how often the term stands in the sentence."""


def bags_of(
    keys: NDArray[np.uint64],
    places: NDArray[np.int64],
    offsets: NDArray[np.int64],
    sentence_offsets: NDArray[np.int64],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
) -> Bags:
    """Group W words by text, term, sentence; words of text i are offsets[i]:offsets[i+1], and their places ascend."""
    posting_offsets, terms, grouped, counts, sizes = _group(keys, places, offsets, sentence_offsets)
    return Bags(sentence_offsets, starts, ends, sizes, posting_offsets, terms, grouped, counts)


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _group(keys: Any, places: Any, offsets: Any, sentence_offsets: Any) -> Any:
    posting_offsets = np.zeros(offsets.size, np.int64)
    terms = np.empty(keys.size, np.uint64)
    grouped = np.empty(keys.size, np.int64)
    counts = np.empty(keys.size, np.float64)
    sizes = np.zeros(sentence_offsets[-1], np.int64)
    n = 0
    for text in range(offsets.size - 1):
        begin = offsets[text]
        order = np.argsort(keys[begin : offsets[text + 1]], kind="mergesort")
        first = n
        for k in range(order.size):
            key, place = keys[begin + order[k]], places[begin + order[k]]
            if n > first and terms[n - 1] == key and grouped[n - 1] == place:
                counts[n - 1] += 1
                continue
            terms[n], grouped[n], counts[n] = key, place, 1
            sizes[sentence_offsets[text] + place] += 1
            n += 1
        posting_offsets[text + 1] = n
    return posting_offsets, terms[:n].copy(), grouped[:n].copy(), counts[:n].copy(), sizes


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def weigh(
    terms_a: Any, counts_a: Any, shares_a: Any, terms_b: Any, counts_b: Any, shares_b: Any, num: int, prior: float
) -> Any:
    """tf(t, s) idf(t) of every posting: idf(t) = log((N + K) / (df(t) + K share(t))), at least 0.

    N sentences in the two texts together, df of them with the term; a corpus, of whose sentences `share` have the term,
    counts like K = `prior` further sentences. K = 0 is the tf-isf of the paper.
    """
    weights_a, weights_b = counts_a.copy(), counts_b.copy()
    i = j = 0
    while i < terms_a.size or j < terms_b.size:
        in_a = j == terms_b.size or (i < terms_a.size and terms_a[i] <= terms_b[j])
        term, share = (terms_a[i], shares_a[i]) if in_a else (terms_b[j], shares_b[j])
        x, y = i, j
        while x < terms_a.size and terms_a[x] == term:
            x += 1
        while y < terms_b.size and terms_b[y] == term:
            y += 1
        idf = max(0.0, np.log((num + prior) / (x - i + y - j + prior * share)))
        for k in range(i, x):
            weights_a[k] *= idf
        for k in range(j, y):
            weights_b[k] *= idf
        i, j = x, y
    return weights_a, weights_b


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def shared_terms(
    terms_a: Any, places_a: Any, weights_a: Any, num_a: int, terms_b: Any, places_b: Any, weights_b: Any, num_b: int
) -> Any:
    """Dot product and number of shared terms of every sentence pair, [A, B] both: a merge of two sorted lists."""
    dots = np.zeros((num_a, num_b))
    shared = np.zeros((num_a, num_b), np.int64)
    i = j = 0
    while i < terms_a.size and j < terms_b.size:
        if terms_a[i] < terms_b[j]:
            i += 1
        elif terms_a[i] > terms_b[j]:
            j += 1
        else:
            term = terms_a[i]
            last = j
            while last < terms_b.size and terms_b[last] == term:
                last += 1
            while i < terms_a.size and terms_a[i] == term:
                for k in range(j, last):
                    dots[places_a[i], places_b[k]] += weights_a[i] * weights_b[k]
                    shared[places_a[i], places_b[k]] += 1
                i += 1
            j = last
    return dots, shared


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def norms_of(places: Any, weights: Any, num: int) -> Any:
    """Euclidean norm of each sentence, [num]."""
    squares = np.zeros(num)
    for k in range(places.size):
        squares[places[k]] += weights[k] * weights[k]
    return np.sqrt(squares)


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def cosines_of(dots: Any, norms_a: Any, norms_b: Any) -> Any:
    """Cosine of every sentence pair, [A, B]; 0 beside a sentence without weight."""
    cosines = np.zeros(dots.shape)
    for i in range(dots.shape[0]):
        for j in range(dots.shape[1]):
            if dots[i, j] > 0:
                cosines[i, j] = dots[i, j] / (norms_a[i] * norms_b[j])
    return cosines


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def seeds_of(cosines: Any, shared: Any, sizes_a: Any, sizes_b: Any, least_cosine: float, least_dice: float) -> Any:
    """Sentence pairs [K, 2] whose cosine and Dice 2 |shared| / (|A| + |B|) both exceed their limits, by row."""
    seeds = np.empty((64, 2), np.int64)
    n = 0
    for i in range(cosines.shape[0]):
        for j in range(cosines.shape[1]):
            if cosines[i, j] > least_cosine and 2 * shared[i, j] > least_dice * (sizes_a[i] + sizes_b[j]):
                if n == seeds.shape[0]:
                    seeds = np.concatenate((seeds, np.empty_like(seeds)))
                seeds[n, 0], seeds[n, 1] = i, j
                n += 1
    return seeds[:n].copy()


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def near_best(seeds: Any, cosines: Any, share: float) -> Any:
    """The seeds [K, 2] whose cosine is at least `share` of that of the best seed in their row, and in their column."""
    rows, columns = np.zeros(cosines.shape[0]), np.zeros(cosines.shape[1])
    for i, j in seeds:
        rows[i], columns[j] = max(rows[i], cosines[i, j]), max(columns[j], cosines[i, j])
    kept = np.empty_like(seeds)
    n = 0
    for i, j in seeds:
        if cosines[i, j] >= share * max(rows[i], columns[j]):
            kept[n, 0], kept[n, 1] = i, j
            n += 1
    return kept[:n].copy()
