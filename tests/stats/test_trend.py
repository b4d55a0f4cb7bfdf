"""A dose dealt out by lot, and the share of lots that look as good."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from remanence.stats.trend import dose_trend


def test_four_rows_by_hand():
    # Of the 24 orders of four different doses one is as good as perfect: p is about 1/24.
    doses, scores = np.array([1.0, 2, 3, 4]), np.array([0.1, 0.2, 0.5, 0.9])
    found = dose_trend(doses, scores, np.zeros(4), seed=0)
    assert found.correlation == pytest.approx(1.0)
    assert found.p_value == pytest.approx(1 / 24, abs=0.01)
    assert doses.tolist() == [1, 2, 3, 4], "what was given is left as it was"


def test_against_every_order_there_is():
    rng = np.random.default_rng(1)
    doses, scores = np.array([1, 1, 4, 4, 16, 16], float), rng.normal(size=6)
    truth = spearmanr(doses, scores).statistic
    all_of_them = [spearmanr(list(order), scores).statistic for order in itertools.permutations(doses)]
    found = dose_trend(doses, scores, np.zeros(6), seed=0)
    assert found.correlation == pytest.approx(truth)
    assert found.p_value == pytest.approx(np.mean(np.array(all_of_them) >= truth - 1e-9), abs=0.02)


def test_strata_that_differ_in_level_do_not_make_a_trend_and_do_not_hide_one():
    doses = np.array([1, 4, 16, 1, 4, 16], float)
    level = np.array([0, 0, 0, 100, 100, 100], float)
    found = dose_trend(doses, level + np.array([1, 2, 3, 1, 2, 3]), level, seed=0)
    assert found.correlation == pytest.approx(1.0) and found.p_value == pytest.approx(1 / 36, abs=0.01)


def test_without_trend_p_values_are_spread_evenly():
    rng = np.random.default_rng(2)
    doses = np.repeat([1.0, 4.0, 16.0], 6)
    p = [dose_trend(doses, rng.normal(size=18), np.zeros(18), seed=i, rounds=199).p_value for i in range(200)]
    assert 0.01 <= np.mean(np.array(p) <= 0.05) <= 0.1
    assert np.mean(p) == pytest.approx(0.5, abs=0.08)


def test_equal_scores_have_no_trend():
    found = dose_trend(np.array([1.0, 2.0]), np.zeros(2), np.zeros(2), seed=0)
    assert math.isnan(found.correlation) and found.p_value == 1
