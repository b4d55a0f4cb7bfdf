"""Exposure counts how many candidates the model likes better than the true one."""

from __future__ import annotations

import math

import numpy as np
import pytest

from remanence.stats.exposure import chance_exposure, exposure


def test_four_candidates_by_hand():
    scores = np.array([[0.1, 0.4, 0.3, 0.2]] * 4)
    # ranks of candidates 0..3: 4, 1, 2, 3; log2 4 = 2 bits at most
    assert exposure(scores, np.arange(4)) == pytest.approx([0, 2, 1, 2 - math.log2(3)])


def test_ties_share_the_middle_of_their_ranks():
    assert exposure(np.zeros((1, 7)), np.array([3])) == pytest.approx([math.log2(7) - 2])  # rank 4 of 7
    assert exposure(np.array([[5.0, 5.0, 1.0]]), np.array([0])) == pytest.approx([math.log2(3 / 1.5)])


def test_a_model_without_memory_has_chance_exposure():
    assert chance_exposure(2) == pytest.approx(0.5)  # ranks 1 and 2: 1 bit and 0 bits
    assert chance_exposure(1) == 0
    assert chance_exposure(10**6) == pytest.approx(math.log2(math.e), abs=1e-4)
    rng = np.random.default_rng(0)
    found = exposure(rng.normal(size=(20_000, 64)), rng.integers(64, size=20_000))
    assert found.mean() == pytest.approx(chance_exposure(64), abs=4 * found.std() / math.sqrt(found.size))


def test_ranks_are_those_of_a_sort():
    rng = np.random.default_rng(1)
    scores, true = rng.normal(size=(50, 3, 10)), rng.integers(10, size=(50, 3))
    slow = [[math.log2(10) - math.log2(1 + list(np.argsort(-s)).index(t)) for s, t in zip(ss, ts, strict=True)]
            for ss, ts in zip(scores, true, strict=True)]  # fmt: skip
    assert exposure(scores, true) == pytest.approx(np.array(slow))


def test_nan_is_refused():
    with pytest.raises(ValueError, match="without NaN"):
        exposure(np.array([[0.0, np.nan]]), np.array([0]))
