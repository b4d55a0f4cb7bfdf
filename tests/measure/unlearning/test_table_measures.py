"""Probability, exact memorization and extraction strength on tokens written down, against five-line twins."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hand_made import said, token_row
from hypothesis import given
from hypothesis import strategies as st

from remanence.measure.extraction.extraction_strength import ExtractionStrength, extraction_strength
from remanence.measure.unlearning.exact_memorization import ExactMemorization, exact_memorization
from remanence.measure.unlearning.probability import Probability, probability

HITS = st.lists(st.booleans(), min_size=1, max_size=30)


def test_probability_is_the_geometric_mean_by_hand():
    # 1/2 * 1/8 * 1/4 = 1/64, and the third root of that is 1/4.
    row = token_row({"logprob": [math.log(1 / 2), math.log(1 / 8), math.log(1 / 4)]})
    assert Probability().score(row).value == pytest.approx(1 / 4)


def test_exact_memorization_counts_tokens_by_hand():
    # Three of four first choices are right, wherever they stand.
    score = ExactMemorization().score(said([1, 0, 1, 1]))
    assert score.value == 0.75 and score.evidence == {"hits": 3, "tokens": 4}


def test_tokens_of_the_question_do_not_count():
    assert ExactMemorization().score(said([0, 0, 1, 1], supervised=[0, 0, 1, 1])).value == 1
    row = token_row({"logprob": [-9.0, -1.0, -1.0]}, supervised=[0, 1, 1])
    assert Probability().score(row).value == pytest.approx(math.exp(-1))


def benchmark_strength(hits: list[bool]) -> float:
    """1 - k / len, k = the first index from which all are right; nothing right at the end = 0, not their 1 / len."""
    for k in range(len(hits)):
        if all(hits[k:]):
            return 1 - k / len(hits)
    return 0.0


@given(HITS)
def test_extraction_strength_is_the_benchmarks_except_that_no_match_is_zero(hits: list[bool]):
    assert extraction_strength(np.array(hits)) == pytest.approx(benchmark_strength(hits))


def test_extraction_strength_of_a_row_that_never_comes_back_is_zero():
    assert ExtractionStrength().score(said([1, 1, 0])).value == 0


@given(HITS)
def test_exact_memorization_is_at_least_extraction_strength(hits: list[bool]):
    flags = np.array(hits)
    assert exact_memorization(flags) == sum(hits) / len(hits) >= extraction_strength(flags) - 1e-12


@given(st.lists(st.floats(-40, 0), min_size=1, max_size=20))
def test_probability_equals_the_root_of_a_product(logprobs: list[float]):
    slow = math.prod(math.exp(x / len(logprobs)) for x in logprobs)
    assert probability(np.array(logprobs)) == pytest.approx(slow)
