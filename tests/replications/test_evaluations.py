"""Evaluations of a parrot, which knows the rows it was given, and curves whose numbers can be seen."""

from __future__ import annotations

import numpy as np
import pytest

from remanence.core.record import Record
from remanence.measure.extraction.discoverable import Discoverable
from remanence.models.parrot import Parrot
from remanence.replications.evaluations import (
    NATS,
    ROWS,
    Evaluation,
    at_equal_loss,
    at_the_end,
    compared,
    curves,
    evaluate,
    memorizes_less,
)
from remanence.stats.front import Gap, means
from remanence.stats.intervals import Interval

SEEN = [Record(f"t{i}", text=f"Person {i} lives at number {i * 7919} and owes {i * 104729} crowns.") for i in (1, 2)]
OTHERS = [Record(f"o{i}", text=f"Nobody {i} came on day {i * 7907} with {i * 104723} small letters.") for i in (3, 4)]


def test_seen_rows_are_extracted_and_likelier():
    found = evaluate(Parrot(tuple(SEEN)), SEEN, OTHERS, Discoverable((8,), 16))
    assert found.hits_N.tolist() == [1, 1] and found.heldout_hits_H.tolist() == [0, 0]
    assert found.logprob_N.min() > found.heldout_logprob_H.max()


def test_a_row_that_cannot_be_measured_is_named():
    with pytest.raises(ValueError, match="'short' cannot be measured: fewer than 16"):
        evaluate(Parrot(()), [Record("short", text="a")], OTHERS, Discoverable((8,), 16))


def planted(share: float, logprob: float, heldout: float, n: int = 100) -> Evaluation:
    """An evaluation of n + n rows."""
    noise = 0.01 * np.random.default_rng(0).standard_normal(n)
    return Evaluation((np.arange(n) < share * n).astype(float), logprob + noise, np.zeros(n), heldout + noise)


def test_the_fine_curve_is_a_difference_in_differences():
    found = curves([planted(0, -5.0, -4.0), planted(0.2, -1.0, -2.0), planted(0.5, -0.5, -2.5)])
    assert means(found.rows).excess == pytest.approx([0, 0.2, 0.5])
    # members gain 4, held-out rows 2; then 4.5 and 1.5
    assert means(found.nats).excess == pytest.approx([0, 2, 3])
    assert means(found.nats).utility == pytest.approx([-4, -2, -2.5], abs=0.01)


def test_more_after_as_many_passes_and_less_at_the_same_loss():
    plain = curves([planted(0, -5, -5), planted(0.2, -2, -3), planted(0.5, -1, -2.5)])
    other = curves([planted(0, -5, -5), planted(0.1, -2.2, -2.4), planted(0.8, -0.5, -2.0)])
    assert memorizes_less(at_the_end(other, plain, 0)) is False
    row = at_equal_loss(other, plain, 0)
    assert memorizes_less(row) is True and row["at validation loss"].value == pytest.approx(2.5, abs=0.01)
    assert row[ROWS].short == "-40.4 points"  # 0.1 * 2.5 / 2.6 against 0.5


def gap(low: float, high: float) -> Gap:
    return Gap((low + high) / 2, Interval(low, high), 0.0, 0.0, 0.0)


def test_the_finer_measure_decides_where_the_other_does_not():
    less, more, unclear = gap(-2, -1), gap(1, 2), gap(-1, 1)
    assert memorizes_less(compared([unclear, less])) is True
    assert memorizes_less(compared([less, more])) is True
    assert memorizes_less(compared([more, less])) is False
    assert memorizes_less(compared([unclear, unclear])) is None
    assert memorizes_less(compared([gap(0, 0), unclear])) is None
    assert compared([less, more])[NATS].unit == "nats"
