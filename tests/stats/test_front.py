"""Points and curves small enough to draw by hand: who beats whom, and what a curve costs at equal utility."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from remanence.stats.front import (
    UNKNOWN,
    Curve,
    Point,
    attainable,
    dominates,
    front,
    gap_at_points,
    gap_at_utility,
    means,
    surely_dominates,
)


def point(name: str, memorization: float, utility: float, half: float = 0.0) -> Point:
    return Point(name, memorization, memorization - half, memorization + half, utility)


def test_a_curve_is_read_where_it_first_is_useful_enough():
    # utility 0, 2, 4 at memorization 0.0, 0.1, 0.5: utility 3 is half way between the last two, at 0.3
    assert attainable(np.array([0.0, 0.1, 0.5]), np.array([0, 2, 4]), 3.0) == pytest.approx(0.3)
    # a curve that turns back (overfitting) is read on its cheap side, though it passes utility 3 twice
    assert attainable(np.array([0.0, 0.1, 0.5, 0.9]), np.array([0, 2, 4, 2]), 3.0) == pytest.approx(0.3)
    # at a point exactly; at the best; beyond it
    found = attainable(np.array([0.0, 0.1, 0.5]), np.array([0, 2, 4]), np.array([2.0, 4.0, 4.1]))
    assert found[:2].tolist() == [0.1, 0.5] and math.isnan(found[2])


def test_what_is_useful_from_the_start_costs_nothing():
    assert attainable(np.array([0.0, 0.4]), np.array([5.0, 6.0]), 1.0) == 0.0
    assert attainable(np.array([0.2]), np.array([5.0]), 5.0) == 0.2


def slow_attainable(m: list[float], u: list[float], level: float, steps: int) -> float:
    """The same by walking along the curve in small steps."""
    best = math.inf
    for i in range(len(m) - 1):
        for part in np.linspace(0, 1, steps):
            if u[i] + part * (u[i + 1] - u[i]) >= level:
                best = min(best, m[i] + part * (m[i + 1] - m[i]))
    return best


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=5), st.floats(0.05, 8.95))
def test_the_fast_path_finds_what_a_walk_along_the_curve_finds(points: list[tuple[int, int]], level: float):
    m, u = [float(a) for a, _ in points], [float(b) for _, b in points]
    fast, slow = float(attainable(np.array(m), np.array(u), level)), slow_attainable(m, u, level, 500)
    assert math.isnan(fast) == math.isinf(slow) or max(u) - level < 0.02
    if math.isfinite(slow):
        assert fast == pytest.approx(slow, abs=9 / 499 + 1e-9) and fast <= slow + 1e-9


def test_many_curves_at_once_are_each_one_alone():
    rng = np.random.default_rng(0)
    m, u, level = rng.random((50, 6)), rng.random((50, 6)), rng.random(50)
    together = attainable(m, u, level)
    alone = [float(attainable(a, b, c)) for a, b, c in zip(m, u, level, strict=True)]
    assert np.array_equal(together, alone, equal_nan=True)


def test_a_point_is_beaten_by_one_that_is_better_in_one_way_and_worse_in_none():
    a, b, c = point("a", 0.1, 2.0), point("b", 0.3, 2.0), point("c", 0.3, 3.0)
    assert dominates(a, b) and dominates(c, b) and not dominates(a, c) and not dominates(c, a)
    assert not dominates(a, a), "nothing beats its equal"
    assert [(s.point.name, s.beaten_by) for s in front([b, c, a])] == [("c", None), ("a", None), ("b", "c")]


def test_what_lies_within_the_intervals_is_not_sure():
    narrow, wide = 0.05, 0.15
    assert surely_dominates(point("a", 0.1, 2.0, narrow), point("b", 0.3, 2.0, narrow))
    assert not surely_dominates(point("a", 0.1, 2.0, wide), point("b", 0.3, 2.0, wide))
    more_useful = Point("c", 0.3, 0.2, 0.4, 3.0, 2.5, 3.5)
    assert surely_dominates(more_useful, Point("d", 0.3, 0.2, 0.4, 2.0, 1.8, 2.2))
    assert not surely_dominates(more_useful, Point("d", 0.3, 0.2, 0.4, 2.0, 1.0, 2.7))
    sure = front([point("a", 0.1, 2.0, narrow), point("b", 0.3, 2.0, narrow), point("c", 0.12, 2.0, narrow)])
    assert [(s.point.name, s.beaten_by, s.surely) for s in sure] == [
        ("a", None, False),
        ("c", "a", False),
        ("b", "a", True),
    ]


def curve(rates: list[float], utilities: list[float], n: int = 200, floor: float = 0.0, noise: float = 0.0) -> Curve:
    """Rows of which a share is memorized; every held-out row has this utility, give or take."""
    rng = np.random.default_rng(int(1000 * sum(rates)))
    rows = (np.arange(n) < np.round(np.array(rates)[:, None] * n)).astype(float)
    floors = (np.arange(n) < round(floor * n)).astype(float) * np.ones((len(rates), 1))
    return Curve(rows, floors, np.array(utilities)[:, None] + noise * rng.standard_normal((1, n)))


def test_a_curve_has_its_floor_taken_off():
    found = means(curve([0.0, 0.5], [1.0, 2.0], floor=0.1))
    assert found.excess == pytest.approx([-0.1, 0.4]) and found.utility == pytest.approx([1.0, 2.0])


def test_more_at_equal_passes_may_be_less_at_equal_utility():
    """The confound that the front is for: b learns faster in every way."""
    a = curve([0.0, 0.1, 0.4, 0.6], [0.0, 1.0, 2.0, 1.8])
    b = curve([0.0, 0.2, 0.5, 0.8], [0.0, 2.2, 3.0, 3.2])
    equal_passes = gap_at_points(b, a)
    assert equal_passes.value == pytest.approx(0.2) and equal_passes.interval.low > 0
    equal_utility = gap_at_utility(b, a)
    # a's best is 2.0, at 0.4; b has 2.0 on its first leg, at 0.2 * 2.0 / 2.2
    assert equal_utility.utility == pytest.approx(2.0)
    assert (equal_utility.a, equal_utility.b) == (pytest.approx(0.4 / 2.2), pytest.approx(0.4))
    assert equal_utility.value == pytest.approx(0.4 / 2.2 - 0.4) and equal_utility.interval.high < 0
    assert gap_at_utility(a, b).value == pytest.approx(-equal_utility.value)


def test_a_curve_is_no_better_than_itself():
    a = curve([0.0, 0.3, 0.5], [0.0, 1.0, 2.0], noise=0.3)
    for gap in (gap_at_points(a, a), gap_at_utility(a, a), gap_at_utility(a, a, 1.5)):
        assert gap.value == 0 and tuple(gap.interval) == (0, 0)


def test_a_utility_that_is_never_reached_is_not_compared():
    a, b = curve([0.0, 0.5], [0.0, 2.0]), curve([0.0, 0.5], [0.0, 4.0])
    gap = gap_at_utility(a, b, level=3.0)
    assert math.isnan(gap.value) and math.isnan(gap.a) and gap.b == pytest.approx(0.375)
    assert gap.interval == UNKNOWN and gap.reached == 0
    # reached as measured, but only just: about every second draw does not
    near = gap_at_utility(curve([0.0, 0.5], [0.0, 2.0], noise=1.0), b, level=2.0 - 0.1)
    assert 0.3 < near.reached < 0.999 and (near.reached >= 0.95 or near.interval == UNKNOWN)


def test_intervals_cover_the_truth_as_often_as_they_say():
    """Two ways of training that are equally good: 0 lies in about 57 of 60 intervals."""
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(60):
        rate = np.array([0.0, 0.2, 0.5])[:, None]
        make: Any = lambda rate=rate: Curve(  # noqa: E731
            (rng.random((3, 150)) < rate).astype(float),
            np.zeros((3, 150)),
            np.array([0.0, 1.0, 2.0])[:, None] + 0.1 * rng.standard_normal((3, 150)),
        )
        interval = gap_at_utility(make(), make(), 1.5, seed=trial, rounds=200).interval
        covered += interval.low <= 0 <= interval.high
    assert covered >= 52


def test_rows_that_do_not_fit_are_refused():
    a = curve([0.0, 0.5], [0.0, 2.0])
    with pytest.raises(ValueError, match="same rows"):
        gap_at_points(a, curve([0.0, 0.5], [0.0, 2.0], n=100))
    other = a._replace(utility_EU=a.utility_EU[:, :50])
    with pytest.raises(ValueError, match="different numbers of rows"):
        gap_at_utility(other, other)
    other = other._replace(utility_on_heldout=False)
    assert gap_at_utility(other, other).value == 0
