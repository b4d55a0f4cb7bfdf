"""Membership counted between held-out scores: the same figures as from all scores at once."""

from __future__ import annotations

import numpy as np
import pytest

from remanence.core.errors import NotMeasured
from remanence.stats.fdr import conformal_p_values, q_values
from remanence.stats.member_counts import MemberCounts
from remanence.stats.membership import membership_quality

FPRS = (0.1, 0.01, 0.001)


def counted(members: list[float], nonmembers: list[float], parts: int = 1) -> MemberCounts:
    counts = MemberCounts(np.array(nonmembers))
    for part in np.array_split(np.array(members), parts):
        counts.add(part)
    return counts


def test_three_rows_between_two_by_hand() -> None:
    """Held out at 1 and 3. Of the rows at 0, 1 and 5, they lie over 0, 1/2 and 2 of the two: (0 + 1/2 + 2) / 6."""
    quality = counted([0.0, 1.0, 5.0], [1.0, 3.0]).quality(())
    assert quality.auc == pytest.approx(2.5 / 6) and (quality.num_members, quality.num_nonmembers) == (3, 2)


@pytest.mark.parametrize("seed", range(12))
def test_counting_in_parts_gives_the_figures_of_all_scores_at_once(seed: int) -> None:
    rng = np.random.default_rng(seed)
    members = np.round(rng.normal(0.4, 1, rng.integers(1, 900)), seed % 4)  # few digits, so many ties
    others = np.round(rng.normal(0, 1, rng.integers(1, 700)), seed % 4)
    members[rng.random(members.size) < 0.1] = -np.inf
    others[rng.random(others.size) < 0.05] = -np.inf
    whole = membership_quality(members, others, FPRS)
    parts = counted(members.tolist(), others.tolist(), parts=7).quality(FPRS)
    assert parts.auc == pytest.approx(whole.auc, rel=1e-12)
    assert parts.auc_interval == pytest.approx(whole.auc_interval, rel=1e-9)
    assert parts.advantage == pytest.approx(whole.advantage, rel=1e-12)
    assert (parts.tpr_at, parts.refused) == (whole.tpr_at, whole.refused)


@pytest.mark.parametrize("seed", range(12))
def test_p_and_q_values_are_those_of_the_rows_one_by_one(seed: int) -> None:
    rng = np.random.default_rng(100 + seed)
    rows = np.round(rng.normal(1.0, 1, 400), seed % 3)
    null = np.round(rng.normal(0, 1, rng.integers(1, 300)), seed % 3)
    counts = counted(rows.tolist(), null.tolist(), parts=3)
    p = conformal_p_values(rows, null)
    q = q_values(p)
    bins = counts.bins(rows)
    np.testing.assert_array_equal(counts.p_values()[bins], p)
    np.testing.assert_allclose(counts.q_values()[bins], q, rtol=1e-12)
    assert counts.counted_within(0.05) == int((q <= 0.05).sum())


@pytest.mark.parametrize(("members", "others", "side"), [([], [1.0], "training"), ([1.0], [], "held-out")])
def test_an_empty_side_is_not_measured(members: list[float], others: list[float], side: str) -> None:
    with pytest.raises(NotMeasured, match=f"no {side} row"):
        counted(members, others).quality(FPRS)


def test_a_row_that_was_not_measured_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        counted([float("nan")], [1.0])
    with pytest.raises(ValueError, match="NaN"):
        MemberCounts(np.array([float("nan")]))
