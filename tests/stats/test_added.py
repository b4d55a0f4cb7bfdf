"""What a number adds, out of sample, to those that are cheap."""

from __future__ import annotations

import numpy as np
import pytest

from remanence.core.errors import NotMeasured
from remanence.stats.added import Added, added_value, auc_within_folds, fold_of
from remanence.stats.membership import roc_auc

ONCE = np.ones((1, 4))


def test_three_of_four_pairs_in_order_by_hand():
    score, hit, fold = np.array([4.0, 2, 3, 1]), np.array([True, True, False, False]), np.zeros(4, int)
    assert auc_within_folds(score, hit, fold, ONCE)[0] == 3 / 4
    assert auc_within_folds(score, hit, np.array([0, 1, 1, 0]), ONCE)[0] == 1 / 2, (
        "pairs of different folds do not count"
    )
    assert np.isnan(auc_within_folds(score, hit, np.array([0, 1, 2, 3]), ONCE)[0])


def test_weights_count_rows_as_often_as_they_were_drawn():
    rng = np.random.default_rng(0)
    score, hit = rng.integers(0, 8, 30).astype(float), rng.random(30) < 0.4
    for weights in rng.multinomial(30, np.full(30, 1 / 30), size=20):
        drawn, hits = np.repeat(score, weights), np.repeat(hit, weights)
        fast = auc_within_folds(score, hit, np.zeros(30, int), weights[None].astype(float))[0]
        assert fast == pytest.approx(roc_auc(drawn[hits], drawn[~hits]))


def world(seed: int, effect: float, n: int = 400) -> Added:
    """Rows come back by length (not in a straight line) and loss; attention is bent length, plus what is planted."""
    rng = np.random.default_rng(seed)
    length, loss, own = rng.normal(size=(3, n))
    hit = np.tanh(2 * length) + 0.7 * loss + effect * own + rng.logistic(size=n) > 0.5
    attention = np.tanh(2 * length) + 0.5 * own + 0.05 * rng.normal(size=n)
    return added_value(hit, {"length": length, "loss": loss}, {"attention": attention}, seed=seed, rounds=300)


def test_a_planted_signal_is_found():
    found = world(0, effect=2.0)
    assert found.interval.low > 0.03 and found.difference == pytest.approx(found.auc_with - found.auc_without)
    assert found.without_interval.low < found.auc_without < found.without_interval.high
    assert found.n == 400 and 100 < found.hits < 300


def test_attention_that_is_length_in_disguise_adds_nothing():
    found = [world(seed, effect=0.0) for seed in range(4)]
    assert all(f.interval.low <= 0 for f in found)
    assert abs(np.mean([f.difference for f in found])) < 0.015
    assert all(f.auc_without > 0.6 for f in found), "the known numbers do tell"


def test_pure_noise_adds_nothing():
    rng = np.random.default_rng(3)
    differences = []
    for seed in range(4):
        loss, noise = rng.normal(size=(2, 300))
        found = added_value(loss + rng.logistic(size=300) > 0, {"loss": loss}, {"noise": noise}, seed=seed, rounds=200)
        differences.append(found.difference)
        assert found.interval.low <= 0
    assert abs(np.mean(differences)) < 0.015


def test_lines_of_one_row_stay_together():
    """A number that names the row: with its copies on both sides it tells the outcome, kept together it does not."""
    rng = np.random.default_rng(4)
    names, hit = rng.normal(size=(60, 1)), rng.random(60) < 0.5
    rows = list(range(60)) * 3
    known = {"loss": rng.normal(size=180)}
    apart = added_value(np.tile(hit, 3), known, {"name": np.tile(names[:, 0], 3)}, rounds=20)
    together = added_value(np.tile(hit, 3), known, {"name": np.tile(names[:, 0], 3)}, rows=rows, rounds=20)
    fold = fold_of(np.tile(hit, 3), np.array(rows), 5, 0)
    assert all(len(set(fold[np.array(rows) == row])) == 1 for row in range(60))
    assert apart.auc_with > together.auc_with and set(fold) == set(range(5))


def test_too_few_hits_are_no_result_and_gaps_are_counted():
    hit = np.arange(100) < 5
    with pytest.raises(NotMeasured, match="5 folds need 10 rows of each outcome, got 5 and 95"):
        added_value(hit, {"loss": np.arange(100.0)}, {"a": np.arange(100.0)})
    loss = np.random.default_rng(5).normal(size=100)
    loss[:3] = np.nan
    found = added_value(np.arange(100) % 2 == 0, {"loss": loss}, {"a": np.arange(100.0)}, rounds=20)
    assert (found.n, found.left_out) == (97, 3)
