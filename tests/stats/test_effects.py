"""Difference in differences: worked by hand, against a slow bootstrap, and where nothing varies."""

from __future__ import annotations

import math

import numpy as np
import pytest

from remanence.stats.effects import SeedSides, effects, interval_of
from remanence.stats.intervals import newcombe_difference


def sides(members: list[float], heldout: list[float], base: list[float], base_heldout: list[float]) -> SeedSides:
    return SeedSides(*(np.array([values], np.float64) for values in (members, heldout, base, base_heldout)))


def test_by_hand() -> None:
    # members 3/4, held-out 1/4: excess 0.5. The base model says 2/4 and 1/4 of the same rows: 0.25 was there before.
    found = effects([sides([1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 0, 0])])
    assert found.excess[0] == pytest.approx(0.5)
    assert found.did[0] == pytest.approx(0.25)
    assert found.did_low[0] < 0.25 < found.did_high[0]


def test_seeds_count_alike_and_unmeasurable_rows_count_nowhere() -> None:
    nan = math.nan
    one = sides([1, nan, nan, nan], [0, nan], [0, nan, nan, nan], [0, nan])
    other = sides([0, 0, 0, 0], [0, 0], [0, 0, 0, 0], [0, 0])
    found = effects([one, other])
    assert found.excess[0] == pytest.approx(0.5)
    assert found.excess_SC[:, 0].tolist() == [1.0, 0.0]


def test_a_cell_that_nobody_can_measure_is_nan_and_a_seed_without_rows_is_left_out() -> None:
    nan = math.nan
    blind = sides([nan, nan], [nan, nan], [nan, nan], [nan, nan])
    assert np.isnan(effects([blind]).excess[0])
    assert effects([blind, sides([1, 1], [0, 0], [0, 0], [0, 0])]).excess[0] == 1.0


def test_where_nothing_varies_newcombe_stands_in() -> None:
    found = effects([sides([0] * 50, [0] * 40, [0] * 50, [0] * 40)])
    low, high = newcombe_difference(0, 50, 0, 40).interval
    assert (found.excess_low[0], found.excess_high[0]) == (low, high)
    assert found.did_low[0] == pytest.approx(-math.hypot(low, high))
    assert found.did_high[0] == pytest.approx(math.hypot(low, high))


def test_the_interval_equals_a_slow_bootstrap() -> None:
    rng = np.random.default_rng(1)
    one = SeedSides(*(rng.random((1, n)) for n in (30, 20, 30, 20)))
    found = effects([one], rounds=4000, seed=3)
    slow = []
    for _ in range(4000):
        r, h = rng.integers(0, 30, 30), rng.integers(0, 20, 20)
        m, f, bm, bf = one.members_CR[0][r], one.heldout_CH[0][h], one.base_members_CR[0][r], one.base_heldout_CH[0][h]
        slow.append((m.mean() - f.mean()) - (bm.mean() - bf.mean()))
    low, high = interval_of(np.array(slow))
    spread = high - low
    assert abs(found.did_low[0] - low) < 0.08 * spread
    assert abs(found.did_high[0] - high) < 0.08 * spread


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        values = [(rng.random((1, 80)) < p).astype(float) for p in (0.5, 0.2, 0.3, 0.2)]
        found = effects([SeedSides(*values)], rounds=300, seed=trial)
        covered += bool(found.did_low[0] <= 0.2 <= found.did_high[0])
    assert 176 <= covered <= 200  # 95 % of 200 = 190, four standard errors of 3


def test_the_same_seed_gives_the_same_interval() -> None:
    one = sides([1, 0, 1, 0, 1], [0, 0, 1], [0, 0, 1, 0, 0], [0, 0, 0])
    assert effects([one], seed=5).did_low[0] == effects([one], seed=5).did_low[0]


def test_no_seed_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one seed"):
        effects([])
