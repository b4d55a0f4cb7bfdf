"""Thresholds from nulls, counted by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from remanence.stats.calibration import ByLength, halves, lowest_alpha, p_values, p_values_by_length, threshold


def test_with_99_nulls_one_in_a_hundred_is_above_the_highest():
    null = np.arange(1.0, 100.0)
    one = threshold(null, 0.01, least=0)
    assert (one.score, one.num_null) == (99.0, 99)
    assert one.flags(np.array([99.0, 99.1])).tolist() == [False, True]
    assert p_values(np.array([99.0, 99.1, 0.0]), null).tolist() == [0.02, 0.01, 1.0]


def test_five_percent_of_1000_nulls():
    # floor(0.05 * 1001) = 50: a score is flagged when at most 49 nulls reach it, so when it is above the 50th highest
    assert threshold(np.arange(1000.0), 0.05).score == 950


def test_alpha_below_ten_over_n_is_refused_with_the_number_needed():
    one = threshold(np.arange(999.0), 0.01)
    assert one.score is None
    assert one.reason == "999 held-out texts cannot calibrate a false-positive rate of 1 %; it takes 1000"
    with pytest.raises(ValueError, match="it takes 1000"):
        one.flags(np.array([5.0]))
    assert threshold(np.arange(1000.0), 0.01).score == 990
    assert threshold(np.arange(9999.0), 0.001).score is None
    assert threshold(np.arange(10000.0), 0.001).score == 9990


def test_no_null_calibrates_nothing():
    assert threshold(np.zeros(0), 0.05, least=0).score is None
    assert lowest_alpha(0) == 1
    assert lowest_alpha(5) == 1
    assert lowest_alpha(400) == 0.025


def test_realised_false_alarms_have_an_interval():
    rate = threshold(np.arange(1000.0), 0.05).false_positive_rate(np.array([0.0] * 90 + [2000.0] * 10))
    assert (rate.hits, rate.n) == (10, 100)
    assert rate.low < 0.05 < 0.1 < rate.high


def test_a_text_that_cannot_reach_the_threshold_is_not_measurable():
    assert threshold(np.arange(1000.0), 0.05).measurable(np.array([950.0, 951.0])).tolist() == [False, True]


@given(st.lists(st.integers(0, 20), min_size=1, max_size=60), st.sampled_from([0.01, 0.05, 0.2, 0.5]))
def test_the_threshold_flags_just_what_the_p_value_allows(null: list[int], alpha: float):
    scores = np.arange(-1.0, 22.0)
    p = p_values(scores, np.array(null, float))
    one = threshold(np.array(null, float), alpha, least=0)
    reachable = alpha * (len(null) + 1) >= 1
    # A score equal to the threshold has a p-value that is too high, unless no null lies between.
    assert one.flags(scores).tolist() == (p <= max(alpha, 1 / (len(null) + 1)) * (1 + 1e-9)).tolist()
    assert reachable or one.score == max(null)


def test_chance_is_kept_on_average():
    rng = np.random.default_rng(1)
    rates = [
        threshold(rng.normal(size=200), 0.05).false_positive_rate(rng.normal(size=500)).rate
        for _ in range(200)
    ]  # fmt: skip
    assert np.mean(rates) == pytest.approx(10 / 201, abs=0.004)


def test_pieces_of_one_text_stay_in_one_half():
    groups = np.array([7, 7, 3, 3, 3, 9, 1])
    first = halves(groups, seed=4)
    assert first[0] == first[1]
    assert first[2] == first[3] == first[4]
    assert len({int(g) for g in groups[first]}) == 2
    assert (first == halves(groups, seed=4)).all()


def test_each_length_has_its_threshold_and_longer_ones_are_not_lower():
    fit = ByLength.fit({10: np.arange(100.0), 20: np.arange(100.0) / 2, 50: 2 * np.arange(100.0)}, 0.1)
    assert [t.score for t in fit.thresholds] == [90, 90, 180]
    assert fit.of(np.array([1, 10, 11, 20, 21, 50, 999])).tolist() == [90, 90, 90, 90, 180, 180, 180]


def test_a_refused_length_flags_nothing():
    fit = ByLength.fit({10: np.arange(100.0), 50: np.arange(9.0)}, 0.1)
    assert fit.of(np.array([10, 50])).tolist() == [90, math.inf]
    assert "9 held-out texts" in fit.thresholds[1].reason


@given(st.integers(0, 2**32 - 1))
def test_p_values_by_length_flag_what_the_thresholds_flag(seed: int):
    rng = np.random.default_rng(seed)
    nulls = {n: rng.integers(0, 30, 40).astype(float) for n in (10, 20, 50)}
    scores, num_words = rng.integers(0, 35, 60).astype(float), rng.integers(1, 80, 60)
    flags = scores > ByLength.fit(nulls, 0.1, least=0).of(num_words)
    assert flags.tolist() == (p_values_by_length(scores, num_words, nulls) <= 0.1).tolist()


def test_invalid_arguments_are_errors():
    with pytest.raises(ValueError, match="between 0 and 1"):
        threshold(np.zeros(5), 0)
    with pytest.raises(ValueError, match="never NaN"):
        threshold(np.array([math.nan]), 0.5)
    with pytest.raises(ValueError, match="at least one length"):
        ByLength.fit({}, 0.1)
