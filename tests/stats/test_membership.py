"""Membership quality on rows that can be counted by hand, against sklearn, and under planted mistakes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import roc_auc_score, roc_curve

from remanence.core.errors import NotMeasured
from remanence.stats.membership import (
    advantage,
    auc_interval,
    membership_quality,
    roc_auc,
    roc_curve_points,
    tpr_at_fpr,
)

# Few distinct values, so that ties are common.
SCORES = arrays(float, st.integers(1, 25), elements=st.integers(-4, 4).map(float))
A = np.array


def labelled(members: np.ndarray, nonmembers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.repeat([1, 0], [members.size, nonmembers.size]), np.concatenate((members, nonmembers))


def test_auc_is_the_share_of_pairs_in_the_right_order():
    # Members 3, 1 against 0, 1, 2: 3 beats three; 1 beats one and ties one. (3 + 1 + 1/2) / 6 = 0.75.
    assert roc_auc(A([3.0, 1.0]), A([0.0, 1.0, 2.0])) == 0.75


def test_higher_means_member():
    assert roc_auc(A([1.0, 2.0]), A([-1.0, 0.0])) == 1
    assert roc_auc(A([-1.0, 0.0]), A([1.0, 2.0])) == 0


def test_minus_infinity_is_the_lowest_score_and_nan_is_refused():
    assert roc_auc(A([-math.inf, 1.0]), A([-math.inf, 0.0])) == pytest.approx((0.5 + 0 + 1 + 1) / 4)
    for judge in (roc_auc, auc_interval, advantage, roc_curve_points, membership_quality):
        with pytest.raises(ValueError, match="NaN"):
            judge(A([1.0, math.nan]), A([0.0]))


def test_without_held_out_rows_nothing_can_be_said():
    with pytest.raises(NotMeasured, match="no held-out row"):
        membership_quality(A([1.0]), A([]))


@given(SCORES, SCORES)
def test_auc_and_curve_agree_with_sklearn(members: np.ndarray, nonmembers: np.ndarray):
    labels, scores = labelled(members, nonmembers)
    fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
    assert roc_auc(members, nonmembers) == pytest.approx(roc_auc_score(labels, scores))
    assert advantage(members, nonmembers) == pytest.approx(np.max(tpr - fpr))
    ours = roc_curve_points(members, nonmembers)
    assert np.trapezoid(ours.tpr, ours.fpr) == pytest.approx(roc_auc_score(labels, scores))
    assert {(0.0, 0.0), (1.0, 1.0)} <= set(zip(ours.fpr.tolist(), ours.tpr.tolist(), strict=True))
    assert set(zip(ours.fpr.round(9), ours.tpr.round(9), strict=True)) <= set(
        zip(fpr.round(9), tpr.round(9), strict=True)
    )


def test_a_straight_line_needs_two_points():
    same = np.arange(50.0)
    assert roc_curve_points(same + 100, same).fpr.tolist() == [0, 0, 1]
    assert roc_curve_points(A([1.0]), A([1.0])).tpr.tolist() == [0, 1]


def test_tpr_at_ten_percent_fpr_by_hand():
    # 30 held-out scores 0..29: 10 % allows three above the threshold, 27, 28 and 29; so the threshold is 26.
    # Of the members 26 (not above), 26.5, 27, 40, 3, three are above: TPR 3/5.
    found = tpr_at_fpr(A([26.0, 26.5, 27.0, 40.0, 3.0]), np.arange(30.0), 0.1)
    assert found.threshold == 26
    assert (found.true_positives.hits, found.true_positives.n) == (3, 5)
    assert (found.false_positives.hits, found.false_positives.n) == (3, 30)


def test_the_threshold_is_taken_on_held_out_rows_and_not_on_members():
    # Planted mistake: a threshold at the top 10 % of the MEMBERS would find 10 % of them, whatever they score.
    members, nonmembers = np.arange(100.0) + 1000, np.arange(100.0)
    assert tpr_at_fpr(members, nonmembers, 0.1).true_positives.rate == 1
    assert tpr_at_fpr(nonmembers, members, 0.1).true_positives.rate == 0


def test_the_false_alarms_are_the_high_end_and_not_the_low_end():
    # Planted mistake: with the threshold at the 10 % quantile in place of the 90 % one, 90 of 100 would be accused.
    same = np.arange(100.0)
    found = tpr_at_fpr(same, same, 0.1)
    assert found.true_positives.rate == found.false_positives.rate == 0.1


def test_the_rate_written_under_a_false_positive_rate_is_the_rate_at_it():
    # Planted mistake: the TPR of one FPR stored under another. Members sit 0.5 above the held-out ranks 0..2999 that
    # are named: above the threshold for 10 % (2699) lie 4 of them, for 1 % (2969) 2, for 0.1 % (2996) 1.
    quality = membership_quality(A([100.5, 2700.5, 2800.5, 2975.5, 2998.5]), np.arange(3000.0))
    assert [(found.asked, found.true_positives.hits) for found in quality.tpr_at] == [(0.1, 4), (0.01, 2), (0.001, 1)]
    assert [found.false_positives.hits for found in quality.tpr_at] == [300, 30, 3]


def test_ties_never_push_the_false_alarms_over_what_was_asked():
    # All held-out rows tie at 1: accusing one accuses all, so none is, and members must be above 1.
    found = tpr_at_fpr(A([1.0, 2.0]), np.ones(50), 0.1)
    assert (found.threshold, found.false_positives.hits, found.true_positives.hits) == (1, 0, 1)


@given(
    SCORES,
    arrays(float, st.integers(30, 60), elements=st.integers(-9, 9).map(float)),
    st.sampled_from([0.1, 0.25, 0.5]),
)
def test_tpr_is_the_best_that_any_threshold_allows(members: np.ndarray, nonmembers: np.ndarray, fpr: float):
    found = tpr_at_fpr(members, nonmembers, fpr)
    thresholds = [*np.unique(np.concatenate((members, nonmembers))), -math.inf]
    allowed = [np.mean(members > t) for t in thresholds if np.mean(nonmembers > t) <= fpr]
    assert found.true_positives.rate == pytest.approx(max(allowed))
    assert found.false_positives.rate <= fpr


def test_a_rate_that_the_held_out_rows_cannot_support_is_refused_with_the_number_needed():
    with pytest.raises(NotMeasured, match=r"0\.1 % needs at least 3,000 held-out rows, got 2,999"):
        tpr_at_fpr(A([1.0]), np.arange(2999.0), 0.001)
    assert tpr_at_fpr(A([1.0]), np.arange(3000.0), 0.001).false_positives.hits == 3
    quality = membership_quality(np.arange(50.0), np.arange(400.0))
    assert [found.asked for found in quality.tpr_at] == [0.1, 0.01]
    assert list(quality.refused) == [0.001] and "3,000" in quality.refused[0.001]


@pytest.mark.parametrize("fpr", [0.0, 1.0, -0.1])
def test_impossible_false_positive_rates_are_refused(fpr: float):
    with pytest.raises(ValueError, match="between 0 and 1"):
        tpr_at_fpr(A([1.0]), np.arange(100.0), fpr)


def test_the_auc_interval_uses_delongs_variance():
    # Members 3, 1 against 0, 1, 2. Share below each member: 1, 1/2; share of members above each held-out row:
    # 1, 3/4, 1/2. Sample variances 1/8 and 1/16, so var = 1/16 + 1/48 = 1/12; the logit of 0.75 is ln 3 and its
    # standard error sqrt(1/12) / (0.75 * 0.25).
    half = 1.959964 * math.sqrt(1 / 12) / 0.1875
    ends = [1 / (1 + math.exp(-(math.log(3) + sign * half))) for sign in (-1, 1)]
    assert auc_interval(A([3.0, 1.0]), A([0.0, 1.0, 2.0])) == pytest.approx(ends, rel=1e-5)


def test_the_auc_interval_holds_the_truth_95_times_in_100():
    # Normal scores one standard deviation apart: the true area is Phi(1 / sqrt 2) = 0.7602.
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        low, high = auc_interval(rng.normal(1, 1, 40), rng.normal(0, 1, 25))
        held += low <= 0.7602 <= high
    assert 0.92 <= held / 400 <= 0.98


def test_perfect_separation_of_ten_rows_is_not_certainty():
    few, many = (auc_interval(np.ones(n), np.zeros(n)) for n in (10, 1000))
    assert few.high == many.high == 1
    assert 0.75 < few.low < 0.85 < 0.99 < many.low < 1
    assert auc_interval(np.zeros(10), np.ones(10)) == pytest.approx((0, 1 - few.low))
    low, high = auc_interval(np.ones(10), np.ones(10))
    assert low < 0.3 < 0.7 < high


@given(SCORES, SCORES)
def test_the_auc_lies_in_its_interval(members: np.ndarray, nonmembers: np.ndarray):
    low, high = auc_interval(members, nonmembers)
    assert 0 <= low <= roc_auc(members, nonmembers) <= high <= 1


@given(SCORES, SCORES)
def test_only_the_order_of_scores_matters(members: np.ndarray, nonmembers: np.ndarray):
    quality = membership_quality(members, nonmembers, fprs=(0.25,))
    bent = membership_quality(np.exp(members), np.exp(nonmembers), fprs=(0.25,))
    assert (quality.auc, quality.auc_interval, quality.advantage) == (bent.auc, bent.auc_interval, bent.advantage)
    assert [f.true_positives for f in quality.tpr_at] == [f.true_positives for f in bent.tpr_at]


def test_scores_that_say_nothing_score_a_coin():
    rng = np.random.default_rng(3)
    quality = membership_quality(rng.normal(size=2000), rng.normal(size=2000))
    assert quality.auc_interval.low < 0.5 < quality.auc_interval.high
    assert quality.tpr_at[0].true_positives.low < 0.1 < quality.tpr_at[0].true_positives.high
