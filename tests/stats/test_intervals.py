"""Intervals against numbers worked by hand, published examples and brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from remanence.stats.intervals import (
    UNKNOWN_DIFFERENCE,
    Interval,
    bootstrap,
    clopper_pearson,
    newcombe_difference,
    paired_difference,
    wilson,
)


def table(both: int, only_a: int, only_b: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    a = np.repeat([True, True, False, False], [both, only_a, only_b, neither])
    b = np.repeat([True, False, True, False], [both, only_a, only_b, neither])
    return a, b


def test_no_hit_in_ten_rows_can_still_be_a_rate_of_31_percent():
    # 0 of 10: the upper end solves (1 - p)^10 = 0.025, so p = 1 - 0.025^(1/10) = 0.3085.
    assert clopper_pearson(0, 10) == pytest.approx((0.0, 1 - 0.025**0.1))
    assert clopper_pearson(10, 10) == pytest.approx((0.025**0.1, 1.0))


def test_the_design_documents_example_37_of_1000():
    assert clopper_pearson(37, 1000) == pytest.approx((0.026, 0.051), abs=5e-4)


def test_nothing_is_known_without_rows():
    assert clopper_pearson(0, 0) == Interval(0.0, 1.0) == wilson(0, 0)
    assert newcombe_difference(0, 0, 3, 10) == UNKNOWN_DIFFERENCE != newcombe_difference(1, 2, 3, 10)
    assert math.isnan(newcombe_difference(3, 10, 0, 0).value)
    assert paired_difference(np.zeros(0, bool), np.zeros(0, bool)) == UNKNOWN_DIFFERENCE


@given(n=st.integers(1, 60), share=st.floats(0, 1), level=st.sampled_from([0.8, 0.95, 0.999]))
def test_clopper_pearson_ends_are_where_the_binomial_tails_equal_half_the_error(n: int, share: float, level: float):
    hits = round(share * n)
    low, high = clopper_pearson(hits, n, level)
    if hits > 0:
        assert stats.binom.sf(hits - 1, n, low) == pytest.approx((1 - level) / 2)
    if hits < n:
        assert stats.binom.cdf(hits, n, high) == pytest.approx((1 - level) / 2)


@given(n=st.integers(1, 200), share=st.floats(0, 1))
def test_wilson_ends_are_where_the_z_test_just_rejects(n: int, share: float):
    hits = round(share * n)
    for end in wilson(hits, n):
        if 1e-9 < end < 1 - 1e-9:
            assert abs(hits / n - end) / math.sqrt(end * (1 - end) / n) == pytest.approx(stats.norm.ppf(0.975))


def test_newcombes_own_example_56_of_70_against_48_of_80():
    # Newcombe 1998a, table II, example (a), method 10: 0.2, from 0.0524 to 0.3339.
    value, (low, high) = newcombe_difference(56, 70, 48, 80)
    assert (value, low, high) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)


def test_swapping_the_sides_turns_the_difference_around():
    value, (low, high) = newcombe_difference(3, 40, 20, 50)
    assert newcombe_difference(20, 50, 3, 40) == (-value, (-high, -low))


def newcombe_paired_by_the_book(r: int, s: int, t: int, u: int) -> tuple[float, float]:
    """Altman et al. 2000, "Statistics with Confidence", chapter 6, written out step by step."""
    n, z = r + s + t + u, 1.959963984540054

    def ends(x: int) -> tuple[float, float]:
        a, b, c = 2 * x + z * z, z * math.sqrt(z * z + 4 * x * (1 - x / n)), 2 * (n + z * z)
        return (a - b) / c, (a + b) / c

    p1, p2, (l1, u1), (l2, u2) = (r + s) / n, (r + t) / n, ends(r + s), ends(r + t)
    margins, phi = (r + s) * (t + u) * (r + t) * (s + u), 0.0
    if margins:
        top = r * u - s * t
        top = top - n / 2 if top > n / 2 else (0 if top >= 0 else top)
        phi = top / math.sqrt(margins)
    below = math.sqrt((p1 - l1) ** 2 - 2 * phi * (p1 - l1) * (u2 - p2) + (u2 - p2) ** 2)
    above = math.sqrt((p2 - l2) ** 2 - 2 * phi * (p2 - l2) * (u1 - p1) + (u1 - p1) ** 2)
    return p1 - p2 - below, p1 - p2 + above


@pytest.mark.parametrize("cells", [(14, 5, 0, 22), (36, 12, 2, 0), (1, 1, 7, 12), (53, 0, 0, 1), (2, 9, 8, 1)])
def test_paired_difference_follows_the_textbook(cells: tuple[int, int, int, int]):
    value, interval = paired_difference(*table(*cells))
    assert value == pytest.approx((cells[1] - cells[2]) / sum(cells))
    assert interval == pytest.approx(newcombe_paired_by_the_book(*cells))


def test_rows_on_which_both_models_agree_narrow_the_paired_interval():
    # 20 % against 10 % of 100 rows; in the first table every hit of the base model is a hit of the tuned one too.
    together = paired_difference(*table(10, 10, 0, 80)).interval
    apart = paired_difference(*table(0, 20, 10, 70)).interval
    assert together.high - together.low < apart.high - apart.low
    assert together.low > 0 > apart.low


def test_paired_rates_of_different_rows_are_refused():
    with pytest.raises(ValueError, match="same rows"):
        paired_difference(np.ones(3, bool), np.ones(4, bool))


def test_bootstrap_of_a_mean_agrees_with_the_normal_theory():
    values = np.random.default_rng(0).normal(3, 2, 400)
    low, high = bootstrap(values, np.mean, seed=1)
    half = 1.96 * values.std() / math.sqrt(values.size)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.1 * half)


def test_bootstrap_of_two_values_is_counted_by_hand():
    # Draws of (0, 1) with replacement have mean 0, 1/2, 1/2, 1 with chance 1/4 each: the 60 % interval is [0, 1].
    assert bootstrap(np.array([0.0, 1.0]), np.mean, seed=0, level=0.6) == Interval(0.0, 1.0)


def test_bootstrap_takes_statistics_that_know_no_axis_and_repeats_with_its_seed():
    values = np.arange(30.0)
    by_one = bootstrap(values, lambda sample: float(np.sort(sample)[-1]), seed=5, rounds=200)
    assert by_one == bootstrap(values, np.max, seed=5, rounds=200) == bootstrap(values, np.max, seed=5, rounds=200)
    assert bootstrap(values, np.mean, seed=5) != bootstrap(values, np.mean, seed=6)


def test_one_value_has_no_spread_to_speak_of():
    assert bootstrap(np.array([2.0]), np.mean, seed=0) == Interval(-math.inf, math.inf)


@pytest.mark.parametrize(("hits", "n", "level"), [(3, 2, 0.95), (-1, 2, 0.95), (1, 2, 1.0)])
def test_impossible_counts_and_levels_are_refused(hits: int, n: int, level: float):
    with pytest.raises(ValueError, match="needs"):
        clopper_pearson(hits, n, level)
