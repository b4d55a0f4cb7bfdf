"""The linear statement: two features by hand, closed forms against the slow way, and where it stops."""

from __future__ import annotations

import numpy as np
import pytest

from remanence.explain.sparse_coding.statement import (
    best_map,
    error_at_rank,
    error_of_input,
    error_of_signal,
    input_covariance,
    reconstruction_error,
    row_space,
    widest_angle,
)

I2 = np.eye(2)
LAM = np.array([4.0, 1.0])
"""Variances of the two features of the example done by hand; M = I, so d = m = 2."""


def test_two_features_by_hand():
    # y = z_1, no noise: W = (1, 0), x_1 comes back and x_2 is lost with its variance, 1.
    W = best_map(I2, LAM, 0.0, np.eye(1), [0])
    assert pytest.approx(np.array([[1.0, 0.0]])) == W
    assert error_of_input(LAM, 0.0, [0], 2) == 1
    assert error_of_input(LAM, 0.0, [0, 1], 2) == 0
    # With noise 1, W shrinks to 4 / (4 + 1); what is lost is feature 2 (1) and the noise around it (1).
    assert best_map(I2, LAM, 1.0, np.eye(1), [0]) == pytest.approx(np.array([[0.8, 0.0]]))
    assert error_of_input(LAM, 1.0, [0], 2) == 2
    assert error_of_signal(LAM, 1.0, [0]) == pytest.approx(1 + 4 / 5)


def test_at_too_low_a_rank_more_needed_may_mean_less_kept():
    # One direction for two features. Asked for both alike, the map keeps the one that varies most: nothing gained.
    assert error_at_rank(LAM, 1.0, np.eye(2), [0, 1], 2, rank=1) == pytest.approx(2)
    # Asked for ten times as much of feature 2, it keeps that one and loses feature 1: 4 + 1 in place of 1 + 1.
    assert error_at_rank(LAM, 1.0, np.diag([1.0, 10.0]), [0, 1], 2, rank=1) == pytest.approx(5)
    assert error_of_input(LAM, 1.0, [0], 2) == pytest.approx(2)


def test_a_projection_pays_for_the_noise_it_lets_in():
    # |M z - P x|^2 by hand: a feature that varies by 1, noise 2. Projected: 2 is let in for 1; shrunk: 2/3 is lost.
    noise, lam = 2.0, np.array([1.0])
    projected = noise * 1
    assert projected > lam[0] > error_of_signal(lam, noise, [0]) == pytest.approx(2 / 3)


def world(seed: int, d: int = 7, m: int = 4):
    rng = np.random.default_rng(seed)
    M = np.linalg.qr(rng.normal(size=(d, m)))[0]
    return rng, M, rng.uniform(0.2, 3, size=m)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_closed_forms_are_what_the_slow_way_finds(seed: int, noise: float):
    rng, M, lam = world(seed)
    covariance = input_covariance(M, lam, noise)
    for S in ([2], [0, 3], [1, 2, 3], [0, 1, 2, 3]):
        A_S = rng.normal(size=(5, len(S)))
        W = best_map(M, lam, noise, A_S, S)
        assert widest_angle(row_space(W), M[:, S]) < 1e-6  # (4)
        assert reconstruction_error(covariance, W) == pytest.approx(error_of_input(lam, noise, S, 7), abs=1e-9)
        # (3) against least squares in the population: W = Cov(y, x) Cov(x)^+
        slow = (A_S * lam[S]) @ M[:, S].T @ np.linalg.pinv(covariance)
        assert pytest.approx(slow, abs=1e-9) == W
        for rank in range(1, len(S) + 1):
            W_r = best_map(M, lam, noise, A_S, S, rank)
            closed = error_at_rank(lam, noise, A_S, S, 7, rank)
            assert reconstruction_error(covariance, W_r) == pytest.approx(closed, abs=1e-9)
        assert closed == pytest.approx(error_of_input(lam, noise, S, 7))


def test_the_signal_error_is_what_the_slow_way_finds():
    _, M, lam = world(1)
    noise, S = 0.3, [0, 2]
    covariance, signal = input_covariance(M, lam, noise), (M * lam) @ M.T
    Q = M[:, S]  # the best linear x_hat of M z from Q'x
    R = signal @ Q @ np.linalg.inv(Q.T @ covariance @ Q)
    error = np.trace(signal) - np.trace(R @ Q.T @ signal)
    assert error_of_signal(lam, noise, S) == pytest.approx(error)


def test_no_map_of_the_rank_does_better():
    rng, M, lam = world(3)
    noise, S, A_S = 0.3, [0, 1, 3], rng.normal(size=(3, 3))
    C_xx, C_yx = input_covariance(M, lam, noise), (A_S * lam[S]) @ M[:, S].T

    def loss(W: np.ndarray) -> float:
        return float(np.trace(W @ C_xx @ W.T) - 2 * np.trace(W @ C_yx.T))

    best = best_map(M, lam, noise, A_S, S, rank=2)
    assert np.linalg.matrix_rank(best) == 2
    for _ in range(200):
        U, s, Vt = np.linalg.svd(best + 0.05 * rng.normal(size=best.shape), full_matrices=False)
        assert loss(best) < loss((U[:, :2] * s[:2]) @ Vt[:2])


def test_the_error_falls_with_every_feature():
    _, _, lam = world(4, m=4)
    for noise in (0.0, 0.5):
        chain = [[0], [0, 1], [0, 1, 2], [0, 1, 2, 3]]
        assert np.all(np.diff([error_of_input(lam, noise, S, 7) for S in chain]) < 0)
        assert np.all(np.diff([error_of_signal(lam, noise, S) for S in chain]) < 0)


def test_correlated_features_come_back_unasked():
    # z_2 = z_1: the map keeps only the first direction, and yet nothing of the input is lost.
    C = np.array([[1.0, 1.0], [1.0, 1.0]])
    assert reconstruction_error(C, np.array([[1.0, 0.0]])) == pytest.approx(0)
    assert error_of_input(np.ones(2), 0.0, [0], 2) == 1  # what uncorrelated features would say


def test_angles_by_hand():
    tilted = np.array([[np.cos(0.1)], [np.sin(0.1)]])
    assert widest_angle(I2[:, :1], tilted) == pytest.approx(0.1)
    assert widest_angle(I2[:, :1], I2) == pytest.approx(np.pi / 2)
    assert row_space(np.zeros((2, 3))).shape == (3, 0)


def test_a_task_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="one column per feature"):
        best_map(I2, LAM, 0.0, np.eye(2), [0])
