"""Looks at a parrot, which knows what it was told, and curves whose numbers can be seen."""

from __future__ import annotations

import numpy as np
import pytest

from remanence.core.record import Record
from remanence.measure.extraction.discoverable import Discoverable
from remanence.models.parrot import Parrot
from remanence.replications.front.looks import Gaps, Look, curves, gaps_at_equal_loss, gaps_at_the_end, look, sign_of
from remanence.stats.front import Gap, means
from remanence.stats.intervals import Interval

TOLD = [Record(f"t{i}", text=f"Person {i} lives at number {i * 7919} and owes {i * 104729} crowns.") for i in (1, 2)]
OTHERS = [Record(f"o{i}", text=f"Nobody {i} came on day {i * 7907} with {i * 104723} small letters.") for i in (3, 4)]


def test_told_rows_come_back_and_are_likelier():
    seen = look(Parrot(tuple(TOLD)), TOLD, OTHERS, Discoverable((8,), 16))
    assert seen.hits_N.tolist() == [1, 1] and seen.heldout_hits_H.tolist() == [0, 0]
    assert seen.logprob_N.min() > seen.heldout_logprob_H.max()


def test_a_row_that_cannot_be_measured_is_named():
    with pytest.raises(ValueError, match="'short' cannot be measured: fewer than 16"):
        look(Parrot(()), [Record("short", text="a")], OTHERS, Discoverable((8,), 16))


def taken(share: float, logprob: float, heldout: float, n: int = 100) -> Look:
    """A look at n + n rows."""
    rng = np.random.default_rng(0)
    noise = 0.01 * rng.standard_normal(n)
    return Look((np.arange(n) < share * n).astype(float), logprob + noise, np.zeros(n), heldout + noise)


def test_the_fine_curve_is_a_difference_in_differences():
    found = curves([taken(0, -5.0, -4.0), taken(0.2, -1.0, -2.0), taken(0.5, -0.5, -2.5)])
    assert means(found.rows).excess == pytest.approx([0, 0.2, 0.5])
    # members gain 4, held-out rows 2; then 4.5 and 1.5
    assert means(found.nats).excess == pytest.approx([0, 2, 3])
    assert means(found.nats).utility == pytest.approx([-4, -2, -2.5], abs=0.01)


def test_more_after_as_many_passes_and_less_at_the_same_loss():
    plain = curves([taken(0, -5, -5), taken(0.2, -2, -3), taken(0.5, -1, -2.5)])
    other = curves([taken(0, -5, -5), taken(0.1, -2.2, -2.4), taken(0.8, -0.5, -2.0)])
    assert gaps_at_the_end(other, plain, 0).sign == "more"
    gaps = gaps_at_equal_loss(other, plain, 0)
    assert gaps.sign == "less" and gaps.rows.utility == pytest.approx(-2.5, abs=0.01)
    assert gaps.said.startswith("less (-40% of rows")  # 0.1 * 2.5 / 2.6 against 0.5


def gap(low: float, high: float) -> Gap:
    return Gap((low + high) / 2, Interval(low, high), 0.0, 0.0, 0.0)


def test_the_finer_measure_speaks_where_the_other_does_not():
    less, more, unclear = gap(-2, -1), gap(1, 2), gap(-1, 1)
    assert [sign_of(g) for g in (less, more, unclear, gap(0, 0))] == ["less", "more", "unclear", "unclear"]
    assert Gaps(unclear, less).sign == "less"
    assert Gaps(less, more).sign == "less"
    assert Gaps(unclear, unclear).sign == "unclear"
