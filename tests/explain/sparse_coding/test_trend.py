"""A trend is bits per doubling, beyond what records never seen do."""

from __future__ import annotations

import numpy as np
import pytest

from remanence.explain.sparse_coding.trend import Trend, rise, trend
from remanence.stats.intervals import Interval


def test_slopes_by_hand():
    values = np.array([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]])  # tasks that need 1, 2, 4
    assert rise(values, [1, 2, 4]) == pytest.approx([1.0, 0.0])
    assert rise(values[:2], [1, 4]) == pytest.approx([0.5, 0.0])


def test_slopes_are_those_of_polyfit():
    values = np.random.default_rng(0).normal(size=(4, 20))
    slow = np.polyfit(np.log2([1, 2, 4, 8]), values, 1)[0]
    assert rise(values, [1, 2, 4, 8]) == pytest.approx(slow)


def test_what_records_never_seen_do_as_well_is_taken_off():
    rng = np.random.default_rng(1)
    drift, memory = rng.normal(0.5, 0.1, size=200), rng.normal(0.8, 0.1, size=200)
    found = trend(memory, drift, seed=0)
    assert found.value == pytest.approx(0.3, abs=0.03)
    assert found.interval.low < found.value < found.interval.high
    error = np.sqrt(memory.var() / 200 + drift.var() / 200)
    assert found.interval.high - found.interval.low == pytest.approx(2 * 1.96 * error, rel=0.1)
    assert trend(memory, None, seed=0).value == pytest.approx(memory.mean())


def test_three_answers():
    def says(low: float, high: float) -> bool | None:
        return Trend((low + high) / 2, Interval(low, high)).rises(least=0.1)

    assert says(0.05, 0.3) is True
    assert says(-0.1, 0.05) is False
    assert says(0.01, 0.05) is False  # above 0, and too small to matter
    assert says(-0.1, 0.3) is None


def test_a_task_that_needs_nothing_has_no_place_in_a_trend():
    with pytest.raises(ValueError, match="each need a field"):
        rise(np.zeros((2, 3)), [0, 1])
