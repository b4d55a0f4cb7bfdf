"""Bags, seeds, passages and borders: by hand, and against plain twins on random small texts."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from remanence.text.bags import bags_of, cosines_of, near_best, norms_of, seeds_of, shared_terms, weigh
from remanence.text.borders import segment
from remanence.text.passages import chained, common_runs, extend, quality, without_overlap

SENTENCE = st.lists(st.integers(0, 5), min_size=1, max_size=5)
TEXT = st.lists(SENTENCE, min_size=1, max_size=5)
RUN = st.lists(st.integers(0, 2), max_size=10)


def bag(text: list[list[int]]):
    """One text of sentences of words as bags."""
    keys = np.array([word for sentence in text for word in sentence], np.uint64)
    places = np.array([i for i, sentence in enumerate(text) for _ in sentence], np.int64)
    ends = np.arange(1, len(text) + 1)
    return bags_of(keys, places, np.array([0, keys.size]), np.array([0, len(text)]), ends - 1, ends)


def alike(a: list[list[int]], b: list[list[int]], prior: float = 0.0):
    """Weights, dots, shared, cosines of two texts; the corpus, if it counts, has each word in half of its sentences."""
    x, y = bag(a), bag(b)
    half_a, half_b = np.full(x.terms.size, 0.5), np.full(y.terms.size, 0.5)
    weights_a, weights_b = weigh(x.terms, x.counts, half_a, y.terms, y.counts, half_b, len(a) + len(b), prior)
    dots, shared = shared_terms(x.terms, x.places, weights_a, len(a), y.terms, y.places, weights_b, len(b))
    cosines = cosines_of(dots, norms_of(x.places, weights_a, len(a)), norms_of(y.places, weights_b, len(b)))
    return x, y, weights_a, weights_b, dots, shared, cosines


def test_a_word_of_one_sentence_in_four_weighs_log_four():
    x, _, weights_a, _, _, shared, cosines = alike([[1, 1, 2], [3]], [[3], [3, 4]])
    # Word 1 stands twice in one of four sentences, word 2 once, word 3 in three of four.
    assert weights_a == pytest.approx([2 * math.log(4), math.log(4), math.log(4 / 3)])
    assert x.sizes.tolist() == [2, 1]
    assert shared.tolist() == [[0, 0], [1, 1]]
    assert cosines[1, 0] == pytest.approx(1)
    assert cosines[1, 1] == pytest.approx(math.log(4 / 3) / math.hypot(math.log(4 / 3), math.log(4)))


def test_with_a_corpus_a_copy_of_a_single_sentence_weighs_something():
    assert alike([[1]], [[1]])[-1].tolist() == [[0]]
    assert alike([[1]], [[1]], prior=10)[-1] == pytest.approx(np.ones((1, 1)))


@given(TEXT, TEXT, st.sampled_from([0.0, 3.0]))
def test_cosines_and_dice_equal_the_plain_ones(a: list[list[int]], b: list[list[int]], prior: float):
    *_, shared, cosines = alike(a, b, prior)
    df = Counter(word for sentence in [*a, *b] for word in set(sentence))
    num = len(a) + len(b)

    def vector(sentence: list[int]) -> dict[int, float]:
        return {w: n * max(0.0, math.log((num + prior) / (df[w] + prior / 2))) for w, n in Counter(sentence).items()}

    for i, u in enumerate(map(vector, a)):
        for j, v in enumerate(map(vector, b)):
            dot = sum(u[w] * v.get(w, 0) for w in u)
            norm = math.sqrt(sum(x * x for x in u.values()) * sum(x * x for x in v.values()))
            assert cosines[i, j] == pytest.approx(dot / norm if norm else 0, abs=1e-9)
            assert shared[i, j] == len(u.keys() & v.keys())


def test_a_seed_exceeds_both_limits_and_is_near_the_best_of_its_row_and_column():
    cosines = np.array([[0.9, 0.5], [0.3, 0.0]])
    sizes = np.array([4, 4])
    seeds = seeds_of(cosines, np.array([[4, 2], [1, 4]]), sizes, sizes, 0.2, 0.4)
    assert seeds.tolist() == [[0, 0], [0, 1]]  # [1, 0] shares 1 of 4, [1, 1] has no cosine
    assert near_best(seeds, cosines, 0.5).tolist() == [[0, 0], [0, 1]]
    assert near_best(seeds, cosines, 0.6).tolist() == [[0, 0]]


def extended(text: list[list[int]], seeds: list[tuple[int, int]], gap: int, least_gap: int, th3: float):
    x, y, weights_a, weights_b, dots, _, _ = alike(text, text, prior=5)
    return extend(
        np.array(seeds), dots, x.terms, x.places, weights_a, y.terms, y.places, weights_b, gap, least_gap, th3
    ).tolist()


DISTINCT = [[10 * i, 10 * i + 1] for i in range(8)]


def test_seeds_are_cut_where_the_gap_is_too_wide_on_either_side():
    seeds = [(0, 0), (1, 1), (4, 2), (5, 7)]
    assert extended(DISTINCT, seeds, 2, 2, -1) == [[0, 4, 0, 2], [5, 5, 7, 7]]
    assert extended(DISTINCT, seeds, 1, 1, -1) == [[0, 1, 0, 1], [4, 4, 2, 2], [5, 5, 7, 7]]
    assert extended(DISTINCT, seeds, 9, 9, -1) == [[0, 5, 0, 7]]


def test_a_passage_that_is_not_alike_is_cut_with_smaller_gaps_or_dropped():
    seeds = [(0, 0), (2, 2), (2, 5)]
    # 0..2 beside 0..5: three of six sentences are shared, cosine 3 / sqrt(3 * 6) = 0.71.
    assert extended(DISTINCT, seeds, 2, 0, 0.7) == [[0, 2, 0, 5]]
    assert extended(DISTINCT, seeds, 2, 0, 0.72) == [[0, 2, 0, 2]]
    assert extended(DISTINCT, seeds, 2, 2, 0.72) == []


def test_of_two_passages_in_the_same_sentences_the_better_one_stays():
    cosines = np.array([[0.8, 0.0, 0.5], [0.0, 0.6, 0.4]])
    cases = np.array([[0, 0, 0, 0], [0, 1, 1, 2]])
    # The first: shared sentence 0.8, no other. The second: 0.5 + 0.5 * 0.6 = 0.8 as well, so the earlier one stays.
    assert quality(cases[0], cases[1], cosines) == pytest.approx(0.8)
    assert quality(cases[1], cases[0], cosines) == pytest.approx(0.8)
    assert without_overlap(cases, cosines).tolist() == [[0, 0, 0, 0]]
    cosines[1, 1] = 0.7
    assert without_overlap(cases, cosines).tolist() == [[0, 1, 1, 2]]


def test_of_two_perfect_passages_the_longer_one_stays():
    cosines = np.ones((2, 2))
    assert without_overlap(np.array([[0, 0, 0, 0], [0, 1, 1, 1]]), cosines).tolist() == [[0, 1, 1, 1]]


def positions(words: list[int]):
    """Word i stands at characters 10 i to 10 i + 9."""
    starts = 10 * np.arange(len(words))
    return np.array(words, np.uint64), starts, starts + 9


def test_a_common_run_is_as_long_as_it_can_be():
    runs = common_runs(*positions([1, 2, 3, 4]), *positions([9, 2, 3, 9]), 10)
    assert runs.tolist() == [[10, 29, 10, 29]]


@given(RUN, RUN, st.integers(0, 40))
def test_common_runs_equal_the_plain_ones(a: list[int], b: list[int], longer: int):
    expected = set()
    for i in range(len(a)):
        for j in range(len(b)):
            k = 0
            while i + k < len(a) and j + k < len(b) and a[i + k] == b[j + k]:
                k += 1
            if k and not (i and j and a[i - 1] == b[j - 1]) and 10 * k - 1 > longer:
                expected.add((10 * i, 10 * (i + k) - 1, 10 * j, 10 * (j + k) - 1))
    runs = common_runs(*positions(a), *positions(b), longer).tolist()
    assert set(map(tuple, runs)) == expected
    assert len(runs) == len(expected)


def test_runs_that_nearly_touch_on_both_sides_are_one():
    runs = np.array([[20, 30, 25, 35], [0, 10, 0, 10], [40, 50, 90, 99]])
    assert chained(runs, 15).tolist() == [[0, 30, 0, 35], [40, 50, 90, 99]]
    assert chained(runs, 5).tolist() == [[0, 10, 0, 10], [20, 30, 25, 35], [40, 50, 90, 99]]


def test_words_decide_where_a_copy_begins_and_ends():
    # Words 1 to 4 were copied; 7 and 8 around them stand nowhere in the other text.
    keys = np.array([7, 8, 7, 1, 2, 3, 4, 8, 7, 8], np.uint64)
    start, end, bits = segment(keys, np.full(10, 1e-4), np.array([4, 3, 2, 1], np.uint64), 1.0)
    assert (start, end) == (3, 7)
    # Four of ten words are shared, so c = 0.4 but for chance; each shared word is worth log2(0.4 / 0.0004) = 10 bits.
    assert bits == pytest.approx(4 * 9.97, abs=0.05)


def test_an_edge_is_only_cut_off_for_enough_bits():
    keys = np.array([7, 1, 2, 3, 4], np.uint64)
    found = segment(keys, np.full(5, 1e-4), np.array([4, 3, 2, 1], np.uint64), 5.0)
    assert found[:2] == (0, 5)  # one missed word of five speaks against it with log2(1 - 0.8) = -2.3 bits


def test_common_words_say_little():
    keys, other = np.array([1, 2, 3], np.uint64), np.array([1, 2, 3], np.uint64)
    rare, common = (segment(keys, np.full(3, rate), other, 0.0)[2] for rate in (1e-6, 0.3))
    assert rare > 50
    assert 0 < common < 3


@given(st.lists(st.integers(0, 5), max_size=8), st.lists(st.integers(0, 5), max_size=8), st.sampled_from([0.0, 3.0]))
def test_a_segment_is_the_best_of_all(a: list[int], b: list[int], edge_bits: float):
    rate = 0.05
    beta = 1 - (1 - rate) ** len(b)
    excess = sum((word in b) - beta for word in a)
    c = min(0.98, max(0.1, excess / (len(a) * (1 - beta)) if a else 0))
    gain = [math.log2((c + (1 - c) * beta) / beta) if word in b else math.log2(1 - c) for word in a]
    best = max(sum(gain[i:j]) for i in range(len(a) + 1) for j in range(i, len(a) + 1))
    start, end, bits = segment(np.array(a, np.uint64), np.full(len(a), rate), np.array(b, np.uint64), edge_bits)
    assert bits == pytest.approx(sum(gain[start:end]), abs=1e-9)
    assert best - 2 * edge_bits - 1e-9 <= bits <= best + 1e-9
