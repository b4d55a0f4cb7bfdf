"""Forget quality, model utility and PrivLeak: by hand, and against the formulas written out."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from remanence.core.errors import NotMeasured
from remanence.measure.likelihood.min_k import min_k
from remanence.measure.unlearning.forget_quality import forget_quality
from remanence.measure.unlearning.model_utility import model_utility
from remanence.measure.unlearning.privleak import FRACTION, privleak, privleak_of_scores


def test_privleak_by_hand():
    # The retrained model has AUC 0.5. A model that recognises every row has 1: 100 * (0 - 0.5) / 0.5 = -100.
    assert privleak(1.0, 0.5) == -100
    assert privleak(0.5, 0.5) == 0
    # Forget rows always less likely than held-out ones: 100 * (1 - 0.5) / 0.5 = +100, over-unlearned.
    assert privleak(0.0, 0.5) == 100


def test_privleak_of_the_retrained_model_is_zero():
    rng = np.random.default_rng(0)
    forget, heldout = rng.normal(size=9), rng.normal(size=14)
    assert privleak_of_scores(forget, heldout, forget, heldout) == 0


def test_privleak_against_areas_counted_pair_by_pair():
    rng = np.random.default_rng(1)
    rows = [rng.normal(size=(n, 11)) - shift for n, shift in ((7, 0.0), (9, 0.4), (7, 0.3), (9, 0.2))]
    scores = [np.array([min_k(row, FRACTION) for row in side]) for side in rows]

    def area(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.mean([(x > y) + (x == y) / 2 for x, y in itertools.product(a, b)]))

    auc_u, auc_r = area(*scores[:2]), area(*scores[2:])
    mirrored = 100 * ((1 - auc_u) - (1 - auc_r)) / (1 - auc_r)  # MUSE's own areas are these, turned round
    assert privleak_of_scores(*scores) == pytest.approx(mirrored)


def test_privleak_needs_a_reference_that_can_be_fooled():
    with pytest.raises(NotMeasured, match="without fail"):
        privleak(0.5, 1.0)


def test_forget_quality_by_hand():
    # Two samples of three with nothing in common: D = 1, and of the 20 ways to deal six ranks 2 are as far apart: 0.1.
    assert forget_quality(np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0])) == pytest.approx(0.1)
    assert forget_quality(np.array([1.0, 2.0, 3.0]), np.array([3.0, 1.0, 2.0])) == 1


def test_forget_quality_against_all_ways_to_deal_the_ranks():
    a, b = np.array([0.3, 1.4, 0.2, 2.2]), np.array([1.5, 2.6, 3.1, 0.9])

    def distance(x: np.ndarray, y: np.ndarray) -> float:
        return max(abs(np.mean(x <= t) - np.mean(y <= t)) for t in np.concatenate([x, y]))

    both = np.concatenate([a, b])
    dealt = [np.isin(np.arange(8), chosen) for chosen in itertools.combinations(range(8), 4)]
    slow = np.mean([distance(both[mask], both[~mask]) >= distance(a, b) - 1e-12 for mask in dealt])
    assert forget_quality(a, b) == pytest.approx(slow)


def test_forget_quality_compares_the_same_rows():
    with pytest.raises(ValueError, match="same rows"):
        forget_quality(np.ones(3), np.ones(4))
    with pytest.raises(ValueError, match="NaN"):
        forget_quality(np.array([np.nan]), np.ones(1))
    with pytest.raises(NotMeasured, match="no forget row"):
        forget_quality(np.ones(0), np.ones(0))


def test_model_utility_by_hand():
    # 3 / (1/0.5 + 1/1 + 1/0.25) = 3/7.
    assert model_utility([0.5, 1.0, 0.25]) == pytest.approx(3 / 7)
    assert model_utility([0.9, 0.9, 0.0]) == 0, "one part gone is all gone"


def test_model_utility_of_nothing_is_not_a_number_of_its_own():
    with pytest.raises(NotMeasured):
        model_utility([])
    for bad in (math.nan, -0.1):
        with pytest.raises(ValueError, match="between 0 and 1"):
            model_utility([bad, 0.5])
