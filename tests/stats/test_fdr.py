"""p-values counted by hand, and discoveries against the definition of Benjamini and Hochberg."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from remanence.stats.fdr import benjamini_hochberg, conformal_p_values, q_values

SCORES = st.integers(-3, 3).map(float)


def test_p_is_one_plus_the_held_out_rows_at_least_as_high():
    # Held-out 1, 2, 3: a score of 2 is reached by two of them, (1 + 2) / 4; 9 by none, 1 / 4; 0 by all, 4 / 4.
    p = conformal_p_values(np.array([2.0, 9.0, 0.0, -np.inf]), np.array([3.0, 1.0, 2.0]))
    assert p.tolist() == [0.75, 0.25, 1.0, 1.0]


def test_without_held_out_rows_nothing_is_surprising():
    assert conformal_p_values(np.array([5.0]), np.empty(0)).tolist() == [1.0]


def test_a_row_that_was_not_measured_has_no_p():
    with pytest.raises(ValueError, match="NaN"):
        conformal_p_values(np.array([np.nan]), np.array([1.0]))


@given(arrays(float, st.integers(0, 8), elements=SCORES), arrays(float, st.integers(0, 8), elements=SCORES))
def test_p_agrees_with_counting(scores: np.ndarray, null: np.ndarray):
    expected = [(1 + sum(x >= s for x in null)) / (1 + len(null)) for s in scores]
    assert conformal_p_values(scores, null).tolist() == pytest.approx(expected)


def test_unseen_rows_have_small_p_no_more_often_than_they_should():
    rng = np.random.default_rng(0)
    p = np.concatenate([conformal_p_values(rng.normal(size=20), rng.normal(size=99)) for _ in range(500)])
    assert np.mean(p <= 0.05) == pytest.approx(0.05, abs=0.012)


def test_benjamini_hochbergs_ladder_by_hand():
    # N = 5 at 5 %: rungs 0.01, 0.02, 0.03, 0.04, 0.05. The fourth p is under its rung, so the four smallest count,
    # the third (0.032 > 0.03) included.
    p = np.array([0.9, 0.039, 0.005, 0.032, 0.015])
    assert benjamini_hochberg(p, 0.05).tolist() == [False, True, True, True, True]


def test_a_p_exactly_on_its_rung_is_a_discovery():
    for n in range(1, 200):
        assert benjamini_hochberg(np.arange(1, n + 1) * 0.05 / n, 0.05).all()


@given(arrays(float, st.integers(0, 12), elements=st.integers(0, 40).map(lambda k: k / 40 * 0.97 + 0.001)))
def test_discoveries_agree_with_the_definition_and_with_q(p: np.ndarray):
    n, ladder = p.size, np.sort(p)
    largest = max((k for k in range(1, n + 1) if ladder[k - 1] <= 0.1 * k / n), default=0)
    expected = [bool(largest) and x <= ladder[largest - 1] for x in p]
    assert benjamini_hochberg(p, 0.1).tolist() == expected
    assert (q_values(p) >= p).all()


def test_no_rows_no_discoveries():
    assert benjamini_hochberg(np.empty(0)).shape == q_values(np.empty(0)).shape == (0,)
