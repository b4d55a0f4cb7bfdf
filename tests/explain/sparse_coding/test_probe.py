"""The probe reads what is linearly there, and nothing that is not."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import Ridge

from remanence.explain.sparse_coding.probe import probe_hits


def states(n: int, seed: int):
    """Value 0, 1 or 2 stands in the state as a direction; another value is nowhere in it."""
    rng = np.random.default_rng(seed)
    shown, hidden = rng.integers(3, size=n), rng.integers(3, size=n)
    directions = np.random.default_rng(9).normal(size=(3, 6))
    return directions[shown] + 0.1 * rng.normal(size=(n, 6)), shown, hidden


def test_what_is_there_is_read_and_what_is_not_is_chance():
    X, shown, hidden = states(600, 0)
    X_new, shown_new, hidden_new = states(600, 1)
    assert probe_hits(X, shown, X_new, shown_new, 3).mean() > 0.99
    assert abs(probe_hits(X, hidden, X_new, hidden_new, 3).mean() - 1 / 3) < 0.08


def test_it_is_the_ridge_regression_of_scikit_learn():
    X, shown, _ = states(200, 2)
    X_new, shown_new, _ = states(80, 3)
    X_new = X_new + np.random.default_rng(4).normal(size=X_new.shape)  # hard enough to be wrong at times
    mean, scale = X.mean(axis=0), X.std(axis=0) + 1e-6
    slow = Ridge(alpha=0.01 * len(X)).fit((X - mean) / scale, np.eye(3)[shown])
    named = slow.predict((X_new - mean) / scale).argmax(axis=1)
    hits = probe_hits(X, shown, X_new, shown_new, 3)
    assert hits.tolist() == (named == shown_new).tolist() and 0 < hits.mean() < 1


def test_a_state_that_never_changes_is_no_error():
    assert probe_hits(np.ones((4, 2)), np.array([0, 0, 0, 1]), np.ones((2, 2)), np.array([0, 1]), 2).tolist() == [
        True,
        False,
    ]
