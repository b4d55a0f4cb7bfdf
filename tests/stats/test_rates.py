"""Rates held against floor, base and ceiling, on tables small enough to count."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from remanence.stats.intervals import newcombe_difference
from remanence.stats.rates import Rate, breakdown, compare, copies_bucket, length_bucket


def flags(hits: int, n: int) -> np.ndarray:
    return np.arange(n) < hits


def test_a_rate_is_hits_over_rows_with_its_exact_interval():
    rate = Rate.of([True, False, False, False])
    assert (rate.hits, rate.n, rate.rate) == (1, 4, 0.25)
    # 1 of 4: low solves 1 - (1 - p)^4 = 0.025.
    assert rate.low == pytest.approx(1 - 0.975**0.25)
    assert rate.low < rate.rate < rate.high


def test_no_rows_is_not_a_rate_of_zero():
    assert math.isnan(Rate.of([]).rate)
    assert (Rate.of([]).low, Rate.of([]).high) == (0, 1)


def test_numbers_are_not_flags():
    with pytest.raises(ValueError, match="True or False"):
        Rate.of(np.array([0.2, 0.9]))  # pyright: ignore[reportArgumentType]


def test_a_comparison_holds_the_rate_against_floor_base_and_ceiling():
    found = compare(flags(37, 1000), floor=flags(2, 200), base=flags(1, 1000), ceiling=flags(901, 1000))
    assert found.excess is not None and found.excess_over_base is not None
    assert found.excess.value == pytest.approx(0.037 - 0.01)
    assert (found.excess.low, found.excess.high) == newcombe_difference(37, 1000, 2, 200).interval
    assert found.excess_over_base.value == pytest.approx(0.036)
    assert found.excess_over_base.low > 0.02
    # (0.037 - 0.010) / (0.901 - 0.010)
    assert found.normalised == pytest.approx(0.027 / 0.891)


def test_what_was_not_given_cannot_be_claimed():
    alone = compare(flags(3, 10))
    assert alone.floor is alone.base is alone.ceiling is alone.excess is alone.excess_over_base is None
    assert alone.normalised is None
    assert compare(flags(3, 10), floor=np.zeros(0, bool)).excess is None
    assert compare(flags(3, 10), floor=flags(1, 2), ceiling=flags(1, 2)).normalised is None


def test_a_base_model_on_other_rows_is_refused():
    with pytest.raises(ValueError, match="same rows"):
        compare(flags(3, 10), base=flags(3, 9))


def test_a_breakdown_counts_within_each_label_in_natural_order():
    found = breakdown([True, True, False, False, True], ["33+", "5-8", "5-8", "1", "33+"])
    assert list(found) == ["1", "5-8", "33+"]
    assert {label: (rate.hits, rate.n) for label, rate in found.items()} == {"1": (0, 1), "5-8": (1, 2), "33+": (2, 2)}
    with pytest.raises(ValueError, match="one label"):
        breakdown([True], [])


def test_buckets_at_their_edges():
    assert [length_bucket(n) for n in (0, 1, 31, 32, 63, 64, 127, 128, 1024)] == [
        "0", "1-31", "1-31", "32-63", "32-63", "64-127", "64-127", "128-255", "1024-2047",
    ]  # fmt: skip
    assert [copies_bucket(n) for n in (0, 1, 2, 3, 4, 5, 8, 9, 16, 17, 32, 33, 900)] == [
        "0", "1", "2", "3-4", "3-4", "5-8", "5-8", "9-16", "9-16", "17-32", "17-32", "33+", "33+",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="negative"):
        length_bucket(-1)


@given(st.integers(1, 10**6))
def test_a_length_lies_in_its_bucket(n: int):
    low, high = map(int, length_bucket(n).split("-"))
    assert low <= n <= high
