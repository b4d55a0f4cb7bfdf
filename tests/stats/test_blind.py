"""A blind baseline sees a planted word, and sees nothing where there is nothing to see."""

from __future__ import annotations

import numpy as np
import pytest

from remanence.core.errors import NotMeasured
from remanence.stats import blind
from remanence.stats.blind import blind_membership

WORDS = np.array([f"w{i}" for i in range(300)])


def texts(n: int, seed: int, tail: str = "") -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, 12)) + tail for _ in range(n)]


def test_a_word_that_only_training_rows_have_gives_them_away():
    found = blind_membership(texts(60, 0, " in 2023"), texts(60, 1, " in 2024"), seed=0)
    assert found.auc > 0.99 and found.interval.low > 0.9
    assert (found.n_train, found.n_heldout) == (60, 60)


def test_rows_of_one_kind_look_alike():
    found = [blind_membership(texts(60, seed), texts(60, seed + 100), seed) for seed in range(20)]
    assert np.mean([f.auc for f in found]) == pytest.approx(0.5, abs=0.05)
    assert sum(f.interval.low <= 0.5 <= f.interval.high for f in found) >= 17


def test_repeated_rows_count_once_so_that_they_cannot_be_learned_by_heart():
    # Thirty texts, each 20 times: with copies in other folds a classifier would know them all.
    train, heldout = texts(30, 0), texts(30, 1)
    found = blind_membership(train * 20, heldout, seed=0)
    assert found == blind_membership(train, heldout, seed=0)
    assert found.n_train == 30 and found.interval.low < 0.5
    assert blind_membership([t.upper() + "  " for t in train] + train, heldout, seed=0) == found


def test_the_same_rows_on_both_sides_are_a_coin():
    same = texts(40, 0)
    assert blind_membership(same, same, seed=0).auc == 0.5


def test_the_order_of_the_rows_changes_nothing():
    train, heldout = texts(40, 0, " x"), texts(40, 1)
    assert blind_membership(train[::-1], heldout[::-1], seed=4) == blind_membership(train, heldout, seed=4)


def test_texts_without_words_are_read_by_character():
    rng = np.random.default_rng(0)
    signs = [chr(0x4E00 + i) for i in range(100)]
    train = ["".join(rng.choice(signs[:60], 20)) for _ in range(40)]
    heldout = ["".join(rng.choice(signs[40:], 20)) for _ in range(40)]
    assert blind_membership(train, heldout, seed=0).auc > 0.95
    unique_words = [f"a{i} b{i} c{i} d{i}" for i in range(40)]
    assert 0 < blind_membership(unique_words[:20], unique_words[20:], seed=0).auc < 1


def test_large_sets_are_sampled_and_say_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(blind, "MAX_ROWS", 50)
    found = blind_membership(texts(80, 0, " x"), texts(40, 1), seed=0)
    assert (found.n_train, found.n_heldout) == (50, 40)
    assert found == blind_membership(texts(80, 0, " x"), texts(40, 1), seed=0)


def test_too_few_different_texts_are_not_judged():
    with pytest.raises(NotMeasured, match="10 distinct held-out texts, got 3"):
        blind_membership(texts(40, 0), texts(3, 1) * 20, seed=0)
