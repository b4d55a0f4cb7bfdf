"""Durations are written with the unit that a person would use."""

from __future__ import annotations

import math

import pytest

from remanence.core.units import duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.034, "0.03 s"),
        (0.32, "0.3 s"),
        (0.96, "1.0 s"),
        (4.2, "4.2 s"),
        (9.96, "10 s"),
        (49, "49 s"),
        (100, "2 min"),
        (490, "8 min"),
        (5400, "90 min"),
        (9000, "2.5 h"),
        (100_000, "28 h"),
    ],
)
def test_two_significant_digits_and_a_unit(seconds: float, text: str):
    assert duration(seconds) == text


@pytest.mark.parametrize("seconds", [-1.0, math.nan])
def test_a_negative_duration_is_an_error(seconds: float):
    with pytest.raises(ValueError, match="at least 0 seconds"):
        duration(seconds)
