"""Numbers are written so that nobody misreads them: never 0 for little, never 100 for almost all."""

from __future__ import annotations

import math

import pytest

from remanence.report.words import figure, fold, measure_name, number, plural, points, share, span, visible


@pytest.mark.parametrize(
    ("rate", "shown"),
    [(0.037, "3.7"), (0, "0"), (1, "100"), (0.9999, "99.9"), (0.0004, "0.04"), (0.00096, "0.1"), (1e-9, "1e-07")],
)
def test_a_rate_is_readable(rate: float, shown: str) -> None:
    assert figure(rate) == shown


def test_intervals_and_differences() -> None:
    assert span(0.026, 0.051) == "2.6 to 5.1"
    assert points(0.036) == "+3.6"
    assert points(-0.012) == "-1.2"


def test_a_share_without_rows_is_none_not_zero() -> None:
    assert share({"hits": 0, "n": 0, "rate": None, "low": None, "high": None}) is None
    assert share({"floor_n": None}, "floor_") is None
    assert share(None) is None


def test_not_a_number_is_nothing_and_infinity_stays() -> None:
    assert number(math.nan) is None
    assert number(math.inf) == math.inf


@pytest.mark.parametrize("name", ["MinK++", "min_k_pp", "MinKPlusPlus", "min-k%++"])
def test_one_measure_has_one_name(name: str) -> None:
    assert measure_name(name) == "Min-K%++"


def test_an_unknown_measure_keeps_its_own_name() -> None:
    assert measure_name("Novel") == "Novel"
    assert fold("zlib_ratio") == "zlib"


def test_an_id_cannot_command_the_terminal() -> None:
    assert visible("a\x1b[31mred\u202e") == "a\ufffd[31mred\ufffd"
    assert visible("one\u00a0two") == "one\u00a0two"


def test_plural() -> None:
    assert plural(1, "copy", "copies") == "1 copy"
    assert plural(1200, "row") == "1,200 rows"
