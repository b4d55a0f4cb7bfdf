"""Differences between groups, floors taken off, against numbers worked by hand and against repeated draws."""

from __future__ import annotations

import math

import numpy as np
import pytest

from remanence.stats.contrast import Counts, contrast, contrasts
from remanence.stats.intervals import newcombe_difference


def test_the_difference_of_two_excesses_has_the_lengths_of_both_intervals():
    # a: 9 of 10 over a floor of 1 of 10 = +0.8; b: 5 of 10 over 4 of 10 = +0.1; so a is 0.7 above b.
    a, b = Counts(9, 10, 1, 10), Counts(5, 10, 4, 10)
    (low_a, high_a), (low_b, high_b) = newcombe_difference(9, 10, 1, 10)[1], newcombe_difference(5, 10, 4, 10)[1]
    value, (low, high) = contrast(a, b)
    assert value == pytest.approx(0.7)
    assert low == pytest.approx(0.7 - math.sqrt((0.8 - low_a) ** 2 + (high_b - 0.1) ** 2))
    assert high == pytest.approx(0.7 + math.sqrt((high_a - 0.8) ** 2 + (0.1 - low_b) ** 2))


def test_equal_rates_over_different_floors_differ():
    # Both come back in 60 of 100, but for b 55 of 100 do without training: only a shows memory.
    (pair,) = contrasts({"b": Counts(60, 100, 55, 100), "a": Counts(60, 100, 0, 100)})
    assert (pair.a, pair.b, pair.apart) == ("a", "b", True)
    assert pair.value == pytest.approx(0.55)


def test_without_floors_it_is_newcombes_difference_of_the_rates():
    assert contrast(Counts(7, 10), Counts(3, 12)) == newcombe_difference(7, 10, 3, 12)


def test_more_pairs_need_wider_intervals():
    groups = {"a": Counts(30, 40, 1, 40), "b": Counts(18, 40, 1, 40)}
    (alone,) = contrasts(groups)
    more = contrasts({**groups, **{f"x{i}": Counts(20, 40, 1, 40) for i in range(5)}})
    among = next(pair for pair in more if {pair.a, pair.b} == {"a", "b"})
    assert len(more) == 21 and among.value == alone.value
    assert among.low < alone.low and alone.high < among.high
    assert alone.apart and not among.apart
    assert [pair.value for pair in more] == sorted((pair.value for pair in more), reverse=True)


def test_swapping_two_groups_swaps_the_signs():
    a, b = Counts(9, 12, 2, 9), Counts(4, 15, 1, 11)
    (one, (low, high)), (other, (below, above)) = contrast(a, b), contrast(b, a)
    assert (one, low, high) == pytest.approx((-other, -above, -below))


def test_groups_that_cannot_be_compared_are_left_out():
    groups = {
        "none": Counts(0, 0, 0, 9),
        "no floor": Counts(3, 9, 0, 0),
        "a": Counts(5, 9, 0, 9),
        "b": Counts(4, 9, 0, 9),
    }
    assert [(pair.a, pair.b) for pair in contrasts(groups)] == [("a", "b")]
    value, interval = contrast(groups["none"], groups["a"])
    assert math.isnan(value) and interval == (-2, 2)
    assert contrasts({"a": Counts(5, 9)}) == []


@pytest.mark.parametrize("rates", [((0.8, 0.1), (0.3, 0.05)), ((0.5, 0.3), (0.5, 0.3)), ((0.95, 0.02), (0.9, 0.4))])
def test_the_interval_covers_the_truth_as_often_as_it_says(rates: tuple[tuple[float, float], tuple[float, float]]):
    """Twelve hundred draws of four rates of 20 to 60 rows: 95 % within three standard errors of the simulation."""
    dice = np.random.default_rng(0)
    (a, floor_a), (b, floor_b) = rates
    truth, hits, rounds = (a - floor_a) - (b - floor_b), 0, 1200
    for _ in range(rounds):
        one = Counts(int(dice.binomial(40, a)), 40, int(dice.binomial(30, floor_a)), 30)
        other = Counts(int(dice.binomial(20, b)), 20, int(dice.binomial(60, floor_b)), 60)
        low, high = contrast(one, other).interval
        hits += low <= truth <= high
    assert hits / rounds > 0.95 - 3 * math.sqrt(0.95 * 0.05 / rounds)
